"""Problems of flows, margins and path kernels whose answers are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_float_array, as_own_array, as_positive
from qpot.problem.system import System


@dataclass(frozen=True, kw_only=True, eq=False)
class QuarticWells:
    r"""L(x) = x (x - 1) (x - 3)^2 + 1.62276 with covariance D(x) = floor + curvature (x - 3)^2.

    The minimum near 0.407 has loss 5.5e-7 and the one at 3 has loss 1.62276. The higher one is still selected if the noise
    there is small enough.

    Parameters
    ----------
    floor : float
        The covariance at x = 3, above zero.
    curvature : float
        The coefficient of (x - 3)^2 in the covariance, not negative; zero means constant noise.

    Attributes
    ----------
    system : System
    minima, saddle : arrays ``(2,)``, float
        The minima 0.4069296691827464 and 3 and the saddle 1.8430703308172536 between them: with u = x - 3 they are the
        roots of L' = u (4 u^2 + 15 u + 12).

    Raises
    ------
    ValueError
        If ``floor`` is not a finite number above zero, or ``curvature`` is negative or not finite.

    Examples
    --------
    >>> import qpot
    >>> wells = qpot.gallery_companions.QuarticWells()
    >>> wells.costs().round(6)  # constant noise: the deep minimum is the harder one to leave
    array([[0.      , 7.4051  ],
           [4.159581, 0.      ]])
    >>> qpot.gallery_companions.QuarticWells(floor=0.1, curvature=1.0).costs().round(6)
    array([[ 0.      ,  2.102578],
           [13.944342,  0.      ]])
    """

    floor: float = 1.0
    curvature: float = 0.0

    def __post_init__(self) -> None:
        as_positive(self.floor, name="floor")
        if self.curvature != 0:
            as_positive(self.curvature, name="curvature")

    @property
    def minima(self) -> Array:
        """The two minima, ``(2,)``, from left to right."""
        return np.array([3.0 + (-15.0 - np.sqrt(33.0)) / 8.0, 3.0])

    @property
    def saddle(self) -> float:
        """The maximum of the loss between the two minima."""
        return 3.0 + float(-15.0 + np.sqrt(33.0)) / 8.0

    @property
    def system(self) -> System:
        """The loss and the covariance as a system."""
        constant = self.floor if self.curvature == 0 else None
        return System.from_loss(
            lambda x: (x * (x - 1.0) * (x - 3.0) ** 2 + 1.62276)[:, 0],
            lambda x: 4.0 * (x - 3.0) ** 3 + 15.0 * (x - 3.0) ** 2 + 12.0 * (x - 3.0),
            (lambda x: (self.floor + self.curvature * (x - 3.0) ** 2)[:, :, None]) if constant is None else constant,
            dimension=1,
            hessian=lambda x: (12.0 * (x - 3.0) ** 2 + 30.0 * (x - 3.0) + 12.0)[:, :, None],
        )

    def potential(self, x: ArrayLike, *, preconditioner: str = "none") -> Array:
        """The quasi-potential at ``x`` ``(n,)`` up to a constant, chosen so that it is zero at x = 3.

        It is int 2 L'/D dx for SGD, and int 2 L'/sqrt(D) dx with ``preconditioner="sign"``.
        """
        u = as_float_array(x, name="x") - 3.0
        if preconditioner not in ("none", "sign"):
            raise ValueError(f'preconditioner must be "none" or "sign", got {preconditioner!r}')
        return np.asarray(self._primitive(u, preconditioner) - self._primitive(np.zeros(1), preconditioner)[0])

    def costs(self, *, preconditioner: str = "none") -> Array:
        """Transition costs between the two minima, ``(2, 2)``: the `potential` at the saddle minus that at the minimum."""
        saddle = float(self.potential([self.saddle], preconditioner=preconditioner)[0])
        left, right = self.potential(self.minima, preconditioner=preconditioner)
        return np.array([[0.0, saddle - left], [saddle - right, 0.0]])

    def _primitive(self, u: Array, preconditioner: str) -> Array:
        # The antiderivatives are those of 2 L'/D and 2 L'/sqrt(D) with L' = 4 u^3 + 15 u^2 + 12 u.
        k = self.curvature
        if k == 0:
            scale = self.floor if preconditioner == "none" else np.sqrt(self.floor)
            return np.asarray(2.0 * (u**4 + 5.0 * u**3 + 6.0 * u**2) / scale)
        c = self.floor / k
        if preconditioner == "none":
            return np.asarray(
                2.0
                / k
                * (
                    2.0 * u**2
                    + 15.0 * u
                    + (6.0 - 2.0 * c) * np.log(u**2 + c)
                    - 15.0 * np.sqrt(c) * np.arctan(u / np.sqrt(c))
                )
            )
        r = np.sqrt(u**2 + c)
        cubic = 4.0 * (u**2 - 2.0 * c) * r / 3.0
        square = 15.0 * (u * r - c * np.arcsinh(u / np.sqrt(c))) / 2.0
        return np.asarray(2.0 / np.sqrt(k) * (cubic + square + 12.0 * r))


@dataclass(frozen=True, kw_only=True, eq=False)
class OrthogonalSamples:
    """Samples a_i e_i, for which the gradient flow of the exponential loss moves every coordinate independently.

    Started at zero it is theta_i(t) = log(1 + a_i^2 t) / a_i. The hard-margin machine is w_i = 1/a_i, with the duals
    1/a_i^2 and the geometric margin (sum 1/a_i^2)^{-1/2}.

    Parameters
    ----------
    scales : (d,) array
        The lengths a_i > 0 of the samples.

    Raises
    ------
    ValueError
        If ``scales`` is not a vector of finite numbers above zero.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery_companions.OrthogonalSamples(scales=[1.0, 2.0])
    >>> case.weights([0.0, 3.0]).round(6), case.normal
    (array([[0.      , 0.      ],
           [1.386294, 1.282475]]), array([1. , 0.5]))
    """

    scales: Any

    def __post_init__(self) -> None:
        a = as_own_array(self.scales, name="scales")
        if a.ndim != 1 or a.size == 0 or not ((a > 0) & np.isfinite(a)).all():
            raise ValueError(f"scales must be (d,) finite numbers > 0, got {self.scales!r}")
        object.__setattr__(self, "scales", a)

    @property
    def X(self) -> Array:
        """The samples as rows, ``(d, d)``."""
        return np.diag(self.scales)

    @property
    def y(self) -> Array:
        """The labels, ``(d,)``, all +1."""
        return np.ones(self.scales.size)

    def weights(self, times: ArrayLike) -> Array:
        """The parameters theta, ``(n, d)``, at ``times`` ``(n,)``."""
        t = as_float_array(times, name="times")
        return np.asarray(np.log1p(self.scales**2 * t[:, None]) / self.scales)

    @property
    def normal(self) -> Array:
        """The hard-margin machine's w, ``(d,)``."""
        return np.asarray(1.0 / self.scales)

    @property
    def duals(self) -> Array:
        """The hard-margin machine's dual variables, ``(d,)``."""
        return np.asarray(1.0 / self.scales**2)

    @property
    def geometric_margin(self) -> float:
        """The distance of the nearest sample from the separating plane."""
        return float(1.0 / np.linalg.norm(self.normal))


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearRegressionFlow:
    r"""Gradient flow of the mean squared error \|X theta - y\|^2 / (2 N) from zero, in closed form.

    Parameters
    ----------
    X : (N, p) array
    y : (N,) array

    Raises
    ------
    ValueError
        If the shapes of X and y do not fit.
    """

    X: Any
    y: Any

    def __post_init__(self) -> None:
        X, y = as_own_array(self.X, name="X"), as_own_array(self.y, name="y")
        if X.ndim != 2 or y.shape != X.shape[:1]:
            raise ValueError(f"X has shape {X.shape} and y {y.shape}, expected (N, p) and (N,)")
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", y)

    def weights(self, duration: float) -> Array:
        """The parameters theta(T) = A^{-1} (1 - exp(-A T)) X^T y / N with A = X^T X / N, ``(p,)``."""
        T = as_positive(duration, name="duration")
        N = self.X.shape[0]
        values, vectors = np.linalg.eigh(self.X.T @ self.X / N)
        values = np.maximum(values, 0.0)
        filtered = np.where(values > 1e-14 * values[-1], -np.expm1(-values * T) / np.where(values > 0, values, 1.0), T)
        return np.asarray(vectors @ (filtered * (vectors.T @ (self.X.T @ self.y) / N)))

    def kernel(self, Z: ArrayLike, duration: float) -> Array:
        """The path kernel T <z, x_i>, ``(n, N)``, since the tangent kernel of a linear model does not change in time."""
        return np.asarray(as_positive(duration, name="duration") * as_float_array(Z, name="Z") @ self.X.T)
