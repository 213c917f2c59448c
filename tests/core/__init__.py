"""The pure core: one test file for each of its modules."""
