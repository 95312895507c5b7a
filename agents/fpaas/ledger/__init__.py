"""The account of every event in a run."""
