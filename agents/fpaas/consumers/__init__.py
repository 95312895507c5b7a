"""The consumers agent: many consumers on one host, which poll or are pushed to."""
