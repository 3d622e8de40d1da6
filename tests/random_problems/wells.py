"""Gaussian wells in two dimensions under constant noise: truth by exhaustive search, held against flooding."""

from __future__ import annotations

from typing import Any

import numpy as np

from .problem import Array, BatchFunction, Problem, gradient_problem
from .truth import TruthError, chain_in_the_plane, refined_axis, sums_of_climbs

# Half the edge of the box.
_HALF = 2.5


def mixture(centres: Array, widths: Array, depths: Array, stiffness: Array) -> tuple[BatchFunction, BatchFunction]:
    """Loss and gradient of wells -depth exp(-|x - centre|^2 / 2 width^2) in a bowl x^T diag(stiffness) x / 2."""

    def parts(x: Any) -> Any:
        away = x[:, None] - centres
        return away, depths * np.exp(-0.5 * (away**2).sum(axis=2) / widths**2)

    def loss(x: Any) -> Any:
        return 0.5 * (x**2) @ stiffness - parts(x)[1].sum(axis=1)

    def gradient(x: Any) -> Any:
        away, well = parts(x)
        return x * stiffness + ((well / widths**2)[:, :, None] * away).sum(axis=1)

    return loss, gradient


def wells(rng: np.random.Generator, *, narrow: bool = False) -> Problem:
    """Two to six wells; with ``narrow`` one of them has a width of 0.02 to 0.08 in a box of edge 5, and is the deepest."""
    for _ in range(100):
        n = int(rng.integers(2, 7))
        centres = rng.uniform(-1.6, 1.6, size=(n, 2))
        widths = np.exp(rng.uniform(np.log(0.2), np.log(0.7), size=n))
        depths = rng.uniform(0.5, 2.0, size=n)
        if narrow:
            widths[0], depths[0] = np.exp(rng.uniform(np.log(0.02), np.log(0.08))), 2.2
        stiffness = rng.uniform(0.1, 0.5, size=2)
        loss, gradient = mixture(centres, widths, depths, stiffness)
        axes = (
            refined_axis(-1.5 * _HALF, 1.5 * _HALF, 241, centres[:, 0], widths),
            refined_axis(-1.5 * _HALF, 1.5 * _HALF, 241, centres[:, 1], widths),
        )
        try:
            minima, passes, _ = chain_in_the_plane(loss, gradient, axes)
        except TruthError:
            continue
        if (np.abs(minima) > 0.95 * _HALF).any():
            continue
        constant = float(np.exp(rng.uniform(-1, 1)))
        costs = sums_of_climbs(loss(minima), passes) * 2.0 / constant
        # A cost of less than a thousandth of the others belongs to a well that is about to vanish.
        if costs[~np.eye(len(minima), dtype=bool)].min() < 1e-3 * costs.max():
            continue
        return gradient_problem(
            name=f"{n} wells, {len(minima)} minima" + (f", width {widths[0]:.3f}" if narrow else ""),
            loss=loss,
            gradient=gradient,
            constant=constant,
            minima=minima,
            costs=costs,
            bounds=((-_HALF, _HALF),) * 2,
        )
    raise TruthError("no landscape of a hundred had a truth that can be established")


def narrow_wells(rng: np.random.Generator) -> Problem:
    """Wells of which the deepest is narrow."""
    return wells(rng, narrow=True)
