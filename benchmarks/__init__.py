"""What things cost: scripts that print tables, and `make bench`, which runs those on speed and memory together."""
