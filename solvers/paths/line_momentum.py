"""Momenta on a line: the root p(x) of H(x, p) = 0, and the cost as its integral."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.problem.lagrangian import BoundedLagrangian

Array = NDArray[np.float64]

# Most doublings of a momentum until the root lies below it. If they do not suffice, there is none.
_DOUBLINGS = 200
# Most bisections of the bracket of a root.
_BISECTIONS = 120
# Most rounds in which panels are halved.
_ROUNDS = 40
# Panels that are halved at once; more of them show noise of rounding, which no halving takes away.
_MOST_PANELS = 4000
# The share of half a panel that lies beyond its outermost points.
_BLIND = 0.02
# Panels of the first round, enough for a feature of a thousandth of the way not to be stepped over.
_FIRST_PANELS = 64


def zero_energy_momentum(lagrangian: BoundedLagrangian, x: Array, direction: float) -> Array:
    """The root p (n,) of H(x, p) = 0 at the points x (n,) on the side of ``direction`` (+1 or -1).

    H is convex in p, and zero at p = 0, where its slope is the drift. Where the drift opposes the direction and some step
    leads that way, there is one other root; where no step does, the answer is infinite. Where the drift leads that way, no
    push is needed and the answer is 0.
    """
    points = x[:, None]

    def energy(size: Array) -> Array:
        return lagrangian.hamiltonian(points, (direction * size)[:, None])

    slope = lagrangian.cumulants(points, np.zeros_like(points))[:, 1] * direction
    low, high = np.zeros_like(x), np.ones_like(x)
    for _ in range(_DOUBLINGS):
        short = (slope < 0.0) & (energy(high) < 0.0)
        if not short.any():
            break
        low, high = np.where(short, high, low), np.where(short, 2.0 * high, high)
    else:
        high = np.where(short, np.inf, high)
    root_at = np.where(np.isfinite(high), high, 1.0)
    for _ in range(_BISECTIONS):
        # While the bracket begins at 0 the root may be of any magnitude, so that its upper end falls by large factors.
        middle = np.where(low > 0.0, 0.5 * (low + root_at), 1e-3 * root_at)
        below = energy(middle) < 0.0
        low, root_at = np.where(below, middle, low), np.where(below, root_at, middle)
        if (root_at - low <= 1e-16 * root_at).all():
            break
    size = np.where(np.isfinite(high), 0.5 * (low + root_at), np.inf)
    return np.asarray(np.where(slope < 0.0, direction * size, 0.0), dtype=np.float64)


def line_cost(
    momentum: Callable[[Array], Array], start: float, end: float, *, tolerance: float
) -> tuple[float, float, Array, Array]:
    """The integral of p over x from start to end, by Gauss quadrature on panels, halved where other rules differ.

    Parameters
    ----------
    momentum : callable (n,) -> (n,)
        The momentum p(x). It may have kinks and jumps, at which the panels are halved until they do not matter.
    tolerance : float
        Relative error asked of the integral.

    Returns
    -------
    value, error : float
        The cost and an estimate of its error.
    x, p : arrays (n,)
        Quadrature points in the order of the path, and the momenta there.
    """
    direction = np.sign(end - start)
    many = np.polynomial.legendre.leggauss(12)
    # At a jump two rules can agree by accident, three hardly.
    others = [np.polynomial.legendre.leggauss(n) for n in (7, 8, 9)]
    # Beyond the outermost points no rule sees a jump, so that the ends of a panel are held against the polynomial.
    legvander = np.polynomial.legendre.legvander
    ends = legvander(np.array([-1.0, 1.0]), 11) @ np.linalg.inv(legvander(many[0], 11))
    panels = np.linspace(start, end, _FIRST_PANELS + 1)
    a, b = panels[:-1], panels[1:]
    done: list[tuple[Array, Array, Array, Array]] = []
    finished, total = 0.0, np.inf
    for _ in range(_ROUNDS):
        half, centre = 0.5 * (b - a), 0.5 * (a + b)
        x = centre[:, None] + half[:, None] * many[0]
        p = momentum(x.ravel()).reshape(x.shape)
        values = half * (p @ many[1])
        misses = np.abs(momentum(np.concatenate([a, b])).reshape(2, -1) - ends @ p.T).max(axis=0)
        errors = np.where(np.isfinite(misses), _BLIND * np.abs(half) * misses, 0.0)
        for nodes, weights in others:
            rough = centre[:, None] + half[:, None] * nodes
            errors = np.maximum(
                errors, np.abs(values - half * (momentum(rough.ravel()).reshape(rough.shape) @ weights))
            )
        total = finished + float(values.sum())
        fine = ~(errors > 0.02 * tolerance * abs(total) * np.abs(b - a) / abs(end - start))
        done.append((x[fine], p[fine], values[fine], errors[fine]))
        finished += float(values[fine].sum())
        if fine.all():
            break
        if np.count_nonzero(~fine) > _MOST_PANELS:
            done.append((x[~fine], p[~fine], values[~fine], errors[~fine]))
            break
        left, right = a[~fine], b[~fine]
        middle = 0.5 * (left + right)
        a, b = np.concatenate([left, middle]), np.concatenate([middle, right])
    else:
        done.append((x[~fine], p[~fine], values[~fine], errors[~fine]))
    xs, ps = (np.concatenate([part[k].ravel() for part in done]) for k in (0, 1))
    order = np.argsort(direction * xs)
    value = float(sum(part[2].sum() for part in done))
    error = float(sum(part[3].sum() for part in done)) + 1e-13 * abs(value)
    return value, error, xs[order], ps[order]
