"""Numerics that serve several wings.

- `differences`: Central differences of batch functions, one vectorised call for all points and directions.
- `linear_part`: The stiff linear part of a drift: a diagonal or a sparse symmetric matrix.
- `polyline`: Polylines by their length.
- `sample_gradients`: Compiled gradients of one sample's loss, by name; `qpot.sample_losses` has the same formulas in
  NumPy.
"""
