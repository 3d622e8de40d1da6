"""Numerics of fixed points and relaxations."""
