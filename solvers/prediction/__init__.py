"""Numerics of prefactors: the Hessian of the quasi-potential along a path."""
