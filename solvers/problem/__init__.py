"""Numerics of the noise: Lagrangians and Hamiltonians.

- `cumulant`: The Lagrangian of discrete SGD with its exact noise: H(x, p) = c log sum_i w_i(x) exp(-<p, g_i(x)> / c).
- `cumulant_dual`: Kernels of the exact noise of discrete SGD: K(p) = log sum_i w_i exp(-<p, g_i>) and its dual.
- `hamiltonian`: The Hamiltonian H(x, p) = b.p + p.a p / 2 of a diffusion and its derivatives, for a of any rank.
- `lagrangian`: The Lagrangian of a diffusion and its derivatives, for batches of points.
"""
