"""Numerics of fields on grids."""
