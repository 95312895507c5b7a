"""The plan: what parameters allow, before a run."""
