"""Draw the pictures of the pages in docs/: ``python tools/pictures.py`` writes docs/pictures/*.png."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import qpot
from qpot import plots

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
DPI = 100


def save(figure: Figure, name: str) -> None:
    """Write a picture with few colours, which keeps it small."""
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=DPI, pil_kwargs={"optimize": True})
    plt.close(figure)


def one_dimension() -> None:
    """Loss, noise and quasi-potentials of a double well whose noise grows to the right."""
    x = np.linspace(-1.45, 1.45, 2001)
    gradient, noise = x**3 - x, 1 + x / 2
    climb = 2 * gradient / noise
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
    left.plot(x, (x**2 - 1) ** 2 / 4, color="black")
    left.set(xlabel="x", ylabel="loss L", title="Two wells of equal depth, noise that grows to the right")
    beside = left.twinx()
    beside.plot(x, noise, color=plots.UPHILL, linestyle="--")
    beside.set_ylabel("covariance a", color=plots.UPHILL)
    beside.set_ylim(0, 2.2)
    for start, colour, name in ((-1.0, plt.cm.tab10(0), "from the left"), (1.0, plt.cm.tab10(1), "from the right")):
        # Away from the minimum the noise pays for every climb; where the drift points away from it the way is free.
        side = np.sign(x - start)
        pay = np.maximum(climb * side, 0)
        step = np.diff(x, prepend=x[0])
        origin = np.argmin(np.abs(x - start))
        total = np.cumsum(pay * step)
        right.plot(x, np.abs(total - total[origin]), color=colour, label=f"V {name}")
        right.plot(start, 0, "o", color=colour)
    right.set(xlabel="x", ylabel="quasi-potential V", title="What the noise pays from each minimum", ylim=(-0.03, 1.1))
    right.legend(loc="upper center")
    save(figure, "one_dimension")


def rotating_well() -> None:
    """The map and the chain of the drift on the page "Your own system"."""

    def drift(x: np.ndarray) -> np.ndarray:
        u, v = x[:, 0], x[:, 1]
        return np.stack([u - u**3 - v, u**3 - u - v], axis=1)

    # No pixel lies on a fixed point, whose drift of zero would take the whole scale of colours.
    bounds = [(-1.61, 1.58), (-0.98, 1.01)]
    system = qpot.System(drift=drift, covariance=np.diag([1.0, 0.5]), dimension=2)
    prediction = qpot.predict(system, bounds)
    figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    plots.plot_prediction(system, prediction, bounds, ax=ax)
    save(figure, "prediction")


def chain() -> None:
    """The chain of the well whose noise grows to the right."""
    case = qpot.gallery.tilted_noise_well()
    prediction = qpot.predict(case.system, case.bounds)
    figure, ax = plt.subplots(figsize=(5.2, 2.6), layout="constrained")
    plots.plot_chain(prediction.costs, epsilon=0.1, prefactors=prediction.prefactors, positions=[(0, 0), (1, 0)], ax=ax)
    save(figure, "chain")


def field() -> None:
    """The quasi-potential of the Maier-Stein system and the path to its saddle."""
    system = qpot.gallery.maier_stein(beta=10.0, mu=1.0).system
    solution = qpot.quasipotential(system, [-1.0, 0.0], qpot.Grid([-1.6, -0.8], [0.2, 0.8], [241, 213]))
    figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    plots.plot_field(solution, ax=ax)
    plots.plot_path(qpot.minimum_action_path(system, [-1.0, 0.0], [0.0, 0.0]), ax=ax)
    save(figure, "field")


if __name__ == "__main__":
    for draw in (one_dimension, rotating_well, chain, field):
        draw()
