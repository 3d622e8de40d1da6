"""What identifies a system on any machine: the values of its functions at fixed points, for want of another name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.fingerprint import summarised
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.loss_checks import HeldAgainstLoss

# So many points are looked at, and fewer where a point takes long.
_POINTS, _MANY = 4, 60
# Up to this dimension a covariance that depends on the point is looked at as a matrix.
_DENSE = 200
# Values agree up to this part of their size; those that are numbers of single precision, up to the second.
_SAME, _SAME_SINGLE = 1e-9, 1e-4


def identity_of(system: System | FiniteSum, lower: Array, upper: Array) -> dict[str, Any]:
    """The kind of a system and the values of its functions at points in a box, as a value that JSON can hold.

    Parameters
    ----------
    system : System or FiniteSum
    lower, upper : arrays (d,)
        The corners of the box.
    """
    d = system.dimension
    points = spread(lower, upper, _POINTS if d <= _MANY else 2)
    samples = system if isinstance(system, FiniteSum) else system.finite_sum
    functions: dict[str, Callable[[Array], Array]] = {}
    about = f"FiniteSum(dimension={d})"
    if isinstance(system, System):
        noise = system.noise
        about = f"{system!r} with {type(noise).__name__} for batches of {noise.batch_size or 'any size'}"
        functions["drift"] = system.unchecked.drift
        if system.loss is not None:
            functions["loss"] = system.unchecked.loss
        constant = noise.isotropic if noise.constant is None else noise.constant
        if constant is not None:
            functions["covariance"] = lambda x: np.asarray(constant)
        elif noise.matrices and d <= _DENSE:
            functions["covariance"] = system.unchecked.covariance
        elif noise.samples is None:
            functions["covariance"] = lambda x: noise.products(d).times(x, np.cos(np.arange(x.size)).reshape(x.shape))
    if samples is not None:
        about += f" of {samples.n_samples} samples"
        functions["losses of the samples"] = samples.losses_at
    with _unheld(system):
        values = {name: [_value(function, x) for x in points] for name, function in functions.items()}
    return {"kind": about, "points": [summarised(x).tolist() for x in points], "values": values}


def difference(here: dict[str, Any], there: dict[str, Any]) -> str:
    """What distinguishes two systems, in words; empty where they are the same."""
    if here["kind"] != there["kind"]:
        return f"it is {there['kind']}, and this one is {here['kind']}"
    for name, values in here["values"].items():
        for n, (a, b) in enumerate(zip(values, there["values"].get(name, []), strict=False)):
            if not _agree(a, b):
                return f"its {name} at {format_point(here['points'][n])} is another: {_shown(a, b)}"
    return ""


def spread(lower: Array, upper: Array, n: int) -> Array:
    """Points (n, d) in a box, the same on every machine."""
    # A Weyl sequence with the square roots of distinct numbers in place of a generator, whose law may change.
    steps = np.sqrt(np.arange(2, 2 + lower.size, dtype=np.float64) + 0.1234)
    shares = np.mod(np.outer(np.arange(1, n + 1), steps), 1.0)
    return np.asarray(lower + (upper - lower) * (0.1 + 0.8 * shares))


@contextmanager
def _unheld(system: System | FiniteSum) -> Iterator[None]:
    """Leave the comparison of a gradient with its loss to the first use in earnest, which knows how long steps may be."""
    function: Any = system.drift if isinstance(system, System) else None
    while function is not None and not isinstance(function, HeldAgainstLoss):
        function = getattr(function, "function", None)
    if function is None or function.checked:
        yield
        return
    function.checked = True
    try:
        yield
    finally:
        function.checked = False


def _value(function: Callable[[Array], Array], point: Array) -> dict[str, Any] | str:
    """The numbers that a function gives at a point and how exact they are, or why it gives none."""
    try:
        values = np.asarray(function(point[None]), dtype=np.float64)
    except (ValueError, NonFiniteError, ArithmeticError) as error:
        return f"none ({type(error).__name__})"
    if not np.isfinite(values).all():
        return "not finite"
    single = bool((values.astype(np.float32) == values).all() and values.any())
    return {"numbers": summarised(values).tolist(), "single": single}


def _agree(one: dict[str, Any] | str, other: dict[str, Any] | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    a, b = np.array(one["numbers"]), np.array(other["numbers"])
    if a.shape != b.shape:
        return False
    scale = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    tolerance = _SAME_SINGLE if one["single"] and other["single"] else _SAME
    # A drift is small where a point lies near a minimum, which may be rounding.
    return bool((np.abs(a - b) <= tolerance * scale + 1e-13).all())


def _shown(one: dict[str, Any] | str, other: dict[str, Any] | str) -> str:
    if isinstance(one, str) or isinstance(other, str):
        here, there = (x if isinstance(x, str) else "finite" for x in (one, other))
        return f"{here} here, {there} in the folder"
    a, b = np.array(one["numbers"]), np.array(other["numbers"])
    if a.shape != b.shape:
        return f"{a.size} values here, {b.size} in the folder"
    worst = int(np.argmax(np.abs(a - b)))
    return f"{a[worst]:.12g} here, {b[worst]:.12g} in the folder"
