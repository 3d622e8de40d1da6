"""Figures of gradient noise: its ellipses, its spectrum beside that of the Hessian, and whether Gaussian costs hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import as_points
from qpot.paths.gaussianity import Gaussianity
from qpot.plots.axes import BLUE, PURPLE, as_axes, say, two_axes, whole_numbers
from qpot.problem.controllable import Controllability
from qpot.problem.covariance_methods import CovarianceEstimate
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
    if not values.max(initial=0.0) > 0.0:  # There is no noise to be drawn.
        return ax
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
    whole_numbers(ax)
    ax.set_ylabel("eigenvalue / largest, overlap")
    ax.set_title(
        f"alignment {statistics.alignment:.2f}, effective rank of the noise {statistics.effective_rank:.1f} of {d}"
    )
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_covariance(estimate: CovarianceEstimate, *, shown: int = 50, ax: Axes | None = None) -> Axes:
    """Leading eigenvalues of the covariance of one sample's gradient, or the largest variances of coordinates.

    Parameters
    ----------
    estimate : CovarianceEstimate
    shown : int
        The largest number of eigenvalues shown.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        Values below 1e-12 of the largest are left out.
    """
    ax = as_axes(ax)
    values = estimate.eigenvalues
    name = "eigenvalue of the covariance"
    if estimate.diagonal_only:
        values, name = np.sort(estimate.diagonal)[::-1], "variance of a coordinate"
    values = values[:shown]
    positive = values > 1e-12 * max(float(values.max(initial=0.0)), np.finfo(float).tiny)
    ranks = np.arange(1, values.size + 1)
    ax.plot(ranks[positive], values[positive], "o-", ms=5, lw=1.2, color=NOISE)
    ax.set_yscale("log")
    ax.set_xlabel("rank")
    whole_numbers(ax)
    ax.set_ylabel(name)
    d, largest = estimate.point.size, float(values.max(initial=0.0))
    if not largest > 0.0:
        say(ax, "There is no gradient noise at this point")
    else:
        share = f", of which the largest direction has {largest / estimate.trace:.0%}"
        say(ax, f"Noise of trace {estimate.trace:.4g} in {d} dimensions{'' if estimate.diagonal_only else share}")
    return ax


def plot_gaussianity(check: Gaussianity, *, ax: Axes | None = None) -> Axes:
    """Exact over Gaussian cost rates along a path: where the ratio leaves 1, third and higher moments matter.

    Parameters
    ----------
    check : Gaussianity
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    steps = np.linalg.norm(np.diff(check.points, axis=0), axis=1)
    ax.plot(np.append(0.0, np.cumsum(steps)), check.ratios, color=NOISE, lw=2.2)
    ax.axhline(1.0, color="black", lw=1.0, ls="--")
    ax.annotate("Gaussian noise", (0.99, 1.0), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9)
    ax.set_xlabel("distance along the path")
    ax.set_ylabel("K(x, p) over its Gaussian part")
    ax.margins(y=0.2)
    verdict = "Gaussian noise is good enough" if check.gaussian else "Gaussian noise is NOT good enough"
    say(ax, f"{verdict}: exact noise changes the action by {check.relative_change:+.2%} to first order")
    return ax


def plot_controllability(found: Controllability, *, ax: Axes | None = None) -> Axes:
    """How many directions the noise reaches near a fixed point, and the eigenvalues of the covariance there.

    Parameters
    ----------
    found : Controllability
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        Eigenvalues that count as zero are hollow, at the bottom of the figure.
    """
    ax = as_axes(ax)
    values = np.sort(found.eigenvalues)[::-1]
    ranks, noisy = np.arange(1, values.size + 1), np.arange(values.size) < found.rank
    floor = 0.3 * float(values[noisy].min()) if noisy.any() else 1.0
    if noisy.any():
        ax.plot(ranks[noisy], values[noisy], "o", ms=8, color=NOISE, label="noise of its own")
    if not noisy.all():
        none = np.full(int((~noisy).sum()), floor)
        ax.plot(ranks[~noisy], none, "o", ms=8, mfc="white", mec=NOISE, mew=1.8, label="none of its own")
    ax.set_yscale("log")
    whole_numbers(ax)
    ax.set_xlabel("rank")
    ax.set_ylabel("eigenvalue of the covariance")
    ax.legend(fontsize=9, framealpha=0.9)
    reached, d = found.reached.shape[1], values.size
    carried = "" if found.steps == 0 else f"; the drift carries it on {found.steps} time{'s' * (found.steps > 1)}"
    say(ax, f"Noise reaches {'all' if found.complete else f'{reached} of'} {d} directions{carried}")
    return ax
