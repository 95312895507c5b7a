"""The shuffler: relay in, stream out, every event accounted for."""
