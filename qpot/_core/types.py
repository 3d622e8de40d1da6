"""Types of what users pass in: points, minima, costs, files, seeds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array


class HasPoint(Protocol):
    """An object that has a position, such as a minimum or a saddle."""

    @property
    def point(self) -> Array:
        """The position, ``(d,)``."""
        ...


class HasValues(Protocol):
    """An object that holds a matrix of costs, such as `qpot.TransitionCosts` or a data frame."""

    @property
    def values(self) -> Any:
        """The matrix ``(k, k)``."""
        ...


# A point is an array (d,), or an object that has one.
PointLike: TypeAlias = ArrayLike | HasPoint
# Several points are an array (k, d), or objects that have a point each.
MinimaLike: TypeAlias = ArrayLike | HasPoint | Sequence[HasPoint] | Sequence[ArrayLike]
# A matrix of costs is an array (k, k), a scipy.sparse matrix, or an object with ``.values``.
CostsLike: TypeAlias = ArrayLike | HasValues
# One minimum or several are given by their ids.
StatesLike: TypeAlias = int | Sequence[int] | np.ndarray[Any, np.dtype[np.integer[Any]]]
# A file is given by its path, or as an open binary file.
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]
# A seed may also be a generator; None is seed 0.
SeedLike: TypeAlias = np.random.Generator | int | None
