"""HTTP/1: a strict reader and writer, and the client's side of a connection."""
