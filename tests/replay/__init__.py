"""Recorded traffic, and what is said of it by the router as it is now."""
