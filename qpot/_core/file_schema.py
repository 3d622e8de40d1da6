"""What the fields of a saved result must be: types, shapes, ranges and ids, in words that also check them."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

# Whole numbers that a file holds are those of 64 bits.
_LARGEST = 2**63


class NotSaved:
    """What stands for a part of a result that its file does not hold; any use of it says how to come by the part."""

    def __init__(self, name: str, owner: str, was: str = "") -> None:
        self._name, self._owner, self.was = name, owner, was

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        raise ValueError(
            f"this {self._owner} was loaded from a file, which does not hold its {self._name}"
            f"{f' ({self.was})' if self.was else ''}; load it with load(file, {self._name}=...)"
        )

    def __repr__(self) -> str:
        return f"<{self._name} not saved{f': {self.was}' if self.was else ''}>"


class Place:
    """Where a value stands, and the sizes that the values of its object share, such as the dimension d.

    Attributes
    ----------
    owner : str
        The class of the object.
    sizes : dict
        The sizes known so far, by their symbols, each with the field that it was read from.
    """

    def __init__(self, owner: str, inner: Mapping[int, Mapping[str, int]], made: Callable[[Any, Method], Any]) -> None:
        self.owner, self._inner = owner, inner
        # It makes a method of what a file holds of it.
        self.made = made
        self.sizes: dict[str, tuple[int, str]] = {}
        # Ids can be checked when all sizes are known.
        self.later: list[tuple[str, int, str]] = []

    def size(self, symbol: str, value: int, name: str) -> None:
        """Hold a size against what is known of its symbol."""
        known, where = self.sizes.setdefault(symbol, (value, name))
        if known != value:
            raise self.wrong(name, f"has {symbol} = {value}, but {where} has {symbol} = {known}")

    def inner(self, value: Any, symbol: str, name: str) -> None:
        """Hold a size of an object within this one against it."""
        found = self._inner.get(id(value), {}).get(symbol)
        if found is not None:
            self.size(symbol, found, name)

    def wrong(self, name: str, text: str) -> ValueError:
        """The error for a field."""
        return ValueError(f"{self.owner}.{name} {text}")

    def finish(self) -> None:
        """Check the ids."""
        for symbol, value, name in self.later:
            if symbol in self.sizes and not 0 <= value < self.sizes[symbol][0]:
                k, where = self.sizes[symbol]
                raise self.wrong(name, f"names the id {value}, but {where} has {k}: ids run from 0 to {k - 1}")


class Field(ABC):
    """What one field must be."""

    @abstractmethod
    def checked(self, value: Any, name: str, place: Place) -> Any:
        """The value, as the object takes it; ValueError where it is not what it must be."""


@dataclass(frozen=True)
class Numbers(Field):
    """An array, whose shape is given by sizes, by symbols for sizes, or by ``...`` for any axes, which must come first.

    ``kind`` is one of "f" (real), "i" (whole), "b" (true or false), "c" (complex or real). NaN and infinity are refused
    unless ``finite`` is false; ``low`` bounds all others. With ``of`` the entries are ids below the size that this symbol
    stands for, or -1 where that is the bound. With ``some`` an empty array is refused.
    """

    shape: tuple[Any, ...]
    kind: str = "f"
    finite: bool = True
    low: float | None = None
    of: str = ""
    some: bool = False

    def checked(self, value: Any, name: str, place: Place) -> Any:
        kinds = {"f": "f", "i": "iu", "b": "b", "c": "cf"}[self.kind]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds:
            raise place.wrong(name, f"must be an array of kind {self.kind!r}, got {_short(value)}")
        axes = self.shape[1:] if self.shape and self.shape[0] is ... else self.shape
        found = value.shape[value.ndim - len(axes) :] if len(axes) else ()
        fits = value.ndim == len(axes) if axes is self.shape else value.ndim >= len(axes)
        if not fits or any(isinstance(axis, int) and axis != n for axis, n in zip(axes, found, strict=True)):
            raise place.wrong(name, f"has shape {value.shape}, expected {_shape(self.shape)}")
        for axis, n in zip(axes, found, strict=True):
            if isinstance(axis, str):
                place.size(axis, n, name)
        if self.some and value.size == 0:
            raise place.wrong(name, "is empty")
        if self.finite and value.dtype.kind in "fc" and not np.isfinite(value).all():
            raise place.wrong(name, "has NaN or infinite entries")
        if self.low is not None and (value < self.low).any():
            raise place.wrong(name, f"has an entry {value[value < self.low][0]:g} below {self.low:g}")
        if self.of and value.size:
            place.later += [
                (self.of, max(int(n), 0) if self.low == -1 else int(n), name) for n in (value.min(), value.max())
            ]
        return value


@dataclass(frozen=True)
class Number(Field):
    """A real number."""

    finite: bool = True
    low: float | None = None

    def checked(self, value: Any, name: str, place: Place) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise place.wrong(name, f"must be a number, got {_short(value)}")
        if isinstance(value, int) and abs(value) >= _LARGEST:
            raise place.wrong(name, f"is too large for a number: {_short(value)}")
        number = float(value)
        if self.finite and not math.isfinite(number):
            raise place.wrong(name, f"must be finite, got {number}")
        if self.low is not None and number < self.low:
            raise place.wrong(name, f"must be at least {self.low:g}, got {number:g}")
        return value


@dataclass(frozen=True)
class Count(Field):
    """A whole number; with ``of`` an id below the size that this symbol stands for."""

    low: int = 0
    of: str = ""

    def checked(self, value: Any, name: str, place: Place) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value < _LARGEST:
            raise place.wrong(name, f"must be a whole number of at least {self.low}, got {_short(value)}")
        if self.of:
            place.later.append((self.of, value, name))
        return value


@dataclass(frozen=True)
class Flag(Field):
    """True or false."""

    def checked(self, value: Any, name: str, place: Place) -> Any:
        if not isinstance(value, bool):
            raise place.wrong(name, f"must be True or False, got {_short(value)}")
        return value


@dataclass(frozen=True)
class Text(Field):
    """Text; one of the ``choices``, where there are any."""

    choices: tuple[str, ...] = ()

    def checked(self, value: Any, name: str, place: Place) -> Any:
        if not isinstance(value, str) or (self.choices and value not in self.choices):
            expected = f"one of {', '.join(map(repr, self.choices))}" if self.choices else "text"
            raise place.wrong(name, f"must be {expected}, got {_short(value)}")
        return value


@dataclass(frozen=True)
class Member(Field):
    """A member of an enumeration."""

    of: type[Enum]

    def checked(self, value: Any, name: str, place: Place) -> Any:
        if not isinstance(value, self.of):
            raise place.wrong(name, f"must be one of {', '.join(self.of.__members__)}, got {_short(value)}")
        return value


@dataclass(frozen=True)
class Maybe(Field):
    """The same or None."""

    field: Field

    def checked(self, value: Any, name: str, place: Place) -> Any:
        return None if value is None else self.field.checked(value, name, place)


@dataclass(frozen=True)
class Either(Field):
    """One or the other; the error is that of the first."""

    first: Field
    second: Field

    def checked(self, value: Any, name: str, place: Place) -> Any:
        known, later = dict(place.sizes), list(place.later)
        try:
            return self.first.checked(value, name, place)
        except ValueError as error:
            place.sizes, place.later = known, later
            try:
                return self.second.checked(value, name, place)
            except ValueError:
                raise error from None


@dataclass(frozen=True)
class Many(Field):
    """A tuple of the same; with ``size`` its length has a symbol, or is given."""

    field: Field
    size: str | int = ""

    def checked(self, value: Any, name: str, place: Place) -> Any:
        if not isinstance(value, tuple):
            raise place.wrong(name, f"must hold several values, got {_short(value)}")
        if isinstance(self.size, int) and len(value) != self.size:
            raise place.wrong(name, f"has {len(value)} entries, expected {self.size}")
        if isinstance(self.size, str) and self.size:
            place.size(self.size, len(value), name)
        return tuple(self.field.checked(one, f"{name}[{n}]", place) for n, one in enumerate(value))


@dataclass(frozen=True)
class Pairs(Field):
    """A mapping from pairs of ids (i, j), which are below the size ``of``, to the same."""

    field: Field
    of: str = "k"

    def checked(self, value: Any, name: str, place: Place) -> Any:
        if not isinstance(value, Mapping):
            raise place.wrong(name, f"must be a mapping from pairs (i, j), got {_short(value)}")
        pair = Many(Count(of=self.of), size=2)
        return {
            pair.checked(key, f"{name}, key {key!r:.40}", place): self.field.checked(one, f"{name}[{key!r:.40}]", place)
            for key, one in value.items()
        }


@dataclass(frozen=True)
class Part(Field):
    """An object of one of these classes, which has the sizes ``shared`` in common with the object that holds it."""

    classes: type[Any] | tuple[type[Any], ...]
    shared: tuple[str, ...] = ("d",)

    def checked(self, value: Any, name: str, place: Place) -> Any:
        if not isinstance(value, self.classes):
            classes = self.classes if isinstance(self.classes, tuple) else (self.classes,)
            raise place.wrong(name, f"must be a {' or '.join(c.__name__ for c in classes)}, got {_short(value)}")
        for symbol in self.shared:
            place.inner(value, symbol, name)
        return value


@dataclass(frozen=True)
class Method(Field):
    """A method, a flow or a loss: an object that is its options, of one of the classes that these wings name.

    With ``own`` one of a class that qpot does not know is left out of the file, and may be given when the file is loaded.
    """

    wings: tuple[str, ...]
    own: bool = False

    def checked(self, value: Any, name: str, place: Place) -> Any:
        try:
            return place.made(value, self)
        except ValueError as error:
            raise place.wrong(name, f"is not usable: {error}") from error


@dataclass(frozen=True)
class LeftOut(Field):
    """What is not kept, such as a system: its functions are code. It is None, or refuses its use where it is ``needed``."""

    needed: bool = False

    def checked(self, value: Any, name: str, place: Place) -> Any:
        return value


@dataclass(frozen=True)
class Schema:
    """How the objects of a class are kept.

    Attributes
    ----------
    cls : type
    fields : mapping
        What each field must be, by its name.
    also : callable or None
        It takes the object, and raises ValueError where its fields contradict one another.
    parts : callable or None
        It takes an object and returns its fields; by default they are the attributes of the same names.
    build : callable or None
        It takes the fields by name and returns the object; by default the class does.
    later : set of str
        The fields of a class with ``parts`` that files of an older release lack, and for which ``build`` has defaults.
    """

    cls: type[Any]
    fields: Mapping[str, Field]
    also: Callable[[Any], None] | None = None
    parts: Callable[[Any], Mapping[str, Any]] | None = None
    build: Callable[..., Any] | None = None
    later: frozenset[str] = frozenset()

    def taken_apart(self, value: Any) -> dict[str, Any]:
        """The fields of an object that are kept, by name."""
        if self.parts is not None:
            return dict(self.parts(value))
        return {name: getattr(value, name) for name in self.fields}

    @property
    def optional(self) -> frozenset[str]:
        """The fields that a file of an older release may lack."""
        if self.parts is not None or not dataclasses.is_dataclass(self.cls):
            return self.later
        missing = dataclasses.MISSING
        return frozenset(
            f.name for f in dataclasses.fields(self.cls) if f.default is not missing or f.default_factory is not missing
        )


def schemas(*listed: Schema) -> dict[str, Schema]:
    """The schemas by the names of their classes."""
    return {one.cls.__name__: one for one in listed}


def numbers(*shape: Any, **options: Any) -> Numbers:
    """An array of this shape; see `Numbers`."""
    return Numbers(shape, **options)


def _shape(shape: Sequence[Any]) -> str:
    return f"({', '.join('...' if axis is ... else str(axis) for axis in shape)}{',' if len(shape) == 1 else ''})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
