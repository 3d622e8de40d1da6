"""Noise: one object that holds a system's covariance and gives the costs of paths under it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot.problem.covariance import RANK_TOLERANCE
from qpot.problem.functions import UncheckedFunctions
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian
from qpot.solvers.problem.lagrangian import DiffusionLagrangian, Lagrangian, SingularCovarianceError

# A function of points and vectors (n, d) that returns vectors (n, d).
Product = Callable[[Array, Array], Array]


class LocalOperators(NamedTuple):
    """The linearised motion along a path with velocities v, as matrices.

    Attributes
    ----------
    rates : array (n, d, d)
        The derivative d(b + a p) / dx at fixed p.
    inverse : array (n, d, d)
        The inverse of the covariance.
    momenta : array (n, d)
        The momenta p = a^{-1} (v - b).
    bend : array (n, d, d), callable (u (n, d), h) -> (n, d), or None
        About the second derivatives in x of H(x, p) = b.p + p.a p / 2 at fixed p, or their products with vectors u by a
        difference over h u; None where products of the action's gradient are cheap, which give them exactly.
    """

    rates: Array
    inverse: Array
    momenta: Array
    bend: Array | Callable[[Array, float], Array] | None = None


class Products(NamedTuple):
    """A covariance given by its products with vectors.

    Attributes
    ----------
    times : callable (x, p) -> a(x) p
    solve : callable (x, r) -> a(x)^{-1} r
    gradient : callable or None
        The gradient in x of p.a(x) p as a function of x and p; None where a is constant.
    operators : callable or None
        The linearised motion under a drift, as a function of the system's functions, points and velocities ``(n, d)``,
        where the covariance gives it together with ``gradient``.
    """

    times: Product
    solve: Product
    gradient: Product | None
    operators: Callable[[UncheckedFunctions, Array, Array], LocalOperators] | None = None


class Noise(ABC):
    """The noise of a system: its covariance, and the action of a path that leaves the drift.

    Every kind of noise is one class in one file. Only `covariance` must be defined by each kind; the other methods return
    here what holds for Gaussian noise of which nothing else is known. Methods take points ``(n, d)`` that are known to be
    finite float64 rows.

    Attributes
    ----------
    gaussian : bool
        Whether the noise is white and Gaussian, so that the system is a diffusion. For other noise the action comes from
        `lagrangian`, and results that hold for diffusions only (fields, prefactors) are not available.
    batch_size : int or None
        The batch size for which the costs hold; None stands for every batch size.
    constant : array (d, d) or None
        The covariance as a matrix, where it does not depend on the state and is small enough to be kept as one.
    isotropic : float or None
        The number c, where the covariance is c times the identity in so many dimensions that no matrix is kept.
    matrices : bool
        Whether covariance matrices ``(d, d)`` may be formed; otherwise the covariance is known by products.
    samples : FiniteSum or None
        The finite sum whose mean gradient is minus the drift and whose samples' gradients have this covariance, so that one
        pass over the samples gives both.
    moments : callable ``(n, d) -> (n, d), (n, d, d)`` or None
        Drift and covariance from one evaluation, where a noise without ``samples`` knows a cheaper way than two.
    faces : tuple of (int, float, float)
        Coordinates, their values, and 1 or -1 for the direction in which they go on into the domain, at which noise and drift
        across vanish in the user's coordinates: what is there never comes back.
    """

    # The kinds of noise of the library check their matrices themselves; those of others are checked from outside.
    _own: ClassVar[bool] = False
    gaussian: ClassVar[bool] = True
    batch_size: int | None = None
    constant: Array | None = None
    isotropic: float | None = None
    matrices: bool = True
    samples: FiniteSum | None = None
    moments: Callable[[Array], tuple[Array, Array]] | None = None
    faces: tuple[tuple[int, float, float], ...] = ()

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Which of the points ``(n, d)`` are not beyond one of the ``faces``, where there is no system."""
        beyond = [inward * (points[:, axis] - y) < 0.0 for axis, y, inward in self.faces]
        return ~np.any(beyond, axis=0) if beyond else np.ones(len(points), dtype=bool)

    @abstractmethod
    def covariance(self, x: Array) -> Array:
        """The covariance a(x) = sigma sigma^T per unit epsilon, ``(n, d, d)``."""

    @property
    def state_dependent(self) -> bool:
        """Whether the covariance depends on the state."""
        return self.constant is None and self.isotropic is None

    def lagrangian(self, functions: UncheckedFunctions) -> Lagrangian:
        """The Lagrangian of this noise and the given drift, whose integral along a path is the action.

        Raises
        ------
        ValueError
            If the covariance is constant and singular.
        """
        try:
            return DiffusionLagrangian(
                functions.drift, functions.jacobian, functions.covariance, self.constant, functions.moments
            )
        except SingularCovarianceError as error:
            raise singular_covariance(error, anywhere=True) from error

    def hamiltonian(self, functions: UncheckedFunctions) -> DiffusionHamiltonian:
        """The Hamiltonian H(x, p) = b.p + p.a p / 2, which needs no inverse of the covariance."""
        return DiffusionHamiltonian(functions.drift, functions.jacobian, functions.covariance, self.constant)

    def products(self, dimension: int) -> Products:
        """The covariance, its inverse and its derivative as products, for the path method in many dimensions.

        Raises
        ------
        ValueError
            If the covariance is not known by products, or is singular.
        """
        raise ValueError(
            "covariance is a function that returns matrices; in many dimensions pass a constant one, "
            "qpot.covariance.factored(factor, floor, gradient=...) or qpot.covariance.products(...)"
        )

    def products_suffice(self, points: Array) -> bool:
        """Whether `products` are available and the noise reaches every direction at the points ``(n, d)``."""
        return False

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        """The function r -> a(point) r of vectors ``(n, d)``, which keeps what can be reused at that one point ``(d,)``."""
        times = self.products(point.size).times
        return lambda r: times(np.broadcast_to(point, r.shape), r)

    def local_operators(self) -> Callable[[Array, Array], LocalOperators] | None:
        """The linearised motion as a function of points and velocities ``(n, d)``; None where it would be expensive."""
        return None

    def eigenvalues_at(self, point: Array) -> Array:
        """The eigenvalues of the covariance at a point ``(d,)``, ascending."""
        a = self.constant if self.constant is not None else self.covariance(point[None])[0]
        return np.asarray(np.linalg.eigvalsh(a), dtype=np.float64)

    def rank_at(self, point: Array) -> int:
        """The rank of the covariance at a point ``(d,)``: the number of directions in which the noise pushes."""
        values = self.eigenvalues_at(point)
        return int((values > RANK_TOLERANCE * max(float(values[-1]), np.finfo(float).tiny)).sum())

    def singular_at(self, point: Array) -> bool:
        """Whether the covariance is singular, but neither zero nor indefinite, at a point ``(d,)``."""
        values = self.eigenvalues_at(point)
        return bool(values[-1] > 0.0 and abs(values[0]) <= RANK_TOLERANCE * values[-1])

    def largest_step(self, x: Array, direction: Array) -> Array | None:
        """The largest component along a direction ``(d,)`` that a step from each point can have, ``(n,)``.

        None means that steps have no bound.
        """
        return None


def singular_covariance(error: SingularCovarianceError, *, anywhere: bool = False) -> ValueError:
    """The error that states where the covariance is singular, and the ways out."""
    where = "everywhere" if anywhere else f"at {format_point(error.point)}"
    low, high = float(error.eigenvalues[0]), float(error.eigenvalues[-1])
    if low < -1e-10 * max(abs(low), abs(high)):
        return ValueError(
            f"covariance is not positive semidefinite {where} (eigenvalues {low:.3g} to {high:.3g}), so that the Hamiltonian "
            "is not convex in p: a covariance is sigma @ sigma.T, without negative eigenvalues"
        )
    return ValueError(
        f"covariance is singular {where} (eigenvalues {low:.3g} to {high:.3g}): the "
        "noise cannot push in every direction, so the action is infinite for most curves. Ways out: reduce the system "
        "to the coordinates that carry noise, or add an explicit floor with qpot.covariance.with_floor (the costs are "
        "then those of the floored noise)"
    )
