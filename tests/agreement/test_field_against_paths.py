"""Quasi-potential fields on grids and minimum action paths: two methods without common parts, within both their errors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot

Array = NDArray[np.float64]


def held_against(
    system: qpot.System, source: tuple[float, ...], grid: qpot.Grid, fractions: list[tuple[float, ...]], *, least: float
) -> None:
    """V at the nodes nearest to some fractions of the box, by both methods."""
    field = qpot.quasipotential(system, source, grid)
    assert field.status is qpot.Status.CONVERGED
    assert field.error < least, "the comparison would say nothing"
    shape = np.array(field.values.shape)
    for fraction in fractions:
        node = tuple(np.round(np.array(fraction) * (shape - 1)).astype(int))
        x = grid.lower + np.array(node) * grid.spacing
        path = qpot.minimum_action_path(system, source, x)
        assert abs(path.action - field.values[node]) <= path.error + field.error, f"at {x.tolist()}"
        # the gradient of the field is the last momentum of the path
        np.testing.assert_allclose(field.gradient[node], path.momenta[-1], atol=0.02 * np.abs(path.momenta[-1]).max())


def test_maier_stein() -> None:
    system = qpot.gallery.maier_stein(beta=3.0).system
    grid = qpot.Grid((-1.7, -0.8), (-0.1, 0.8), 129)
    held_against(system, (-1.0, 0.0), grid, [(0.2, 0.5), (0.6, 0.7), (0.75, 0.4), (0.35, 0.25)], least=1e-4)


def test_crossed_noise_that_depends_on_the_place() -> None:
    def covariance(x: Array) -> Array:
        a = np.array([[1.0, 0.4], [0.4, 0.7]])
        return np.asarray((1.0 + 0.5 * np.tanh(2 * x[:, 0] + x[:, 1]))[:, None, None] * a)

    def drift(x: Array) -> Array:
        u, w = x.T
        return np.stack([-u - 0.5 * u**3 + 0.8 * w, -0.8 * u - 1.5 * w - w**3], axis=1)

    system = qpot.System(drift=drift, covariance=covariance, dimension=2)
    grid = qpot.Grid((-1.0, -1.0), (1.0, 1.0), 129)
    held_against(system, (0.0, 0.0), grid, [(0.7, 0.5), (0.3, 0.6), (0.5, 0.3), (0.62, 0.66)], least=1e-4)


@pytest.mark.slow
def test_three_dimensions() -> None:
    def drift(x: Array) -> Array:
        u, v, w = x.T
        return np.stack([u - u**3 - 2 * v, -v + 2 * (u**3 - u) - 0.3 * u * w, -1.3 * w - 0.2 * v * w], axis=1)

    a = np.array([[1.0, 0.2, 0.0], [0.2, 0.6, 0.1], [0.0, 0.1, 1.4]])
    system = qpot.System(drift=drift, covariance=a, dimension=3)
    (source,) = qpot.find_minima(system, [(-1.6, -0.4), (-0.5, 0.5), (-0.5, 0.5)])
    grid = qpot.Grid((-1.6, -0.6, -0.6), (-0.4, 0.6, 0.6), 33)
    held_against(
        system, tuple(source.point.tolist()), grid, [(0.35, 0.5, 0.6), (0.6, 0.4, 0.5), (0.5, 0.65, 0.4)], least=5e-3
    )
