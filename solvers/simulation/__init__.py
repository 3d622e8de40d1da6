"""Numerics of simulated SGD and diffusions."""
