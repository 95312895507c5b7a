"""summary.json, the manifest, and comparisons of runs."""
