"""Numerics of minimum action paths."""
