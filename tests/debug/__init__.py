"""What is there for a person: one test file for each module."""
