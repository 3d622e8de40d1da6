"""Flat directions: they distinguish manifolds of minima from minima that are merely not quadratic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot.landscape.points import FLAT, Minimum, as_minimum
from qpot.problem.arguments import a_minimum, a_system, checked
from qpot.problem.system import System
from qpot.samples.layout import ParameterLayout

# Along a direction the loss is checked for constancy at these distances, relative to 1 + |x|.
_REACHES = (0.02, 0.1)
# The loss counts as constant where the drift and the loss show a curvature below this fraction of the largest one.
_TOLERANCE = 1e-6
# This many Newton steps are made at most to return to the manifold.
_CORRECTIONS = 30
# An eigenvalue below this fraction of the largest one may be the rounding of a differenced Jacobian.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class FlatDirections(Drawn, Saved, figure="plot_flat_directions"):
    """Directions in which a minimum has no curvature.

    Attributes
    ----------
    minimum : Minimum
    directions : array (m, d)
        Orthonormal rows. The first ``manifold_dimension`` of them are tangent to a manifold of minima: fixed points of the
        same loss lie on both sides of the minimum along each. Along the others the loss grows, but not quadratically.
    manifold_dimension : int
        The number of directions that are tangent to a manifold of minima.
    names : tuple of str
        The directions as sums of coordinates, which have the names of the parameters where the finite sum has a layout.
    """

    minimum: Minimum
    directions: Array
    manifold_dimension: int
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"FlatDirections({self.describe()})"

    def describe(self) -> str:
        """A sentence that says which directions of the minimum are flat, and how."""
        if not self.names:
            return f"{self.minimum!r} has no flat direction"
        flat, other = self.names[: self.manifold_dimension], self.names[self.manifold_dimension :]
        parts = []
        if flat:
            shown = "; ".join(flat[:3]) + (f"; and {len(flat) - 3} more" if len(flat) > 3 else "")
            parts.append(f"lies on a manifold of minima of dimension {len(flat)} (the loss is constant along {shown})")
        if other:
            shown = "; ".join(other[:3]) + (f"; and {len(other) - 3} more" if len(other) > 3 else "")
            parts.append(f"has no curvature, but no constant loss either, along {shown}")
        return f"{self.minimum!r} has a flat direction: it {' and '.join(parts)}"


@interruptible
@checked(system=a_system, minimum=a_minimum)
def flat_directions(system: System, minimum: Minimum) -> FlatDirections:
    """Directions in which a minimum is flat, verified by moving along them.

    Parameters
    ----------
    system : System
    minimum : Minimum

    Returns
    -------
    FlatDirections

    Notes
    -----
    The candidates span the Hessian's null space, the eigenvalues below 1e-7 of the largest one. Along each candidate the
    minimum is moved by 0.02 and 0.1 times (1 + |x|) to both sides, and Newton's method in the directions that are not flat
    corrects the point. If the direction is tangent to a manifold of minima, the drift vanishes there and the loss is the
    same.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> product = qpot.System.from_loss(lambda x: (x[:, 0] * x[:, 1] - 1) ** 2 / 2,
    ...                                 lambda x: (x[:, :1] * x[:, 1:] - 1) * x[:, ::-1], 1.0, dimension=2)
    >>> from qpot.landscape.points import as_minimum
    >>> minimum = as_minimum(product, np.array([1.0, 1.0]))
    >>> qpot.flat_directions(product, minimum).names
    ('0.71 x[0] - 0.71 x[1]',)
    """
    hessian = minimum.hessian
    if system.gradient_drift:
        values, vectors = np.linalg.eigh(hessian)
    else:
        _, values, rows = np.linalg.svd(hessian)
        vectors = rows.T
    flat = np.abs(values) <= FLAT * np.abs(values).max(initial=0.0)
    null, stiff = vectors[:, flat], vectors[:, ~flat]
    layout = getattr(system.finite_sum, "layout", None)
    tangent: list[Array] = []
    others: list[Array] = []
    for v in null.T:
        (tangent if _stays_at_rest(system, minimum, v, stiff) else others).append(v)
    ordered = np.array(tangent + others).reshape(-1, minimum.point.size)
    ordered *= np.where(ordered[np.arange(len(ordered)), np.abs(ordered).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    return FlatDirections(
        minimum=minimum,
        directions=ordered,
        manifold_dimension=len(tangent),
        names=tuple(_named(v, layout) for v in ordered),
    )


def refuse_flat(system: System, minima: Sequence[Minimum]) -> None:
    """Raise ValueError, with the flat directions and the ways out, where one of the minima has any."""
    flat = [k for k, minimum in enumerate(minima) if minimum.degenerate]
    if not flat:
        return
    found = flat_directions(system, minima[flat[0]])
    also = f"; {len(flat) - 1} of the other minima are flat as well" if len(flat) > 1 else ""
    raise ValueError(
        f"minima[{flat[0]}] = {found.describe()}{also}. Costs are computed between isolated, quadratic minima: add weight "
        "decay (which selects a point of the manifold), fix one of these parameters, or remove the redundant one"
    )


def refuse_flat_point(system: System, fixed: Array, *, name: str) -> None:
    """Raise ValueError, with the flat directions, where an eigenvalue at a fixed point ``(d,)`` is zero within rounding."""
    values = np.linalg.eigvals(system.unchecked.jacobian(fixed[None])[0])
    if abs(values.real.max()) > _ROUNDING * np.abs(values).max():
        return
    found = flat_directions(system, as_minimum(system, fixed))
    if found.names:
        raise ValueError(
            f"{name} = {found.describe()}. Costs are computed out of isolated, quadratic minima: add weight decay (which "
            "selects a point of the manifold), fix one of these parameters, or remove the redundant one"
        )


def _stays_at_rest(system: System, minimum: Minimum, v: Array, stiff: Array) -> bool:
    """Whether fixed points with the same loss lie on both sides of the minimum along the direction v."""
    x, size = minimum.point, 1.0 + float(np.linalg.norm(minimum.point))
    fastest = float(np.abs(minimum.rates).max())
    for reach in _REACHES:
        for sign in (1.0, -1.0):
            h = reach * size
            try:
                y = _corrected(system, x + sign * h * v, stiff)
                moved = float(np.linalg.norm(system.unchecked.drift(y[None])[0]))
                change = 0.0 if system.loss is None else abs(float(system.unchecked.loss(y[None])[0]) - minimum.loss)
            except NonFiniteError:
                return False
            # The bounds are the speed and the rise of the loss that a curvature of _TOLERANCE times the largest one causes.
            if moved > _TOLERANCE * fastest * h or change > 0.5 * _TOLERANCE * fastest * h**2:
                return False
            if np.linalg.norm(y - x) < 0.5 * h:
                return False
    return True


def _corrected(system: System, y: Array, stiff: Array) -> Array:
    """The point of least drift that Newton's method finds in y + span(stiff)."""
    for _ in range(_CORRECTIONS if stiff.shape[1] else 0):
        b, J = system.unchecked.drift(y[None])[0], system.unchecked.jacobian(y[None])[0]
        reduced = stiff.T @ J @ stiff
        step = np.linalg.lstsq(reduced, -stiff.T @ b, rcond=None)[0]
        y = y + stiff @ step
        if np.linalg.norm(step) <= 1e-12 * (1.0 + np.linalg.norm(y)):
            break
    return y


def _named(v: Array, layout: ParameterLayout | None) -> str:
    """The largest components of a direction as text, such as ``0.71 x[0] - 0.71 x[1]``."""
    order = [int(k) for k in np.argsort(-np.abs(v), kind="stable") if abs(v[k]) > 0.05][:4]
    text = ""
    for k in order:
        name = f"x[{k}]" if layout is None else layout.name_of(k)
        sign = ("-" if v[k] < 0 else "") if not text else (" - " if v[k] < 0 else " + ")
        text += f"{sign}{abs(v[k]):.2g} {name}"
    missing = int((np.abs(v) > 0.05).sum()) - len(order)
    if not order:
        return f"a direction spread over {v.size} coordinates, {format_point(v)}"
    return text + (f" + {missing} more" if missing > 0 else "")
