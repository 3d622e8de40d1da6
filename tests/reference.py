"""Closed forms and published values that tests compare with, each with its source.

The convention is dX = b dt + sqrt(eps) sigma dW, a = sigma sigma^T, and an action with 1/2 in front. All numbers
are written out here; nothing is taken from the gallery, whose own answers are checked against them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.linalg import solve_continuous_lyapunov

Array = NDArray[np.float64]


class Reference(NamedTuple):
    """A number that is known independently, with an absolute error of at most ``accuracy``."""

    value: float
    accuracy: float
    source: str


# The source of most closed forms.
FW = "Freidlin, Wentzell, Random Perturbations of Dynamical Systems, ch. 4"

# --- one dimension: V = int 2 L' / a dx uphill (FW, ch. 4) ---------------------------------------------------------
DOUBLE_WELL = Reference(0.5, 1e-15, f"{FW}: 2 (L(0) - L(1)) for L = x^4/4 - x^2/2, a = 1")
DOUBLE_WELL_HALF_WAY = Reference(0.28125, 1e-15, f"{FW}: 2 (L(-1/2) - L(-1))")
TILTED_NOISE_LEFT = Reference(52 / 3 - 24 * np.log(2), 1e-14, f"{FW}: the same L, a = 1 + x/2, by hand")
TILTED_NOISE_RIGHT = Reference(24 * np.log(3 / 2) - 28 / 3, 1e-14, f"{FW}: the same L, a = 1 + x/2, by hand")
TWO_DEPTHS_CONSTANT = (
    Reference(7.405100286552928, 1e-13, f"{FW}: L = x (x-1) (x-3)^2, a = 1, from the deep minimum"),
    Reference(4.159581393276464, 1e-13, f"{FW}: from the shallow minimum"),
)
TWO_DEPTHS_GROWING = (
    Reference(2.1025779388025594, 1e-13, f"{FW}: a = 0.1 + (x-3)^2, from the deep minimum"),
    Reference(13.944342213001969, 1e-12, f"{FW}: from the shallow minimum, which is selected"),
)
LOSS_NOISE = (
    Reference(3.4013112995640915, 1e-13, "Mori, Ziyin, Liu, Ueda, ICML 2022: log(L_s / L_min) / h, a = 2 h L, h = 0.7"),
    Reference(1.0184264381381036, 1e-13, "Mori, Ziyin, Liu, Ueda, ICML 2022: the other side"),
)
EXIT_OF_INTERVAL = Reference(1.0, 1e-15, f"{FW}: dx = -x dt + noise leaves (-1, 2) at -1; V = x^2")
SIGN_FLOW = Reference(3.0, 1e-15, f"{FW}: b = -sign x, a = 1: V = 2 |x| at 1.5")
RMSPROP = Reference(
    1.9780852219921465, 1e-13, f"{FW}: b = -x / sqrt(v), a = C / v, v = C + x^2, C = 1/2: V' = 2 x sqrt(v) / C, at 1"
)
LOG_NOISE = Reference(5.149745103131765, 1e-13, f"{FW}: b = -1.5 x, a = (0.8 x)^2: V(1, 3) = 2 b / s^2 log 3")

# --- two and more dimensions ---------------------------------------------------------------------------------------
SEPARABLE = Reference(1.0, 1e-15, f"{FW}: L = (x^2-1)^2/4 + 3 y^2/4, a = diag(1/2, 2): 2 dL / a_xx")
SEPARABLE_AT = Reference(0.6825, 1e-15, f"{FW}: V((-1, 0), (-0.5, 0.4)) of the same")
# Hu, Zhu, Xiong, Huan 2019 (arXiv:1901.06054) leave the covariance open; it is reconstructed with h = (1 + tanh 2x)/2.
SYMMETRIC_LEFT = Reference(0.46947363395136743, 1e-14, "x moves on its own: int 2 (x^3-x)/(1 + h/2) over (-1, 0)")
SYMMETRIC_RIGHT = Reference(0.34942659821812166, 1e-14, "the same over (0, 1)")
SYMMETRIC_RIGHT_NEGATIVE = Reference(0.887771255238129, 1e-13, "the same with s = -1/2")
ROTATED_30 = Reference(5 / 14, 1e-15, "V = 1/(2 a_xx) by projection, a = R(30 deg) diag(1.8, 0.2) R^T, a_xx = 1.4")
ROTATED_60 = Reference(5 / 6, 1e-14, "the same with 60 deg, a_xx = 0.6")
EGG_CRATE = Reference(4.0, 1e-14, f"{FW}: 2 dL / a_xx with dL = 2")
EGG_CRATE_ANISOTROPIC = Reference(8 / 3, 1e-14, f"{FW}: a = diag(1.5, 0.5): 4 / 1.5 along x, 4 / 0.5 along y")
RADIAL = Reference(4.0, 1e-14, f"{FW}: L = r^2/2 + r^4/4, a = (1 + r^2) I: V = r^2, at r = 2")
HIGH_DIMENSIONAL_AT_10 = Reference(0.2869333333333333, 1e-15, "turned separable loss in 10 dimensions, closed form")
HIGH_DIMENSIONAL_AT_100 = Reference(0.34627492063492055, 1e-15, "the same in 100 dimensions")

# For linear drifts A S + S A^T = a (the Lyapunov equation) and V = x^T S^{-1} x / 2 (FW, ch. 4).
OU_GRADIENT = Reference(3.4742468415937813, 1e-13, "A = [[2, 1], [1, 3]], a = [[1, .6], [.6, 2]]: V at (1, 1)")
OU_ROTATING = Reference(0.8125, 1e-14, "A = [[1, 2], [-1, .5]], a = diag(1, 4): S = [[2.5, -1], [-1, 2]], V at (1, 1)")

# Maier, Stein, SIAM J. Appl. Math. 57 (1997) 752; V((-1, 0), (0, 0)) to ten digits, in which shooting and
# Chebyshev-Ritz agree.
MAIER_STEIN = {
    (1.0, 1.0): Reference(0.5, 1e-15, "the axis, while beta <= 4 mu"),
    (3.0, 1.0): Reference(0.5, 1e-15, "the axis"),
    (5.0, 1.0): Reference(0.4830697092, 1e-10, "bowed"),
    (10.0, 1.0): Reference(0.3400414033, 1e-10, "bowed"),
    (10.0, 2.0): Reference(0.5, 1e-15, "the axis"),
}
# With beta = 10 and mu = 1, a = R(0.4) diag(0.5, 2) R(0.4)^T breaks the symmetry of the two curved paths.
MAIER_STEIN_BETTER = Reference(0.1905412494, 1e-10, "the cheaper of two local minimisers")
MAIER_STEIN_WORSE = Reference(0.3111721417, 1e-10, "the dearer one, where a single start may end")

# Moore, Stieha, Nolting, Cameron, Abbott, The R Journal 8(2) (2016) 19, example 1. The values are converged: by
# shooting from an order-8 jet (the first) and by a Chebyshev path of the geometric action (the second). Those published
# come from a grid: 0.014112, 0.0018595.
CONSUMER_RESOURCE = (
    Reference(0.0122596493, 6e-11, "from the focus"),
    Reference(0.0018932179, 6e-11, "from the node"),
)

# Mueller, Brown, Theor. Chim. Acta 53 (1979) 75; V = 2 (L(saddle) - L(minimum)), with the fixed points by
# Newton's method.
MUELLER_BROWN_MINIMA = (-146.69951720995402, -80.76781812965903, -108.16672411685235)
MUELLER_BROWN_SADDLES = (-40.6648435086574, -72.24894011232523)
MUELLER_BROWN_A_B = Reference(212.06934740259325, 1e-9, "one leg")
MUELLER_BROWN_B_C = Reference(17.03775603466761, 1e-9, "one leg")
MUELLER_BROWN_A_C = Reference(229.1071034, 1e-7, "the sum of both legs")


def lyapunov_quasipotential(A: Array, a: Array, x: Array) -> Array:
    """The quasi-potential V(0, x) ``(n,)`` of the drift -A x with constant covariance a."""
    S = solve_continuous_lyapunov(A, a)
    return np.asarray(0.5 * np.einsum("ni,ni->n", x, np.linalg.solve(S, x.T).T), dtype=np.float64)


def integral(slope: Callable[[float], float], low: float, high: float) -> float:
    """A one-dimensional cost by adaptive quadrature."""
    return float(quad(slope, low, high, epsabs=1e-14, epsrel=1e-13, limit=200)[0])


def four_wells_costs(u: Array, w: Array) -> Array:
    """Costs between minima at turned coordinates (u_i, w_i) = (+-1, +-1): sums of one-dimensional integrals.

    L = (u^2-1)^2/4 + (w^2-1)^2/3 with covariance diag(1 + u/4, 1/(2 + w)) in the turned coordinates (FW, ch. 4).
    """

    def leave_u(sign: float) -> float:
        # The cost is int 8 (u^3 - u) / (4 + u) du from the well to 0.
        return abs(integral(lambda x: 8 * (x**3 - x) / (4 + x), min(sign, 0.0), max(sign, 0.0)))

    def leave_w(sign: float) -> float:
        # The cost int 8/3 (w^3 - w) (2 + w) dw has the antiderivative 8/3 (w^5/5 + w^4/2 - w^3/3 - w^2).
        F = 8 / 3 * (sign / 5 + 0.5 - sign / 3 - 1)
        return abs(F)

    forth_u = np.array([leave_u(float(s)) for s in u])
    forth_w = np.array([leave_w(float(s)) for s in w])
    return np.asarray(
        forth_u[:, None] * (u[:, None] != u[None]) + forth_w[:, None] * (w[:, None] != w[None]), dtype=np.float64
    )
