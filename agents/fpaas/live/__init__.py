"""A run as it goes on, or as it ended, from what its agents write: for a terminal."""
