"""The law of SGD with steps that fall like c / k, as Pegasos takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_continuous_lyapunov

from qpot._core.arrays import Array, as_count, as_point, as_positive, format_point
from qpot._core.drawn import Drawn
from qpot._core.optional import needed
from qpot._core.saved import Saved
from qpot._core.types import PointLike
from qpot.landscape.kinks import KINK, settled_at_kinks
from qpot.landscape.points import Minimum, as_minimum
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum

# A minimum that was found at kinks lies within this part of its size of where it is looked for.
_SAME = 1e-6
# The law has set in where the mean gradient at so many points of it is linear within this part, ...
_DRAWS, _LINEAR = 128, 0.3
# ... looked for at numbers of steps up to this power of two, ...
_DOUBLINGS = 60
# ... and of what was another law before, this part is left.
_LEFT = 0.15

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True, eq=False)
class DecreasingStepsLaw(Drawn, Saved, figure="plot_decreasing_steps"):
    r"""Where SGD with steps c / k is after k steps: near the minimum, with a covariance that falls like 1 / k.

    Attributes
    ----------
    point : array (d,)
        The minimum x*.
    covariance : array (d, d)
        The limit of k Cov(x_k). Across kinks it is zero: the distance across them falls like 1 / k, faster than the
        1 / sqrt(k) of the other directions.
    across : array (m, d)
        Orthonormal directions across the kinks at which the minimum lies; none where the loss is smooth.
    scale : float
        The factor c of the steps.
    loss_excess : float
        The limit of k (E L(x_k) - L(x*)); NaN at a kink, where the distance across it counts as much.
    slowest : float
        c times the least rate along the kinks, which is above 1/2.
    sets_in : float
        From about so many steps on the law holds: steps are stable by then, at the distances of the law the mean gradient is
        linear, which it is not where other kinks are as close, and most of what was before is forgotten. It is infinite where
        that was not found.
    """

    point: Array
    covariance: Array
    across: Array
    scale: float
    loss_excess: float
    slowest: float
    sets_in: float = 1.0

    def has_set_in(self, steps: int) -> bool:
        """Whether the law holds after so many steps, or what SGD does by then is still its transient."""
        return as_count(steps, name="steps") >= self.sets_in

    def standard_deviations(self, steps: int) -> Array:
        """The standard deviation of every coordinate after so many steps, ``(d,)``, to leading order.

        NaN where the law has not set in by then (`sets_in`).
        """
        if not self.has_set_in(steps):
            return np.full(self.point.size, np.nan)
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0) / as_count(steps, name="steps")))

    def to_dataframe(self) -> DataFrame:
        """One row for each coordinate: ``point``, and ``spread``, the limit of sqrt(k) times the standard deviation.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = needed("pandas", "DecreasingStepsLaw.to_dataframe")
        spread = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return pandas.DataFrame({"coordinate": np.arange(self.point.size), "point": self.point, "spread": spread})

    def __repr__(self) -> str:
        spread = float(np.sqrt(np.trace(self.covariance)))
        kinks = f", and like 1 / k in {len(self.across)} directions across kinks" if len(self.across) else ""
        begins = f", from about {self.sets_in:.2g} steps on" if self.sets_in > 1.0 else ""
        return f"DecreasingStepsLaw(at {format_point(self.point)}: distance {spread:.4g} / sqrt(k){kinks}{begins})"


def decreasing_steps_law(
    problem: System | FiniteSum, minimum: PointLike, *, scale: float, batch_size: int = 1
) -> DecreasingStepsLaw:
    r"""The law of SGD at a minimum whose step number k is c / k long, with c = ``scale``.

    Noise selects nothing there: the exponents of escapes grow with the steps that are already done, so that what counts is
    the basin in which the steps become small. In it

    .. math:: \sqrt k (x_k - x^*) \to N(0, C), \quad
              (c H - \tfrac12) C + C (c H - \tfrac12) = c^2 \Sigma / B.

    Pegasos is SGD on a hinge sum with c = 1 / penalty. Its minimum lies at kinks, and the law holds along them, once SGD is
    closer to the minimum than the next kink is: where many samples lie next to the margin that takes many steps, and
    `DecreasingStepsLaw.sets_in` says how many.

    Parameters
    ----------
    problem : System or FiniteSum
        The system of a finite sum, or any gradient system whose ``covariance`` is that of one sample's gradient.
    minimum : Minimum or array (d,)
    scale : float
        c > 0, as learning rate times the number of the step.
    batch_size : int
        B, with replacement.

    Returns
    -------
    DecreasingStepsLaw

    Raises
    ------
    ValueError
        If the point is no minimum, if the least rate times ``scale`` is not above 1/2 (the distance then falls more
        slowly than 1 / sqrt(k), and remembers the start), or if the minimum lies at a kink of a system that is no sum.

    Notes
    -----
    V. Fabian, Ann. Math. Stat. 39 (1968) 1327. Averages of the iterates have the covariance H^-1 Sigma H^-1 / B
    whatever c is: B. T. Polyak, A. B. Juditsky, SIAM J. Control Optim. 30 (1992) 838. Pegasos: S. Shalev-Shwartz, Y. Singer,
    N. Srebro, ICML 2007.

    Examples
    --------
    >>> import qpot
    >>> mean = qpot.quadratic_sum(1.0, [1.0, -1.0])  # with c = 1 the iterates are the means of the samples drawn
    >>> qpot.decreasing_steps_law(mean, [0.0], scale=1.0).covariance
    array([[1.]])
    """
    if not isinstance(problem, System | FiniteSum):
        raise ValueError(f"problem must be a qpot.System or a finite sum, got {problem!r}")
    system = problem if isinstance(problem, System) else System.from_finite_sum(problem)
    if not system.gradient_drift:
        raise ValueError("problem must be a gradient system: SGD follows a loss")
    c, B = as_positive(scale, name="scale"), as_count(batch_size, name="batch_size")
    point, H, across = _minimum(system, minimum)
    # Along the kinks, on which SGD stays to leading order, the gradients of both sides of a sample agree.
    along = np.linalg.svd(across)[2][len(across) :] if len(across) else np.eye(point.size)
    rates, axes = np.linalg.eigh(along @ H @ along.T)
    if len(along) and c * rates[0] <= 0.5:
        raise ValueError(
            f"scale={scale:g} is too small for the least rate {rates[0]:.4g} at {format_point(point)}: the distance then "
            f"falls like k^-{max(c * rates[0], 0.0):.3g} and remembers the start; pass a scale above {0.5 / rates[0]:.4g}"
            if rates[0] > 0.0
            else f"minimum={format_point(point)} is no isolated minimum: its least rate is {rates[0]:.3g}"
        )
    basis = axes.T @ along
    noise = basis @ system.unchecked.covariance(point[None])[0] @ basis.T * (c**2 / B)
    A = np.diag(c * rates - 0.5)
    C = solve_continuous_lyapunov(A, noise) if len(along) else np.zeros((0, 0))
    excess = 0.5 * float(rates @ np.diag(C)) if not len(across) else np.nan
    begins = _sets_in(system, point, basis, rates, 0.5 * (C + C.T), c) if len(along) else 1.0
    return DecreasingStepsLaw(
        point=point,
        covariance=np.asarray(basis.T @ (0.5 * (C + C.T)) @ basis),
        across=across,
        scale=c,
        loss_excess=excess,
        slowest=float(c * rates[0]) if len(along) else np.inf,
        sets_in=begins,
    )


def _sets_in(system: System, point: Array, basis: Array, rates: Array, C: Array, c: float) -> float:
    """The number of steps from which on steps are stable and the mean gradient is linear at the distances of the law."""
    stable = max(1.0, float(c * rates[-1]))
    values, vectors = np.linalg.eigh(C)
    draws = np.random.default_rng(0).standard_normal((_DRAWS, len(values)))
    u = (draws * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    linear = u * rates
    size = float(np.linalg.norm(linear, axis=1).mean())
    if size == 0.0:
        return stable
    begins = float("inf")
    resolved = 1e-8 * (1.0 + float(np.linalg.norm(point)))
    for power in range(_DOUBLINGS):
        k = 2.0**power
        shift = u / np.sqrt(k)
        if np.linalg.norm(shift, axis=1).max() < resolved:
            break
        pull = -(system.unchecked.drift(point + shift @ basis) - system.unchecked.drift(point[None])) @ basis.T
        wrong = float(np.linalg.norm(np.sqrt(k) * pull - linear, axis=1).mean())
        if wrong > _LINEAR * size:
            begins = float("inf")
        elif not np.isfinite(begins):
            begins = k
    # What the covariance was before is forgotten like a power of k.
    forgets = -np.log(_LEFT) / (2.0 * c * float(rates[0]) - 1.0)
    return float(max(begins, stable) * np.exp(min(forgets, 600.0)))


def _minimum(system: System, minimum: PointLike) -> tuple[Array, Array, NDArray[np.float64]]:
    """The point, the Hessian and the directions across kinks."""
    known = minimum if isinstance(minimum, Minimum) else None
    point = as_point(minimum, dimension=system.dimension, name="minimum")
    size = 2.0 * max(float(np.linalg.norm(point)), 1e-3)
    settled = settled_at_kinks(system, point, size)
    if settled is not None and np.linalg.norm(settled[0].point - point) <= _SAME * size:
        return settled[0].point, settled[0].hessian, settled[1]
    if known is not None and known.kink:
        raise ValueError(f"minimum={format_point(point)}: {KINK}, which is known along kinks of finite sums only")
    smooth = as_minimum(system, point)
    steep = float(np.linalg.norm(system.unchecked.drift(point[None])[0]))
    if steep > 1e-6 * max(float(np.abs(smooth.rates).max()) * size, 1e-300):
        raise ValueError(f"minimum={format_point(point)} is none: the gradient there has the length {steep:.3g}")
    return point, smooth.hessian, np.zeros((0, point.size))
