"""Numerics of the noise: Lagrangians and Hamiltonians.

- `cumulant`: The Lagrangian of discrete SGD with its exact noise: H(x, p) = c log sum_i w_i(x) exp(-<p, g_i(x)> / c).
- `cumulant_dual`: Kernels of the exact noise of discrete SGD: K(x, p) = log sum_i w_i exp(-<p, g_i>) and its Legendre
  dual.
- `hamiltonian`: The Hamiltonian H(x, p) = b.p + p.a p / 2 of a small-noise diffusion and its derivatives; no inverse
  of a is needed.
- `lagrangian`: The pointwise Lagrangian of a small-noise diffusion and its derivatives, for batches of points.
"""
