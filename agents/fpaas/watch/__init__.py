"""How agents notice freezes, their own and of those they talk to."""
