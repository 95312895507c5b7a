"""Reads a run back, and says what is missing."""
