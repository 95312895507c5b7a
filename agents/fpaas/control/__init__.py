"""Modules that only the control node runs, such as progress and the guard."""
