"""Listening, and connections until a carrier has them."""
