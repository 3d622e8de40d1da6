"""Whether a loss falls for ever along a direction: separable data, decided for linear and for homogeneous models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from qpot._core.arrays import Array
from qpot._core.interrupts import interruptible
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike
from qpot.companions.homogeneous_margin import homogeneous_margin_flow
from qpot.companions.homogeneous_models import as_margins, signed_inputs, starting_point
from qpot.companions.margin_losses import ExponentialTail, margin_sum_parts
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.companions.max_margin import MARGIN_TOLERANCE

SEPARABLE = "separable"
PARTLY = "partly separable"
OVERLAP = "overlapping"
UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True, eq=False)
class Separability:
    """Whether the data are separable, with the evidence.

    Attributes
    ----------
    verdict : {"separable", "partly separable", "overlapping", "undecided"}
        Partly separable data (quasi-completely separated, Albert and Anderson 1984) have a direction along which no margin
        falls and some margin rises, but none along which all rise: the loss has no minimum, but does not fall to zero.
    falls_for_ever : bool or None
        Whether the loss falls for ever along a direction and so has no minimum; None if undecided.
    direction : (d,) array or None
        Such a direction of length 1.
    margin : float
        The smallest margin along the direction, min_i q_i; zero for partly separable data, NaN where there is no direction.
    certificate : (N,) array or None
        For overlapping data numbers u_i > 0 with sum u_i y_i x_i = 0: along every direction some margin falls, or none moves.
    reason : str
        What decided, in words.
    """

    verdict: str
    falls_for_ever: bool | None
    direction: Array | None
    margin: float
    certificate: Array | None
    reason: str

    def __repr__(self) -> str:
        return f"Separability({self.verdict}: {self.reason})"


@interruptible
def separability(
    X: ArrayLike, y: ArrayLike, *, model: Any = None, start: PointLike | None = None, log_time: float = 100.0
) -> Separability:
    """Whether data are separable by a linear or by a homogeneous model, so that an exponential-tail loss falls for ever.

    Parameters
    ----------
    X : (N, p) array
        Samples as rows.
    y : (N,) array
        Labels +1 and -1.
    model : optional
        A homogeneous model as `margin_flow` takes it; by default the linear one, for which the answer is always found.
    start : (d,) array, optional
        For a model: parameters that separate the data, or from which to train.
    log_time : float
        For a model: natural logarithm of the time after which training is given up.

    Returns
    -------
    Separability
        For a model the verdict is "separable" or "undecided": parameters with positive margins prove the one, and that
        training found none proves nothing.

    Raises
    ------
    ValueError
        If an argument is not usable.
    SolveError
        If a linear programme cannot be solved.

    Notes
    -----
    For a model of degree D with positive margins q_i at theta, those at c theta are c^D q_i, and every loss l(q_i) with l
    falling to zero falls to zero along theta.

    Examples
    --------
    >>> import qpot
    >>> qpot.separability([[1.0, 0.0], [0.0, 1.0]], [1, -1]).verdict
    'separable'
    >>> qpot.separability([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [1, 1, 1]).verdict
    'partly separable'
    >>> qpot.separability([[1.0], [2.0]], [1, -1])
    Separability(overlapping: a positive combination of all signed samples is zero)
    """
    if model is None:
        return _linear(signed_inputs(X, y))
    data = as_margins(X, y, model)
    theta = starting_point(data, start)
    if data.values(theta).min() > 0.0:
        degree, size = data.degree(theta), float(np.linalg.norm(theta))
        return Separability(
            verdict=SEPARABLE, falls_for_ever=True, direction=theta / size,
            margin=float(data.values(theta).min()) / size**degree, certificate=None,
            reason=f"all margins are positive at start; the model is homogeneous of degree {degree:.3g}",
        )  # fmt: skip
    try:
        flow = homogeneous_margin_flow(X, y, model=model, start=theta, log_time=log_time, rtol=1e-6, points=8)
    except SolveError as error:
        return Separability(
            verdict=UNDECIDED, falls_for_ever=None, direction=None, margin=float("nan"), certificate=None,
            reason=f"training from here did not separate the data ({error})",
        )  # fmt: skip
    return Separability(
        verdict=SEPARABLE, falls_for_ever=True, direction=flow.directions[-1], margin=float(flow.normalised_margins[-1]),
        certificate=None, reason=f"training separated all samples; the model is homogeneous of degree {flow.degree:.3g}",
    )  # fmt: skip


def separability_of(total: FiniteSum) -> Separability:
    """Whether a finite sum falls for ever along a direction, where that can be decided.

    Parameters
    ----------
    total : FiniteSum
        Decided for `qpot.margin_sum` and `qpot.logistic_sum`; any other sum is undecided.

    Returns
    -------
    Separability
        ``falls_for_ever`` is False with a penalty, and for losses that are zero beyond a margin (hinges).

    Raises
    ------
    ValueError
        If ``total`` is not a finite sum.

    Examples
    --------
    >>> import qpot
    >>> X, y = [[1.0, 0.0], [0.0, 1.0]], [1, -1]
    >>> qpot.companions.separability_of(qpot.logistic_sum(X, y)).falls_for_ever
    True
    >>> qpot.companions.separability_of(qpot.margin_sum(X, y, penalty=0.1)).falls_for_ever
    False
    """
    if not isinstance(total, FiniteSum):
        raise ValueError(f"total must be a qpot.FiniteSum, got {type(total).__name__}")
    parts = margin_sum_parts(total)
    if parts is None:
        return Separability(
            verdict=UNDECIDED, falls_for_ever=None, direction=None, margin=float("nan"), certificate=None,
            reason="the sum is none of linear margins; call qpot.separability(X, y, model=...) with the model",
        )  # fmt: skip
    Z, loss, penalty = parts
    found = _linear(Z)
    if penalty > 0.0:
        return _kept(found, f"the penalty {penalty:g} makes the loss rise in every direction")
    if not isinstance(loss, ExponentialTail):
        return _kept(found, f"{type(loss).__name__} is zero beyond a margin, so that the loss has a minimum")
    return found


def _kept(found: Separability, reason: str) -> Separability:
    """The verdict about the data with a loss that has a minimum all the same."""
    return Separability(
        verdict=found.verdict, falls_for_ever=False, direction=found.direction, margin=found.margin,
        certificate=found.certificate, reason=reason,
    )  # fmt: skip


def _linear(Z: Array) -> Separability:
    """The verdict for the linear model on signed samples ``(N, d)``, by at most three linear programmes."""
    lengths = np.linalg.norm(Z, axis=1)
    moving = lengths > 0.0
    A = Z[moving] / lengths[moving, None]
    n, d = A.shape
    if n == 0:
        return _overlapping(np.ones(Z.shape[0]), "all samples are zero, and the loss does not depend on the parameters")
    box = [(-1.0, 1.0)] * d
    # The largest m with A w >= m for some w in the cube.
    found = _programme(np.append(np.zeros(d), -1.0), np.hstack([-A, np.ones((n, 1))]), np.zeros(n), [*box, (0.0, 1.0)])
    if found[-1] > MARGIN_TOLERANCE and moving.all():
        w = found[:d] / np.linalg.norm(found[:d])
        return Separability(
            verdict=SEPARABLE, falls_for_ever=True, direction=w, margin=float((Z @ w).min()), certificate=None,
            reason="a hyperplane through the origin has every sample on its side",
        )  # fmt: skip
    # The largest sum of slacks s with A w >= s >= 0: zero if no margin can rise without another falling.
    cost = np.append(np.zeros(d), -np.ones(n))
    found = _programme(cost, np.hstack([-A, np.eye(n)]), np.zeros(n), box + [(0.0, 1.0)] * n)
    if found[d:].sum() > MARGIN_TOLERANCE * n:
        w = found[:d] / np.linalg.norm(found[:d])
        rising = int((A @ w > MARGIN_TOLERANCE).sum())
        return Separability(
            verdict=PARTLY, falls_for_ever=True, direction=w, margin=0.0, certificate=None,
            reason=f"{rising} of {Z.shape[0]} margins rise along a direction and none falls",
        )  # fmt: skip
    # Numbers u >= 1 with sum u_i a_i = 0 exist by Stiemke's lemma.
    u = _programme(np.ones(n), None, None, [(1.0, None)] * n, equal=(A.T, np.zeros(d)))
    certificate = np.ones(Z.shape[0])
    certificate[moving] = u / lengths[moving]
    return _overlapping(certificate / certificate.sum(), "a positive combination of all signed samples is zero")


def _overlapping(certificate: Array, reason: str) -> Separability:
    return Separability(
        verdict=OVERLAP,
        falls_for_ever=False,
        direction=None,
        margin=float("nan"),
        certificate=certificate,
        reason=reason,
    )


def _programme(cost: Array, A: Array | None, b: Array | None, box: list[Any], *, equal: Any = (None, None)) -> Array:
    """The solution of a linear programme."""
    solution = linprog(cost, A_ub=A, b_ub=b, A_eq=equal[0], b_eq=equal[1], bounds=box, method="highs")
    if solution.status != 0:
        raise SolveError(
            f"a linear programme about separability was not solved: {solution.message}; rescale the features",
            status=Status.NOT_CONVERGED,
            partial=None,
        )
    return np.asarray(solution.x)
