"""Meshes of equal errors."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.paths.meshing import equidistributed


def test_every_element_gets_the_same_error() -> None:
    # the local error of order 5 (+1) of a function whose density is known: errors after meshing are all alike
    breaks = np.linspace(0.0, 1.0, 41)

    def errors(mesh: np.ndarray) -> np.ndarray:
        middle, h = 0.5 * (mesh[1:] + mesh[:-1]), np.diff(mesh)
        return np.asarray((1.0 + 20.0 * np.exp(-(((middle - 0.4) / 0.2) ** 2))) ** 6 * h**6)

    mesh = breaks
    for _ in range(6):
        mesh = equidistributed(mesh, errors(mesh), order=5, target=1e-3, max_elements=1000)
    local = errors(mesh)
    assert local.max() / local.min() < 1.5
    assert local.sum() == pytest.approx(1e-3, rel=0.5)
    assert mesh[0] == 0.0
    assert mesh[-1] == 1.0


def test_limits() -> None:
    breaks, error = np.linspace(0.0, 1.0, 21), np.ones(20)
    assert equidistributed(breaks, error, order=4, target=1e-30, max_elements=30).size == 31
    assert equidistributed(breaks, error, order=4, target=1e-30, max_elements=1000).size == 45
    assert equidistributed(breaks, error, order=4, target=1e9, max_elements=1000).size == 11
    assert equidistributed(breaks, error, order=4, target=0.0, max_elements=1000).size == 41


def test_one_large_error_does_not_empty_its_surroundings() -> None:
    error = np.full(20, 1e-12)
    error[10] = 1.0
    mesh = equidistributed(np.linspace(0.0, 1.0, 21), error, order=4, target=1e-2, max_elements=1000)
    # elements that begin within the bad one and within its neighbours
    counts = [int(((mesh >= x) & (mesh < x + 0.05)).sum()) for x in (0.45, 0.5, 0.55)]
    assert counts[1] <= 4 * min(counts[0], counts[2])
