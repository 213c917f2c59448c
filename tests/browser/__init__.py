"""A real browser, a real desktop and a real terminal, before and behind the router."""
