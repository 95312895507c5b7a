"""Writes what is made of other files of the checkout."""
