"""The margins of a homogeneous model read from the losses of its samples, and their flow to infinity."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import SolveError
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow, homogeneous_margin_flow
from qpot.companions.homogeneous_models import Margins
from qpot.companions.margin_descent import margin_steps
from qpot.companions.margin_losses import Exponential, ExponentialTail, Logistic
from qpot.samples.finite_sum import FiniteSum

# Margins are read where the largest is this number: the losses of larger ones are lost in rounding.
_READ_AT = 4.0
# The flow is followed up to this logarithm of the time, at so many times; at kinks so many steps of descent replace it.
_LOG_TIME, _TIMES, _STEPS, _RATE = 1e6, 40, 4000, 0.5
# Above this dimension its steps take long, and the direction that was found is the answer.
_MOST = 200
# The degree that the losses show far out is a whole number or a simple fraction within this part.
_ROUND = 0.05


def flow_of_losses(
    total: FiniteSum, start: Array, far: Array, degree: float
) -> tuple[HomogeneousMarginFlow | None, str]:
    """The flow of the margins behind a sum's losses, or None, and why it is none or did not come to its end.

    Parameters
    ----------
    total : FiniteSum
        Its losses are l(q_i) with margins q_i of a homogeneous model, and l logistic or exponential.
    start, far : array (d,)
        The parameters from which to train, and some at which all losses are small.
    degree : float
        The degree of homogeneity, roughly.
    """
    if total.dimension > _MOST:
        return None, f"the flow of margins is followed up to {_MOST} parameters, and there are {total.dimension}"
    why = ""
    for loss in (Logistic(), Exponential()):
        margins = _margins(total, far, degree, loss)
        try:
            margins.degree(start if start.any() else far)
        except ValueError as error:
            why = why or f"its margins were not read from the losses: {error}"
            continue
        return _followed(margins, start if start.any() else far, loss)
    return None, why


def _followed(margins: Margins, start: Array, loss: ExponentialTail) -> tuple[HomogeneousMarginFlow | None, str]:
    N = margins.total.n_samples
    given = (np.ones((N, 1)), np.ones(N))
    try:
        flow = homogeneous_margin_flow(*given, model=margins, loss=loss, start=start, log_time=_LOG_TIME, points=_TIMES)
    except (SolveError, ValueError) as error:
        why = f"the flow stopped: {error}"
    else:
        return flow, ""
    try:
        # Gradient descent also goes along kinks, as those of ReLU units.
        run = margin_steps(*given, model=margins, loss=loss, start=start, steps=_STEPS, relative_rate=_RATE)
    except (SolveError, ValueError) as error:
        return None, f"{why}; {error}"
    if run.margins[-1].min() <= 0.0:
        return None, why
    return run, f"{why}. The direction is that of {_STEPS} steps of gradient descent instead"


def _margins(total: FiniteSum, far: Array, degree: float, loss: ExponentialTail) -> Margins:
    """The margins as functions of the parameters, read at a norm where no loss is lost in rounding."""
    whole = round(degree)
    D = float(whole) if whole and abs(degree - whole) <= _ROUND * whole else degree
    logistic = isinstance(loss, Logistic)

    def read(points: Array) -> Array:
        losses = total.losses_at(points)
        return -np.log(np.expm1(losses)) if logistic else -np.log(losses)

    largest = float(read(far[None]).max())
    norm = float(np.linalg.norm(far)) * (_READ_AT / max(largest, _READ_AT)) ** (1.0 / D)

    def scaled(points: Array) -> tuple[Array, Array]:
        size = np.maximum(np.linalg.norm(points, axis=1), 1e-300) / norm
        return size, points / size[:, None]

    def values(points: Array) -> Array:
        size, y = scaled(points)
        with np.errstate(all="ignore"):
            return np.asarray(size[:, None] ** D * read(y))

    def gradients(points: Array) -> Array:
        size, y = scaled(points)
        losses = total.losses_at(y)
        with np.errstate(all="ignore"):
            slopes = -1.0 / -np.expm1(-losses) if logistic else -1.0 / losses
            return np.asarray((size ** (D - 1.0))[:, None, None] * slopes[:, :, None] * total.gradients_at(y))

    return Margins(
        total=FiniteSum(
            sample_losses=values, sample_gradients=gradients, n_samples=total.n_samples, dimension=total.dimension
        ),
        start=None,
        model=None,
    )
