"""Latency legs: what each means, what was open, whose clocks it compares."""
