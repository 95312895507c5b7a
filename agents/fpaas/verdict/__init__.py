"""Judges a run: goals, reasons and what limited it, as codes with parameters; sentences last."""
