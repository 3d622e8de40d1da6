"""The one place where arrays from outside are converted and their shapes checked."""

from __future__ import annotations

import copy
import math
import reprlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds

Array = NDArray[np.float64]
# A user's function of a batch of points (n, d), which returns one value, vector or matrix for each point.
BatchFunction = Callable[[Array], ArrayLike]
# Arrays of this dtype, which most calls within the library pass, are returned without a conversion.
_FLOAT = np.dtype(np.float64)
# A box is one (low, high) pair for each coordinate, or what `scipy.optimize` takes for it.
BoundsLike: TypeAlias = Bounds | Sequence[Sequence[float]] | NDArray[np.float64]
# Noise levels, and costs, between this and its inverse leave the products of their halves within the floats.
WIDEST = 1e280
# Up to this many numbers an array is walked through in Python, which is faster than two calls of NumPy.
_FEW = 16


class NonFiniteError(ValueError):
    """A user function returned NaN or infinity; ``.point`` ``(d,)`` is the point at which it did."""

    def __init__(self, message: str, point: Array) -> None:
        super().__init__(message)
        self.point = point

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is rebuilt from its message alone, so that this one could not return from a worker process.
        return type(self), (str(self), self.point)


def format_point(x: ArrayLike) -> str:
    """A point as short text for messages, with at most six coordinates."""
    flat = np.ravel(np.asarray(x, dtype=float))
    shown = ", ".join(f"{value:.6g}" for value in flat[:6])
    return f"({shown}, ... {flat.size} coordinates)" if flat.size > 6 else f"({shown})"


def as_points(x: ArrayLike, *, dimension: int, name: str) -> Array:
    """Convert to a C-contiguous float64 array of points ``(n, dimension)``; one point ``(dimension,)`` is a batch of one."""
    points = as_float_array(x, name=name)
    if points.ndim == 1:
        points = points[None, :]
    if points.ndim != 2 or points.shape[1] != dimension:
        raise ValueError(
            f"{name} has shape {np.shape(x)}, expected (n, {dimension}) or ({dimension},): points are rows"
        )
    if not all_finite(points):
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise ValueError(
            f"{name} has a NaN or infinite coordinate in row {row}: {format_point(points[row])}; pass finite points"
        )
    return points


def as_point(x: Any, *, dimension: int, name: str) -> Array:
    """Convert one point ``(dimension,)``; of an object that has a ``.point`` (a minimum, a saddle) that point is taken."""
    points = as_points(getattr(x, "point", x), dimension=dimension, name=name)
    if points.shape[0] != 1:
        raise ValueError(f"{name} holds {points.shape[0]} points, expected one of shape ({dimension},)")
    return np.asarray(points[0], dtype=np.float64)


def without_wrapper(x: object) -> Any:
    """The point of an object that has one (a minimum, a saddle), and anything else as it is."""
    return getattr(x, "point", x)


def as_float_array(x: object, *, name: str) -> Array:
    """Convert to a C-contiguous float64 array; whatever does not consist of real numbers is refused.

    An array that needs no conversion is returned itself, so what is kept beyond the call is made by `as_own_array`.
    """
    if type(x) is np.ndarray and x.dtype is _FLOAT and x.flags.c_contiguous:
        return x
    refuse_masked(x, name=name)
    try:
        raw = np.asarray(x)
        if raw.dtype.kind not in "biuf":
            _refuse_entries(raw)
        return np.asarray(raw, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        # RuntimeError is what a torch tensor raises that still belongs to a graph of derivatives.
        raise ValueError(
            f"{name} is not an array of real numbers: {error}; got {reprlib.repr(x)}, pass numbers or an array of them"
        ) from error


def as_own_array(x: object, *, name: str) -> Array:
    """Convert as `as_float_array` does, always to a new array, which no later change of the caller's reaches."""
    values = as_float_array(x, name=name)
    return values.copy() if values is x or np.may_share_memory(values, np.asarray(x)) else values


def own(value: Any) -> Any:
    """What is given, or a copy of it where it is an array or a list that the caller might change later."""
    return copy.deepcopy(value) if isinstance(value, (np.ndarray, list)) else value


def refuse_masked(x: object, *, name: str) -> None:
    """Refuse an array with masked entries, since the numbers under a mask are none."""
    if not isinstance(x, np.ma.MaskedArray):
        return
    masked = int(np.ma.getmaskarray(x).sum())
    if masked:
        first = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(x))[0])
        raise ValueError(
            f"{name} is a masked array with {masked} masked entries, the first at {first}, which have no value; pass "
            f"{name}.filled(value) with the value that they stand for"
        )


def _refuse_entries(raw: NDArray[Any]) -> None:
    """Refuse entries that numpy would turn into floats though they are no real numbers: text, dates, complex numbers."""
    if raw.dtype.kind != "O":
        words = {"c": "complex numbers", "U": "text", "S": "bytes", "M": "dates", "m": "spans of time"}
        raise TypeError(f"it holds {words.get(raw.dtype.kind, f'entries of type {raw.dtype}')}")
    for value in raw.flat:
        if not isinstance(value, (Real, Decimal, np.integer, np.floating, np.bool_)):
            raise TypeError(f"it holds an entry of type {type(value).__name__}")


def all_finite(values: Array) -> bool:
    """Whether a C-contiguous array holds neither NaN nor infinity."""
    if values.size <= _FEW:
        return all(map(math.isfinite, values.ravel().tolist()))
    return bool(np.isfinite(values).all())


def as_bounds(bounds: BoundsLike, *, dimension: int, name: str = "bounds") -> tuple[Array, Array]:
    """The lower and the upper corner of a box, ``(d,)`` each.

    ``bounds`` holds one ``(low, high)`` pair for each coordinate, or is an object of `scipy.optimize.Bounds`. Two corners
    are refused, since in two dimensions they have the shape of two pairs. For the same reason two pairs are refused that are
    as plausible as corners: each reading makes a box, and the second interval lies wholly above the first.
    """
    if isinstance(bounds, Bounds):
        lower = np.broadcast_to(as_float_array(bounds.lb, name=f"{name}.lb"), (dimension,))
        upper = np.broadcast_to(as_float_array(bounds.ub, name=f"{name}.ub"), (dimension,))
    else:
        box = as_float_array(bounds, name=name)
        if box.shape == (2, dimension) and (dimension != 2 or ((box[0] < box[1]).all() and _ambiguous(box))):
            first, second = format_point(box[0]), format_point(box[1])
            raise ValueError(
                f"{name}=({first}, {second}) looks like the two corners of a box, which are not guessed; pass one (low, "
                "high) pair for each coordinate, or scipy.optimize.Bounds(low, high), for example "
                f"Bounds({first}, {second}) for these corners{_as_pairs(box)}"
            )
        if box.shape != (dimension, 2):
            raise ValueError(
                f"{name} has shape {box.shape}, expected ({dimension}, 2): one (low, high) pair for each coordinate"
            )
        lower, upper = box[:, 0], box[:, 1]
    wrong = ~(np.isfinite(lower) & np.isfinite(upper) & (lower < upper))
    if wrong.any():
        bad = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{name}: lower must be below upper and both finite, but coordinate {bad} has "
            f"({lower[bad]:g}, {upper[bad]:g}); pass one (low, high) pair for each coordinate"
        )
    return np.array(lower), np.array(upper)


def _ambiguous(box: Array) -> bool:
    """Whether two pairs make no box, or lie one wholly above the other, while the same numbers as corners make a box."""
    return not (box[:, 0] < box[:, 1]).all() or bool(box[0, 1] < box[1, 0])


def _as_pairs(box: Array) -> str:
    """How two intervals are written so that they are not taken for corners; empty where they are none."""
    if box.shape != (2, 2) or not (box[:, 0] < box[:, 1]).all():
        return ""
    return f", or Bounds({format_point(box[:, 0])}, {format_point(box[:, 1])}) for these pairs"


def call_batch(
    function: BatchFunction, points: Array, *, shape: tuple[int, ...], name: str, entries: str = ""
) -> Array:
    """Call a user's batch function and check that its values have the shape ``(n, *shape)`` and are finite.

    Errors name the function and the point. Where ``entries`` says what the first axis of ``shape`` counts (such as
    "sample"), they also name the first entry that is not finite.
    """
    expected = (points.shape[0], *shape)
    try:
        values = as_float_array(function(points), name=f"the value of {name}")
    except (ValueError, TypeError, IndexError) as error:
        if isinstance(error, NonFiniteError) or not _takes_one_point(function, points):
            raise
        raise ValueError(
            f"{name} takes one point at a time, and must take a batch: points of shape {points.shape}, for which it returns "
            f"an array of shape {expected} (it failed with: {error})"
        ) from error
    if values is points or values.base is points:
        values = values.copy()  # What the caller does with the values must not move its points.
    if values.shape != expected:
        raise ValueError(
            f"{name} returned shape {values.shape} for {points.shape[0]} points, expected {expected}: "
            "functions take a batch of points (n, d) and return one value for each row"
        )
    if not all_finite(values):
        row = int(np.flatnonzero(~np.isfinite(values.reshape(points.shape[0], -1)).all(axis=1))[0])
        which = ""
        if entries:
            bad = np.flatnonzero(~np.isfinite(values[row].reshape(shape[0], -1)).all(axis=1))
            which = f" for {entries} {bad[0]}" + (f" and {bad.size - 1} more" if bad.size > 1 else "")
        raise NonFiniteError(
            f"{name} returned NaN or infinity{which} at the point {format_point(points[row])}; "
            "restrict the bounds or make the function finite there",
            points[row].copy(),
        )
    return values


def _takes_one_point(function: BatchFunction, points: Array) -> bool:
    """Whether a function that fails for a batch has a value for a single point (d,)."""
    try:
        return bool(len(points)) and function(points[0]) is not None
    except Exception:
        return False


def as_positive(value: Any, *, name: str) -> float:
    """Return ``value`` as a float, or raise ValueError where it is not a finite number above zero."""
    if isinstance(value, bool) or not np.isscalar(value) or not np.isreal(value) or not 0 < float(value) < np.inf:  # type: ignore[arg-type]
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def as_noise_level(value: Any, *, name: str = "epsilon") -> float:
    """Return a noise level as a float, or raise ValueError where costs cannot be divided by it in doubles."""
    level = as_positive(value, name=name)
    if not 1.0 / WIDEST <= level <= WIDEST:
        raise ValueError(
            f"{name}={level:g} lies beyond what the arithmetic carries, {1.0 / WIDEST:.0g} to {WIDEST:.0g}; measure costs "
            f"and {name} in other units"
        )
    return level


def as_count(value: Any, *, name: str, minimum: int = 1) -> int:
    """Return ``value`` as an int, or raise ValueError where it is not an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {value!r}")
    return int(value)


def as_flag(value: Any, *, name: str) -> bool:
    """Return ``value`` as a bool, or raise ValueError where it is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def as_rng(rng: np.random.Generator | int | None, *, name: str = "rng") -> np.random.Generator:
    """A generator from a generator, a seed, or None.

    None is seed 0, so that results are reproducible unless the caller asks for something else.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng(0)
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    raise ValueError(f"{name} must be a numpy.random.Generator, a seed >= 0 or None, got {rng!r}")


def difference_step(x: Array, v: Array) -> Array:
    """Factors h (n, 1) such that x + h v and x - h v are the points of a central difference along the vectors v (n, d).

    The length of h v is the cube root of the machine epsilon times 1 + |x|, which balances truncation against rounding.
    """
    norm = np.linalg.norm(v, axis=1, keepdims=True)
    return np.asarray(6e-6 * (1.0 + np.linalg.norm(x, axis=1, keepdims=True)) / np.where(norm > 0.0, norm, 1.0))
