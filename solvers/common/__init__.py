"""Numerics that serve several wings.

- `compiled`: How kernels are compiled that make no arrays: without counting references to those that they are given.
- `differences`: Central differences of batch functions, with one vectorised call for all points and directions.
- `linear_part`: The stiff linear part of a drift, as a diagonal or a sparse symmetric matrix.
- `polyline`: Polylines: their lengths, and interpolation along them.
- `quiet_ivp`: Initial value problems without warnings: a solver's status says what they repeat.
- `sample_gradients`: Compiled gradients of one sample's loss, by name; `qpot.samples.formulas` has the same formulas
  in NumPy.
- `spending`: The CPU time that a computation may still spend, for loops that ask between two steps whether to go on.
"""
