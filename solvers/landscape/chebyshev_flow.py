"""Trajectories of stiff gradient flows in many dimensions, by a stabilised explicit method."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import OdeSolver

Array = NDArray[np.float64]

# With this damping of the stability polynomial, steps up to about 2/3 s^2 / radius are stable with s stages.
_DAMPING = 2.0 / 13.0
# A step has at most this many stages.
_MOST_STAGES = 100
# The fastest rate is computed again after this many steps.
_EVERY = 25
# Until then it is assumed to grow by at most this factor.
_MARGIN = 1.1


def stage_count(h: float, fastest: float) -> int:
    """The stages that a step of length h takes at a given fastest rate."""
    return max(2, 1 + int(np.sqrt(1.0 + 1.54 * h * fastest)))


class ChebyshevFlow(OdeSolver):  # type: ignore[misc]  # SciPy has no types.
    """The second-order Runge-Kutta-Chebyshev method for x' = f(x), as a solver of `scipy.integrate`.

    Parameters
    ----------
    fun, t0, y0, t_bound
        As in `scipy.integrate.RK45`, where ``fun`` does not depend on time.
    rtol, atol : float
        The relative and the absolute tolerance of a step.
    radius : callable (d,) -> float
        The largest absolute eigenvalue of the Jacobian at a point. The eigenvalues must be real or nearly so, as those of a
        gradient flow are.

    Notes
    -----
    The method is that of B. P. Sommeijer, L. F. Shampine, J. G. Verwer, J. Comput. Appl. Math. 88 (1998) 315, eqs. 2.1 to
    2.8. A step with s evaluations of f may be s^2 / 5 times as long as one with two. A slow descent in a stiff valley thus
    takes about the square root of the number of evaluations that RK45 needs.
    """

    t: float
    y: Array

    def __init__(
        self,
        fun: Callable[[float, Array], Array],
        t0: float,
        y0: Array,
        t_bound: float,
        *,
        rtol: float,
        atol: float,
        radius: Callable[[Array], float],
    ) -> None:
        super().__init__(fun, t0, y0, t_bound, vectorized=False)
        self.rtol, self.atol, self.radius = rtol, atol, radius
        self.f = self.fun(self.t, self.y)
        self.fastest = _MARGIN * radius(self.y)
        self.taken = 0
        self.h = min(1.0 / max(self.fastest, 1e-300), abs(t_bound - t0))

    def _step_impl(self) -> tuple[bool, str | None]:
        self.taken += 1
        looked = self.taken % _EVERY == 0
        if looked:
            self.fastest = _MARGIN * self.radius(self.y)
        while True:
            longest = (_MOST_STAGES**2 - 1) / (1.54 * self.fastest) if self.fastest > 0.0 else np.inf
            h = min(self.h, longest, self.t_bound - self.t)
            if h <= 1e-14 * max(abs(self.t), 1e-300):
                return False, self.TOO_SMALL_STEP
            s = stage_count(h, self.fastest)
            y = self._stages(h, s)
            f = self.fun(self.t + h, y)
            scale = self.atol + self.rtol * np.maximum(np.abs(y), np.abs(self.y))
            off = (0.8 * (self.y - y) + 0.4 * h * (self.f + f)) / scale
            error = float(np.sqrt((off @ off) / off.size))
            if error <= 1.0:
                break
            self.h = h * max(0.1, 0.8 * error ** (-1.0 / 3.0))
            if not looked:
                # The step may have been unstable rather than inaccurate, since the fastest rate is not up to date.
                self.fastest, looked = _MARGIN * self.radius(self.y), True
        self.h = h * float(np.clip(0.8 * max(error, 1e-12) ** (-1.0 / 3.0), 0.1, 5.0))
        self.t, self.y, self.f = self.t + h, y, f
        return True, None

    def _stages(self, h: float, s: int) -> Array:
        """The result (d,) of a step of length h with s stages."""
        first, coefficients = _coefficients(s)
        y0, f0 = self.y, self.f
        before = y0
        y: Array = y0 + first * h * f0
        for mu, nu, mu_f, gamma in coefficients:
            f = self.fun(self.t, y)
            before, y = y, (1.0 - mu - nu) * y0 + mu * y + nu * before + h * (mu_f * f + gamma * f0)
        return y

    def _dense_output_impl(self) -> None:
        raise NotImplementedError("points between the steps are not kept")


@cache
def _coefficients(s: int) -> tuple[float, list[tuple[float, float, float, float]]]:
    """The coefficient of the first of s stages, and (mu, nu, mu~, gamma~) of each other one (eqs. 2.2 to 2.5)."""
    w0 = 1.0 + _DAMPING / s**2
    T, dT, ddT = np.zeros(s + 1), np.zeros(s + 1), np.zeros(s + 1)
    T[:2], dT[1] = (1.0, w0), 1.0
    for j in range(2, s + 1):
        T[j] = 2.0 * w0 * T[j - 1] - T[j - 2]
        dT[j] = 2.0 * (T[j - 1] + w0 * dT[j - 1]) - dT[j - 2]
        ddT[j] = 2.0 * (2.0 * dT[j - 1] + w0 * ddT[j - 1]) - ddT[j - 2]
    w1 = dT[s] / ddT[s]
    b = np.empty(s + 1)
    b[2:] = ddT[2:] / dT[2:] ** 2
    b[:2] = b[2]
    a = 1.0 - b * T
    others = []
    for j in range(2, s + 1):
        mu_f = 2.0 * b[j] * w1 / b[j - 1]
        others.append((2.0 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], mu_f, -a[j - 1] * mu_f))
    return float(b[1] * w1), others
