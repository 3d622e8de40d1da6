"""Plain twins of the exact-noise kernels, and one-dimensional costs by quadrature of the root of H(x, p) = 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq, linprog, minimize
from scipy.special import logsumexp

Array = NDArray[np.float64]


def cumulant(g: Array, w: Array, p: Array) -> float:
    return float(logsumexp(-g @ p, b=w))


def dual_value(g: Array, w: Array, v: Array) -> float:
    """The supremum over p of <p, v> - K(p), by a general minimiser."""
    found = minimize(lambda p: cumulant(g, w, p) - p @ v, np.zeros(v.size), method="BFGS", options={"gtol": 1e-9})
    return -float(found.fun)


def inside_hull(g: Array, v: Array) -> bool:
    """Whether v is a convex combination of the -g_i, by linear programming."""
    N = g.shape[0]
    found = linprog(np.zeros(N), A_eq=np.vstack([-g.T, np.ones(N)]), b_eq=np.append(v, 1.0), bounds=(0, None))
    return bool(found.status == 0)


def root_of_hamiltonian(g: Array, w: Array) -> float:
    """The root p* != 0 of log sum w exp(-g p) = 0 in one dimension, on the side of the mean gradient."""
    side = float(np.sign(w @ g))
    u = side * g

    def slope(p: float) -> float:
        return cumulant(u[:, None], w, np.array([p])) / p

    high = 1.0
    while slope(high) < 0:
        high *= 2.0
    return side * float(brentq(slope, 1e-9, high, xtol=1e-14, rtol=1e-14))


def cost_by_quadrature(steps: Callable[[float], tuple[Array, Array]], start: float, end: float) -> float:
    """The cost V = int p* dx from a minimum to a point uphill of it."""

    def integrand(x: float) -> float:
        g, w = steps(x)
        if abs(w @ g) < 1e-7:  # the root goes to zero with the mean gradient
            return 2.0 * float(w @ g) / float(w @ (g - w @ g) ** 2)
        return root_of_hamiltonian(g, w)

    return float(quad(integrand, start, end, epsabs=1e-12, epsrel=1e-11, limit=200)[0])
