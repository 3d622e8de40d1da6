"""Numerics of the noise: Lagrangians."""
