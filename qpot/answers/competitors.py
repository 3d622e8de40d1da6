"""Margins of several competing classes: the vectors that bound them, for a model that is linear in its parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.companions.separation import separate

# A sample's margin is one of its competitors' where its slope is the same this much farther out, within this part.
_FARTHER, _PURE = 1.05, 1e-9
# Slopes are read where the smallest margin is this large, and only where a sample's loss is below this: there it falls
# like exp(-margin).
_OUT, _TAIL = 300.0, 1e-6
# Directions are tried around the machine's, moved by such parts of their length; so many, and so many times.
_MOVED, _TRIED, _ROUNDS = (3e-3, 1.0), 24, 40
# A vector is new if it undercuts the margin by this part, and is one of those that are known within this part.
_BELOW, _SAME = 1e-7, 1e-7

# The margins -log(loss) (N,) of all samples at a point (d,) and their gradients (N, d).
MarginsAt = Callable[[Array], tuple[Array, Array]]


def competing(margins: MarginsAt, far: Array, rng: np.random.Generator) -> Array | None:
    r"""The signed vectors (m, d) whose hard-margin machine has the largest margin, or None where the model is not linear.

    With linear scores the loss of a sample is :math:`\log(1 + \sum_k e^{-\langle z_k, x\rangle})` over its competitors k, so
    that its margin is the smallest :math:`\langle z_k, x\rangle` far out, and its gradient there is that z_k. A gradient
    that does not change farther out is a vector z_k of its own; all others are mixtures and are not used. Vectors are
    gathered around the machine's direction until none undercuts its margin.

    Parameters
    ----------
    margins : callable
    far : array (d,)
        A point at which all samples are fitted.
    rng : numpy.random.Generator
        Draws the directions that are tried.
    """
    z, _ = margins(far)
    y = far * max(1.0, _OUT / float(z.min()))
    found = np.empty((0, far.size))
    for _ in range(_ROUNDS):
        size = float(np.linalg.norm(y))
        moved = rng.standard_normal((_TRIED, y.size))
        parts = np.exp(rng.uniform(np.log(_MOVED[0]), np.log(_MOVED[1]), (_TRIED, 1)))
        moved *= parts * size / np.linalg.norm(moved, axis=1, keepdims=True)
        seen = [_pure(margins, point) for point in (y, *(y + moved))]
        some = np.concatenate([rows for rows in seen if rows is not None])
        if not some.size or any(rows is None for rows in seen):
            return None
        level = float((found @ y).min()) if found.size else np.inf
        new = some[(some @ y) < level * (1.0 - _BELOW)] if found.size else some
        if not new.size:
            z, slopes = margins(y)
            if ((slopes @ y)[np.isfinite(z)] >= level * (1.0 - _BELOW)).all():
                return found
            continue  # A mixture undercuts it, so that one of its competitors does.
        found = _distinct(np.concatenate([found, new]))
        try:
            direction = separate(found, np.ones(len(found))).direction
        except ValueError:
            return None  # Linear scores that fit all samples are separable.
        y = direction * (_OUT / float((found @ direction).min()))
    return None


def _pure(margins: MarginsAt, x: Array) -> Array | None:
    """The gradients at a point that are vectors of single competitors; None where margins are not of the first degree.

    There are none where the losses are not finite.
    """
    try:
        z, near = margins(x)
        _, farther = margins(_FARTHER * x)
    except NonFiniteError:  # Samples that are far on the wrong side overflow in some models.
        return np.empty((0, x.size))
    tail = z > -np.log(_TAIL)
    with np.errstate(invalid="ignore"):
        pure = tail & (np.linalg.norm(near - farther, axis=1) <= _PURE * np.linalg.norm(near, axis=1))
    # By Euler's equation; a margin far out may differ from that of one competitor by the logarithm of a multiplicity.
    if (np.abs((near @ x - z)[pure]) > 0.05 * z[pure]).any():
        return None
    return np.asarray(near[pure])


def _distinct(rows: Array) -> Array:
    """One of every group of equal rows, the first."""
    scale = float(np.abs(rows).max())
    kept = np.unique(np.rint(rows / (_SAME * scale)), axis=0, return_index=True)[1]
    return np.asarray(rows[np.sort(kept)])
