"""check_gaussianity: whether Gaussian noise is good enough for the cost of a path."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_count, as_positive
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot.paths.solution import PathSolution
from qpot.problem.arguments import a_flag, checked
from qpot.problem.discrete_steps import MAX_SUBSETS, exact_noise
from qpot.problem.measured_noise import batch_factor, batch_moments
from qpot.samples.finite_sum import FiniteSum


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussianity(Drawn, Saved, figure="plot_gaussianity"):
    """Exact against Gaussian noise along a minimum action path.

    Attributes
    ----------
    gaussian : bool
        Whether ``relative_change`` is within the tolerance.
    action : float
        The action of the path with Gaussian noise.
    action_change : float
        What exact noise adds to the action, to first order: minus the time integral of K(x, p) - <p, C p> / 2 along the
        path, where K is the cumulant generating function of the centred gradient noise and C its covariance.
    relative_change : float
        ``action_change`` divided by ``action``.
    ratios : array (m,)
        K(x, p) / (<p, C p> / 2) at the ``points``; 1 for Gaussian noise.
    points : array (m, d)
        The points of the path at which the momentum is not negligible.
    skewness, excess_kurtosis : float
        Skewness and excess kurtosis of a minibatch's mean gradient along the momentum, at the point where <p, C p> is
        largest.
    recommendation : str
        The answer as a sentence, with a way out.
    """

    gaussian: bool
    action: float
    action_change: float
    relative_change: float
    ratios: Array
    points: Array
    skewness: float
    excess_kurtosis: float
    recommendation: str

    def __repr__(self) -> str:
        return f"Gaussianity({self.recommendation})"


@checked(replacement=a_flag)
def check_gaussianity(
    finite_sum: FiniteSum,
    path: PathSolution,
    *,
    batch_size: int = 1,
    replacement: bool = True,
    tolerance: float = 0.05,
) -> Gaussianity:
    """Compare the cost of a path under Gaussian noise with that under the exact noise of the minibatches.

    Parameters
    ----------
    finite_sum : FiniteSum
        The loss as a mean over samples.
    path : PathSolution
        A result of `minimum_action_path` on ``System.from_finite_sum(finite_sum)``, with ``noise="gaussian"``.
    batch_size : int
        Number of samples in a minibatch.
    replacement : bool
        Whether a minibatch is drawn with replacement.
    tolerance : float
        Largest relative change of the cost that still counts as Gaussian.

    Returns
    -------
    Gaussianity

    Raises
    ------
    ValueError
        If the path has another dimension or no momenta, or a batch without replacement is larger than the sum.

    Notes
    -----
    Costs belong to epsilon = learning rate / batch size. In this unit the answer with replacement does not depend on the
    batch size, because H_B(x, p) = B H_1(x, p / B): the skewness of a minibatch shrinks with its size, but so does the
    noise, and escapes need rarer batches. Without replacement all subsets are enumerated where there are at most 20 000 of
    them. Where there are more, the formula with replacement is used.

    Examples
    --------
    >>> import qpot
    >>> total = qpot.embedded_double_well_sum(0.5)
    >>> path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), [-1, 0], [0, 0])
    >>> qpot.check_gaussianity(total, path).gaussian
    True
    """
    if not isinstance(finite_sum, FiniteSum):
        raise ValueError(f"finite_sum must be a qpot.FiniteSum, got {type(finite_sum).__name__}")
    if not isinstance(path, PathSolution) or path.points.shape[1] != finite_sum.dimension:
        raise ValueError(f"path must be a PathSolution in dimension {finite_sum.dimension}, got {path!r}")
    limit, B, N = (
        as_positive(tolerance, name="tolerance"),
        as_count(batch_size, name="batch_size"),
        finite_sum.n_samples,
    )
    batch_factor(N, B, replacement)
    size = np.linalg.norm(path.momenta, axis=1)
    rows = np.flatnonzero(path.uphill & (size > 1e-6 * size.max(initial=0.0)))
    if not np.isfinite(path.action) or rows.size < 2 or size.max() == 0.0:
        raise ValueError(
            "path has no uphill leg with momenta: its cost is zero or infinite, and nothing is to be checked"
        )
    x, p = path.points[rows], path.momenta[rows]
    along = finite_sum.derivatives_along(x, p)
    along -= along.mean(axis=1, keepdims=True)
    quadratic = 0.5 * along.var(axis=1)
    cumulant = _cumulants(finite_sum, along, B, replacement)
    noisy = quadratic > 0
    ratios = np.ones(rows.size)
    ratios[noisy] = cumulant[noisy] / quadratic[noisy]
    times = path.times[rows]
    steps = np.diff(times)
    excess = cumulant - quadratic
    # Between two uphill legs lies a free descent, whose rows are left out: nothing is integrated across that gap.
    joined = np.diff(rows) == 1
    change = -float((0.5 * (excess[1:] + excess[:-1]) * steps)[joined].sum())
    relative = change / path.action
    hardest = int(np.argmax(quadratic))
    skewness, kurtosis = batch_moments(along[hardest], B, replacement)
    gaussian = abs(relative) <= limit
    if gaussian:
        text = f"Gaussian noise is good enough: exact noise changes the cost {path.action:.6g} by {relative:+.2%}"
    else:
        text = (
            f"Gaussian noise is not good enough: exact noise changes the cost {path.action:.6g} by about {relative:+.1%} (to "
            'first order); build the system with System.from_finite_sum(..., noise="exact")'
        )
        if replacement:
            text += "; a larger batch does not help, since costs scale with it"
    return Gaussianity(
        gaussian=gaussian,
        action=path.action,
        action_change=change,
        relative_change=relative,
        ratios=ratios,
        points=x,
        skewness=skewness,
        excess_kurtosis=kurtosis,
        recommendation=text,
    )


def _cumulants(finite_sum: FiniteSum, along: Array, B: int, replacement: bool) -> Array:
    """K(x, p) (n,) per unit of epsilon, from the centred derivatives of all samples along p, (n, N)."""
    N = finite_sum.n_samples
    if replacement or B >= N or math.comb(N, B) > MAX_SUBSETS:
        return _log_mean_exp(-along)
    noise = exact_noise(finite_sum, replacement=False, batch_size=B)
    subsets = noise.steps.subsets  # type: ignore[attr-defined]
    return noise.scale * _log_mean_exp(-along[:, subsets].mean(axis=2) / noise.scale)


def _log_mean_exp(values: Array) -> Array:
    """log mean exp of each row (n, N) with mean zero.

    For small values the mean is taken of exp(v) - 1 - v, since exp(v) itself would lose their digits to the 1.
    """
    top = values.max(axis=1)
    result: Array = top + np.log(np.exp(values - top[:, None]).mean(axis=1))
    small = np.abs(values).max(axis=1) < 1.0
    result[small] = np.log1p((np.expm1(values[small]) - values[small]).mean(axis=1))
    return result
