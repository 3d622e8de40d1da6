"""Numerics that serve several wings."""
