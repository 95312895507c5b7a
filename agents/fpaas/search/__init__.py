"""Searches over many runs: the largest load that a lab carries."""
