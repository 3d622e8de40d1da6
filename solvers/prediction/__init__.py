"""Numerics of prefactors."""
