"""Gradient flow of an exponential-tail loss in logarithmic time, where t = 1e100 is 230 units away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import Radau

Array = NDArray[np.float64]

# The integration reached the last time.
OK = 0
# The step size fell to rounding on the way.
STEP_FAILED = 1


def log_time_flow(
    samples: Array,
    log_multiplicities: Array,
    log_slope: Callable[[Array], Array],
    slope_rate: Callable[[Array], Array],
    start: Array,
    stretched_times: Array,
    *,
    rtol: float,
    atol: float,
    after_step: Callable[[Array], None],
) -> tuple[Array, int]:
    r"""Integrate theta' = sum_i c_i (-l'(<theta, z_i>)) z_i over s = log(1 + t).

    In this variable d theta / d s = sum_i exp(s + log c_i + log(-l')) z_i. On the trajectory the exponents stay bounded,
    since <theta, z_i> grows like log t for the support vectors, so that nothing overflows and steps may be long.

    Parameters
    ----------
    samples : array (N, d)
        The samples z_i with their labels absorbed.
    log_multiplicities : array (N,)
        The logarithms of the multiplicities c_i.
    log_slope, slope_rate : callable ``(N,) -> (N,)``
        log(-l') and d log(-l') / dz as functions of <theta, z_i>.
    start : array (d,)
        The parameters at s = 0.
    stretched_times : array (n,)
        The values of s at which the parameters are wanted, rising from 0.
    rtol, atol : float
        Local error tolerances.
    after_step : callable
        Called with the points that are known after each step.

    Returns
    -------
    points : array (n, d)
        The parameters at these values of s; fewer rows if the status is STEP_FAILED.
    status : int
    """

    def pulls(s: float, theta: Array) -> tuple[Array, Array]:
        margins = samples @ theta
        # The cap is never reached on the trajectory, but a trial step that is then rejected may be far away from it.
        return margins, np.exp(np.minimum(s + log_multiplicities + log_slope(margins), 600.0))

    def velocity(s: float, theta: Array) -> Array:
        return samples.T @ pulls(s, theta)[1]

    def jacobian(s: float, theta: Array) -> Array:
        margins, weights = pulls(s, theta)
        return (samples.T * (weights * slope_rate(margins))) @ samples

    points, done = np.empty((stretched_times.size, start.size)), 0
    solver = Radau(velocity, 0.0, start, float(stretched_times[-1]), rtol=rtol, atol=atol, jac=jacobian)
    while solver.status == "running":
        solver.step()
        if solver.status == "failed":
            return points[:done], STEP_FAILED
        reached = int(np.searchsorted(stretched_times, solver.t, side="right"))
        if reached > done:
            points[done:reached] = np.asarray(solver.dense_output()(stretched_times[done:reached])).T
            done = reached
        after_step(points[:done])
    return points, OK
