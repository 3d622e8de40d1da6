"""The two ends of a minimum action path, where the flow is that of the linear part at the fixed point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array

# Positions and momenta at given times.
Motion = Callable[[Array], tuple[Array, Array]]
# A path is continued at the minimum from where the distance is this part of that of its first point, ...
_DEPARTS = 1e-6
# ... and at the saddle until it is this part of that of its last point.
_ARRIVES = 1e-4
# Two rates that add up to less than this part of the fastest one add up to zero.
_SILENT = 1e-3


def departure(origin: Array, first: Array, B: Array, Q: Array) -> tuple[float, Motion]:
    """The linear path from the minimum O to the first point x_1: its duration, and the motion along it.

    It is x - O = exp(B u) (x_1 - O) with p = Q (x - O), from where the distance to O is a millionth of that of x_1.
    """
    values, vectors = np.linalg.eig(B)
    amplitude = np.linalg.solve(vectors, (first - origin).astype(complex))
    span = -math.log(_DEPARTS) / float(values.real.min()) if np.linalg.norm(first - origin) > 0 else 1e-12

    def position(u: Array) -> tuple[Array, Array]:
        x = np.real((np.exp(np.outer(u - span, values)) * amplitude) @ vectors.T)
        return origin + x, x @ Q

    return span, position


class Arrival(NamedTuple):
    """The linear path to a saddle.

    Parameters
    ----------
    unstable : float
        The rate lambda of the unstable direction of the drift.
    left : array (d,)
        The left eigenvector l of that rate, of length one. Whether the other side is reached depends on l (x - s) only.
    span : float
        The duration of the path, which ends short of the saddle.
    motion : callable
    """

    unstable: float
    left: Array
    span: float
    motion: Motion
    noise: float

    def log_factor(self, Q: Array) -> float:
        """Half the logarithm of (l a l) / (2 lambda det Q') with Q' the part of Q across l; NaN if it is not positive."""
        across = np.linalg.svd(self.left[None])[2][1:]
        inner = np.linalg.eigvalsh(across @ (0.5 * (Q + Q.T)) @ across.T)
        if not (inner > 0.0).all():
            return float("nan")
        return 0.5 * (math.log(self.noise / (2.0 * self.unstable)) - float(np.log(inner).sum()))


def arrival(saddle: Array, J: Array, a: Array, last: Array, momentum: Array, velocity: Array) -> Arrival:
    """The path from the last point to the saddle s, to second order in the distance.

    To first order (J + lambda) (x - s) = -a p, where p is a multiple of the left eigenvector of the unstable rate lambda, and
    both decay like exp(-lambda u). What x and p are beside that at the last point decays like exp(-2 lambda u).
    """
    values, vectors = np.linalg.eig(J.T)
    n = int(values.real.argmax())
    unstable, left = float(values[n].real), np.real(vectors[:, n])
    left = left / np.linalg.norm(left)
    noise = float(left @ a @ left)
    # The part of x - s that decays like exp(-lambda u), from its value and its derivative, corrected where J says more. It
    # says nothing where another rate is -lambda.
    x1 = 2.0 * (last - saddle) + velocity / unstable
    p1 = -float(left @ x1) * 2.0 * unstable / noise * left
    shifted = J + unstable * np.eye(len(J))
    x1 = x1 - np.linalg.pinv(shifted, rcond=_SILENT) @ (a @ p1 + shifted @ x1)
    x2, p2 = last - saddle - x1, momentum - p1

    def motion(u: Array) -> tuple[Array, Array]:
        first = np.exp(-unstable * u)[:, None]
        return saddle + first * (x1 + first * x2), first * (p1 + first * p2)

    return Arrival(unstable, left, -math.log(_ARRIVES) / unstable, motion, noise)
