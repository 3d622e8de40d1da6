"""Numerics of the chain of minima."""
