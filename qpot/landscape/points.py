"""Minima and saddles: the nouns, and the scales on which two of them are one or a direction is flat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot.problem.system import System

# Two critical points closer than this fraction of the box are one.
SAME = 1e-6


# A rate below this fraction of the fastest is zero to the accuracy of differenced Jacobians: a flat direction.
FLAT = 1e-7


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum:
    """An attracting fixed point of the drift.

    Attributes
    ----------
    point : array (d,)
    loss : float
        NaN where the system has no loss.
    hessian : array (d, d)
        Minus the drift's Jacobian; for a gradient system the Hessian of the loss. Not formed, (0, 0), above 2000
        dimensions.
    rates : array (d,), complex
        Relaxation rates, the eigenvalues of `hessian`, by increasing real part; complex pairs mean a focus. The three
        slowest only in very many dimensions.
    residual : float
        |drift(point)|.
    """

    point: Array
    loss: float
    hessian: Array
    rates: Any
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
    """A saddle, by a symmetry, as the minimum on one of its sides sees it.

    Attributes
    ----------
    point, direction : array (d,)
        The saddle's image and its unstable direction, towards that minimum.
    away : array (d,)
        The minimum, or the copy of one, that the other side flows to.
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
        Ids of the minima that the two sides of the unstable direction flow to, the smaller first. None: that side
        leaves for a place that is not among the minima. Equal ids: it connects a minimum with itself.
    loss : float
    hessian : array (d, d)
    rates : array (d,), complex
        Eigenvalues of `hessian`; exactly one has a negative real part.
    direction : array (d,)
        Unit vector of the unstable direction, towards ``connects[0]``.
    residual : float
    views : (SaddleView or None, SaddleView or None) or None
        Modulo symmetries: the saddle as seen from each of the minima in ``connects``.
    """

    point: Array
    connects: tuple[int | None, int | None]
    loss: float
    hessian: Array
    rates: Any
    direction: Array
    residual: float
    views: tuple[SaddleView | None, SaddleView | None] | None = None

    def seen_from(self, minimum: int) -> Array:
        """The saddle, or with symmetries its image, that the minimum with this id climbs to, (d,)."""
        view = None if self.views is None else self.views[self.connects.index(minimum)]
        return self.point if view is None else view.point

    @property
    def label(self) -> str:
        """What it does, in words."""
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
    """A fixed point with its loss, rates and residual, dust next to zero removed."""
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
    """Minus the drift's Jacobian (d, d); exactly symmetric for a gradient system."""
    hessian = -system.unchecked.jacobian(point[None])[0]
    return np.asarray(0.5 * (hessian + hessian.T) if system.gradient_drift else hessian, dtype=np.float64)


def tidy(point: Array) -> Array:
    """Turn -0.0 and rounding dust next to zero into 0.0."""
    return np.where(np.abs(point) < 1e-14 * (1.0 + np.abs(point).max()), 0.0, point)
