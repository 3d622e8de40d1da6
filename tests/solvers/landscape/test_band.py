"""Bands find the heights of passes that Newton's method does not: at kinks, on plateaus, where rates vanish."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qpot.solvers.landscape.band import Surface, bowed, crossing, descended, peaks, summit


def _surface(height: Any, slope: Any, curvature: Any, bend: Any) -> Any:
    """A valley w = bend * sin(u) with the given height along u, and unit stiffness across."""

    def loss(x: Any) -> Any:
        return height(x[:, 0]) + 0.5 * (x[:, 1] - bend * np.sin(x[:, 0])) ** 2

    def gradient(x: Any) -> Any:
        q = x[:, 1] - bend * np.sin(x[:, 0])
        return np.stack([slope(x[:, 0]) - q * bend * np.cos(x[:, 0]), q], axis=1)

    def hessian(x: Any) -> Any:
        h = 1e-6
        step = np.eye(2) * h
        return np.stack([(gradient(x + e) - gradient(x - e)) / (2 * h) for e in step], axis=2)

    del curvature
    return Surface(loss, gradient, hessian)


def test_the_summit_of_a_quartic_pass_is_exact() -> None:
    # h' = u^3 (u^2 - 1): minima at -1 and 1, a pass at 0 where the rate vanishes.
    surface = _surface(lambda u: u**6 / 6 - u**4 / 4, lambda u: u**5 - u**3, None, 0.8)
    start, end = np.array([-1.0, 0.8 * np.sin(-1.0)]), np.array([1.0, 0.8 * np.sin(1.0)])
    band = descended(surface, bowed(start, end, 25, np.array([0.1, 0.4]))[None], iterations=60)[0]
    (k,) = peaks(surface.loss(band))
    top = summit(surface, band, k)
    assert abs(top.heights[top.place]) < 1e-12
    assert top.error < 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_a_pass_at_a_kink_is_found_to_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, e, bend = 1 + rng.random(), 1 + rng.random(), 0.3 * rng.normal(), rng.normal()

    def height(u: Any) -> Any:
        return np.minimum(a * (u + 1) ** 2, b * (u - 1) ** 2 + e)

    def slope(u: Any) -> Any:
        return np.where(a * (u + 1) ** 2 < b * (u - 1) ** 2 + e, 2 * a * (u + 1), 2 * b * (u - 1))

    surface = _surface(height, slope, None, bend)
    ends = [np.array([u, bend * np.sin(u)]) for u in (-1.0, 1.0)]
    band = descended(surface, bowed(ends[0], ends[1], 25, np.array([0.0, 0.3]))[None], iterations=60)[0]
    top = crossing(surface, band, peaks(surface.loss(band))[0])
    truth = height(np.linspace(-1, 1, 2_000_001)).max()
    assert abs(top.heights[top.place] - truth) < 1e-5  # The truth is read off a line of nodes one millionth apart.
    assert top.heights[top.place] >= truth - 1e-12
    assert top.error < 1e-10


def test_peaks_count_ends_and_ignore_ripples_of_rounding() -> None:
    assert peaks(np.array([0.0, 1.0, 0.5, 2.0, 0.0])) == [1, 3]
    assert peaks(np.array([1.0, 0.5, 0.0])) == [0]
    assert peaks(np.array([0.0, 1.0, 1.0 - 1e-12, 1.0 - 1e-13, 0.0])) == [1]
    assert peaks(np.array([0.0, np.inf, 0.0])) == []


def test_a_band_asks_only_for_what_it_does_not_know() -> None:
    surface = _surface(lambda u: (u**2 - 1.0) ** 2, lambda u: 4.0 * u * (u**2 - 1.0), None, 1.0)
    asked: dict[str, list[Any]] = {"loss": [], "gradient": []}

    def loss(x: Any) -> Any:
        asked["loss"].append(x.copy())
        return surface.loss(x)

    def gradient(x: Any) -> Any:
        asked["gradient"].append(x.copy())
        return surface.gradient(x)

    bands = np.stack([bowed(np.array([-1.0, -0.8]), np.array([1.0, 0.8]), 9, np.array([0.0, b])) for b in (0.3, -0.5)])
    ends = descended(Surface(loss, gradient, None), bands, iterations=20)
    # After the first step a gradient is asked for once a step, and the loss only at trials and redistributed images.
    assert len(asked["gradient"]) <= 21
    assert sum(map(len, asked["gradient"])) < sum(map(len, asked["loss"])) < 2 * sum(map(len, asked["gradient"]))
    assert (
        surface.loss(ends.reshape(-1, 2)).reshape(2, 9).max(axis=1) < surface.loss(bands.reshape(-1, 2)).max()
    ).all()
