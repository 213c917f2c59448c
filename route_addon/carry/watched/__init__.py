"""What is done for an exchange only because somebody watches: flows, hooks, messages."""
