"""Figures of gradient noise: its ellipses, its spectrum and that of the Hessian, and how the two are aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import as_points
from qpot.plots.axes import BLUE, PURPLE, as_axes, two_axes
from qpot.problem.measured_noise import NoiseStatistics
from qpot.problem.system import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The colour of the noise's ellipses and eigenvalues.
NOISE = PURPLE
# The colour of the Hessian's eigenvalues.
_CURVATURE = BLUE
# The colour of the overlap of both.
_OVERLAP = "#000000"


def plot_noise(
    system: System,
    points: ArrayLike,
    *,
    size: float,
    axes: tuple[int, int] = (0, 1),
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The covariance as ellipses around points, whose half axes are standard deviations of the noise.

    Parameters
    ----------
    system : System
    points : array (n, d)
        The centres of the ellipses.
    size : float
        The longest half axis of all ellipses; the others are in proportion.
    axes : (int, int)
        The coordinates shown.
    label : str, optional
        The entry of the legend.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    from matplotlib.patches import Ellipse

    ax = as_axes(ax)
    x = as_points(points, dimension=system.dimension, name="points")
    pair = list(two_axes(axes, system.dimension))
    blocks = system.covariance(x)[:, pair][:, :, pair]
    values, vectors = np.linalg.eigh(blocks)
    scale = size / float(np.sqrt(values.max()))
    for n, (point, value, vector) in enumerate(zip(x[:, pair], values, vectors, strict=True)):
        width, height = 2 * scale * np.sqrt(np.maximum(value[::-1], 0.0))
        angle = float(np.degrees(np.arctan2(vector[1, 1], vector[0, 1])))
        ax.add_patch(
            Ellipse(
                point,
                width,
                height,
                angle=angle,
                fill=False,
                edgecolor=NOISE,
                linewidth=1.6,
                label=label if n == 0 else None,
                zorder=3,
            )
        )
    return ax


def plot_noise_spectrum(statistics: NoiseStatistics, *, shown: int = 50, ax: Axes | None = None) -> Axes:
    """Leading eigenvalues of gradient covariance and Hessian, each over its largest, and the overlap of their eigenspaces.

    Parameters
    ----------
    statistics : NoiseStatistics
        Statistics from `measure_noise`.
    shown : int
        The largest number of eigenvalues shown.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``statistics`` is not a NoiseStatistics.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> from qpot.plots.landscape import plot_noise_spectrum
    >>> total = qpot.least_squares_sum(np.random.default_rng(0).normal(size=(50, 4)), np.ones(50))
    >>> plot_noise_spectrum(qpot.measure_noise(total, np.zeros(4))).get_xlabel()
    'rank of the eigenvalue'
    """
    import matplotlib.pyplot as plt

    if not isinstance(statistics, NoiseStatistics):
        raise ValueError(f"statistics must be a qpot.NoiseStatistics, got {type(statistics).__name__}")
    if ax is None:
        ax = plt.figure(figsize=(6.0, 4.2), layout="constrained").add_subplot()
    noise = statistics.covariance.eigenvalues
    if noise.size == 0:
        noise = np.sort(statistics.covariance.diagonal)[::-1]
    d = statistics.covariance.point.size
    lowest = 1.0
    for values, colour, marker, label in (
        (statistics.hessian_eigenvalues, _CURVATURE, "s", "Hessian"),
        (noise, NOISE, "o", "gradient covariance"),
    ):
        if values.size == 0 or values[0] <= 0:
            continue
        heights = values[:shown] / values[0]
        positive = heights > 1e-12
        lowest = min(lowest, float(heights[positive].min()))
        ranks = np.arange(1, heights.size + 1)
        ax.plot(ranks[positive], heights[positive], marker=marker, ms=4, lw=1, color=colour, label=label)
    k = np.arange(1, statistics.overlaps.size + 1)
    if k.size:
        ax.plot(k, statistics.overlaps, "^--", ms=5, lw=1.2, color=_OVERLAP, label="overlap of leading spaces")
        ax.plot(k, k / d, ":", lw=1, color=_OVERLAP, label="overlap of random spaces")
        lowest = min(lowest, max(float(statistics.overlaps.min()), 1.0 / d))
    ax.set_yscale("log")
    ax.set_ylim(0.5 * max(lowest, 1e-12), 2.0)
    ax.set_xlabel("rank of the eigenvalue")
    ax.set_ylabel("eigenvalue / largest, overlap")
    ax.set_title(
        f"alignment {statistics.alignment:.2f}, effective rank of the noise {statistics.effective_rank:.1f} of {d}"
    )
    ax.legend(frameon=False, fontsize="small")
    return ax
