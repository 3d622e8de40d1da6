"""Water on a grid meets at the lowest passes, held against a minimum spanning tree of all edges of the grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from qpot.solvers.landscape.flooding import meetings

N = 61


def _wells(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    centres, depths = rng.uniform(0.1, 0.9, (5, 2)), rng.uniform(0.5, 1.5, 5)

    def loss(x: Any) -> Any:
        return -(depths * np.exp(-((x[:, None] - centres) ** 2).sum(2) / 0.02)).sum(1)

    return loss


@pytest.mark.parametrize("seed", range(5))
def test_the_heights_are_those_of_the_lowest_ways_over_the_grid(seed: int) -> None:
    loss = _wells(seed)
    axis = np.linspace(0, 1, N)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    z = loss(points)
    table = z.reshape(N, N)
    padded = np.pad(table, 1, constant_values=np.inf)
    shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    lowest = np.all([table < padded[1 + i : N + 1 + i, 1 + j : N + 1 + j] for i, j in shifts], axis=0)
    nodes = np.flatnonzero(lowest)
    number = np.arange(N * N).reshape(N, N)
    edges = [
        (number[:-1], number[1:]), (number[:, :-1], number[:, 1:]),
        (number[:-1, :-1], number[1:, 1:]), (number[:-1, 1:], number[1:, :-1]),
    ]  # fmt: skip
    # SciPy 1.17.0 takes no longer indices here.
    u, v = (np.concatenate([e[k].ravel() for e in edges]).astype(np.int32) for k in (0, 1))
    level = np.maximum(z[u], z[v])
    tree = minimum_spanning_tree(csr_array((level - level.min() + 1.0, (u, v)), shape=(N * N, N * N)))
    a, b = tree.nonzero()
    heights = np.asarray(tree[a, b]).ravel() + level.min() - 1.0
    found = meetings(loss, points[nodes], np.zeros(2), np.ones(2), N)
    assert len(nodes) > 1
    for meeting in found:
        keep = heights <= meeting.height + 1e-12
        graph = csr_array((np.ones(keep.sum()), (a[keep], b[keep])), shape=(N * N, N * N))
        labels = connected_components(graph)[1]
        assert labels[nodes[meeting.first]] == labels[nodes[meeting.second]]
        assert meeting.curve.shape[1] == 2
        assert np.isclose(loss(meeting.curve).max(), meeting.height)
    # All minima are joined by meetings no higher than the lowest ways.
    graph = csr_array(
        (np.ones(len(found)), np.array([[m.first for m in found], [m.second for m in found]], dtype=np.int32)),
        shape=(len(nodes),) * 2,
    )
    assert minimum_spanning_tree(graph).nnz == len(nodes) - 1


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.45, 0.7])
def test_water_flows_round_closed_axes(shift: float) -> None:
    # Two wells half a turn apart, which are joined on both sides; the edge of the grid may cut either way.
    def loss(z: Any) -> Any:
        t = 2 * np.pi * (z[:, 0] - shift)
        return -np.cos(2 * t) - 0.5 * np.cos(t) - np.cos(2 * np.pi * z[:, 1])

    wells = np.array([[shift, 0.0], [0.5 + shift, 0.0]]) % 1.0
    everywhere = meetings(loss, wells, np.zeros(2), np.ones(2), 81, np.array([True, True]))
    assert len(everywhere) == 1
    assert everywhere[0].height == pytest.approx(0.03125, abs=5e-3)
    curve = everywhere[0].curve
    assert np.abs(np.diff(curve, axis=0)).max() < 0.05
    np.testing.assert_allclose((curve[-1] - wells[everywhere[0].second]) % 1.0 % 1.0, 0.0, atol=1e-9)
