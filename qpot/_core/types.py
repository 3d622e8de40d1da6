"""Names for what users pass in: points, minima, costs, files, seeds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array


class HasPoint(Protocol):
    """Something that lies somewhere: a minimum, a saddle."""

    @property
    def point(self) -> Array:
        """Where, ``(d,)``."""
        ...


class HasValues(Protocol):
    """Something that holds a matrix of costs: `qpot.TransitionCosts`, a data frame."""

    @property
    def values(self) -> Any:
        """The matrix ``(k, k)``."""
        ...


# One point (d,), or an object that has one.
PointLike: TypeAlias = ArrayLike | HasPoint
# Several points, as an array (k, d) or as objects that have them.
MinimaLike: TypeAlias = ArrayLike | HasPoint | Sequence[HasPoint] | Sequence[ArrayLike]
# A matrix of costs: an array (k, k), a scipy.sparse matrix, or an object with ``.values``.
CostsLike: TypeAlias = ArrayLike | HasValues
# One minimum or several, by id.
StatesLike: TypeAlias = int | Sequence[int] | np.ndarray[Any, np.dtype[np.integer[Any]]]
# A path on disk, or an open binary file.
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]
# A generator, a seed, or None for seed 0.
SeedLike: TypeAlias = np.random.Generator | int | None
