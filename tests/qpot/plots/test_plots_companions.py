"""Companion figures: they take and return ax, show the numbers they are given, and refuse other objects."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import qpot
from qpot.companions.known_answers import OrthogonalSamples, QuarticWells
from qpot.plots.companions import plot_explanation, plot_flow_loss, plot_margin_flow


@pytest.fixture(autouse=True)
def _close_figures() -> object:
    yield
    plt.close("all")


def test_flow_loss() -> None:
    trajectory = qpot.integrate_flow(QuarticWells().system, [4.0], duration=1.0)
    _, ax = plt.subplots()
    assert plot_flow_loss({"a": trajectory, "b": trajectory}, ax=ax) is ax
    lines = ax.get_lines()
    np.testing.assert_array_equal(lines[0].get_ydata(), trajectory.losses)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert plot_flow_loss(trajectory).get_xlabel() == "flow time t"
    for bad in ("trajectory", {}, {"a": 1}):
        with pytest.raises(ValueError, match="trajectories"):
            plot_flow_loss(bad)  # type: ignore[arg-type]


def test_margin_flow() -> None:
    case = OrthogonalSamples(scales=[1.0, 3.0])
    flow = qpot.margin_flow(case.X, case.y, log_time=100.0)
    ax: Any = plot_margin_flow(flow)
    measured, law = ax.get_lines()
    assert (np.diff(measured.get_ydata()) < 0).all()
    assert law.get_ydata()[-1] == pytest.approx(measured.get_ydata()[-1], rel=0.05)
    with pytest.raises(ValueError, match="flow"):
        plot_margin_flow(case)  # type: ignore[arg-type]


def test_explanation() -> None:
    X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    path = qpot.train_flow(qpot.linear_model(2), X, [1.0, -1.0, 0.5], start=[0.1, 0.0], step=0.1, steps=20)
    explanation = path.explain([[2.0, 1.0]])
    ax: Any = plot_explanation(explanation, top=2, names=["p", "q", "r"])
    widths = [bar.get_width() for bar in ax.patches]
    assert sum(widths) == pytest.approx(explanation.prediction[0, 0])
    assert [text.get_text() for text in ax.get_yticklabels()][-2:] == ["1 others", "untrained"]
    with pytest.raises(ValueError, match="names has 2 entries"):
        plot_explanation(explanation, names=["p", "q"])
    with pytest.raises(ValueError, match="explanation"):
        plot_explanation(path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="top"):
        plot_explanation(explanation, top=0)
