"""Numerics of flows and margins.

- `flow_steps`: An explicit Runge-Kutta step of order 1, 2 or 4 that keeps its stage points.
- `homogeneous_flow`: Gradient flow of an exponential-tail loss of a homogeneous model, in the logarithm of logarithmic time.
- `log_time_flow`: Gradient flow of an exponential-tail loss in logarithmic time, where t = 1e100 is 230 units away.
- `max_margin`: Hard-margin separation through the origin, as a non-negative least-squares problem.
- `switching`: The sign flow x' = -sign(g(x)) as a Filippov system: straight pieces, and sliding along surfaces g_j =
  0.
"""
