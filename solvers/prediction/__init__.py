"""Numerics of prefactors.

- `soft_integrals`: Integrals of exp(-v / epsilon) along a direction in which v is hardly curved, against those of its
  quadratic part.
- `transverse_hessian`: The Hessian of a solution of the Hamilton-Jacobi equation, integrated along a characteristic.
"""
