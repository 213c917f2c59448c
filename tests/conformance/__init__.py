"""Outside suites, and what they need to run."""
