"""Gradient flow of an exponential-tail loss of a homogeneous model, in the logarithm of logarithmic time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import Radau

Array = NDArray[np.float64]

# The integration reached the last time.
OK = 0
# The step size fell to rounding on the way.
STEP_FAILED = 1
# The limit of steps was reached on the way.
TOO_MANY = 2
# The flow came to rest at finite parameters: the pulls of the samples cancel to this share of their sizes.
AT_REST = 3
_CANCELLED = 1e-8


class MarginFunctions(NamedTuple):
    """The margins of the samples as functions of the parameters.

    Attributes
    ----------
    values : callable ``(d,) -> (N,)``
        The margins q_i.
    gradients : callable ``(d,) -> (N, d)``
        Their gradients.
    curvature : callable ``((d,), (N,)) -> (d, d)``
        The Hessian of sum_i w_i q_i; it need not be exact.
    """

    values: Callable[[Array], Array]
    gradients: Callable[[Array], Array]
    curvature: Callable[[Array, Array], Array]


def homogeneous_flow(
    margins: MarginFunctions,
    log_slope: Callable[[Array], Array],
    slope_rate: Callable[[Array], Array],
    start: Array,
    log_times: Array,
    *,
    rtol: float,
    atol: float,
    max_steps: int,
    after_step: Callable[[float, Array], None],
) -> tuple[Array, int]:
    r"""Integrate theta' = -grad sum_i l(q_i(theta)) over r = log(1 + s) with s = log(1 + t).

    In this variable d theta / d r = (1 + s) sum_i exp(s + log(-l'(q_i))) grad q_i. The margins q grow like s, so
    that the exponents stay bounded on the trajectory, and the direction, which moves like a power of s, moves at a rate that
    does not fall in r. The equation is stiff with a rate like s, for which the method is implicit.

    Parameters
    ----------
    margins : MarginFunctions
    log_slope, slope_rate : callable ``(N,) -> (N,)``
        log(-l') and d log(-l') / dq.
    start : array (d,)
        The parameters at t = 0.
    log_times : array (n,)
        The values of s at which the parameters are wanted, rising, above 0.
    rtol, atol : float
        Local error tolerances; ``atol`` is in units of the largest parameter at the start.
    max_steps : int
        The number of steps after which the integration is given up.
    after_step : callable
        Called after each step with r and the points that are known.

    Returns
    -------
    points : array (n, d)
        The parameters at these times; fewer rows if the status is not OK. Where the flow came to rest the last row is the
        point of rest.
    status : int
    """

    def pulls(r: float, theta: Array) -> tuple[Array, Array]:
        q = margins.values(theta)
        s = np.expm1(r)
        # The cap is never reached on the trajectory, but a trial step that is then rejected may be far away from it.
        return q, (1.0 + s) * np.exp(np.minimum(s + log_slope(q), 200.0))

    def velocity(r: float, theta: Array) -> Array:
        return pulls(r, theta)[1] @ margins.gradients(theta)

    def jacobian(r: float, theta: Array) -> Array:
        q, weights = pulls(r, theta)
        rows = margins.gradients(theta)
        return margins.curvature(theta, weights) + (rows.T * (weights * slope_rate(q))) @ rows

    wanted = np.log1p(log_times)
    points = np.empty((wanted.size, start.size))
    floor = atol * max(float(np.abs(start).max()), 1e-300)
    solver = Radau(velocity, 0.0, start, float(wanted[-1]), rtol=rtol, atol=floor, jac=jacobian)
    done = 0
    for _ in range(max_steps):
        # A trial step far away may overflow; it is then rejected.
        with np.errstate(over="ignore", invalid="ignore"):
            message = solver.step()
        if solver.status == "failed" or message is not None:
            return points[:done], STEP_FAILED
        reached = np.searchsorted(wanted, solver.t, side="right")
        if reached > done:
            inside = wanted[done:reached]
            points[done:reached] = np.asarray(solver.dense_output()(inside)).T
            # The last point is a step of the method itself.
            if inside[-1] == solver.t:
                points[reached - 1] = solver.y
            done = int(reached)
        after_step(float(solver.t), points[:done])
        if solver.status == "finished":
            return points, OK
        weights, rows = pulls(solver.t, solver.y)[1], margins.gradients(solver.y)
        # Where all pulls underflow, both sides are zero, and the flow has not come to rest.
        if np.linalg.norm(weights @ rows) < _CANCELLED * float(weights @ np.linalg.norm(rows, axis=1)):
            return np.concatenate([points[:done], solver.y[None]]), AT_REST
    return points[:done], TOO_MANY
