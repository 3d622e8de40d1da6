"""The minimum at infinity: gradient flow on separable data, whose direction tends to the SVM's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_count, as_point, as_positive
from qpot._core.deprecated import renamed_property
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible, keeping
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow, homogeneous_margin_flow
from qpot.companions.margin_losses import ExponentialTail, Logistic, as_number, signed_samples
from qpot.companions.separation import KKT, HardMargin, kkt_conditions, merge_duplicates, separate
from qpot.solvers.companions import log_time_flow, max_margin


@dataclass(frozen=True, kw_only=True, eq=False)
class MarginFlow(Drawn, Saved, figure="plot_margin_flow"):
    r"""Gradient flow on separable data, seen at times spaced evenly in log t.

    Attributes
    ----------
    log_times : (n,) array
        Natural logarithms of the times; the first time is t = 1.
    weights : (n, d) array
        The parameters theta(t).
    log_losses : (n,) array
        The logarithm of the loss L = sum_i c_i l(<theta, z_i>).
    duals : (n, N) array
        alpha_i(t) = -t c_i l'(<theta, z_i>), the pull of each sample on theta in logarithmic time:
        d theta / d log t = sum alpha_i z_i. They converge to dual variables of the SVM.
    samples : (N, d) array
        The signed samples z_i = y_i x_i, each distinct one once.
    multiplicities : (N,) array
        c_i, the number of times that each occurred.
    svm : HardMargin
        The support vector machine (SVM) that the direction converges to, computed without the flow.
    """

    log_times: Array
    weights: Array
    log_losses: Array
    duals: Array
    samples: Array
    multiplicities: Array
    svm: HardMargin

    @property
    def norms(self) -> Array:
        r"""The norm rho(t) = \|theta\|, ``(n,)``."""
        return np.asarray(np.linalg.norm(self.weights, axis=1))

    @property
    def directions(self) -> Array:
        r"""The direction u(t) = theta/\|theta\|, ``(n, d)``."""
        return self.weights / self.norms[:, None]

    @property
    def geometric_margins(self) -> Array:
        """The geometric margin min_i <u, z_i>, ``(n,)``; it rises to that of the SVM."""
        return np.asarray((self.directions @ self.samples.T).min(axis=1))

    margins = renamed_property("MarginFlow", "margins", "geometric_margins")

    @property
    def angles(self) -> Array:
        """Angle between u(t) and the SVM's direction in radians, ``(n,)``."""
        chord = np.linalg.norm(self.directions - self.svm.direction, axis=1)
        return np.asarray(2.0 * np.arcsin(np.minimum(chord / 2.0, 1.0)))

    @property
    def normals(self) -> Array:
        """d theta / d log t = sum alpha_i(t) z_i, ``(n, d)``: the flow's own estimate of the SVM's w.

        Its error falls like a power of t, whereas that of the direction falls like 1/log t. The power is the smaller of
        two numbers: the slack <w, z> - 1 of the nearest sample beyond the margin, and the smallest positive eigenvalue
        of sum alpha_i z_i z_i^T.
        """
        return self.duals @ self.samples

    @property
    def norm_rates(self) -> Array:
        """d rho / d log t = <u, sum alpha_i z_i>, ``(n,)``."""
        return np.asarray((self.directions * self.normals).sum(axis=1))

    @property
    def direction_rates(self) -> Array:
        """d u / d log t = (I - u u^T) (sum alpha_i z_i) / rho, ``(n, d)``."""
        u = self.directions
        return (self.normals - self.norm_rates[:, None] * u) / self.norms[:, None]

    def machine(self) -> HardMargin:
        """The flow's estimate of the SVM at its last time: w = sum alpha_i z_i with the flow's alpha."""
        return HardMargin(normal=self.normals[-1], duals=self.duals[-1], signed_samples=self.samples)

    @property
    def support(self) -> NDArray[np.intp]:
        """The support vectors found by the flow, as indices into ``samples``.

        A sample counts as lying on the margin if its slack is below the larger of 1e-6 and ten times the largest
        violation of <w, z> >= 1, which measures how far the flow still is from its limit.
        """
        machine = self.machine()
        return machine.support_within(max(1e-6, 10.0 * machine.conditions().primal))

    def conditions(self) -> KKT:
        """How well the flow's last w and alpha satisfy the optimality conditions of the hard-margin problem."""
        return kkt_conditions(self.samples, self.normals[-1], self.duals[-1])

    def laws(self) -> MarginLaws:
        """The constants of the asymptotic laws, fitted over the last half of log t, and their theoretical values."""
        return _laws(self)

    def __repr__(self) -> str:
        return (
            f"MarginFlow(t = 1 ... 1e{self.log_times[-1] / np.log(10):.4g}, rho = {self.norms[-1]:.6g}, "
            f"margin = "
            f"{self.geometric_margins[-1]:.6g} of {self.svm.geometric_margin:.6g}, angle {self.angles[-1]:.2e}, KKT "
            f"{self.conditions().worst:.1e})"
        )


@dataclass(frozen=True, kw_only=True)
class Law:
    """A constant fitted to the flow, and its theoretical value (NaN where theory gives none)."""

    fitted: float
    theory: float


@dataclass(frozen=True, kw_only=True)
class MarginLaws(Saved):
    r"""Constants of the asymptotic laws.

    Here gamma is the SVM's geometric margin, w its normal, alpha_i the limits of the duals and c_i the multiplicities.

    Attributes
    ----------
    norm_slope, norm_offset : Law
        \|theta\| = slope log t + offset, in theory with the slope 1/gamma and the offset
        -gamma sum alpha_i log(alpha_i / c_i).
    loss_exponent, loss_constant : Law
        L = constant t^exponent, in theory with the exponent -1 and the constant 1/gamma^2.
    gap_constant : Law
        gamma - gamma(t) = constant / log t, in theory with the constant
        gamma (max log(alpha_i / c_i) - sum alpha_i log(alpha_i / c_i) / sum alpha_i).

    Notes
    -----
    Soudry et al. (2018, Theorem 4) show theta = w log t + r + o(1), where r solves sum c_i exp(-<r, z_i>) z_i = w, the
    sum taken over the samples on the margin. The constants follow from it by expanding the norm, the loss and the margin.
    There is no such r if some sample lies on the margin with a zero dual, and then the offset and the gap constant have no
    theoretical value.
    """

    norm_slope: Law
    norm_offset: Law
    loss_exponent: Law
    loss_constant: Law
    gap_constant: Law


@overload
def margin_flow(
    X: ArrayLike,
    y: ArrayLike,
    *,
    model: None = None,
    log_time: float | None = None,
    loss: ExponentialTail | None = None,
    start: PointLike | None = None,
    points: int | None = None,
    duplicates: str = "error",
    rtol: float = 1e-9,
    atol: float = 1e-11,
) -> MarginFlow: ...


@overload
def margin_flow(
    X: ArrayLike,
    y: ArrayLike,
    *,
    model: Any,
    log_time: float | None = None,
    loss: ExponentialTail | None = None,
    start: PointLike | None = None,
    points: int | None = None,
    duplicates: str = "error",
    rtol: float = 1e-9,
    atol: float = 1e-11,
) -> HomogeneousMarginFlow: ...


@interruptible
def margin_flow(
    X: ArrayLike,
    y: ArrayLike,
    *,
    model: Any = None,
    log_time: float | None = None,
    loss: ExponentialTail | None = None,
    start: PointLike | None = None,
    points: int | None = None,
    duplicates: str = "error",
    rtol: float = 1e-9,
    atol: float = 1e-11,
) -> MarginFlow | HomogeneousMarginFlow:
    r"""Integrate gradient flow of an exponential-tail loss in logarithmic time.

    The flow is :math:`\theta' = -\nabla \sum_i \ell(y_i\langle\theta, x_i\rangle)`.

    On separable data the loss has no minimum: :math:`|\theta| \to \infty` like log t while the direction
    converges to the hard-margin support vector machine (Soudry, Hoffer, Nacson, Gunasekar, Srebro 2018).

    Parameters
    ----------
    X : (N, d) array
        Samples as rows; append a column of ones for an intercept.
    y : (N,) array
        Labels +1 and -1.
    model : PredictionModel, torch.nn.Module, or (function, parameters), optional
        A homogeneous model instead of the linear one; the flow is then `homogeneous_margin_flow`, with the default
        ``log_time`` 1e6, and ``duplicates`` has no meaning.
    log_time : float, optional
        Natural logarithm of the final time, 230 by default; 230.26 is t = 1e100. The time itself may be too large
        for a float.
    loss : ExponentialTail, optional
        `Logistic` (the default) or `Exponential`. The loss is the sum over samples; a mean only divides time by N.
    start : (d,) array, optional
        theta at t = 0; zero by default.
    points : int, optional
        Number of times in the result, 200 by default, spaced evenly in log t from t = 1.
    duplicates : {"error", "merge"}
        Whether repeated samples, whose dual variables are not unique, are refused or merged into one with a
        multiplicity.
    rtol, atol : float
        Local error tolerances in theta.

    Returns
    -------
    MarginFlow, or HomogeneousMarginFlow for a model

    Raises
    ------
    ValueError
        If the data is not separable, contradictory or duplicated, with a message that names the samples; if another
        argument is not usable.
    SolveError
        If the integrator fails; the points up to there are in ``.partial`` as an array. After Ctrl-C it is the flow up to
        there.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> flow = qpot.margin_flow([[2.0, 0.0], [0.0, -1.0], [3.0, 3.0]], [1, -1, 1], log_time=np.log(1e100))
    >>> flow.machine().normal.round(6), flow.support
    (array([0.5, 1. ]), array([0, 1]))
    >>> flow.weights[-1].round(3)  # log(4 t) / 2 and log t on orthogonal samples
    array([115.822, 230.259])
    """
    if model is not None:
        late, seen_at = (1e6 if log_time is None else log_time), (80 if points is None else points)
        return homogeneous_margin_flow(
            X, y, model=model, log_time=late, loss=loss, start=start, points=seen_at, rtol=rtol, atol=atol
        )
    kind: ExponentialTail = Logistic() if loss is None else loss
    if not isinstance(kind, ExponentialTail):
        raise ValueError(
            f"loss must be qpot.Logistic() or qpot.Exponential(), got {loss!r}: only a tail exp(-z) sends "
            f"the minimum to "
            "infinity along the SVM's direction; train other losses with qpot.margin_sum and integrate_flow"
        )
    if duplicates not in ("error", "merge"):
        raise ValueError(f'duplicates must be "error" or "merge", got {duplicates!r}')
    end = as_number(230.0 if log_time is None else log_time)
    if not 1.0 <= end < np.inf:
        raise ValueError(
            f"log_time must be a finite number >= 1 (natural logarithm of the final time), got {log_time!r}"
        )
    n = as_count(200 if points is None else points, name="points", minimum=4)
    options = {name: as_positive(value, name=name) for name, value in (("rtol", rtol), ("atol", atol))}
    everything = separate(X, y)
    Z, counts = merge_duplicates(signed_samples(X, y), merge=duplicates == "merge")
    svm = everything if Z.shape[0] == everything.duals.size else separate(Z, np.ones(Z.shape[0]))
    theta = np.zeros(Z.shape[1]) if start is None else as_point(start, dimension=Z.shape[1], name="start")

    log_times = np.linspace(0.0, end, n)
    weights = np.empty((0, theta.size))

    def so_far(points: Array) -> None:
        nonlocal weights
        weights = points

    def known() -> tuple[str, MarginFlow | None]:
        told = f"margin_flow was interrupted after {max(len(weights) - 1, 0)} of {n} points"
        return told, _seen(log_times, weights[1:], Z, counts, kind, svm) if len(weights) > 1 else None

    with keeping(known):
        weights, status = log_time_flow.log_time_flow(
            Z,
            np.log(counts),
            kind.log_slope,
            kind.log_slope_rate,
            theta,
            np.concatenate([[0.0], np.logaddexp(0.0, log_times)]),
            after_step=so_far,
            **options,
        )
    if status != log_time_flow.OK:
        raise SolveError(
            f"the flow could not be integrated beyond point {weights.shape[0]} of {n + 1}; loosen rtol and "
            f"atol or "
            "rescale the samples",
            status=Status.NOT_CONVERGED,
            partial=weights,
        )
    return _seen(log_times, weights[1:], Z, counts, kind, svm)


def _seen(
    log_times: Array, weights: Array, Z: Array, counts: Array, kind: ExponentialTail, svm: HardMargin
) -> MarginFlow:
    """The result for given weights at the first of the times."""
    log_times = log_times[: len(weights)]
    margins = weights @ Z.T
    log_terms = np.log(counts) + kind.log_value(margins)
    peak = log_terms.max(axis=1)
    return MarginFlow(
        log_times=log_times,
        weights=weights,
        log_losses=peak + np.log(np.exp(log_terms - peak[:, None]).sum(axis=1)),
        duals=np.exp(log_times[:, None] + np.log(counts) + kind.log_slope(margins)),
        samples=Z,
        multiplicities=counts,
        svm=svm,
    )


def _laws(flow: MarginFlow) -> MarginLaws:
    """Fit the constants over the last half of log t and compute their theoretical values."""
    late = flow.log_times >= 0.5 * flow.log_times[-1]
    s = flow.log_times[late]
    gamma, w = flow.svm.geometric_margin, flow.svm.normal
    # The norm is slope s + offset + O(1/s). The last term is fitted too, because it would otherwise enter the offset.
    basis = np.column_stack([s, np.ones_like(s), 1.0 / s])
    norm_slope, norm_offset, _ = np.linalg.lstsq(basis, flow.norms[late], rcond=None)[0]
    loss_offset, loss_exponent = np.polynomial.polynomial.polyfit(s, flow.log_losses[late], 1)
    gap = (gamma - flow.geometric_margins[late]) * s
    gap_constant = np.linalg.lstsq(np.column_stack([np.ones_like(s), 1.0 / s, 1.0 / s**2]), gap, rcond=None)[0][0]

    on_margin = flow.samples @ w < 1.0 + 1e-6
    _, alpha, status = max_margin.limit_duals(flow.samples[on_margin], flow.multiplicities[on_margin], w)
    offset_theory = gap_theory = np.nan
    if status == max_margin.OK:
        logs = np.log(alpha / flow.multiplicities[on_margin])
        offset_theory = -gamma * float(alpha @ logs)
        gap_theory = gamma * float(logs.max() - alpha @ logs / alpha.sum())
    return MarginLaws(
        norm_slope=Law(fitted=float(norm_slope), theory=1.0 / gamma),
        norm_offset=Law(fitted=float(norm_offset), theory=offset_theory),
        loss_exponent=Law(fitted=float(loss_exponent), theory=-1.0),
        loss_constant=Law(fitted=float(np.exp(loss_offset)), theory=1.0 / gamma**2),
        gap_constant=Law(fitted=float(gap_constant), theory=gap_theory),
    )
