"""Grid: the box of equally spaced nodes on which a field lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds

from qpot._core.arrays import Array, BoundsLike, as_bounds, as_count, as_flag, as_own_array, as_points


def _axes_of(bounds: BoundsLike) -> int:
    """For how many coordinates there are bounds."""
    return (
        int(np.size(bounds.lb)) if isinstance(bounds, Bounds) else len(np.atleast_1d(np.asarray(bounds, dtype=object)))
    )


@dataclass(frozen=True, eq=False)
class Grid:
    """Equally spaced nodes in a box of one to three dimensions.

    Parameters
    ----------
    lower, upper : array (d,) or number
        Corners of the box. Both ends of an axis are nodes, except on a periodic axis, where ``upper`` is the same place
        as ``lower``.
    shape : tuple of d ints or int
        The number of nodes on each axis, at least 9; a single number holds for every axis.
    periodic : bool or tuple of d bools
        The axes on which drift and covariance repeat with period ``upper - lower``.
    closed : bool or array (d, 2) of bool
        The faces, lower and upper, through which no path leaves, since the system ends there. Fields go on above their level
        at such a face; at all others they end, because cheaper paths may run outside.
    bounds : sequence of (low, high)
        The box in the form in which `qpot.predict` takes it, in place of ``lower`` and ``upper``.

    Raises
    ------
    ValueError
        If there are more than three axes, if ``lower`` is not below ``upper`` or one of them is not finite, or if
        ``shape`` or ``periodic`` do not fit them. The message names the argument, its value and a way out.

    Examples
    --------
    >>> grid = Grid((-1, -1), (1, 3), (33, 65))
    >>> grid.spacing
    array([0.0625, 0.0625])
    >>> grid.points().shape
    (2145, 2)
    >>> Grid(bounds=[(-1, 1), (-1, 3)], shape=(33, 65)).upper
    array([1., 3.])
    """

    lower: Array
    upper: Array
    shape: tuple[int, ...]
    periodic: tuple[bool, ...] = ()
    closed: NDArray[np.bool_] | None = None

    def __init__(
        self,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        shape: int | Sequence[int] | None = None,
        *,
        periodic: bool | Sequence[bool] = False,
        bounds: BoundsLike | None = None,
        closed: ArrayLike | None = None,
    ) -> None:
        if shape is None:
            raise ValueError(
                "shape is missing: pass the number of nodes on each axis, as shape=101 or shape=(101, 201)"
            )
        if (bounds is None) == (lower is None or upper is None) or (bounds is not None and upper is not lower):
            raise ValueError(
                "pass either lower and upper, the corners of the box, or bounds, one (low, high) for each axis; got "
                f"lower={lower!r}, upper={upper!r}, bounds={bounds!r}"
            )
        if bounds is not None:
            lower, upper = as_bounds(bounds, dimension=_axes_of(bounds))
        assert lower is not None  # Both corners are known now.
        assert upper is not None
        low = np.atleast_1d(as_own_array(lower, name="lower"))
        high = np.atleast_1d(as_own_array(upper, name="upper"))
        if low.ndim != 1 or low.shape != high.shape:
            raise ValueError(f"lower and upper must be points of one dimension, got shapes {low.shape}, {high.shape}")
        d = low.size
        if d > 3:
            raise ValueError(
                f"grids have at most 3 dimensions, lower has {d}; in higher dimensions use minimum_action_path"
            )
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
            raise ValueError(
                f"lower must be below upper and both finite, got lower={low.tolist()}, upper={high.tolist()}"
            )
        counts = tuple(shape) if isinstance(shape, (tuple, list, np.ndarray)) and np.ndim(shape) == 1 else (shape,) * d
        if len(counts) != d:
            raise ValueError(f"shape={shape!r} has {len(counts)} entries for {d} axes; give nodes for each axis")
        counts = tuple(as_count(n, name="shape", minimum=9) for n in counts)
        several = isinstance(periodic, (tuple, list, np.ndarray)) and np.ndim(periodic) == 1
        given: Any = tuple(periodic) if several else (periodic,) * d  # type: ignore[arg-type]
        if len(given) != d:
            raise ValueError(f"periodic={periodic!r} has {len(given)} entries, expected one for each of the {d} axes")
        wraps = tuple(as_flag(p, name="periodic") for p in given)
        faces = None
        if closed is not None and np.any(closed):
            try:
                faces = np.array(np.broadcast_to(np.asarray(closed, dtype=bool), (d, 2)))
            except ValueError as error:
                raise ValueError(
                    f"closed must be two flags for each of {d} axes, lower and upper, got {closed!r}"
                ) from error
            faces.setflags(write=False)
        low.setflags(write=False)
        high.setflags(write=False)
        for name, value in (("lower", low), ("upper", high), ("shape", counts), ("periodic", wraps), ("closed", faces)):
            object.__setattr__(self, name, value)

    @property
    def dimension(self) -> int:
        """The number of axes d."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of nodes on all of the grid."""
        return int(np.prod(self.shape))

    @property
    def open_faces(self) -> NDArray[np.bool_]:
        """The faces, lower and upper, through which paths may leave, ``(d, 2)``."""
        wraps = np.array(self.periodic)[:, None]
        return np.asarray(
            ~(wraps | (np.zeros((self.dimension, 2), dtype=bool) if self.closed is None else self.closed))
        )

    @property
    def spacing(self) -> Array:
        """The distance between neighbouring nodes on each axis, ``(d,)``."""
        intervals = np.array([n if p else n - 1 for n, p in zip(self.shape, self.periodic, strict=True)])
        return np.asarray((self.upper - self.lower) / intervals, dtype=np.float64)

    @property
    def axes(self) -> tuple[Array, ...]:
        """The coordinates of the nodes on each axis: d arrays of different lengths."""
        return tuple(low + h * np.arange(n) for low, h, n in zip(self.lower, self.spacing, self.shape, strict=True))

    def points(self, start: int = 0, stop: int | None = None) -> Array:
        """The nodes from ``start`` to ``stop`` in C order (last axis fastest), ``(n, d)``; all of them by default."""
        index = np.unravel_index(np.arange(start, self.size if stop is None else stop), self.shape)
        return np.ascontiguousarray(
            np.stack([axis[i] for axis, i in zip(self.axes, index, strict=True)], axis=-1), dtype=np.float64
        )

    def wrap(self, points: Array) -> Array:
        """The points ``(n, d)`` moved into the box by whole periods along periodic axes."""
        moved = np.array(points, dtype=np.float64)
        for i, wraps in enumerate(self.periodic):
            if wraps:
                moved[:, i] = self.lower[i] + np.mod(moved[:, i] - self.lower[i], self.upper[i] - self.lower[i])
        return moved

    def offset(self, point: Array, origin: Array) -> Array:
        """The vector ``(d,)`` from one point to another, the shorter way round on periodic axes."""
        away, period = np.array(point - origin, dtype=np.float64), self.upper - self.lower
        return np.asarray(np.where(self.periodic, away - period * np.rint(away / period), away))

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Which of the points ``(n, d)`` lie in the box, ``(n,)`` of bool; along a periodic axis every point does."""
        x = as_points(points, dimension=self.dimension, name="points")
        slack = 1e-12 * (self.upper - self.lower)
        inside = (x >= self.lower - slack) & (x <= self.upper + slack) | np.array(self.periodic)
        return np.asarray(inside.all(axis=1))

    def __repr__(self) -> str:
        box = " x ".join(
            f"[{low:g}, {high:g}{')' if p else ']'}"
            for low, high, p in zip(self.lower, self.upper, self.periodic, strict=True)
        )
        return f"Grid({box}, {' x '.join(map(str, self.shape))} nodes)"
