"""Many extremals of the action at once, by shooting: initial paths where the ends of a leg are limit cycles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.spending import spent
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = NDArray[np.float64]

# The product of a step with the rates along an extremal, and the most steps.
_FINE, _MOST = 0.15, 3000


@dataclass(frozen=True, eq=False)
class Extremals:
    """Extremals from several starts; rows are steps, which belong to other times on each of them.

    Attributes
    ----------
    points, momenta : array (s, m, d)
    times, actions : array (s, m)
        Time and action since the start; NaN after an extremal has ended.
    """

    points: Array
    momenta: Array
    times: Array
    actions: Array


def shoot(
    hamiltonian: DiffusionHamiltonian, points: Array, momenta: Array, *, centre: Array, reach: float, dearest: float
) -> Extremals:
    """Follow Hamilton's equations from positions and momenta (m, d).

    An extremal ends where it is further than ``reach`` from the ``centre``, dearer than ``dearest`` or not finite.
    """
    x, p = points.copy(), momenta.copy()
    m = len(x)
    alive, t, action = np.ones(m, dtype=bool), np.zeros(m), np.zeros(m)
    ways = [(x.copy(), p.copy(), t.copy(), action.copy())]
    for _ in range(_MOST):
        rows = np.flatnonzero(alive)
        if not rows.size or spent():
            break
        y, q = x[rows], p[rows]
        v = hamiltonian.first(y, q)[2]
        rate = np.abs(hamiltonian.jacobian(y)).sum(axis=2).max(axis=1) + np.linalg.norm(v, axis=1) / reach
        h = (_FINE / rate)[:, None]
        with np.errstate(all="ignore"):
            y, q = _step(hamiltonian, y, q, h)
            a = hamiltonian.covariance(np.where(np.isfinite(y), y, centre))
            gained = 0.5 * np.einsum("ni,nij,nj->n", 0.5 * (p[rows] + q), a, 0.5 * (p[rows] + q)) * h[:, 0]
        x[rows], p[rows], t[rows], action[rows] = y, q, t[rows] + h[:, 0], action[rows] + gained
        fine = np.isfinite(y).all(axis=1) & np.isfinite(q).all(axis=1) & (action[rows] <= dearest)
        alive[rows] = np.asarray(fine) & (np.linalg.norm(np.where(np.isfinite(y), y, np.inf) - centre, axis=1) <= reach)
        dead = ~alive
        t[dead] = action[dead] = np.nan
        ways.append((x.copy(), p.copy(), t.copy(), action.copy()))
    X, P, T, A = (np.array(column) for column in zip(*ways, strict=True))
    return Extremals(X, P, T, A)


def _step(hamiltonian: DiffusionHamiltonian, x: Array, p: Array, h: Array) -> tuple[Array, Array]:
    """One step of the classical method of fourth order."""

    def motion(y: Array, q: Array) -> tuple[Array, Array]:
        usable = np.asarray(np.isfinite(y).all(axis=1) & np.isfinite(q).all(axis=1))
        y, q = np.where(usable[:, None], y, x), np.where(usable[:, None], q, p)
        _, force, velocity = hamiltonian.first(y, q)
        return velocity, -force

    v1, f1 = motion(x, p)
    v2, f2 = motion(x + 0.5 * h * v1, p + 0.5 * h * f1)
    v3, f3 = motion(x + 0.5 * h * v2, p + 0.5 * h * f2)
    v4, f4 = motion(x + h * v3, p + h * f3)
    return x + h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4), p + h / 6.0 * (f1 + 2.0 * f2 + 2.0 * f3 + f4)
