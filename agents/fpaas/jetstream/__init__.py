"""Talking to NATS: the connection that carries load, stream and durables."""
