"""Our relay: serves frames on a schedule."""
