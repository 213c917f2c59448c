"""From the values of options and the configuration file to settings."""
