"""Minima and saddles as objects, and the scales on which two of them are one or a direction is flat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot.problem.system import System

# Two fixed points closer than this fraction of the box are one.
SAME = 1e-6
# A direction is flat where its rate is below this fraction of the fastest one, since Jacobians are differenced.
FLAT = 1e-7


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum:
    """An attracting fixed point of the drift.

    Attributes
    ----------
    point : array (d,)
    loss : float
        The loss at the point; NaN where the system has no loss.
    hessian : array (d, d)
        Minus the drift's Jacobian, which is the Hessian of the loss for a gradient system. Above 2000 dimensions it is not
        formed and has the shape (0, 0).
    rates : array (d,), complex
        The relaxation rates, which are the eigenvalues of `hessian`, by increasing real part; complex pairs mean a focus.
        In so many dimensions that not all are computed these are the three slowest.
    residual : float
        The norm of the drift at the point.
    """

    point: Array
    loss: float
    hessian: Array
    rates: NDArray[np.complex128] | Array
    residual: float

    @property
    def degenerate(self) -> bool:
        """Whether a direction is flat to working precision: the minimum is then not isolated, or not quadratic."""
        return bool(self.rates.real.min() <= FLAT * np.abs(self.rates).max())

    def __repr__(self) -> str:
        loss = "" if np.isnan(self.loss) else f", loss {self.loss:.6g}"
        return f"Minimum({format_point(self.point)}{loss}{', degenerate' if self.degenerate else ''})"


@dataclass(frozen=True, kw_only=True, eq=False)
class SaddleView:
    """The image of a saddle under a symmetry that lies next to a given minimum.

    Attributes
    ----------
    point, direction : array (d,)
        The saddle's image and its unstable direction, which points to the side of that minimum.
    away : array (d,)
        The minimum, or the image of one, to which the flow leads on the other side.
    """

    point: Array
    direction: Array
    away: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Saddle:
    """A hyperbolic fixed point with one unstable direction.

    Attributes
    ----------
    point : array (d,)
    connects : (int or None, int or None)
        The ids of the minima to which the flow leads on the two sides of the unstable direction, the smaller first. None
        stands for a side that leads to none of the minima. Two equal ids mean that it connects a minimum with itself.
    loss : float
        The loss at the point; NaN where the system has no loss.
    hessian : array (d, d)
        As for `Minimum`.
    rates : array (d,), complex
        The eigenvalues of `hessian`, of which exactly one has a negative real part.
    direction : array (d,)
        The unit vector of the unstable direction, which points to the side of ``connects[0]``.
    residual : float
        The norm of the drift at the point.
    views : (SaddleView or None, SaddleView or None) or None
        For saddles modulo symmetries: the images of the saddle next to each of the minima in ``connects``.
    """

    point: Array
    connects: tuple[int | None, int | None]
    loss: float
    hessian: Array
    rates: NDArray[np.complex128] | Array
    direction: Array
    residual: float
    views: tuple[SaddleView | None, SaddleView | None] | None = None

    def seen_from(self, minimum: int) -> Array:
        """The point (d,) of the saddle or, with symmetries, of its image that lies next to the minimum with this id."""
        view = None if self.views is None else self.views[self.connects.index(minimum)]
        return self.point if view is None else view.point

    @property
    def label(self) -> str:
        """A phrase that says which minima the saddle connects."""
        i, j = self.connects
        if i is None and j is None:
            return "connects none of the minima"
        if i == j:
            return f"connects minimum {i} with itself"
        return f"leads from minimum {i} out of the known minima" if j is None else f"connects minima {i} and {j}"

    def __repr__(self) -> str:
        loss = "" if np.isnan(self.loss) else f", loss {self.loss:.6g}"
        return f"Saddle({format_point(self.point)}{loss}, {self.label})"


def as_minimum(system: System, point: Array) -> Minimum:
    """The `Minimum` at a fixed point ``(d,)``, whether it attracts or not; rounding next to zero is removed."""
    point = tidy(point)
    hessian = hessian_at(system, point)
    rates = np.linalg.eigvals(hessian).astype(complex)
    return Minimum(
        point=point,
        loss=float("nan") if system.loss is None else float(system.unchecked.loss(point[None])[0]),
        hessian=hessian,
        rates=rates[np.lexsort((rates.imag, rates.real))],
        residual=float(np.linalg.norm(system.unchecked.drift(point[None])[0])),
    )


def hessian_at(system: System, point: Array) -> Array:
    """Minus the drift's Jacobian (d, d) at a point; it is exactly symmetric for a gradient system."""
    hessian = -system.unchecked.jacobian(point[None])[0]
    return np.asarray(0.5 * (hessian + hessian.T) if system.gradient_drift else hessian, dtype=np.float64)


def within(points: Array, lower: Array, upper: Array) -> NDArray[np.bool_]:
    """Whether points (n, d) lie in a box; those within the tolerance `SAME` of an edge belong to it."""
    slack = SAME * (upper - lower)
    return np.asarray(((points >= lower - slack) & (points <= upper + slack)).all(axis=1))


def tidy(point: Array) -> Array:
    """A point whose coordinates -0.0, and those that are zero within rounding, are 0.0."""
    return np.where(np.abs(point) < 1e-14 * (1.0 + np.abs(point).max()), 0.0, point)
