"""What hosts and processes used."""
