"""Numerics that serve several wings.

- `bounded_least_squares`: Least squares within bounds, where the optimality conditions of the answer are checked.
- `cache_folder`: A folder for compiled kernels where neither the installation nor the user's home can be written.
- `compiled`: How kernels are compiled: into a cache wherever there is room, and without counting references if they
  make no arrays.
- `compiling`: The time that numba takes to compile kernels, which no budget should count, and who is told of it.
- `deferred`: Kernels for which plain Python stands in, bit for bit, until compiling them pays.
- `differences`: Central differences of batch functions, with one vectorised call for all points and directions.
- `held`: Answers of linear algebra held against the equations that they solve, before they are believed.
- `linear_part`: The stiff linear part of a drift, as a diagonal or a sparse symmetric matrix.
- `polyline`: Polylines: their lengths, and interpolation along them.
- `quiet_ivp`: Initial value problems without warnings: a solver's status says what they repeat.
- `sample_gradients`: Compiled gradients of one sample's loss, by name; `qpot.samples.formulas` has the same formulas
  in NumPy.
- `sinusoid_moments`: Mean and covariance of the gradients of sinusoids' samples, with one cosine and sine for each
  frequency and sample.
- `spending`: The CPU time that a computation may still spend, for loops that ask between two steps whether to go on.
"""
