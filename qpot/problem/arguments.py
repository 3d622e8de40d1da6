"""Arguments of public functions, checked by kind before anything is computed, so that a wrong one is named at once."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

from qpot._core import arrays
from qpot._core.parallel import check_executor
from qpot.problem.checked_system import check_system
from qpot.samples.finite_sum import FiniteSum

P = ParamSpec("P")
R = TypeVar("R")
# A check of one argument, from its value, its name and all arguments of the call.
Check = Callable[[Any, str, Mapping[str, Any]], object]


def checked(**checks: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a public function whose arguments are checked in this order; one that is its default is not checked.

    Examples
    --------
    >>> from qpot.problem.arguments import a_flag, checked
    >>> @checked(loud=a_flag)
    ... def greet(loud=False):
    ...     return "HELLO" if loud else "hello"
    >>> greet(loud="yes")
    Traceback (most recent call last):
    ...
    ValueError: loud must be True or False, got 'yes'
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        defaults = {name: signature.parameters[name].default for name in checks}

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind_partial(*args, **kwargs).arguments
            for name, check in checks.items():
                if name in given and given[name] is not defaults[name]:
                    check(given[name], name, given)
            return function(*args, **kwargs)

        return call

    return decorate


def a_system(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """A `System`."""
    check_system(value)


def a_system_or_sum(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """A `System`, or a `FiniteSum`, which makes one."""
    if not isinstance(value, FiniteSum):
        check_system(value)


def a_flag(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """True or False."""
    arrays.as_flag(value, name=name)


def a_count(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """An integer of at least one."""
    arrays.as_count(value, name=name)


def a_positive(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """A finite number above zero."""
    arrays.as_positive(value, name=name)


def non_negative(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """A finite number that is not below zero."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0.0 <= value < float("inf"):
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")


def a_budget(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """A number of seconds above zero, which may be infinite."""
    if value != float("inf"):
        arrays.as_positive(value, name=name)


def a_level(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """A noise level."""
    arrays.as_noise_level(value, name=name)


def a_seed(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """A generator, a seed or None."""
    arrays.as_rng(value, name=name)


def an_executor(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """An executor."""
    check_executor(value)


def a_file(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """A path in the file system."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"{name} must be a path, a text or pathlib.Path, got {value!r}")


def a_point(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """One point of the system, or an object that has one."""
    arrays.as_point(value, dimension=_dimension(given), name=name)


def some_points(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """Points of the system."""
    arrays.as_points(value, dimension=_dimension(given), name=name)


def a_box(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """One (low, high) pair for each coordinate."""
    arrays.as_bounds(value, dimension=_dimension(given), name=name)


def some_minima(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """Minima, or a single one."""
    _several(value, name, ("point", "rates"), "qpot.Minimum", "qpot.find_minima")


def attractors(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """Minima or points."""
    if not hasattr(value, "point") and (isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable)):
        raise ValueError(f"{name} must be minima or points, such as qpot.find_minima returns, got {_kind_of(value)}")


def a_minimum(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """One minimum, with what is known of it."""
    if isinstance(value, type) or not hasattr(value, "point") or not hasattr(value, "hessian"):
        raise ValueError(f"{name} must be a qpot.Minimum, such as qpot.find_minima returns, got {_kind_of(value)}")


def some_saddles(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """Saddles, possibly none."""
    _several(value, name, ("point", "connects"), "qpot.Saddle", "qpot.find_saddles")


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(value: Any, name: str, given: Mapping[str, Any]) -> None:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"{name} must be {' or '.join(map(repr, words))}, got {_kind_of(value)}")

    return check


def instance_of(kind: type[Any], source: str) -> Check:
    """An object of a class of results, which ``source`` returns."""

    def check(value: Any, name: str, given: Mapping[str, Any]) -> None:
        if not isinstance(value, kind):
            raise ValueError(f"{name} must be the qpot.{kind.__name__} of {source}, got {_kind_of(value)}")

    return check


def _several(value: Any, name: str, attributes: tuple[str, ...], kind: str, source: str) -> None:
    """Refuse what is not a sequence of objects with these attributes."""
    if hasattr(value, "point"):
        return
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable) or hasattr(value, "__next__"):
        raise ValueError(f"{name} must be a sequence of {kind}, such as {source} returns, got {_kind_of(value)}")
    for n, item in enumerate(value):
        if not all(hasattr(item, attribute) for attribute in attributes):
            raise ValueError(f"{name}[{n}] must be a {kind}, such as {source} returns, got {_kind_of(item)}")


def _kind_of(value: Any) -> str:
    """What a value is, in few words."""
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return repr(value)
    return f"the class {value.__name__}" if isinstance(value, type) else f"an object of type {type(value).__name__}"


def _dimension(given: Mapping[str, Any]) -> int:
    """The dimension of the problem in the call."""
    source = given.get("system", given.get("finite_sum"))
    dimension: int = source.dimension  # The check of the system has come first.
    return dimension
