"""Numerics of prefactors.

- `transverse_hessian`: The Hessian of a solution of a Hamilton-Jacobi equation, carried along a characteristic.
"""
