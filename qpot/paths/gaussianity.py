"""check_gaussianity: whether Gaussian noise is good enough for the cost of a path."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_count, as_positive
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot.paths.solution import PathSolution
from qpot.problem.arguments import a_flag, checked
from qpot.problem.discrete_steps import MAX_SUBSETS, exact_noise
from qpot.problem.measured_noise import batch_factor, batch_moments
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.problem.cumulant import CumulantLagrangian
from qpot.solvers.problem.lagrangian import DiffusionLagrangian, SingularCovarianceError

# The action under exact noise is evaluated for at most so many numbers of all steps along the path, in so many dimensions.
_NUMBERS, _FEW = 20_000_000, 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussianity(Drawn, Saved, figure="plot_gaussianity"):
    """Exact against Gaussian noise along a minimum action path.

    Attributes
    ----------
    gaussian : bool
        Whether ``relative_change`` is within the tolerance, and what the first order leaves out, too.
    action : float
        The action of the path with Gaussian noise.
    action_change : float
        What exact noise adds to the action, to first order: minus the time integral of K(x, p) - <p, C p> / 2 along the
        path, where K is the cumulant generating function of the centred gradient noise and C its covariance.
    relative_change : float
        ``action_change`` divided by ``action``.
    bound : float
        The action of the same curve under exact noise. The cost under exact noise, whose path is another one, is at most
        this: the difference from ``action + action_change`` shows what the first order leaves out. It is infinite where no
        minibatch steps along the path, and NaN where it would take too long or is not in the file.
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
    bound: float = float("nan")

    def __repr__(self) -> str:
        return f"Gaussianity({self.recommendation})"


@interruptible
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
    The change of the cost is given to first order, and the action of the same curve under exact noise is a bound from above
    (`Gaussianity.bound`), which holds to all orders; on the line, where there is one curve only, it is the exact cost. Noise
    counts as Gaussian where the first order and its difference from the bound are both within the tolerance. The bound is
    evaluated in up to 16 dimensions.

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
    bound = path.action + _change_along(finite_sum, x, joined, B, replacement)
    # The first order and the bound from above differ by terms of second order, of which the cost has others.
    left_out = 0.0 if np.isnan(bound) else abs(bound / path.action - 1.0 - relative)
    gaussian = abs(relative) <= limit and left_out <= limit
    if gaussian:
        text = f"Gaussian noise is good enough: exact noise changes the cost {path.action:.6g} by {relative:+.2%}"
    else:
        text = (
            f"Gaussian noise is not good enough: exact noise changes the cost {path.action:.6g} by about {relative:+.1%} (to "
            f'first order{_said(bound, path.action)}); build the system with System.from_finite_sum(..., noise="exact")'
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
        bound=bound,
    )


def _said(bound: float, action: float) -> str:
    """What the bound adds to the first order, in words."""
    if np.isnan(bound):
        return ""
    return "; no minibatch steps along the path" if np.isinf(bound) else f"; at most by {bound / action - 1.0:+.1%}"


def _change_along(finite_sum: FiniteSum, x: Array, joined: NDArray[np.bool_], B: int, replacement: bool) -> float:
    """What exact noise adds to the action of the curve through points (m, d), at the speed that is cheapest under it.

    ``joined`` (m - 1,) tells which of the pieces between the points belong to it. NaN means that it would take too long.
    """
    N, d = finite_sum.n_samples, finite_sum.dimension
    subsets = not replacement and B < N and math.comb(N, B) <= MAX_SUBSETS
    steps = math.comb(N, B) if subsets else N
    if len(x) * steps * d > _NUMBERS or d > _FEW:
        return float("nan")
    noise = exact_noise(finite_sum, replacement=not subsets, batch_size=B if subsets else None)
    middle, way = (0.5 * (x[1:] + x[:-1]))[joined], np.diff(x, axis=0)[joined]
    gradient, covariance = finite_sum.moments(middle)
    exact = CumulantLagrangian(noise.steps, noise.scale).geometric(middle, way)
    gaussian = DiffusionLagrangian(
        lambda _: -gradient, lambda _: covariance, lambda _: covariance, None, lambda _: (-gradient, covariance)
    )
    try:
        # The same rule of integration on both sides: its error cancels.
        return float((exact - gaussian.geometric(middle, way)).sum())
    except SingularCovarianceError:
        return float("nan")


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
