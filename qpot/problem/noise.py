"""What the noise of a system is: one object that answers every question about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot.problem.covariance import RANK_TOLERANCE
from qpot.problem.functions import UncheckedFunctions
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian
from qpot.solvers.problem.lagrangian import DiffusionLagrangian, Lagrangian, SingularCovarianceError

Product = Callable[[Array, Array], Array]


class Products(NamedTuple):
    """A covariance by what it does to vectors."""

    # (x, p) -> a(x) p, (n, d)
    times: Product
    # (x, r) -> a(x)^{-1} r, (n, d)
    solve: Product
    # (x, p) -> the gradient in x of p.a(x) p; None where a is constant
    gradient: Product | None


class LocalOperators(NamedTuple):
    """The linearised motion along a path as matrices."""

    # M = d(b + a p) / dx at fixed p, (n, d, d)
    rates: Array
    # a^{-1}, (n, d, d)
    inverse: Array
    # p = a^{-1} (v - b), (n, d)
    momenta: Array


class Noise(ABC):
    """The noise of a system: its covariance, and what a path pays for going against the drift.

    A kind of noise is one class in one file. Only `covariance` is asked of every kind; the answers given here are those of
    Gaussian noise of which nothing else is known. Methods take points ``(n, d)`` that are known to be good.

    Attributes
    ----------
    gaussian : bool
        Whether the noise is white and Gaussian, so that the system is a diffusion. Otherwise `lagrangian` says what paths
        cost, and what holds for diffusions only (fields, prefactors) is not claimed.
    batch_size : int or None
        The batch size that the costs hold for; None: any.
    constant : array (d, d) or None
        The covariance as a matrix, where it does not depend on the state and is small enough to be kept as one.
    isotropic : float or None
        c, where the covariance is c times the identity in so many dimensions that no matrix is kept.
    matrices : bool
        Whether matrices ``(d, d)`` of it may be formed; otherwise it is known by products.
    samples : FiniteSum or None
        The finite sum whose mean gradient is minus the drift and whose samples' covariance this is: one pass over the
        samples then gives both.
    """

    gaussian: ClassVar[bool] = True
    batch_size: int | None = None
    constant: Array | None = None
    isotropic: float | None = None
    matrices: bool = True
    samples: FiniteSum | None = None

    @abstractmethod
    def covariance(self, x: Array) -> Array:
        """a(x) = sigma sigma^T per unit epsilon, ``(n, d, d)``."""

    @property
    def state_dependent(self) -> bool:
        """Whether the covariance depends on the state."""
        return self.constant is None and self.isotropic is None

    def lagrangian(self, functions: UncheckedFunctions) -> Lagrangian:
        """What paths pay under this noise and the given drift.

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
        """H(x, p) = b.p + p.a p / 2, which needs no inverse of the covariance."""
        return DiffusionHamiltonian(functions.drift, functions.jacobian, functions.covariance, self.constant)

    def products(self, dimension: int) -> Products:
        """The covariance, its inverse and its derivative as products, for the method of many dimensions.

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
        """Whether `products` are there and the noise reaches every direction at the points."""
        return False

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        """r ``(n, d)`` -> a(point) r, with whatever can be kept of that one point ``(d,)``."""
        times = self.products(point.size).times
        return lambda r: times(np.broadcast_to(point, r.shape), r)

    def local_operators(self) -> Callable[[Array, Array], LocalOperators] | None:
        """(x, v) -> the linearised motion as matrices, where it is known cheaply; None where it is not."""
        return None

    def eigenvalues_at(self, point: Array) -> Array:
        """Of the covariance at a point ``(d,)``, ascending."""
        a = self.constant if self.constant is not None else self.covariance(point[None])[0]
        return np.asarray(np.linalg.eigvalsh(a), dtype=np.float64)

    def rank_at(self, point: Array) -> int:
        """How many directions the noise pushes in at a point ``(d,)``."""
        values = self.eigenvalues_at(point)
        return int((values > RANK_TOLERANCE * max(float(values[-1]), np.finfo(float).tiny)).sum())

    def singular_at(self, point: Array) -> bool:
        """Whether the covariance is singular, but neither zero nor indefinite, at a point ``(d,)``."""
        values = self.eigenvalues_at(point)
        return bool(values[-1] > 0.0 and abs(values[0]) <= RANK_TOLERANCE * values[-1])

    def largest_step(self, x: Array, direction: Array) -> Array | None:
        """Largest component along a direction that a step can have, ``(n,)``; None where steps have no bound."""
        return None


def singular_covariance(error: SingularCovarianceError, *, anywhere: bool = False) -> ValueError:
    """The error that says where the covariance is singular, and the ways out."""
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
