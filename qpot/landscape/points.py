"""Minima and saddles as objects, and the scales on which two of them are one or a direction is flat."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot.landscape.periods import Periods
from qpot.problem.system import System
from qpot.problem.units import Units

# Two fixed points closer than this fraction of the box are one.
SAME = 1e-6
# A direction is flat where its rate is below this fraction of the fastest one, since Jacobians are differenced.
FLAT = 1e-7
# All rates at a fixed point vanish where they are below this fraction of those at minima, as at a monkey saddle.
NOTHING = 1e-9
# A rate below this fraction of the largest one is checked at this distance, as a part of the box, for being a rate at all.
_SLOW, _BESIDE = 1e-5, 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum(Drawn, Saved, figure="plot_rates"):
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
    inside : bool
        Whether the point lies in the box that was searched; `predict` follows passes out of it to minima just beyond.
    kink : str
        Why the minimum is not smooth: the gradient of the loss jumps at it. Its `hessian` then has a large number in place
        of the curvatures across the jump, so that no prefactor is known. It is empty for an ordinary minimum.
    periods : Periods or None
        The lattice of periodic axes, in whose cell the point lies; it goes wherever the minimum goes, so that basins, saddles
        and costs know it as well.
    """

    point: Array
    loss: float
    hessian: Array
    rates: NDArray[np.complex128] | Array
    residual: float
    inside: bool = True
    kink: str = ""
    periods: Periods | None = None

    @property
    def degenerate(self) -> bool:
        """Whether a direction is flat to working precision: the minimum is then not isolated, or not quadratic."""
        return not self.kink and bool(self.rates.real.min() <= FLAT * np.abs(self.rates).max())

    def in_units(self, units: Units) -> Minimum:
        """The same minimum in the coordinates to which the units lead."""
        point, hessian = units.points(self.point), units.matrices(self.hessian, self.point)
        return replace(
            self,
            point=point,
            loss=units.loss * self.loss,
            hessian=hessian,
            rates=units.rates(self.rates, hessian),
            residual=units.residual(point),
            periods=units.read(self.periods),
        )

    def __repr__(self) -> str:
        loss = "" if np.isnan(self.loss) else f", loss {self.loss:.6g}"
        kind = f"{', degenerate' if self.degenerate else ''}{', at a kink' if self.kink else ''}"
        kind += "" if self.inside else ", outside the box"
        return f"Minimum({format_point(self.point)}{loss}{kind})"


def _both(points: tuple[Array, Array] | None, units: Units) -> tuple[Array, Array] | None:
    return None if points is None else (units.points(points[0]), units.points(points[1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class SaddleView:
    """The image of a saddle, under a symmetry or by whole periods, that lies next to a given minimum.

    Attributes
    ----------
    point, direction : array (d,)
        The saddle's image and its unstable direction, which points to the side of that minimum.
    away : array (d,)
        The minimum, or the image of one, to which the flow leads on the other side.
    below : (array (d,), array (d,)) or None
        For a degenerate saddle: the images of the points next to it, first on the side of that minimum.
    """

    point: Array
    direction: Array
    away: Array
    below: tuple[Array, Array] | None = None

    def in_units(self, units: Units) -> SaddleView:
        """The same view in the coordinates to which the units lead."""
        return SaddleView(
            point=units.points(self.point),
            direction=units.directions(self.direction, self.point),
            away=units.points(self.away),
            below=_both(self.below, units),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Saddle(Drawn, Saved, figure="plot_rates"):
    """A mountain pass: a fixed point with one unstable direction, or a degenerate one that connects two minima all the same.

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
        The eigenvalues of `hessian`, of which exactly one has a negative real part unless the saddle is degenerate.
    direction : array (d,)
        The unit vector of the unstable direction, which points to the side of ``connects[0]``. At a degenerate saddle it is
        the direction in which the pass is crossed.
    residual : float
        The norm of the drift at the point.
    views : (SaddleView or None, SaddleView or None) or None
        For saddles modulo symmetries, and on periodic axes: the images of the saddle next to each of the minima in
        ``connects``.
    degenerate : str
        Why the pass is no hyperbolic fixed point: some of its rates vanish, or the gradient jumps there. The costs over it
        are known, prefactors are not. It is empty for an ordinary saddle.
    loss_error : float
        How far the loss may be from that of the pass, where the point is not resolved by Newton's method; else 0.
    below : (array (d,), array (d,)) or None
        For a degenerate saddle: two points next to it, from which the flow leads to ``connects[0]`` and ``connects[1]``.
    """

    point: Array
    connects: tuple[int | None, int | None]
    loss: float
    hessian: Array
    rates: NDArray[np.complex128] | Array
    direction: Array
    residual: float
    views: tuple[SaddleView | None, SaddleView | None] | None = None
    degenerate: str = ""
    loss_error: float = 0.0
    below: tuple[Array, Array] | None = None

    def seen_from(self, minimum: int) -> Array:
        """The point (d,) of the saddle or, with symmetries, of its image that lies next to the minimum with this id."""
        view = None if self.views is None else self.views[self.connects.index(minimum)]
        return self.point if view is None else view.point

    def in_units(self, units: Units) -> Saddle:
        """The same saddle in the coordinates to which the units lead."""
        point, hessian = units.points(self.point), units.matrices(self.hessian, self.point)
        return replace(
            self,
            point=point,
            loss=units.loss * self.loss,
            hessian=hessian,
            rates=units.rates(self.rates, hessian),
            direction=units.directions(self.direction, self.point),
            residual=units.residual(point),
            views=units.read(self.views),
            loss_error=units.loss * self.loss_error,
            below=_both(self.below, units),
        )

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
        return f"Saddle({format_point(self.point)}{loss}, {self.label}{', degenerate' if self.degenerate else ''})"


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
    return np.asarray(hessians_at(system, point[None])[0])


def hessians_at(system: System, points: Array) -> Array:
    """The same (n, d, d) at many points (n, d), in one call."""
    hessians = -system.unchecked.jacobian(points)
    if system.gradient_drift:
        hessians = 0.5 * (hessians + np.swapaxes(hessians, 1, 2))
    return np.asarray(hessians, dtype=np.float64)


def vanishing_rates(system: System, point: Array, hessian: Array, *, size: Array, typical: float) -> int:
    """How many rates vanish at a fixed point of a gradient drift, within rounding and the accuracy of its position.

    Newton's method creeps towards a degenerate point and stops beside it, where a rate is small and not zero. Such a rate is
    not that of a quadratic approximation: it changes many times over within a ten-thousandth of the box, whose edges are
    ``size`` (d,). ``typical`` is the largest rate at minima.
    """
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    largest = float(np.abs(values).max())
    flat = np.abs(values) <= max(FLAT * largest, NOTHING * typical)
    for k in np.flatnonzero(~flat & (np.abs(values) <= _SLOW * max(largest, typical))):
        v = vectors[:, k]
        step = _BESIDE * float((size / np.maximum(np.abs(v), 1e-12)).min())
        beside = [v @ hessian_at(system, point + sign * step * v) @ v for sign in (1.0, -1.0)]
        flat[k] = max(abs(c - values[k]) for c in beside) > 10.0 * abs(values[k])
    return int(flat.sum())


def within(points: Array, lower: Array, upper: Array) -> NDArray[np.bool_]:
    """Whether points (n, d) lie in a box; those within the tolerance `SAME` of an edge belong to it."""
    slack = SAME * (upper - lower)
    return np.asarray(((points >= lower - slack) & (points <= upper + slack)).all(axis=1))


def tidy(point: Array) -> Array:
    """A point whose coordinates -0.0, and those that are zero within rounding, are 0.0."""
    return np.where(np.abs(point) < 1e-14 * (1.0 + np.abs(point).max()), 0.0, point)
