"""Drifts that are not gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_continuous_lyapunov

from qpot._core.arrays import Array, as_positive
from qpot.gallery.case import GalleryCase, two_costs
from qpot.problem.system import System

# V from (-1, 0) to the saddle by (beta, mu), converged values of shooting and of a spectral method. The value is 1/2 as
# long as the path along the axis is optimal.
_MAIER_STEIN = {(1.0, 1.0): 0.5, (5.0, 1.0): 0.4830697092, (10.0, 1.0): 0.3400414033, (10.0, 2.0): 0.5}


def ornstein_uhlenbeck(A: ArrayLike, covariance: ArrayLike) -> GalleryCase:
    """Linear drift -A x: V = x^T S^{-1} x / 2, where S solves the Lyapunov equation A S + S A^T = covariance.

    Parameters
    ----------
    A : ``(d, d)``
        A matrix whose eigenvalues have positive real parts.
    covariance : ``(d, d)``
        The constant covariance.

    Returns
    -------
    GalleryCase

    Raises
    ------
    ValueError
        If A is not such a matrix.
    """
    matrix, a = np.asarray(A, dtype=float), np.asarray(covariance, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or np.linalg.eigvals(matrix).real.min() <= 0:
        raise ValueError(f"A must be a square matrix with eigenvalues of positive real part, got {A!r}")
    d = matrix.shape[0]
    inverse = np.linalg.inv(solve_continuous_lyapunov(matrix, a))
    return GalleryCase(
        name="ornstein_uhlenbeck",
        system=System(
            drift=lambda x: -x @ matrix.T,
            covariance=a,
            dimension=d,
            jacobian=lambda x: np.broadcast_to(-matrix, (len(x), d, d)),
        ),
        bounds=((-2.0, 2.0),) * d,
        minima=np.zeros((1, d)),
        saddles=np.zeros((0, d)),
        costs=np.zeros((1, 1)),
        quasipotential=lambda x: 0.5 * np.einsum("ni,ij,nj->n", x, inverse, x),
        parameters={"A": A, "covariance": covariance},
    )


def maier_stein(beta: float = 10.0, mu: float = 1.0) -> GalleryCase:
    """The drift (x - x^3 - beta x y^2, -mu (1 + x^2) y) of Maier and Stein, with unit noise.

    It is a gradient for beta = mu only. For beta > 4 mu the path over the saddle leaves the axis y = 0.

    Parameters
    ----------
    beta, mu : float
        Positive parameters of the drift. Costs are given for (1, 1), (5, 1), (10, 1) and (10, 2).

    Returns
    -------
    GalleryCase

    Raises
    ------
    ValueError
        If a parameter is not positive.
    """
    beta, mu = as_positive(beta, name="beta"), as_positive(mu, name="mu")
    known = _MAIER_STEIN.get((beta, mu))

    def drift(z: Array) -> Array:
        x, y = z[:, 0], z[:, 1]
        xx = x * x  # NumPy's x**3 would take as long as all the rest together.
        return np.stack([x * (1 - xx - beta * (y * y)), -mu * (1 + xx) * y], axis=1)

    return GalleryCase(
        name="maier_stein",
        system=System(
            drift=drift,
            covariance=1.0,
            dimension=2,
        ),
        bounds=((-1.6, 1.6), (-1.0, 1.0)),
        minima=np.array([[-1.0, 0.0], [1.0, 0.0]]),
        saddles=np.array([[0.0, 0.0]]),
        costs=None if known is None else two_costs(known, known),
        accuracy=3e-10,
        reference="R. S. Maier, D. L. Stein, Limiting exit location distributions, SIAM J. Appl. Math. 57 (1997) 752",
        parameters={"beta": beta, "mu": mu},
    )


def consumer_resource() -> GalleryCase:
    """A consumer-resource model with two attractors, one of them a focus, and unit noise.

    The costs are converged values; those published in the reference, from a grid, differ from them by 15 % and 2 %.

    Returns
    -------
    GalleryCase
    """

    def drift(z: Array) -> Array:
        x, y = z[:, 0], z[:, 1]
        eaten = x**2 * y / (1 + x**2)
        return np.stack([1.54 * x * (1 - x / 10.14) - eaten, 0.476 * eaten - 0.112509 * y**2], axis=1)

    return GalleryCase(
        name="consumer_resource",
        system=System(drift=drift, covariance=1.0, dimension=2),
        bounds=((0.5, 8.0), (0.5, 8.0)),
        minima=np.array([[1.4049120328409301, 2.8080797296011664], [4.90395384374556, 4.061871191037108]]),
        saddles=np.array([[4.200807313519694, 4.003882420736364]]),
        costs=two_costs(0.012259649310795555, 0.0018932178917076077),
        accuracy=5e-7,
        reference="C. M. Moore, C. R. Stieha, B. C. Nolting, M. K. Cameron, K. C. Abbott, QPot: An R package for "
        "stochastic differential equation quasi-potential analysis, The R Journal 8(2) (2016) 19, example 1",
    )
