"""Numerics of fields on grids; the sweep is in `marching`.

- `hermite`: Cubic Hermite interpolation of a field from its values and gradients at the nodes of a uniform grid.
- `line`: The quasi-potential on a line: V' = max(0, -2 b / a) to the right of the source, exactly up to quadrature.
- `local_quadratic`: Taylor polynomials of the quasi-potential at an attractor: Lyapunov equation and the cubic term
  after it.
"""
