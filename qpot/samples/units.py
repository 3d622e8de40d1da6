"""UnitBlock: the units of one layer of a model, and their places in the flat vector of parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_float_array

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class UnitBlock:
    """The units of one layer of a model, and their places in the flat vector of parameters.

    Parameters
    ----------
    name : str
        What the units are units of, for messages: the name of a module or of a parameter.
    places : tuple of int arrays (h, m)
        One array for each array of parameters (and each of its axes) that has a row for every unit: incoming weights, bias,
        outgoing weights. Exchanging units exchanges the rows of all of them, in the order of the tuple. An entry may stand in
        two of them: weights that lead from the units to themselves have a row and a column for each.
    flips : int array (q, len(places))
        Each row is a change of sign that every single unit may make: -1 for the arrays of ``places`` that change sign with
        the unit, +1 for the others. Odd activations have the row of -1 only; by default there is none.

    Raises
    ------
    ValueError
        For places that do not all have the same number of rows, or flips that are not +1 and -1.

    Examples
    --------
    Two units with one input, a bias and one output: parameters (w1, w2, b1, b2, a1, a2).

    >>> block = UnitBlock("hidden", ([[0], [1]], [[2], [3]], [[4], [5]]), [[-1, -1, -1]])
    >>> block.units, block.order
    (2, 8)
    """

    name: str
    # These have no narrower type because lists are passed in and arrays are kept.
    places: Any
    flips: Any = ()

    def __post_init__(self) -> None:
        if not isinstance(self.places, (tuple, list)):
            raise ValueError(f"places must be a tuple of arrays (units, m), got {self.places!r}")
        given = tuple(as_float_array(rows, name="places") for rows in self.places)
        if any((p != np.round(p)).any() for p in given):
            raise ValueError(
                f"places must hold whole numbers, the places in the vector of parameters, got {self.places!r}"
            )
        places = tuple(p.astype(np.int64) for p in given)
        if not places or any(p.ndim != 2 or len(p) != len(places[0]) or not p.size for p in places):
            raise ValueError(
                f"places must be arrays (units, m) of equally many rows, got shapes {[p.shape for p in places]}"
            )
        if any(np.unique(p).size != p.size or p.min() < 0 for p in places):
            raise ValueError("places: each of the arrays must hold different places >= 0")
        flips = np.array(self.flips, dtype=np.int64).reshape(-1, len(places))
        if (np.abs(flips) != 1).any():
            raise ValueError(f"flips must be rows of {len(places)} numbers +1 or -1, got {self.flips!r}")
        object.__setattr__(self, "places", places)
        object.__setattr__(self, "flips", flips)

    @property
    def units(self) -> int:
        """The number h of units."""
        return int(self.places[0].shape[0])

    @property
    def order(self) -> int:
        """The number of elements of the group of exchanges and flips of these units."""
        return math.factorial(self.units) * (1 << (len(self.flips) * self.units))

    def move(self, vector: Array, permutation: Integers, signs: Array) -> None:
        """Put unit ``permutation[i]`` in the place of unit i, times ``signs[i]`` (of shape (h, len(places))), in place."""
        for k, rows in enumerate(self.places):
            vector[..., rows] = signs[:, k, None] * vector[..., rows[permutation]]

    def __repr__(self) -> str:
        size = sum(rows.size for rows in self.places)
        return f"UnitBlock({self.units} units of {self.name!r}, {size} places, {len(self.flips)} flips)"
