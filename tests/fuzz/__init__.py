"""Whatever reads bytes from outside is fed bad ones: `make fuzz`, or `python -m tests.fuzz`."""
