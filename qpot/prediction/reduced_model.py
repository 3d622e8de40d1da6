"""A model as it is searched: without the directions that no sample moves, and modulo its symmetries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import Bounds

from qpot._core.arrays import Array
from qpot.landscape.orbits import Orbits, orbits_of
from qpot.landscape.quotient_symmetry import QuotientSymmetry
from qpot.landscape.symmetry import Symmetry, as_symmetry
from qpot.landscape.unit_symmetries import symmetries_of
from qpot.problem.lifted import Lifted, Projected
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.quotient import Quotient, without_gauges

# Symmetries are checked in a box of this half edge.
_CHECKED = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedModel:
    """A model in the coordinates in which it is searched.

    Attributes
    ----------
    total : FiniteSum
        The model in all its parameters.
    system : System
        Its SGD in the reduced coordinates, or in all where nothing is divided out.
    group : Symmetry or None
        Its symmetries in these coordinates.
    images : Symmetry or None
        The same in all parameters.
    choices : tuple of str
        What was found, in a line each.
    orbits : Orbits or None
        The orbits of continuous symmetries, in the coordinates in which it is searched.
    """

    total: FiniteSum
    system: System
    group: Symmetry | None
    images: Symmetry | None
    choices: tuple[str, ...]
    orbits: Orbits | None = None

    @property
    def whole(self) -> System:
        """The model's SGD in all parameters."""
        return self.system if self.quotient is None else System.from_finite_sum(self.total)

    @property
    def quotient(self) -> Quotient | None:
        """The reduced sum, or None where nothing is divided out."""
        reduced = self.system.finite_sum
        return reduced if isinstance(reduced, Quotient) and reduced.whole is self.total else None

    def project(self, points: Array) -> Array:
        """Reduced points ``(n, m)`` of parameters ``(n, d)``."""
        return points if self.quotient is None else self.quotient.project(points)

    def box(self, lower: Array, upper: Array) -> Bounds:
        """A box around the reduced image of a box's middle, as wide as its longest edge."""
        if self.quotient is None:
            return Bounds(lower, upper)
        middle = self.project(0.5 * (lower + upper)[None])[0]
        half = 0.5 * float((upper - lower).max())
        return Bounds(middle - half, middle + half)

    def into(self, values: Sequence[Any] | None) -> Any:
        """Minima or saddles in all parameters, read in the reduced coordinates."""
        if values is None or self.quotient is None:
            return values
        return Projected(self.system, self.quotient).read(list(values))

    def read(self, result: Any) -> Any:
        """A result in the reduced coordinates, read back in all parameters."""
        if self.quotient is None:
            return result
        rate = self.quotient.rates[0] if self.quotient.rates else 0.0
        return Lifted(self.whole, self.quotient.gauges, self.quotient.offset, rate).read(result)


def reduced_model(total: FiniteSum, symmetries: Symmetry | Sequence[ArrayLike] | None) -> ReducedModel:
    """Divide out what no sample moves, and find the symmetries, unless they are given.

    Raises
    ------
    ValueError
        For symmetries that the model does not have.
    """
    reduced = without_gauges(total)
    choices = []
    given = None
    if symmetries is None:
        group: Symmetry | None = symmetries_of(total)
        found = "none found" if group is None else repr(group)
        choices.append(f"symmetries: {found} (symmetries=)")
    else:
        d = total.dimension
        group = given = as_symmetry(
            symmetries, System.from_finite_sum(total), np.full(d, -_CHECKED), np.full(d, _CHECKED)
        )
    images = group
    if isinstance(reduced, Quotient):
        choices.append(f"coordinates: {reduced.describe()} (qpot.without_gauges)")
        if group is not None:
            try:
                group = QuotientSymmetry(group, reduced)
            except ValueError:
                if given is not None:
                    raise
                group = images = None
                choices.append(
                    "symmetries: left out, since they exchange directions that are divided out (symmetries=)"
                )
    return ReducedModel(
        total=total,
        system=System.from_finite_sum(reduced),
        group=group,
        images=images,
        choices=tuple(choices),
        orbits=orbits_of(total, reduced, images) if isinstance(total, ModelSum) else None,
    )
