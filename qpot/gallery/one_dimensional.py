"""Wells on a line, where the quasi-potential is an integral."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import quad

from qpot._core.arrays import Array, as_positive
from qpot.gallery.case import GalleryCase, two_costs
from qpot.problem.system import System


def double_well() -> GalleryCase:
    """L = x^4/4 - x^2/2 with unit noise: V = 1/2 both ways.

    Returns
    -------
    GalleryCase
    """
    system = System.from_loss(
        lambda x: x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2,
        lambda x: x**3 - x,
        1.0,
        dimension=1,
        hessian=lambda x: (3 * x**2 - 1)[:, :, None],
    )
    return GalleryCase(
        name="double_well",
        system=system,
        bounds=((-2.0, 2.0),),
        minima=np.array([[-1.0], [1.0]]),
        saddles=np.array([[0.0]]),
        costs=two_costs(0.5, 0.5),
        quasipotential=lambda x: np.where(x[:, 0] < 0, (x[:, 0] ** 2 - 1) ** 2 / 2, 0.5 + _right(x[:, 0])),
    )


def _right(x: Array) -> Array:
    """What V gains beyond the saddle of `double_well`: the descent to x = 1 is free, the slope behind it costs again."""
    return np.where(x <= 1.0, 0.0, (x**2 - 1) ** 2 / 2)


def tilted_noise_well() -> GalleryCase:
    """`double_well` with covariance 1 + x/2: the noise alone breaks the tie and selects the left minimum.

    Returns
    -------
    GalleryCase
    """
    system = System.from_loss(
        lambda x: x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2,
        lambda x: x**3 - x,
        lambda x: (1 + x / 2)[:, :, None],
        dimension=1,
    )
    return GalleryCase(
        name="tilted_noise_well",
        system=system,
        bounds=((-1.6, 2.0),),
        minima=np.array([[-1.0], [1.0]]),
        saddles=np.array([[0.0]]),
        costs=two_costs(52 / 3 - 24 * np.log(2), 24 * np.log(1.5) - 28 / 3),
    )


def two_depths(noise: str = "constant") -> GalleryCase:
    """L = x (x - 1) (x - 3)^2 + 1.62276: a deep minimum near 0.407 and a shallow one at 3.

    Parameters
    ----------
    noise : {"constant", "growing"}
        The covariance is 1, or 0.1 + (x - 3)^2, with which SGD selects the minimum of the larger loss.

    Returns
    -------
    GalleryCase

    Raises
    ------
    ValueError
        If ``noise`` is neither of these.
    """
    roots = np.sort(np.roots([4.0, -21.0, 30.0, -9.0]).real)
    low, high = roots[0], roots[1]

    def gradient(x: Array) -> Array:
        return 4 * x**3 - 21 * x**2 + 30 * x - 9

    if noise == "constant":
        covariance: Any = 1.0
        a: Callable[[float], float] = lambda x: 1.0  # noqa: E731
    elif noise == "growing":
        covariance = lambda x: (0.1 + (x - 3) ** 2)[:, :, None]  # noqa: E731
        a = lambda x: 0.1 + (x - 3) ** 2  # noqa: E731
    else:
        raise ValueError(f"noise must be 'constant' or 'growing', got {noise!r}")
    slope = lambda x: 2 * float(gradient(np.array(x))) / a(x)  # noqa: E731
    return GalleryCase(
        name="two_depths",
        system=System.from_loss(
            lambda x: (x * (x - 1) * (x - 3) ** 2)[:, 0] + 1.62276, gradient, covariance, dimension=1
        ),
        bounds=((-0.5, 3.8),),
        minima=np.array([[low], [3.0]]),
        saddles=np.array([[high]]),
        costs=two_costs(quad(slope, low, high, epsabs=1e-13)[0], -quad(slope, high, 3.0, epsabs=1e-13)[0]),
        accuracy=1e-10,
        parameters={"noise": noise},
    )


def loss_noise_well(h: float = 0.7) -> GalleryCase:
    """Noise in proportion to the loss, a = 2 h L, as in regression: the quasi-potential is log(L / L_min) / h.

    L = x (x - 1) (x - 3)^2 + 2.

    Parameters
    ----------
    h : float
        The positive factor of the noise.

    Returns
    -------
    GalleryCase

    Raises
    ------
    ValueError
        If h is not positive.
    """
    h = as_positive(h, name="h")
    roots = np.sort(np.roots([4.0, -21.0, 30.0, -9.0]).real)

    def loss(x: Array) -> Array:
        return np.asarray((x * (x - 1) * (x - 3) ** 2)[:, 0] + 2.0)

    values = loss(np.array([[roots[0]], [roots[1]], [3.0]]))
    return GalleryCase(
        name="loss_noise_well",
        system=System.from_loss(
            loss,
            lambda x: 4 * x**3 - 21 * x**2 + 30 * x - 9,
            lambda x: (2 * h * loss(x))[:, None, None],
            dimension=1,
        ),
        bounds=((-0.3, 3.6),),
        minima=np.array([[roots[0]], [3.0]]),
        saddles=np.array([[roots[1]]]),
        costs=two_costs(np.log(values[1] / values[0]) / h, np.log(values[1] / values[2]) / h),
        accuracy=1e-11,
        reference="T. Mori, L. Ziyin, K. Liu, M. Ueda, Power-law escape rate of SGD, ICML 2022",
        parameters={"h": h},
    )
