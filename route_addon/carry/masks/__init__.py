"""Placeholders in the place of secrets, in all that is shown, logged and kept."""
