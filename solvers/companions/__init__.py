"""Numerics of flows and of hard-margin separation: steps, switching, logarithmic time, quadratic programs."""
