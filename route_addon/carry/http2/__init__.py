"""HTTP/2 towards clients, over hyper-h2."""
