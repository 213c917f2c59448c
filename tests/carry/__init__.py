"""The carriers and what they are made of: one test file for each module."""
