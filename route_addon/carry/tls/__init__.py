"""TLS towards clients, and the certificates for it."""
