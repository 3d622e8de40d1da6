"""Numerics of fixed points, and of the flow that leads to them."""
