"""In the plane, the third order of what it costs to leave a limit cycle, or to come to one.

Beside the orbit the cost is ``q(t) s^2 / 2 + w(t) s^3 / 6`` at the distance s across it. The third derivatives of V along a
cycle obey a linear equation, of which the part across the orbit is one periodic function: the third derivative of
``b . grad V + grad V . a grad V / 2 = 0``. For the cost of coming to a cycle the drift and the time run backwards.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Field = Callable[[Array], Array]

# The step of differences of the Jacobian and of the covariance, as a part of the extent of the orbit.
_STEP = 1e-4


def bend(
    drift: Field, jacobian: Field, covariance: Field, points: Array, rows: Array, step: float, *, leaving: bool
) -> Array:
    """The numbers k (n,) with which ``c + k c^2`` is the root of twice the cost to third order.

    Parameters
    ----------
    points : array (n, 2)
        Points of the orbit at equal steps of time, the ``step``.
    rows : array (n, 2)
        ``c = rows . z`` is that root to second order, at the offset z across the orbit.
    leaving : bool
        Whether the cycle is left, or come to.
    """
    sign = 1.0 if leaving else -1.0
    b = sign * drift(points)
    speed = np.linalg.norm(b, axis=1)
    v = b / speed[:, None]
    root = np.linalg.norm(rows, axis=1)
    n, q = rows / root[:, None], root**2
    h = _STEP * float(np.ptp(points, axis=0).max())
    beyond, before = points + h * n, points - h * n
    B, a = sign * jacobian(points), covariance(points)
    bent = sign * np.einsum("nij,ni,nj->n", (jacobian(beyond) - jacobian(before)) / (2.0 * h), n, n)
    turned = np.einsum("nij,ni,nj->n", (covariance(beyond) - covariance(before)) / (2.0 * h), n, n)
    nn, vn, nv = (np.einsum("nij,ni,nj->n", B, x, y) for x, y in ((n, n), (v, n), (n, v)))
    noise, mixed = (np.einsum("nij,ni,nj->n", a, x, n) for x in (n, v))
    rate = 3.0 * (nn + q * noise)
    # The derivative of V's Hessian along the orbit is its third derivative in that direction.
    along = -(2.0 * q * nn + q**2 * noise) / speed
    source = -3.0 * ((vn + q * mixed + nv) * along + q * bent + q**2 * turned)
    if not leaving:
        rate, source = rate[::-1], source[::-1]
    third = _periodic(rate, source, step)
    third = third if leaving else third[::-1]
    return np.asarray(third / (6.0 * q * root))


def _periodic(rate: Array, source: Array, step: float) -> Array:
    """The periodic solution (n,) of w' = source - rate w, by the implicit trapezoidal rule with exact decay."""
    following, after = np.roll(rate, -1), np.roll(source, -1)
    decay = np.exp(-0.5 * step * (rate + following))
    gained = 0.5 * step * (decay * source + after)
    total, w = 1.0, 0.0
    for e, g in zip(decay, gained, strict=True):
        total, w = total * e, w * e + g
    found = np.empty_like(rate)
    found[0] = w / (1.0 - total)
    for k in range(len(rate) - 1):
        found[k + 1] = decay[k] * found[k] + gained[k]
    return found
