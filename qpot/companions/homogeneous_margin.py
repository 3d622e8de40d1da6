"""The direction at infinity of a homogeneous model on separable data: gradient flow in logarithmic time, and its limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_count, as_positive
from qpot._core.drawn import Drawn
from qpot._core.interrupts import keeping
from qpot._core.progress import ProgressLike, reporting
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike
from qpot.companions.direction_limits import DirectionLimit, direction_limit
from qpot.companions.homogeneous_models import HomogeneousModel, Margins, as_margins, signed_inputs, starting_point
from qpot.companions.margin_losses import ExponentialTail, Logistic, as_number
from qpot.companions.norm_machines import MachineBounds, machine_bounds
from qpot.companions.separation import KKT
from qpot.solvers.companions import homogeneous_flow as solver

# In logarithmic time beyond this the margins, which are of its size, lose the digits that the pulls need.
_LATEST = 1e9
# Curvatures above minus this, and minus this many times the residual of the KKT conditions, may be zero.
_SADDLE, _OFF = 1e-5, 3.0
# A margin that lacks more than this many times the error of the direction contradicts it.
_CONTRADICTED = 30.0
_NORM_ORDER = {"l1": 1, "l2": 2, "nuclear": 2}


@dataclass(frozen=True, kw_only=True, eq=False)
class HomogeneousMarginFlow(Drawn, Saved, figure="plot_homogeneous_margin"):
    r"""Training of a homogeneous model on separable data, seen at times spaced evenly in log log t.

    The parameters run off to infinity. With margins :math:`q_i = y_i f_\theta(x_i)` of degree D, the direction
    :math:`\theta/|\theta|` tends to a KKT point of: minimise :math:`|\theta|^2/2` subject to :math:`q_i(\theta) \ge 1` (Lyu
    and Li 2020, arXiv:1906.05890; for the convergence of the direction Ji and Telgarsky 2020,
    arXiv:2006.06657).

    Attributes
    ----------
    log_times : (n,) array
        Natural logarithms of the times.
    parameters : (n, d) array
    margins : (n, N) array
        The margins q_i.
    log_losses : (n,) array
        The logarithm of the loss L = sum_i l(q_i).
    pulls : (n, N) array
        The steepness -l'(q_i) of every sample's loss divided by the largest of them.
    degree : float
        The degree D of homogeneity.
    data : Margins or None
        The margins as functions of the parameters; they are not kept in files.
    signed_samples : (N, p) array
        y_i x_i, flattened.
    """

    log_times: Array
    parameters: Array
    margins: Array
    log_losses: Array
    pulls: Array
    degree: float
    signed_samples: Array
    data: Margins | None = None

    @property
    def norms(self) -> Array:
        r"""The norm \|theta\|, ``(n,)``; it grows like (log t)^(1/D)."""
        return np.asarray(np.linalg.norm(self.parameters, axis=1))

    @property
    def directions(self) -> Array:
        r"""theta / \|theta\|, ``(n, d)``."""
        return self.parameters / self.norms[:, None]

    @property
    def normalised_margins(self) -> Array:
        r"""min_i q_i / \|theta\|^D, ``(n,)``."""
        return np.asarray(self.margins.min(axis=1) / self.norms**self.degree)

    @property
    def smoothed_margins(self) -> Array:
        r"""log(1/L) / \|theta\|^D, ``(n,)``.

        Once L < 1 it never falls along the flow of the exponential loss (Lyu and Li 2020, lemma 5.1), and it has the same
        limit as the normalised margin, of which it is a lower bound.
        """
        return np.asarray(-self.log_losses / self.norms**self.degree)

    @property
    def predictors(self) -> Array:
        """The weights w(theta) of a model that is linear in its inputs, ``(n, p)``; ValueError for others."""
        model = self._linear()
        assert model.predictor is not None
        return np.stack([model.predictor(theta) for theta in self.parameters])

    @property
    def _functions(self) -> Margins:
        if self.data is None:
            raise ValueError("the margins' functions are not kept in files: load(..., data=) takes those of the flow")
        return self.data

    def limit(self) -> DirectionLimit:
        """The limit of the direction of the parameters, with an estimate of the error that the last one still has.

        It is infinite where the direction has settled at a saddle (`least_curvature` is negative), which the flow leaves like
        a power of log t, for models with a norm also where `bounds` contradicts it.
        """
        return self._guarded(direction_limit(self.log_times, self.directions, 2))

    def predictor_limit(self) -> DirectionLimit:
        """The limit of w divided by its norm (l1 for diagonal networks, else l2), with an estimate of the error.

        For a model whose machine is not known it is measured in the l2 norm. The error is infinite where that of `limit` is.
        """
        order = _NORM_ORDER.get(self._linear().norm or "l2", 2)
        w = self.predictors
        return self._guarded(direction_limit(self.log_times, w / np.linalg.norm(w, ord=order, axis=1)[:, None], order))

    def least_curvature(self) -> float:
        r"""The least eigenvalue of 1 - sum lambda_i Hess q_i along the constraints with a pull, at the last KKT point.

        It is not negative at a local minimum of \|theta\|^2 / 2 under the margins' constraints. Where it is, the point is a
        saddle, which the flow passes: in a diagonal network it is 1 - eta for a weight that is still zero, and that weight
        grows relative to the others like (log t)^(eta - 1).
        """
        point, rows, multipliers = self._kkt(-1)
        held = rows[multipliers > 1e-6 * multipliers.max()]
        _, sizes, basis = np.linalg.svd(held)
        free = basis[int((sizes > 1e-9 * sizes[0]).sum()) :]
        if not len(free):
            return 1.0
        H = np.eye(point.size) - self._functions.curvature(point, multipliers)
        return float(np.linalg.eigvalsh(free @ H @ free.T)[0])

    def bounds(self) -> MachineBounds:
        """The margin of the last predictor in the norm of its machine, and the largest that any predictor could have.

        The bound is rigorous, by duality with the flow's own pulls as dual variables; no programme is solved. It needs a
        model with a norm (`diagonal_network` of depth 2, `deep_linear_network`, `matrix_factorisation`).
        """
        model = self._linear()
        if model.norm is None:
            raise ValueError("the model has no norm whose machine it tends to; only KKT conditions can be checked")
        w = self.predictors[-1]
        return machine_bounds(self.signed_samples, w, self.pulls[-1], model.norm, model.shape)

    def conditions(self, row: int = -1) -> KKT:
        """How well the direction at a time satisfies the KKT conditions, with the flow's pulls as multipliers.

        The point is theta / (min q)^(1/D), whose smallest margin is 1. The multipliers are the pulls times the number for
        which <theta, sum lambda_i grad q_i> = |theta|^2, as it is at a KKT point. The stationarity is |theta - sum lambda_i
        grad q_i| / |theta|, and all violations are zero at a KKT point of a differentiable model. For ReLU networks the
        derivatives at kinks are those of the model's Jacobian, and a point at a kink may satisfy the conditions of Clarke
        though these do not vanish; see `stationarity_of_steps`.
        """
        point, rows, multipliers = self._kkt(row)
        q = self.margins[row] / self.margins[row].min()
        return KKT(
            stationarity=float(np.linalg.norm(point - multipliers @ rows) / np.linalg.norm(point)),
            primal=max(0.0, 1.0 - float(q.min())),
            dual=max(0.0, -float(multipliers.min())) / float(multipliers.sum()),
            complementarity=float(np.abs(multipliers * (q - 1.0)).max()) / float(multipliers.sum()),
        )

    def stationarity_of_steps(self, row: int | None = None) -> float:
        r"""How far the last part of the way is from pointing along theta, as the sine of the angle between them.

        The part from a row (by default the one at half of the last norm) to the end is a sum of pulls times gradients of the
        margins, taken near theta. It points along theta where theta is a KKT point, also at a kink, about which steps jump to
        and fro: their mean is then an element of Clarke's subdifferential. At finite times it is of the order 1 / log t.
        """
        norms = self.norms
        begin = int(np.flatnonzero(norms <= 0.5 * norms[-1])[-1]) if row is None else row
        way, end = self.parameters[-1] - self.parameters[begin], self.parameters[-1]
        cosine = float(way @ end) / float(np.linalg.norm(way) * norms[-1])
        return float(np.sqrt(max(0.0, 1.0 - cosine**2))) if cosine > 0 else 1.0

    @property
    def support(self) -> NDArray[np.intp]:
        """Indices of the samples whose pull is above 1e-6 of the largest."""
        return np.flatnonzero(self.pulls[-1] > 1e-6 * self.pulls[-1].max())

    def _kkt(self, row: int) -> tuple[Array, Array, Array]:
        """The point with smallest margin 1, the gradients of the margins there, and the multipliers from the pulls."""
        least = float(self.margins[row].min())
        if not least > 0:
            raise ValueError(f"the smallest margin is {least:.4g} at this time; the conditions need all to be positive")
        point = self.parameters[row] / least ** (1.0 / self.degree)
        rows, raw = self._functions.gradients(point), self.pulls[row]
        return point, rows, raw * float(point @ point) / float(raw @ (rows @ point))

    def _guarded(self, limit: DirectionLimit) -> DirectionLimit:
        """The limit with an infinite error where the direction has settled at a point that is none."""
        if not np.isfinite(limit.error):
            return limit
        curvature = self.least_curvature()
        if curvature < -(_SADDLE + _OFF * self.conditions().stationarity):
            return limit.doubted(f"it has settled at a saddle of curvature {curvature:.2g}, which the flow leaves")
        model = self._functions.model
        if isinstance(model, HomogeneousModel) and model.norm is not None and model.predictor is not None:
            gap = self.bounds().gap
            if gap > _CONTRADICTED * limit.error:
                return limit.doubted(f"its margin may lack {gap:.1e} of the largest, more than the error explains")
        return limit

    def _linear(self) -> HomogeneousModel:
        model = self._functions.model
        if not isinstance(model, HomogeneousModel) or model.predictor is None:
            raise ValueError(
                "the model is not known to be linear in its inputs; use a qpot.companions.HomogeneousModel with predictor="
            )
        return model

    def __repr__(self) -> str:
        if not self.log_times.size:
            return "HomogeneousMarginFlow(no times)"
        known = (
            f"KKT {self.conditions().worst:.1e}"
            if self.data is not None and self.margins[-1].min() > 0
            else "separated"
        )
        state = known if self.margins[-1].min() > 0 else "not separated"
        return (
            f"HomogeneousMarginFlow(log t = {self.log_times[-1]:.6g}, degree {self.degree:.3g}, normalised margin "
            f"{self.normalised_margins[-1]:.6g}, {state})"
        )


def homogeneous_margin_flow(
    X: ArrayLike,
    y: ArrayLike,
    *,
    model: Any,
    log_time: float = 1e6,
    loss: ExponentialTail | None = None,
    start: PointLike | None = None,
    points: int = 80,
    rtol: float = 1e-8,
    atol: float = 1e-12,
    max_steps: int = 5000,
    progress: ProgressLike = None,
) -> HomogeneousMarginFlow:
    r"""Integrate gradient flow of an exponential-tail loss of a homogeneous model far enough to see its direction.

    The direction approaches its limit like a power of log t only, so that the flow is followed in the logarithm of log t, by
    default to :math:`t = e^{10^6}`.

    Parameters
    ----------
    X : (N, p) array, or the inputs that ``model`` takes
        Samples as rows.
    y : (N,) array
        Labels +1 and -1.
    model : PredictionModel, torch.nn.Module, or (function, parameters)
        A model with one output, such as `diagonal_network` and the others of `qpot.companions.homogeneous_models`; a module
        of PyTorch; or for JAX a function ``(params, x) -> number`` of one sample and a tree of parameters. Euler's identity
        is checked at four points.
    log_time : float
        Natural logarithm of the final time, from 1 to 1e9. The loss is the sum over samples; that of a mean is at the
        time N t where this one is at t.
    loss : ExponentialTail, optional
        `Logistic` (the default) or `Exponential`.
    start : (d,) array, optional
        theta at t = 0; by default the parameters that a module or the pair for JAX comes with.
    points : int
        About the number of times in the result, which are spaced evenly in log log t.
    rtol, atol : float
        Local error tolerances, ``atol`` in units of the largest parameter at the start.
    max_steps : int
        The number of steps after which the integration is given up.
    progress : callable, bool, "auto" or None
        How progress is reported.

    Returns
    -------
    HomogeneousMarginFlow

    Raises
    ------
    ValueError
        If the model is not homogeneous, has more than 2000 parameters, or another argument is not usable.
    SolveError
        If the integrator fails, or the data are not separated by the last time; ``.partial`` is the flow up to there.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> X = [[2.0, 1.0], [1.5, 3.0], [3.0, 0.2]]
    >>> flow = qpot.margin_flow(X, [1, 1, 1], model=qpot.diagonal_network(2), start=[0.1] * 4)
    >>> flow.predictor_limit().direction.round(4)  # the l1 machine; the l2 machine is (2/3, 1/3)
    array([0.8, 0.2])
    """
    kind: ExponentialTail = Logistic() if loss is None else loss
    if not isinstance(kind, ExponentialTail):
        raise ValueError(
            f"loss must be qpot.Logistic() or qpot.Exponential(), got {loss!r}: only such a tail has a limit"
        )
    end = as_number(log_time)
    if not 1.0 <= end <= _LATEST:
        raise ValueError(
            f"log_time must be a number from 1 to {_LATEST:g} (natural logarithm of the time), got {log_time!r}"
        )
    wanted = as_count(points, name="points", minimum=4)
    options = {name: as_positive(value, name=name) for name, value in (("rtol", rtol), ("atol", atol))}
    data = as_margins(X, y, model)
    theta = starting_point(data, start)
    degree = data.degree(theta)
    # The times are powers of 4^(1/k) below the last, so that the limit is estimated without interpolation.
    each = max(1, round(wanted * np.log(4.0) / np.log(max(end, 4.0))))
    log_times = end * 4.0 ** (-np.arange(int(each * np.log(end / 0.5) / np.log(4.0)), -1, -1) / each)
    last = float(np.log1p(end))
    parameters = np.empty((0, theta.size))

    def after_step(r: float, points: Array) -> None:
        nonlocal parameters
        parameters = points
        report(min(100, int(100 * r / last)), 100, f"log t = {np.expm1(r):.3g}")

    def flow_of(points: Array) -> HomogeneousMarginFlow:
        return seen(data, kind, signed_inputs(X, y), log_times[: len(points)], points, degree)

    def known() -> tuple[str, HomogeneousMarginFlow | None]:
        told = f"margin_flow was interrupted after {len(parameters)} of {log_times.size} points"
        return told, flow_of(parameters) if len(parameters) else None

    with reporting(progress, "margin_flow") as report, keeping(known):
        parameters, status = solver.homogeneous_flow(
            solver.MarginFunctions(data.values, data.gradients, data.curvature),
            kind.log_slope,
            kind.log_slope_rate,
            theta,
            np.logaddexp(0.0, log_times),
            max_steps=as_count(max_steps, name="max_steps"),
            after_step=after_step,
            **options,
        )
    flow = flow_of(parameters)
    if status == solver.AT_REST:
        raise SolveError(
            f"the flow comes to rest at finite parameters, where the smallest margin is {flow.margins[-1].min():.4g}: from "
            "this start the model does not separate the data, and its direction has no limit at infinity",
            status=Status.NOT_CONVERGED,
            partial=flow,
        )
    if status != solver.OK:
        many = status == solver.TOO_MANY
        why = "needs more steps than max_steps" if many else "has a step size that fell to rounding"
        raise SolveError(
            f"the flow {why} after log t = {log_times[max(parameters.shape[0] - 1, 0)]:.4g}; ask for an earlier log_time or "
            "loosen rtol. A network of ReLU units slides along kinks, which this method cannot: use qpot.margin_steps",
            status=Status.NOT_CONVERGED,
            partial=flow,
        )
    if flow.margins[-1].min() <= 0:
        raise SolveError(
            f"the model does not separate the data by log t = {end:.4g}: the smallest margin is "
            f"{flow.margins[-1].min():.4g}. The data may not be separable by this model, or the start leads elsewhere",
            status=Status.NOT_CONVERGED,
            partial=flow,
        )
    return flow


def seen(
    data: Margins, loss: ExponentialTail, Z: Array, log_times: Array, parameters: Array, degree: float
) -> HomogeneousMarginFlow:
    """The result for given parameters at given times."""
    margins = np.stack([data.values(theta) for theta in parameters]) if len(parameters) else np.empty((0, len(Z)))
    slopes, terms = loss.log_slope(margins), loss.log_value(margins)
    return HomogeneousMarginFlow(
        log_times=log_times,
        parameters=np.ascontiguousarray(parameters),
        margins=margins,
        log_losses=np.logaddexp.reduce(terms, axis=1),
        pulls=np.exp(slopes - slopes.max(axis=1, keepdims=True)) if len(slopes) else slopes,
        degree=degree,
        data=data,
        signed_samples=Z,
    )
