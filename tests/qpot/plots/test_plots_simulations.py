"""Figures of simulations and of what they are held against: numbers that are drawn, and what titles conclude."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import qpot


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Every figure can be drawn to the end, without a warning."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture(scope="module")
def line() -> qpot.Prediction:
    case = qpot.gallery.double_well()
    return qpot.predict(case.system, case.bounds, second_opinion=False, progress=None)


@pytest.fixture(scope="module")
def comparison(line: qpot.Prediction) -> qpot.Comparison:
    system = qpot.gallery.double_well().system
    times = [
        qpot.escape_times(
            system, start=[-1.0], minima=line.minima, epsilon=e, time_step=0.05, steps=40_000, replicas=60
        )
        for e in (0.35, 0.3, 0.25, 0.2)
    ]
    ensemble = qpot.simulate_diffusion(
        system, epsilon=0.4, time_step=0.05, steps=3000, start=[1.0], replicas=32, minima=line.minima
    )
    return qpot.compare(line, times, ensemble)


def test_the_parts_of_a_comparison(comparison: qpot.Comparison) -> None:
    law = comparison.arrhenius[0]
    ax = law.plot()
    assert f"the measured cost {law.slope:.4g} ± " in ax.get_title()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["predicted", "fit", "measured, two errors"]
    check = comparison.occupations[0]
    heights = [bar.get_height() for bar in check.plot().patches]
    np.testing.assert_allclose(heights, np.concatenate([check.predicted, check.fractions]))
    points = comparison.escape_points[0]
    heights = [bar.get_height() for bar in points.plot().patches]
    np.testing.assert_allclose(heights, np.concatenate([points.predicted, points.shares]))
    assert "100% of the escapes" in points.plot().get_title().replace("\n", " ")


def test_escapes_and_ensembles(line: qpot.Prediction) -> None:
    system = qpot.gallery.double_well().system
    settings: Any = {"start": [-1.0], "minima": line.minima, "epsilon": 0.3, "time_step": 0.05, "replicas": 40}
    times = qpot.escape_times(system, steps=600, **settings)
    assert 0 < times.events < 40
    curve = times.plot().lines[0].get_xydata()
    # Without replicas that were watched for less, the estimate of Kaplan and Meier is the share that is left.
    left = [(times.steps > t).mean() for t in curve[1:-1, 0]]
    np.testing.assert_allclose(curve[1:-1, 1], left, atol=1e-12)
    nobody = qpot.escape_times(system, steps=3, **settings)
    assert nobody.plot().get_title().replace("\n", " ").startswith("None of 40 replicas left minimum 0")
    ensemble = qpot.simulate_diffusion(
        system, epsilon=0.4, time_step=0.05, steps=400, start=[1.0], replicas=32, minima=line.minima
    )
    assert ensemble.labels is not None
    shares = [curve.get_ydata() for curve in ensemble.plot().lines]
    np.testing.assert_allclose(shares[1], (ensemble.labels == 1).mean(axis=1))
    occupation = ensemble.occupation()
    heights = [bar.get_height() for bar in occupation.plot().patches]
    np.testing.assert_allclose(heights[:2], occupation.fractions)
    plain = qpot.simulate_diffusion(system, epsilon=0.4, time_step=0.05, steps=100, start=[1.0], replicas=8)
    assert plain.plot().get_ylabel() == "loss: median, and eight in ten replicas"
    free = qpot.System(drift=lambda x: -x, covariance=np.eye(2), dimension=2)
    moved = qpot.simulate_diffusion(free, epsilon=0.1, time_step=0.1, steps=20, start=[1.0, 0.0], replicas=4)
    assert [text.get_text() for text in moved.plot().get_legend().get_texts()] == ["$x_1$", "$x_2$"]


def test_splitting_shows_every_repetition(line: qpot.Prediction) -> None:
    system = qpot.gallery.double_well().system
    times = qpot.splitting_times(
        system, start=[-1.0], minima=line.minima, epsilon=0.1, time_step=0.05, clones=20, repetitions=4
    )
    ax = times.plot()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), times.probabilities[times.probabilities > 0])
    assert f"Mean escape from minimum 0 after {times.mean_steps:.3g} steps" in ax.get_title().replace("\n", " ")
