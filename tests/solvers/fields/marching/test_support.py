"""Chains upstream: nodes whose rays have a beginning among the known ones, and nodes whose rays have none."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.fields.marching.support import STEP, Array, Booleans, Integers, comes_from_nowhere


def field(n: int, periodic: bool = False) -> tuple[Array, Array]:
    """Points of an n x n grid on [-1, 1]^2 and their spacing."""
    axis = np.linspace(-1.0, 1.0, n, endpoint=not periodic)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1), np.full(2, axis[1] - axis[0])


def twin(
    nodes: Integers, velocity: Array, known: Booleans, shape: tuple[int, ...], spacing: Array, periodic: Booleans
) -> Booleans:
    """One chain after the other."""
    place = {int(node): k for k, node in enumerate(nodes)}
    lost = np.zeros(nodes.size, dtype=bool)
    for k, node in enumerate(nodes):
        at, seen = int(node), set[int]()
        while at in place and at not in seen:
            seen.add(at)
            cells = velocity[place[at]] / spacing
            step = np.rint(STEP * cells / max(np.abs(cells).max(), 1e-300)).astype(int)
            index = np.array(np.unravel_index(at, shape)) - step
            index = np.where(periodic, index % shape, index)
            if (index < 0).any() or (index >= shape).any():
                at = -1
                break
            at = int(np.ravel_multi_index(tuple(index), shape))
        lost[k] = at not in seen and (at < 0 or not known[at])
    return lost


def test_beyond_an_attractor_rays_would_come_from_infinity() -> None:
    # a saddle at x = -0.8 sends rays to the attractor line x = 0; beyond it the same velocities point back to it
    points, spacing = field(41)
    known = np.less(points[:, 0], -0.7)
    nodes = np.flatnonzero(~known)
    x, y = points[nodes].T
    lost = comes_from_nowhere(nodes, np.stack([-x, y], axis=1), known, (41, 41), spacing, np.array([False, False]))
    assert not lost[(x < -0.2) & (np.abs(y) < 0.1)].any()
    assert lost[x > 0.2].all()


@pytest.mark.parametrize("periodic", [(False, False), (True, False)])
def test_all_chains_at_once_are_as_one_after_the_other(periodic: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(3)
    points, spacing = field(24)
    known = np.less(rng.random(points.shape[0]), 0.05)
    nodes = np.flatnonzero(~known & (rng.random(points.shape[0]) < 0.95))
    x, y = points[nodes].T
    velocity = np.stack([np.sin(3 * y) + 0.3 * x, np.cos(2 * x) - y], axis=1)
    wraps = np.array(periodic)
    lost = comes_from_nowhere(nodes, velocity, known, (24, 24), spacing, wraps)
    np.testing.assert_array_equal(lost, twin(nodes, velocity, known, (24, 24), spacing, wraps))
    assert 0 < lost.sum() < nodes.size
