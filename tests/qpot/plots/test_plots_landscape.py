"""Figures of the landscape: predicted and simulated shares stand at the noise level of each run."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import qpot
from qpot.plots import plot_occupation


def test_shares_are_predicted_at_the_noise_level_of_the_run() -> None:
    well = qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + 0.05 * x[:, 0], lambda x: x**3 - x + 0.05, 1.0, dimension=1
    )
    prediction = qpot.predict(well, [(-2, 2)])
    run = qpot.simulate_diffusion(
        well, epsilon=0.4, time_step=0.05, steps=200, start=[-1.0], replicas=8, minima=prediction.minima
    )
    _, ax = plt.subplots()

    def predicted(*runs: Any, **options: Any) -> list[float]:
        ax.clear()
        plot_occupation(prediction, runs, ax=ax, **options)
        bars: list[Any] = [patch for patch in ax.patches if patch.get_hatch()]
        return [bar.get_height() for bar in bars]

    # The time step of a diffusion is no learning rate: its noise level is its own.
    expected = prediction.occupation(epsilon=0.4)
    np.testing.assert_allclose(predicted(run), expected)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.4"]
    np.testing.assert_allclose(predicted(run.occupation(), epsilons=[0.4]), expected)
    np.testing.assert_allclose(predicted(run.occupation(), learning_rates=[0.8], batch_size=2), expected)
    with pytest.raises(ValueError, match="learning_rates or epsilons is needed"):
        predicted(run.occupation())
    with pytest.raises(ValueError, match="either learning_rates or epsilons"):
        predicted(run.occupation(), learning_rates=[0.8], epsilons=[0.4])
    with pytest.raises(ValueError, match="epsilons has 2 entries for 1 simulated runs"):
        predicted(run.occupation(), epsilons=[0.4, 0.2])
    plt.close("all")


def test_a_map_of_a_system_whose_coordinates_end() -> None:
    """Two species of which one dies out: the map stays empty beyond the sides, and no way leads back from them."""

    def rates(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(1.0 + x @ np.array([[0.0, 1.3], [1.4, 0.0]]) + x)

    system = qpot.System(
        drift=lambda x: x * (2.0 - rates(x)),
        covariance=lambda x: (x * rates(x))[:, :, None] * np.eye(2),
        dimension=2,
        domain=[(0, None), (0, None)],
    )
    prediction = qpot.predict(system, [(0, 1.5), (0, 1.5)], second_opinion=False, audit=False, progress=None)
    assert not np.isfinite(prediction.costs.direct[0, 1])
    ax = prediction.plot()
    assert ax.get_xlim()[0] < 0.0
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "noise climbs" not in labels
    lower, _ = ax.collections[0].get_datalim(ax.transData).get_points()
    assert (lower >= 0.0).all()
    plt.close("all")
