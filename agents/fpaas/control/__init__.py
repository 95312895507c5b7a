"""What only the control node runs: progress, and the guard."""
