"""Gradient flow of an exponential-tail loss in logarithmic time, where t = 1e100 is 230 units away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

Array = NDArray[np.float64]

OK, STEP_FAILED = 0, 1


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
) -> tuple[Array, int]:
    r"""Integrate theta' = sum_i c_i (-l'(<theta, z_i>)) z_i over s = log(1 + t).

    d theta / d s = sum_i exp(s + log c_i + log(-l')) z_i. On the trajectory the exponents stay bounded, since
    the margins of the support vectors grow like log t, so nothing overflows and steps may be long.

    Parameters are ``samples`` ``(N, d)`` (labels absorbed), log c ``(N,)``, log(-l') and d log(-l') / dz as
    functions of ``(N,)`` margins, the start ``(d,)`` and the output times s ``(n,)``, rising from 0. Returns
    points ``(n, d)``, or fewer with STEP_FAILED.
    """

    def pulls(s: float, theta: Array) -> tuple[Array, Array]:
        margins = samples @ theta
        # The cap is never reached on the trajectory; a rejected trial step may be far off it.
        return margins, np.exp(np.minimum(s + log_multiplicities + log_slope(margins), 600.0))

    def velocity(s: float, theta: Array) -> Array:
        return samples.T @ pulls(s, theta)[1]

    def jacobian(s: float, theta: Array) -> Array:
        margins, weights = pulls(s, theta)
        return (samples.T * (weights * slope_rate(margins))) @ samples

    solution = solve_ivp(
        velocity,
        (0.0, float(stretched_times[-1])),
        start,
        method="Radau",
        t_eval=stretched_times,
        jac=jacobian,
        rtol=rtol,
        atol=atol,
    )
    return np.ascontiguousarray(solution.y.T), OK if solution.status == 0 else STEP_FAILED
