"""The way to a server: pools, names, addresses, connections."""
