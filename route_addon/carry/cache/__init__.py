"""Answers that are kept: the store, and one request's dealings with it."""
