"""The consumers agent: many polling pull consumers on one host."""
