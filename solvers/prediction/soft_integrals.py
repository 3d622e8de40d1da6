"""Integrals of exp(-v / epsilon) along a direction in which v is hardly curved, against those of its quadratic part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.interpolate import CubicHermiteSpline

Array = np.ndarray[Any, np.dtype[np.float64]]

# Half-lines are divided into panels, each twice as long as the one before, with so many Gauss points each: the first is so
# short that Gaussians of every width are resolved.
_PANELS, _POINTS = 40, 16
# Where v exceeds this multiple of epsilon nothing is left of the integrand.
_NOTHING = 60.0


def nodes_and_weights(end: float) -> tuple[Array, Array]:
    """Nodes and weights of a composite Gauss rule on (0, end), whose panels get shorter and shorter towards zero."""
    edges = end * np.concatenate([[0.0], 2.0 ** np.arange(1.0 - _PANELS, 1.0)])
    x, w = np.polynomial.legendre.leggauss(_POINTS)
    half = 0.5 * np.diff(edges)
    return (edges[:-1, None] + half[:, None] * (1.0 + x)).ravel(), (half[:, None] * w).ravel()


def turn_of(second: float, third: float, fourth: float) -> float:
    """The first z > 0 at which second z^2 / 2 + third z^3 + fourth z^4 stops to grow; infinite where it always grows."""
    # The derivative is z (second + 3 third z + 4 fourth z^2).
    a, b, c = 4.0 * fourth, 3.0 * third, second
    under = b * b - 4.0 * a * c
    if under < 0.0:
        return math.inf
    q = -0.5 * (b + math.copysign(math.sqrt(under), b))
    roots = [r for r in (q / a if a else math.inf, c / q if q else math.inf) if r > 0.0]
    return min(roots, default=math.inf)


def polynomial_ratio(second: float, third: float, fourth: float, epsilon: float) -> float:
    r"""The integral of exp(-v / epsilon) over that of its Gaussian part, for v = second z^2 / 2 + third z^3 + fourth z^4.

    .. math:: R(\epsilon) = \frac{1}{\sqrt{2\pi}} \int
              \exp\Bigl(-\tfrac12 z^2 - \kappa_3 \sqrt\epsilon z^3 - \kappa_4 \epsilon z^4\Bigr) dz

    The integral ends on each side where v stops to grow, since what lies beyond belongs to a neighbour. Where ``second`` is
    zero, the ratio is that to the integral of exp(-fourth z^4 / epsilon).
    """
    if second > 0.0:
        a3, a4 = third * math.sqrt(epsilon) / second**1.5, fourth * epsilon / second**2
        quadratic, norm = 1.0, math.sqrt(2.0 * math.pi)
    else:
        quadratic, a3, a4 = 0.0, third * epsilon**-0.25 / fourth**0.75, 1.0
        norm = 0.5 * math.gamma(0.25)
    total = 0.0
    for sign in (1.0, -1.0):
        end, reached = turn_of(quadratic, sign * a3, a4), 1e-12
        while reached < end and reached * reached * (0.5 * quadratic + reached * (sign * a3 + reached * a4)) < _NOTHING:
            reached *= 2.0
        z, w = nodes_and_weights(min(end, reached))
        total += float(w @ np.exp(-z * z * (0.5 * quadratic + z * (sign * a3 + z * a4))))
    return total / norm


def profile_integrals(z: Array, slopes: Array, curvatures: Array, weights: Array, epsilons: Array) -> Array:
    """The integrals of exp(weight - v / epsilon) from zero to the last of the nodes, one for each noise level.

    Parameters
    ----------
    z : array (n,)
        Increasing distances, the first of them zero.
    slopes, curvatures : array (n,)
        The first and the second derivative of v there; v(0) = 0.
    weights : array (n,)
        Logarithms of the factors beside the exponential.
    epsilons : array (m,)
    """
    x, w = nodes_and_weights(float(z[-1]))
    v = CubicHermiteSpline(z, slopes, curvatures).antiderivative()(x)
    factors = w * np.exp(np.interp(x, z, weights))
    with np.errstate(under="ignore"):
        return np.asarray(np.exp(-np.maximum(v, 0.0) / epsilons[:, None]) @ factors)
