"""The router as a process: real mitmproxy programs, real sockets, real tokens, real clients."""
