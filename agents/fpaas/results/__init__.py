"""A results folder: every run and sweep in it, and how figures of a scenario moved over time."""
