"""Numerics of prefactors.

- `transverse_hessian`: The Hessian of a solution of the Hamilton-Jacobi equation, integrated along a characteristic.
"""
