"""Margins of several competing classes: the vectors that bound them, for a model that is linear in its parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError
from qpot.companions.separation import separate

# A sample's margin is one of its competitors' where its slope is the same this much farther out.
_FARTHER = 1.05
# Slopes are read where the smallest margin is so large, and are the same within this part. Losses like those of PyTorch's
# cross entropy have no digits left at the first, where competitors are told apart best.
_SCALES = ((300.0, 1e-9), (16.0, 1e-6))
# Only where a sample's loss is below this it falls like exp(-margin).
_TAIL = 1e-6
# Directions are tried around the machine's, moved by such parts of their length; so many, until so often none shows a new
# vector.
_MOVED, _TRIED, _IDLE = (3e-3, 1.0), 24, 10
# A vector is new if it undercuts the margin by this part, and is one of those that are known within this part.
_BELOW, _SAME = 1e-7, 1e-6
# Vectors are all known where the losses that follow from them are those of the model within this part, for samples whose
# margins are not so much larger than the smallest.
_TOLD, _NEAR = 1e-2, 3.0

# The margins -log(loss) (N,) of all samples at a point (d,) and their gradients (N, d).
MarginsAt = Callable[[Array], tuple[Array, Array]]
Owners = NDArray[np.int64]


def competing(margins: MarginsAt, far: Array, rng: np.random.Generator, alone: Array | None = None) -> Array | None:
    r"""The signed vectors (m, d) whose hard-margin machine has the largest margin, or None where they are not found.

    With linear scores the loss of a sample is :math:`\log(1 + \sum_k e^{-\langle z_k, x\rangle})` over its competitors k, so
    that its margin is the smallest :math:`\langle z_k, x\rangle` far out, and its gradient there is that z_k. A gradient
    that does not change farther out is a vector z_k of its own; all others are mixtures and are not used. Vectors are
    gathered around the machine's direction until none undercuts its margin, and the losses there are those that follow from
    them, so that none is missing.

    Parameters
    ----------
    margins : callable
    far : array (d,)
        A point at which all samples are fitted.
    rng : numpy.random.Generator
        Draws the directions that are tried.
    alone : array (N, d), optional
        The gradients at ``far``, which are the answer if samples turn out to have one competitor each.
    """
    if alone is not None and _suffice(margins, alone):
        return alone
    for out, same in _SCALES:
        found = _gathered(margins, far, rng, out, same)
        if found is not None:
            return found
    return None


def _suffice(margins: MarginsAt, vectors: Array) -> bool:
    """Whether one vector of each sample tells the losses around the machine's direction."""
    direction = separate(vectors, np.ones(len(vectors))).direction
    out = _SCALES[-1][0]
    y = direction * (out / float((vectors @ direction).min()))
    return _told(margins(y)[0], np.arange(len(vectors)), vectors @ y, out)


def _gathered(margins: MarginsAt, far: Array, rng: np.random.Generator, out: float, same: float) -> Array | None:
    """`competing`, with slopes from where the smallest margin is ``out``."""
    y = far * (out / float(margins(far)[0].min()))
    owners, known, used = np.empty(0, np.int64), np.empty((0, y.size)), np.empty((0, y.size))
    idle = 0
    while idle < _IDLE:
        moved, before = rng.standard_normal((_TRIED, y.size)), len(known)
        parts = np.exp(rng.uniform(np.log(_MOVED[0]), np.log(_MOVED[1]), (_TRIED, 1)))
        moved *= parts * np.linalg.norm(y) / np.linalg.norm(moved, axis=1, keepdims=True)
        # Where two competitors tie, as they may at y, their mixture does not change farther out.
        for point in y + moved:
            pure = _pure(margins, point, same)
            if pure is None:
                return None
            owners, known = _distinct(np.concatenate([owners, pure[0]]), np.concatenate([known, pure[1]]))
        if not known.size:
            return None
        idle = 0 if len(known) > before else idle + 1
        level = float((used @ y).min()) if used.size else np.inf
        new = known[known @ y < level * (1.0 - _BELOW)] if used.size else known
        if new.size:
            used = np.concatenate([used, new])
            try:
                direction = separate(used, np.ones(len(used))).direction
            except ValueError:
                return None  # Linear scores that fit all samples are separable.
            y = direction * (out / float((used @ direction).min()))
        elif _told(margins(y)[0], owners, known @ y, level):
            return np.unique(used, axis=0)
    return None


def _pure(margins: MarginsAt, x: Array, same: float) -> tuple[Owners, Array] | None:
    """The samples whose gradients at a point are vectors of single competitors, and these.

    There are none where the losses are not finite. It is None where margins are not of the first degree.
    """
    try:
        (z, near), (_, farther) = margins(x), margins(_FARTHER * x)
    except NonFiniteError:  # Samples that are far on the wrong side overflow in some models.
        return np.empty(0, np.int64), np.empty((0, x.size))
    with np.errstate(invalid="ignore"):
        alike = np.linalg.norm(near - farther, axis=1) <= same * np.linalg.norm(near, axis=1)
    owners = np.flatnonzero(np.isfinite(z) & (z > -np.log(_TAIL)) & alike)
    # By Euler's equation; a constant factor of the loss shifts its logarithm.
    if (np.abs(near[owners] @ x - z[owners]) > 0.5 * z[owners]).any():
        return None
    return owners, near[owners]


def _distinct(owners: Owners, rows: Array) -> tuple[Owners, Array]:
    """One of every group of a sample's equal vectors."""
    # Equal ones are neighbours in the order of any projection, whatever their last digits are.
    along = rows @ np.random.default_rng(0).standard_normal(rows.shape[1])
    order = np.lexsort((along, owners))
    apart = np.abs(np.diff(along[order])) > _SAME * float(np.linalg.norm(rows, axis=1).max(initial=0.0))
    kept = order[np.concatenate([np.ones(min(len(order), 1), bool), apart | (np.diff(owners[order]) > 0)])]
    return owners[kept], rows[kept]


def _told(z: Array, owners: Owners, values: Array, level: float) -> bool:
    """Whether the margins z (N,) are those of the known vectors, up to a constant factor of all losses."""
    log_losses = np.full(z.size, -np.inf)
    np.logaddexp.at(log_losses, owners, -values)
    near = np.flatnonzero(z <= level + _NEAR)
    shift = z[near] + log_losses[near]
    return bool(near.size and np.isfinite(shift).all() and np.ptp(shift) <= _TOLD)
