"""The command line: one module a command, each exposing `command`; logic lives elsewhere."""
