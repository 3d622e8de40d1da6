"""Two minima in two and more dimensions: what the covariance does to their balance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

from qpot._core.arrays import Array, BatchFunction, as_count, as_positive
from qpot.gallery.case import HU_ZHU_XIONG_HUAN, GalleryCase, diagonal, two_costs
from qpot.problem.covariance import rotated
from qpot.problem.system import System
from qpot.samples.ready_made import embedded_double_well_sum


def _well(covariance: BatchFunction | Array, stiffness: float = 1.0) -> System:
    """The separable double well under any noise."""
    return System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + stiffness * x[:, 1] ** 2 / 2,
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], stiffness * x[:, 1]], axis=1),
        covariance,
        dimension=2,
        hessian=lambda x: diagonal(np.stack([3 * x[:, 0] ** 2 - 1, np.full(len(x), stiffness)], axis=1)),
    )


def separable_double_well(noise: tuple[float, float] = (1.0, 1.0), stiffness: float = 1.0) -> GalleryCase:
    """Double well in x, parabola in y, with diagonal constant noise: V = 1/(2 noise[0]) both ways.

    L = (x^2 - 1)^2/4 + stiffness y^2/2.

    Parameters
    ----------
    noise : (float, float)
        The diagonal of the covariance.
    stiffness : float
        The curvature in y.

    Returns
    -------
    GalleryCase
    """
    ax, ay = (as_positive(value, name="noise") for value in noise)
    k = as_positive(stiffness, name="stiffness")

    def quasipotential(x: Array) -> Array:
        left = (x[:, 0] ** 2 - 1) ** 2 / 2
        along = np.where(x[:, 0] < 0, left, 0.5 + np.where(x[:, 0] <= 1, 0.0, left))
        return along / ax + k * x[:, 1] ** 2 / ay

    return GalleryCase(
        name="separable_double_well",
        system=_well(np.diag([ax, ay]), k),
        bounds=((-2.0, 2.0), (-1.5, 1.5)),
        minima=np.array([[-1.0, 0.0], [1.0, 0.0]]),
        saddles=np.array([[0.0, 0.0]]),
        costs=two_costs(0.5 / ax, 0.5 / ax),
        quasipotential=quasipotential,
        parameters={"noise": noise, "stiffness": stiffness},
    )


def rotated_well(angle: float = np.pi / 6, eigenvalues: tuple[float, float] = (1.8, 0.2)) -> GalleryCase:
    """`separable_double_well` with a rotated constant covariance a: V = 1/(2 a_xx), since x moves independently of y.

    Parameters
    ----------
    angle : float
        The angle in radians by which the principal axes of the covariance are turned.
    eigenvalues : (float, float)
        The eigenvalues of the covariance.

    Returns
    -------
    GalleryCase
    """
    a = rotated(angle, eigenvalues)
    case = separable_double_well()
    return GalleryCase(
        name="rotated_well",
        system=_well(a),
        bounds=case.bounds,
        minima=case.minima,
        saddles=case.saddles,
        costs=two_costs(0.5 / a[0, 0], 0.5 / a[0, 0]),
        parameters={"angle": angle, "eigenvalues": eigenvalues},
    )


def symmetric_minima(s: float = 0.5) -> GalleryCase:
    """Two symmetric minima of equal loss, with isotropic noise at the left one and anisotropic noise at the right one.

    L = (x^2 - 1)^2/4 + y^2/2 and the covariance is diag(1 + s h, 1 - s h) with h = (1 + tanh 2x)/2. The coordinate x moves
    independently of y, so V = int 2 (x^3 - x)/(1 + s h) dx exactly. For s > 0 SGD selects the minimum with isotropic
    noise, for s < 0 the other one.

    Parameters
    ----------
    s : float
        The anisotropy at the right minimum, strictly between -1 and 1.

    Returns
    -------
    GalleryCase

    Raises
    ------
    ValueError
        If s is outside this interval, where the covariance is not positive definite.
    """
    if not -1.0 < s < 1.0:
        raise ValueError(f"s must lie strictly between -1 and 1 (covariance diag(1 + s, 1 - s)), got {s!r}")

    def covariance(x: Array) -> Array:
        h = 0.5 * (1.0 + np.tanh(2.0 * x[:, 0]))
        return diagonal(np.stack([1.0 + s * h, 1.0 - s * h], axis=1))

    return _symmetric("symmetric_minima", covariance, _symmetric_costs(s), {"s": s})


def embedded_double_well(s: float = 0.5, *, noise: str = "gaussian") -> GalleryCase:
    """`symmetric_minima` as a finite sum of six samples whose gradient covariance is exactly that of the case.

    The samples are L +- sqrt(3) h_k, where h is an isometric embedding of the metric a(x) into three dimensions.

    Parameters
    ----------
    s : float
        The anisotropy at the right minimum, strictly between -1 and 1.
    noise : {"gaussian", "exact"}
        The noise of the system. For "exact" the costs are those of the discrete steps, V = int p* dx, where p* is the
        root of H(x, (p, 0)) = 0 on the axis y = 0.

    Returns
    -------
    GalleryCase
    """
    case = symmetric_minima(s)
    exact = two_costs(*(_discrete_cost(s, x) for x in (-1.0, 1.0))) if noise == "exact" else case.costs
    return GalleryCase(
        name="embedded_double_well",
        system=System.from_finite_sum(embedded_double_well_sum(s), noise=noise),
        bounds=case.bounds,
        minima=case.minima,
        saddles=case.saddles,
        costs=exact,
        accuracy=1e-10,
        reference=HU_ZHU_XIONG_HUAN,
        parameters={"s": s, "noise": noise},
    )


def _discrete_cost(s: float, minimum: float) -> float:
    """Integral over x of the root p of log((cosh(k p) + cosh(l p) + 1) / 3) = |L'| p, on the axis y = 0.

    By symmetry the path stays on that axis; k and l are the slopes of the first and the second embedding coordinate, times
    sqrt(3).
    """

    def root(x: float) -> float:
        q = (1.0 + np.tanh(2.0 * x)) / 2.0
        slope = -0.5 * s / np.cosh(2.0 * x) ** 2 / np.sqrt(1.0 - s * q)  # This is r' of r = sqrt(1 - s q).
        k, l = np.sqrt(3.0 * (1.0 + s * q - slope**2)), np.sqrt(3.0) * abs(slope)
        force = abs(x**3 - x)

        def balance(p: float) -> float:
            return float(np.logaddexp.reduce([k * p, -k * p, l * p, -l * p, 0.0, 0.0]) - np.log(6)) / p - force

        gaussian = 6.0 * force / (k * k + l * l)
        return float(brentq(balance, 0.3 * gaussian, 10.0 * gaussian, xtol=1e-14)) if force > 1e-4 else gaussian

    return float(quad(root, min(minimum, 0.0), max(minimum, 0.0), epsabs=1e-13, epsrel=1e-12)[0])


def piecewise_minima(s: float = 0.5) -> GalleryCase:
    """`symmetric_minima` with a jump of the covariance: V = 1/2 from the left and 1/(2 (1 + s)) from the right minimum.

    The covariance is the identity for x <= 0 and diag(1 + s, 1 - s) for x > 0.

    Parameters
    ----------
    s : float
        The anisotropy on the right side, strictly between -1 and 1.

    Returns
    -------
    GalleryCase

    Raises
    ------
    ValueError
        If s is outside this interval.
    """
    if not -1.0 < s < 1.0:
        raise ValueError(f"s must lie strictly between -1 and 1, got {s!r}")

    def covariance(x: Array) -> Array:
        right = (x[:, 0] > 0).astype(float)
        return diagonal(np.stack([1.0 + s * right, 1.0 - s * right], axis=1))

    return _symmetric("piecewise_minima", covariance, two_costs(0.5, 0.5 / (1.0 + s)), {"s": s})


def curved_valley(angle: float = np.pi / 6, eigenvalues: tuple[float, float] = (1.6, 0.4)) -> GalleryCase:
    """Two symmetric minima in a curved valley under constant anisotropic noise, which nevertheless selects one of them.

    L = (x^2 - 1)^2/4 + (y - 0.3 (1 - x^2))^2. The costs have no closed form and are not given.

    Parameters
    ----------
    angle : float
        The angle in radians by which the principal axes of the covariance are turned.
    eigenvalues : (float, float)
        The eigenvalues of the covariance.

    Returns
    -------
    GalleryCase
    """

    def gradient(x: Array) -> Array:
        bend = x[:, 1] - 0.3 * (1 - x[:, 0] ** 2)
        return np.stack([x[:, 0] ** 3 - x[:, 0] + 1.2 * x[:, 0] * bend, 2 * bend], axis=1)

    return GalleryCase(
        name="curved_valley",
        system=System.from_loss(
            lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + (x[:, 1] - 0.3 * (1 - x[:, 0] ** 2)) ** 2,
            gradient,
            rotated(angle, eigenvalues),
            dimension=2,
        ),
        bounds=((-2.0, 2.0), (-1.0, 1.0)),
        minima=np.array([[-1.0, 0.0], [1.0, 0.0]]),
        saddles=np.array([[0.0, 0.3]]),
        costs=None,
        parameters={"angle": angle, "eigenvalues": eigenvalues},
    )


def high_dimensional_well(dimension: int = 10) -> GalleryCase:
    """A double well in one of many turned coordinates, under anisotropic constant noise: V = 1/2 in any dimension.

    In turned coordinates u the loss is L = (u_0^2 - 1)^2/4 + sum_{i > 0} a_i u_i^2/2 with a_i = 1 + (i mod 7)/3, and the
    covariance is diag(1 + (i mod 5)/4). The coordinates are turned by the Householder reflection with v_i = i + 1.

    Parameters
    ----------
    dimension : int
        d, at least 2.

    Returns
    -------
    GalleryCase

    Raises
    ------
    ValueError
        If the dimension is not an integer of at least 2.
    """
    d = as_count(dimension, name="dimension", minimum=2)
    v = np.arange(1.0, d + 1)
    v /= np.linalg.norm(v)
    index = np.arange(d)
    stiff, noise = 1 + (index % 7) / 3, 1 + (index % 5) / 4
    Q = np.eye(d) - 2 * np.outer(v, v)

    def turned(x: Array) -> Array:
        return np.asarray(x - 2 * (x @ v)[:, None] * v)

    def loss(x: Array) -> Array:
        u = turned(x)
        return np.asarray((u[:, 0] ** 2 - 1) ** 2 / 4 + 0.5 * (u[:, 1:] ** 2 @ stiff[1:]))

    def gradient(x: Array) -> Array:
        u = turned(x)
        g = u * stiff
        g[:, 0] = u[:, 0] ** 3 - u[:, 0]
        return turned(g)

    def hessian(x: Array) -> Array:
        diagonal = np.tile(stiff, (len(x), 1))
        diagonal[:, 0] = 3 * turned(x)[:, 0] ** 2 - 1
        return np.asarray((Q * diagonal[:, None, :]) @ Q, dtype=np.float64)

    ends = np.stack([-Q[0], Q[0]])
    order = np.lexsort(tuple(ends.T[::-1]))
    return GalleryCase(
        name="high_dimensional_well",
        system=System.from_loss(loss, gradient, Q @ np.diag(noise) @ Q, dimension=d, hessian=hessian),
        bounds=((-1.5, 1.5),) * d,
        minima=ends[order],
        saddles=np.zeros((1, d)),
        costs=two_costs(0.5, 0.5),
        quasipotential=None,
        parameters={"dimension": dimension},
    )


def _symmetric(
    name: str, covariance: Callable[[Array], Array], costs: Array, parameters: dict[str, Any]
) -> GalleryCase:
    base = separable_double_well()
    return GalleryCase(
        name=name,
        system=_well(covariance),
        bounds=base.bounds,
        minima=base.minima,
        saddles=base.saddles,
        costs=costs,
        accuracy=1e-10,
        reference=HU_ZHU_XIONG_HUAN,
        parameters=parameters,
    )


def _symmetric_costs(s: float) -> Array:
    """The costs of `symmetric_minima`, integrals along the axis y = 0."""

    def slope(x: float) -> float:
        return float(2 * (x**3 - x) / (1 + s * 0.5 * (1 + np.tanh(2 * x))))

    return two_costs(quad(slope, -1, 0, epsabs=1e-13)[0], -quad(slope, 0, 1, epsabs=1e-13)[0])
