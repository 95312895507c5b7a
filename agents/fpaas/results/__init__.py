"""From raw data to figures and a verdict."""
