"""The choice of units: public functions solve a problem of unusual scale or offset in coordinates of ordinary size."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import numpy as np
from scipy.optimize import Bounds

from qpot._core.arrays import Array, NonFiniteError, as_bounds, as_point, without_wrapper
from qpot._core.interrupts import Interruption
from qpot._core.status import SolveError
from qpot.problem.charts import Chart, chart_of
from qpot.problem.domain import OutsideDomainError
from qpot.problem.functions import DifferencedJacobian
from qpot.problem.gaussian_noise import gaussian_noise
from qpot.problem.noise import Noise
from qpot.problem.rescaled import Coordinates, RescaledFunction, RescaledMoments, RescaledNoise
from qpot.problem.system import System
from qpot.problem.units import Units
from qpot.samples.loss_checks import HeldAgainstLoss

# A length is ordinary between 2^-5 and 2^5, since steps of differences, which are relative to 1 + |x|, lose three digits
# there; that is the square of the step.
_ORDINARY = 5
# A box farther from the origin than so many of its sizes is moved to it, since differences lose digits far from it.
_FAR = 4.0
# Lengths of a gradient system that differ by less than this factor are replaced by one, since it stays a gradient system.
_ALIKE = 64.0
# Coordinates whose natural lengths, as the noise shows them, differ by less than this factor have one unit.
_SAME_UNIT = 1e3
# So many points show the typical rate and noise.
_SAMPLES = 16
# A level of the loss is looked for within 2 to this power.
_DOUBLINGS = 100
# Arguments that are levels of the loss.
_LEVELS = ("from_loss", "to_loss")
# Above this dimension systems are taken as they are.
_FEW = 200

P = ParamSpec("P")
R = TypeVar("R")


def in_natural_units(*points: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a public function so that a problem of unusual scale or offset is solved in units of ordinary size.

    The function has arguments ``system`` and, where it searches, ``bounds``. The arguments named in ``points`` hold
    positions, minima or saddles, and lie in the same region. The function is called with all of them in the coordinates
    of `Units`, and its result is read back by the ``in_units`` of the objects in it. A problem of ordinary size is passed on
    as it is, bit for bit.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            given = bound.arguments
            chart = chart_for(given, points)
            units = units_for(given, points) if chart is None else chart
            if units is None:
                return function(*args, **kwargs)
            inner = in_units(units) if chart is None else chart.inside()
            into = inverse(units, inner) if chart is None else chart.inverse(inner)
            # In a chart lengths may still be unusual.
            solve = function if chart is None else called
            try:
                moved = {name: _moved(given[name], into) for name in points if name in given}
            except OutsideDomainError:
                raise
            except (ValueError, TypeError):
                return function(*args, **kwargs)  # It refuses such arguments, and names them.
            if given.get("bounds") is not None:
                lower, upper = as_bounds(given["bounds"], dimension=units.centre.size)
                moved["bounds"] = Bounds(*into.corners(lower, upper))
            moved.update({name: into.loss * given[name] for name in _LEVELS if _is_number(given.get(name))})
            given.update(moved, system=inner)
            try:
                result: R = units.read(solve(*bound.args, **bound.kwargs))
            except (ValueError, SolveError, Interruption) as error:
                translated = units.error(error)
                if translated is error:
                    raise
                raise translated from error
            return result

        return called

    return decorate


def chart_for(given: dict[str, Any], points: Sequence[str]) -> Chart | None:
    """The chart of a problem whose system has a domain; None for all others, and for arguments to refuse.

    Raises
    ------
    ValueError
        For symmetries and periods, which are not those of coordinates without sides.
    """
    system = given.get("system")
    if not isinstance(system, System) or system.domain is None:
        return None
    for name in ("symmetries", "periodic"):
        if given.get(name) is not None and np.any(given[name]):
            raise ValueError(f"{name} is not available for a System with domain=: leave one of them out")
    d = system.dimension
    try:
        held = [_positions(given.get(name), d) for name in points if name != "boundary"]
        box = None if given.get("bounds") is None else as_bounds(given["bounds"], dimension=d)
    except (ValueError, TypeError):
        return None  # The function itself refuses such arguments, and names them.
    positions = np.concatenate([np.zeros((0, d)), *held])
    system.domain.check(positions, name=" or ".join(points))
    if box is None and not positions.size:
        return None
    return chart_of(system, positions, box)


def units_for(given: dict[str, Any], points: Sequence[str]) -> Units | None:
    """The units of a problem whose scale or offset is not ordinary, and None for all others and for arguments to refuse.

    ``given`` are the arguments of a public function, and ``points`` the names of those that hold positions.
    """
    system, bounds, method, boundary = (given.get(name) for name in ("system", "bounds", "method", "boundary"))
    if not isinstance(system, System) or isinstance(system.drift, RescaledFunction) or not system.noise.gaussian:
        return None
    if system.dimension > _FEW or not system.noise.matrices or getattr(method, "linear_part", None) is not None:
        return None
    if boundary is not None and not isinstance(boundary, str) and not hasattr(boundary, "in_units"):
        return None
    if given.get("neighbourhoods") is not None:
        return None  # They were computed for the system as it is.
    d = system.dimension
    try:
        held = [_positions(given.get(name), d) for name in points if name != "boundary"]
        positions = np.concatenate([np.zeros((0, d)), *held, *_reached(system, given)])
        box = None if bounds is None else as_bounds(bounds, dimension=d)
        region = _region(system, box, positions)
    except (ValueError, TypeError):
        return None  # The function itself refuses such arguments, and names them.
    if region is None:
        return None
    lower, upper = region
    size, middle = upper - lower, 0.5 * (lower + upper)
    if given.get("symmetries") is not None:
        # Signed permutations are those of coordinates that have one unit and one origin.
        size, middle = np.full_like(size, size.max()), np.zeros_like(middle)
    if hasattr(boundary, "radius"):
        size = np.full_like(size, size.max())
    exponents = np.round(np.log2(0.25 * size))
    shifted = np.abs(middle) > _FAR * size
    unusual = bool((np.abs(exponents) > _ORDINARY).any() or shifted.any())
    if not unusual:
        return None  # The solvers measure time and noise by themselves, so that lengths decide alone.
    if system.gradient_drift and np.ptp(exponents) <= math.log2(_ALIKE):
        exponents = np.full_like(exponents, np.round(exponents.mean()))
    lengths = np.exp2(exponents)
    far = np.abs(middle) > _FAR * size
    centre = np.where(far, np.round(middle / lengths) * lengths, 0.0)
    _hold_at(system, 0.5 * size)
    time, noise = _rate_and_noise(system, np.clip(positions, lower, upper), lower, upper, lengths)
    if hasattr(method, "time") or given.get("max_time") is not None:
        time, noise = 1.0, noise * time  # These are times in the user's units.
    loss = float(np.exp2(np.round(2.0 * exponents.mean())) / time)
    note = (
        "points in this message are in the coordinates y of x = centre + lengths y, with centre "
        f"{_short(centre)} and lengths {_short(lengths)}, and losses in units of {loss:.6g}"
    )
    return Units(system=system, centre=centre, lengths=lengths, time=time, noise=noise, loss=loss, note=note)


def _short(values: Array) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values[:6])
    return f"({shown}{', ...' if values.size > 6 else ''})"


def _positions(value: Any, d: int) -> Array:
    """The positions (n, d) in an argument, which may be None, a number, points, or objects with points."""
    if value is None or np.isscalar(value):
        return np.zeros((0, d))
    if isinstance(value, (tuple, list)):
        value = [without_wrapper(item) for item in value]
    found = np.asarray(without_wrapper(value), dtype=np.float64)
    if found.size == 0:
        return np.zeros((0, d))
    found = found.reshape(-1, d)
    return found[np.isfinite(found).all(axis=1)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _reached(system: System, given: dict[str, Any]) -> list[Array]:
    """Points (n, d) that show how far from the argument ``minimum`` a boundary or a level of the loss lies."""
    if given.get("minimum") is None:
        return []
    boundary, minimum = given.get("boundary"), as_point(given["minimum"], dimension=system.dimension, name="minimum")
    if boundary is not None and hasattr(boundary, "extent"):
        return [boundary.extent(minimum)]
    candidates = (getattr(boundary, "level", None), *(given.get(name) for name in _LEVELS))
    levels = [float(value) for value in candidates if value is not None and _is_number(value)]
    if not levels or system.loss is None:
        return []
    highest = max(levels)
    steps = np.diag(np.array([_step_to(system, minimum, axis, highest) for axis in np.eye(system.dimension)]))
    return [minimum - steps, minimum + steps]


def _step_to(system: System, start: Array, axis: Array, level: float) -> float:
    """The power of two nearest to the step (d,) along an axis at which the loss reaches a level; zero if it does not."""

    def beyond(step: float) -> bool:
        try:
            return bool(system.unchecked.loss((start + step * axis)[None])[0] >= level)
        except NonFiniteError:
            return True

    step = 1.0
    outside = beyond(step)
    for _ in range(_DOUBLINGS):
        step = 0.5 * step if outside else 2.0 * step
        if beyond(step) != outside:
            return step
    return 0.0


def _moved(value: Any, into: Units) -> Any:
    """An argument with positions, in other units."""
    if value is None or np.isscalar(value):
        return value
    if hasattr(value, "in_units"):
        return value.in_units(into)
    if isinstance(value, (tuple, list)) and any(hasattr(item, "in_units") for item in value):
        return [_moved(item, into) for item in value]
    if hasattr(value, "point"):
        value = value.point
    return into.points(np.asarray(value, dtype=np.float64))


def _region(system: System, box: tuple[Array, Array] | None, positions: Array) -> tuple[Array, Array] | None:
    """The corners of the box in which a problem lies, of positive size in every coordinate; None where nothing shows it.

    Without a box it is that of the positions. A coordinate in which they do not differ gets a length from the noise, whose
    standard deviation has the coordinate's unit, where that shows units that differ widely.
    """
    if box is not None:
        return box
    if positions.shape[0] < 2:
        return None
    spread = np.ptp(positions, axis=0)
    if not spread.max() > 0.0:
        return None
    size = np.full_like(spread, spread.max())
    deviations = _deviations(system, positions)
    if deviations is not None:
        natural = np.maximum(spread, deviations * (spread / deviations).max())
        if natural.max() > _SAME_UNIT * natural.min():
            size = natural
    middle = 0.5 * (positions.min(axis=0) + positions.max(axis=0))
    return middle - 1.5 * size, middle + 1.5 * size


def natural_box(system: System, positions: Array) -> Bounds | None:
    """A box around positions (n, d) whose sides have the ratios of the noise's standard deviations.

    It is None where it would be no wider than the box that is widened by the longest edge.
    """
    spread, deviations = np.ptp(positions, axis=0), _deviations(system, positions)
    if deviations is None or not spread.max() > 0.0:
        return None
    size = np.maximum(spread, deviations * (spread / deviations).max())
    if (size <= spread.max()).all():
        return None
    size = np.maximum(size, spread.max())
    lower, upper = positions.min(axis=0) - size, positions.max(axis=0) + size
    return Bounds(lower, upper)


def _deviations(system: System, positions: Array) -> Array | None:
    """The noise's standard deviations (d,), typical of some positions; None where a coordinate has no noise of its own."""
    if system.finite_sum is not None:
        return None  # A model's parameters are numbers without units, and its covariance takes long.
    try:
        variances = np.median(np.diagonal(system.unchecked.covariance(positions[:_SAMPLES]), axis1=1, axis2=2), axis=0)
    except NonFiniteError:
        return None
    return np.sqrt(variances) if (variances > 0.0).all() else None


def in_units(units: Units) -> System:
    """The system of the ``units`` in their own coordinates, for solvers that are at home at lengths of about one."""
    system, scale, d = units.system, units.lengths, units.system.dimension
    coordinates = Coordinates(units.centre, scale)
    across = units.noise * units.time / scale[:, None] / scale
    drift = RescaledFunction(system.unchecked.drift, coordinates, units.time / scale, "drift")
    noise: Noise
    if system.constant_covariance is not None:
        noise = gaussian_noise(system.constant_covariance * across, d)
    else:
        covariance = RescaledFunction(system.unchecked.covariance, coordinates, across, "covariance")
        both = system.unchecked.moments
        noise = RescaledNoise(covariance, None if both is None else RescaledMoments(both, drift, covariance))
        noise = noise.with_faces(system.noise.faces)
    jacobian = None
    if not isinstance(system.jacobian, DifferencedJacobian):
        left = units.time * scale / scale[:, None]
        jacobian = RescaledFunction(system.unchecked.jacobian, coordinates, left, "jacobian")
    loss = None
    if system.loss is not None:
        loss = RescaledFunction(system.unchecked.loss, coordinates, np.array(1.0 / units.loss), "loss")
    # In units that differ between coordinates a gradient is one in another metric only, which solvers must not assume.
    return System(
        drift=drift,
        noise=noise,
        jacobian=jacobian,
        loss=loss,
        dimension=d,
        gradient_drift=system.gradient_drift and bool((scale == scale[0]).all()),
    )


def inverse(units: Units, inner: System) -> Units:
    """The units that lead from the user's coordinates to those of ``inner``, the system in the ``units``."""
    return replace(
        units,
        system=inner,
        centre=-units.centre / units.lengths,
        lengths=1.0 / units.lengths,
        time=1.0 / units.time,
        noise=1.0 / units.noise,
        loss=1.0 / units.loss,
        note="",
    )


def _hold_at(system: System, lengths: Array) -> None:
    """Tell a gradient that is compared with its loss at first use how far apart points are here."""
    function: Any = system.drift
    while function is not None:
        if isinstance(function, HeldAgainstLoss):
            function.lengths = lengths
            return
        function = getattr(function, "function", None)


def _rate_and_noise(
    system: System, positions: Array, lower: Array, upper: Array, lengths: Array
) -> tuple[float, float]:
    """The units of time and noise that make rates and covariances at typical points about one."""
    rng = np.random.default_rng(0)
    points = np.concatenate([positions[:_SAMPLES], rng.uniform(lower, upper, size=(_SAMPLES, lengths.size))])
    speeds, variances = [], []
    with np.errstate(all="ignore"):
        for point in points[:, None]:
            try:
                speeds.append(np.abs(system.unchecked.drift(point)[0] / lengths).max())
                variances.append((np.diagonal(system.unchecked.covariance(point)[0]) / lengths**2).max())
            except ValueError:
                continue  # Elsewhere it may be finite, and a covariance.
    rate = _power_of_two(speeds)
    return 1.0 / rate, rate / _power_of_two(variances)


def _power_of_two(values: Sequence[float]) -> float:
    """The power of two next to the median of those values that are positive; one if there are none."""
    positive = [value for value in values if 0.0 < value < np.inf]
    return float(np.exp2(np.round(np.log2(np.median(positive))))) if positive else 1.0
