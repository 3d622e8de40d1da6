"""Numerics that several wings use."""
