"""Figures of predictions with limit cycles: states are closed curves in their colour, passes are dashed ones."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot._core.arrays import Array
from qpot.plots.landscape import plot_critical_points, plot_prediction


def _drift(x: Array) -> Array:
    r2 = (x**2).sum(axis=1, keepdims=True)
    return np.asarray(-(1 - r2) * (1 - r2 / 4) * x + 2.0 * np.stack([-x[:, 1], x[:, 0]], axis=1))


def test_cycles_are_closed_curves() -> None:
    system = qpot.System(drift=_drift, covariance=np.eye(2), dimension=2)
    prediction = qpot.predict(system, [(-2.5, 2.5)] * 2, progress=None, second_opinion=False)
    figure, axes = plt.subplots()
    plot_critical_points(prediction, ax=axes)
    curves = [np.asarray(line.get_xydata()) for line in axes.lines if len(np.asarray(line.get_xydata())) > 100]
    radii = sorted({round(float(np.linalg.norm(curve, axis=1).mean()), 6) for curve in curves})
    assert radii == [1.0, 2.0]
    assert all(np.array_equal(curve[0], curve[-1]) for curve in curves)
    assert any(line.get_linestyle() == "--" for line in axes.lines)
    plot_prediction(system, prediction, [(-2.5, 2.5)] * 2, ax=axes)
    figure.canvas.draw()
    plt.close(figure)
