"""What the noise pays: minimum action paths."""
