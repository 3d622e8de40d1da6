"""Numerics of fixed points and of the flow to them.

- `chebyshev_flow`: Trajectories of stiff gradient flows in many dimensions by drifts alone: a stabilised explicit
  method.
- `flow`: The deterministic flow x' = b(x) of many points at once, each with its own adaptive step.
- `mode_following`: Saddles by climbing out of minima along one mode of the Hessian at a time.
- `saddle_string`: The highest point of a path between two minima in many dimensions, where a climb to the saddle
  begins.
- `stationary_points`: Zeros of a vector field: damped Newton from many starts at once, their stability, and the
  separatrix between basins.
"""
