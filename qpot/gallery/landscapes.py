"""Losses with more than two minima."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad

from qpot._core.arrays import Array
from qpot.gallery.case import GalleryCase, diagonal
from qpot.problem.system import System


def egg_crate(noise: ArrayLike = 1.0) -> GalleryCase:
    """Nine minima of L = 2 - cos x - cos y: V is 4 / a_xx or 4 / a_yy for a step to a neighbour along an axis.

    The minima are the origin and its eight neighbours.

    Parameters
    ----------
    noise : number or ``(2, 2)``
        The constant covariance a, a number for isotropic noise.

    Returns
    -------
    GalleryCase
    """
    a = np.asarray(noise, dtype=float)
    a = float(a) * np.eye(2) if a.ndim == 0 else a
    tau = 2 * np.pi
    cells = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=float)
    steps = np.abs(cells[:, None] - cells[None, :])
    halves = [(i / 2, j) for i in (-1, 1) for j in (-1, 0, 1)] + [(i, j / 2) for i in (-1, 0, 1) for j in (-1, 1)]
    return GalleryCase(
        name="egg_crate",
        system=System.from_loss(
            lambda x: 2 - np.cos(x).sum(axis=1), np.sin, a, dimension=2, hessian=lambda x: diagonal(np.cos(x))
        ),
        bounds=((-7.5, 7.5), (-7.5, 7.5)),
        minima=tau * cells,
        saddles=tau * np.array(halves),
        costs=4 * steps[:, :, 0] / a[0, 0] + 4 * steps[:, :, 1] / a[1, 1],
        parameters={"noise": noise},
    )


def four_wells() -> GalleryCase:
    """Four minima of a loss that is separable along turned axes, under a full covariance that depends on the state.

    In coordinates (u, w), turned by 0.5 radians, L = (u^2 - 1)^2/4 + (w^2 - 1)^2/3 and the covariance is
    diag(1 + u/4, 1/(2 + w)). The costs are sums of one-dimensional integrals.

    Returns
    -------
    GalleryCase
    """
    c, s = np.cos(0.5), np.sin(0.5)
    R = np.array([[c, -s], [s, c]])

    def covariance(x: Array) -> Array:
        y = x @ R
        return np.asarray(R @ diagonal(np.stack([1 + y[:, 0] / 4, 1 / (2 + y[:, 1])], axis=1)) @ R.T, dtype=np.float64)

    def loss(x: Array) -> Array:
        y = x @ R
        return np.asarray((y[:, 0] ** 2 - 1) ** 2 / 4 + (y[:, 1] ** 2 - 1) ** 2 / 3)

    def gradient(x: Array) -> Array:
        y = x @ R
        return np.asarray(
            np.stack([y[:, 0] ** 3 - y[:, 0], 4 / 3 * (y[:, 1] ** 3 - y[:, 1])], axis=1) @ R.T, dtype=np.float64
        )

    exit_u = {
        -1: quad(lambda u: 2 * (u**3 - u) / (1 + u / 4), -1, 0, epsabs=1e-13)[0],
        1: -quad(lambda u: 2 * (u**3 - u) / (1 + u / 4), 0, 1, epsabs=1e-13)[0],
    }
    exit_w = {
        -1: quad(lambda w: 8 / 3 * (w**3 - w) * (2 + w), -1, 0, epsabs=1e-13)[0],
        1: -quad(lambda w: 8 / 3 * (w**3 - w) * (2 + w), 0, 1, epsabs=1e-13)[0],
    }
    corners = np.array([(u, w) for u in (-1, 1) for w in (-1, 1)])
    order = np.lexsort(tuple((corners @ R.T).T[::-1]))
    corners = corners[order]
    costs = np.array(
        [
            [(exit_u[p[0]] if p[0] != q[0] else 0.0) + (exit_w[p[1]] if p[1] != q[1] else 0.0) for q in corners]
            for p in corners
        ]
    )
    return GalleryCase(
        name="four_wells",
        system=System.from_loss(loss, gradient, covariance, dimension=2),
        bounds=((-2.0, 2.0), (-2.0, 2.0)),
        minima=corners @ R.T,
        saddles=np.array([(0, 1), (0, -1), (1, 0), (-1, 0)]) @ R.T,
        costs=costs,
        accuracy=1e-10,
    )


def mueller_brown() -> GalleryCase:
    """The Mueller-Brown potential with unit noise: V = 2 (L(saddle) - L(minimum)).

    The minima lie in a row: the cost from the first to the last is a sum of two legs.

    Returns
    -------
    GalleryCase
    """
    A, a = np.array([-200.0, -100.0, -170.0, 15.0]), np.array([-1.0, -1.0, -6.5, 0.7])
    b, c = np.array([0.0, 0.0, 11.0, 0.6]), np.array([-10.0, -10.0, -6.5, 0.7])
    x0, y0 = np.array([1.0, 0.0, -0.5, -1.0]), np.array([0.0, 0.5, 1.5, 1.0])

    def parts(z: Array) -> tuple[Array, Array, Array]:
        x, y = z[:, :1] - x0, z[:, 1:] - y0
        return x, y, A * np.exp(np.minimum(a * x**2 + b * x * y + c * y**2, 600.0))

    def gradient(z: Array) -> Array:
        x, y, e = parts(z)
        return np.stack([(e * (2 * a * x + b * y)).sum(axis=1), (e * (b * x + 2 * c * y)).sum(axis=1)], axis=1)

    low = np.array([-146.69951720995402, -80.76781812965903, -108.16672411685235])
    high = np.array([-40.6648435086574, -72.24894011232523])
    ab, ba, bc, cb = 2 * np.array([high[0] - low[0], high[0] - low[1], high[1] - low[1], high[1] - low[2]])
    return GalleryCase(
        name="mueller_brown",
        system=System.from_loss(lambda z: parts(z)[2].sum(axis=1), gradient, 1.0, dimension=2),
        bounds=((-1.5, 1.2), (-0.2, 2.0)),
        minima=np.array(
            [
                [-0.5582236346330236, 1.4417258418046695],
                [-0.050010822998206084, 0.4666941048719721],
                [0.6234994049308765, 0.02803775852868567],
            ]
        ),
        saddles=np.array([[-0.8220015587327321, 0.6243128028148714], [0.2124865820006621, 0.2929883251073678]]),
        costs=np.array([[0, ab, ab + bc], [ba, 0, bc], [cb + ba, cb, 0]]),
        reference="K. Mueller, L. D. Brown, Theor. Chim. Acta 53 (1979) 75",
    )
