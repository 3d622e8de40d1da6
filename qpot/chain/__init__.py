"""Minima as states: matrices of costs only."""
