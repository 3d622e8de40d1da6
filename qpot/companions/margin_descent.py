"""Gradient descent and SGD on separable data: the same direction at infinity as the flow's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_count, as_point, as_positive
from qpot._core.interrupts import interruptible
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow, seen
from qpot.companions.homogeneous_models import HomogeneousModel, Margins, as_margins, signed_inputs
from qpot.companions.margin_losses import ExponentialTail, Logistic


@interruptible
def margin_steps(
    X: ArrayLike,
    y: ArrayLike,
    *,
    model: Any = None,
    steps: int,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    relative_rate: float | None = None,
    loss: ExponentialTail | None = None,
    start: PointLike | None = None,
    points: int = 80,
    rng: Any = None,
    progress: ProgressLike = None,
) -> HomogeneousMarginFlow:
    r"""Train a homogeneous model on separable data by gradient descent or SGD.

    Parameters
    ----------
    X, y, model
        As for `margin_flow`; without a model the linear one, f(x) = <theta, x>.
    steps : int
        The number of steps.
    batch_size : int, optional
        The number of samples drawn for every step, without replacement; all of them by default.
    learning_rate : float
        A constant learning rate of the sum of the losses. The direction then moves like 1 / log(steps).
    relative_rate : float
        Instead of ``learning_rate``: a number below 1 for steps that grow as the loss falls, with the learning rate
        relative_rate / sum_i(-l'(q_i) \|grad q_i\|^2). One step changes the margins by about this number, so that log t grows
        like the number of steps.
    loss : ExponentialTail, optional
        `Logistic` (the default) or `Exponential`.
    start : (d,) array, optional
        The first parameters; zero for a linear model, and those of a module.
    points : int
        About the number of steps at which the parameters are kept, spaced evenly in their logarithm.
    rng : int or numpy.random.Generator
        The source of the batches; needed if there are any.
    progress : callable, bool, "auto" or None
        How progress is reported.

    Returns
    -------
    HomogeneousMarginFlow
        The time is the sum of the learning rates.

    Raises
    ------
    ValueError
        If an argument is not usable, or not exactly one of both rates is given.
    SolveError
        If the parameters leave the finite numbers; ``.partial`` is the run up to there.

    Notes
    -----
    For linear models SGD with a fixed rate that is small enough has the direction of the hard-margin machine as its limit
    (Nacson, Srebro and Soudry 2019, arXiv:1806.01796), and with rates that grow like 1 / L it is approached faster (Nacson
    et al. 2019, arXiv:1803.01905). Gradient descent of homogeneous models tends to KKT points as the flow does (Lyu and Li
    2020).

    Examples
    --------
    >>> import numpy as np, qpot
    >>> X = [[2.0, 1.0], [1.5, 3.0], [3.0, 0.2]]
    >>> run = qpot.margin_steps(X, [1, 1, 1], steps=2000, batch_size=1, relative_rate=0.2, rng=0)
    >>> w = run.predictors[-1]
    >>> (w / w.sum()).round(2)  # the l2 machine
    array([0.67, 0.33])
    """
    kind: ExponentialTail = Logistic() if loss is None else loss
    if not isinstance(kind, ExponentialTail):
        raise ValueError(
            f"loss must be qpot.Logistic() or qpot.Exponential(), got {loss!r}: only such a tail has a limit"
        )
    if (learning_rate is None) == (relative_rate is None):
        raise ValueError("pass either learning_rate or relative_rate")
    relative = learning_rate is None
    rate = as_positive(
        relative_rate if relative else learning_rate, name="relative_rate" if relative else "learning_rate"
    )
    if relative and rate >= 1.0:
        raise ValueError(f"relative_rate must be below 1, got {relative_rate!r}")
    n = as_count(steps, name="steps")
    Z = signed_inputs(X, y)
    data = as_margins(X, y, linear(Z.shape[1]) if model is None else model)
    N = data.total.n_samples
    B = N if batch_size is None else as_count(batch_size, name="batch_size")
    if B > N:
        raise ValueError(f"batch_size={B} is larger than the number {N} of samples")
    if B < N and rng is None:
        raise ValueError("rng is needed for batches: pass a seed or a numpy.random.Generator")
    theta = _first(data, start, model is None)
    degree = data.degree(theta if theta.any() else np.ones(theta.size))
    kept = np.unique(np.geomspace(1, n, as_count(points, name="points", minimum=4)).astype(int))
    with reporting(progress, "margin_steps") as report, np.errstate(over="ignore", invalid="ignore"):
        log_times, parameters, finite = _descend(
            data, kind, theta, n, B, rate, relative, kept, np.random.default_rng(rng), report
        )
        run = seen(data, kind, Z, log_times, parameters, degree)
    if not finite:
        raise SolveError(
            "the parameters left the finite numbers; pass a smaller rate", status=Status.NON_FINITE, partial=run
        )
    return run


def linear(features: int) -> HomogeneousModel:
    """The linear model as a homogeneous one, whose machine is that of the l2 norm."""
    return HomogeneousModel(
        predict=lambda theta, X: (X @ theta)[:, None],
        jacobian=lambda theta, X: X[:, None, :],
        dimension=features,
        features=features,
        predictor=lambda theta: theta,
        norm="l2",
    )


def _first(data: Margins, start: PointLike | None, is_linear: bool) -> Array:
    d = data.total.dimension
    if start is not None:
        return np.array(as_point(start, dimension=d, name="start"), dtype=float)
    if data.start is not None:
        return data.start.copy()
    if is_linear:
        return np.zeros(d)
    raise ValueError("start is needed: a model of NumPy comes without parameters")


def _descend(
    data: Margins,
    loss: ExponentialTail,
    theta: Array,
    n: int,
    B: int,
    rate: float,
    relative: bool,
    kept: Any,
    rng: np.random.Generator,
    report: Any,
) -> tuple[Array, Array, bool]:
    """The logarithms of the times, the parameters at the kept steps, and whether all stayed finite."""
    N = data.total.n_samples
    log_time = -np.inf
    log_times: list[float] = []
    parameters: list[Array] = []
    wanted = set(kept.tolist())
    for k in range(1, n + 1):
        slopes = loss.log_slope(data.values(theta))
        rows = data.gradients(theta)
        peak = float(slopes.max())
        weights = np.exp(slopes - peak)
        log_rate = np.log(rate)
        if relative:
            log_rate -= peak + np.log(float(weights @ (rows**2).sum(axis=1)))
        log_time = float(np.logaddexp(log_time, log_rate))
        if B < N:
            drawn = rng.choice(N, size=B, replace=False)
            weights, rows = weights[drawn] * (N / B), rows[drawn]
        theta = theta + np.exp(log_rate + peak) * (weights @ rows)
        if not np.isfinite(theta).all():
            return np.array(log_times), np.array(parameters).reshape(-1, theta.size), False
        if k in wanted:
            log_times.append(log_time)
            parameters.append(theta)
        if k % 500 == 0 or k == n:
            report(k, n, "steps")
    return np.array(log_times), np.array(parameters), True
