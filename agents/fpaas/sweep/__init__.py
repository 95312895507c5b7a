"""Sweeps: many runs over a grid of variables, and what they say together."""
