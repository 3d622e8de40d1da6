"""Numerics of flows and margins."""
