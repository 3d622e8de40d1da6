"""The tables of what files hold: each wing has one in its module ``file_fields``, which is read when it is needed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from qpot._core.file_schema import Schema

# The wings whose objects files hold.
WINGS = ("chain", "problem", "landscape", "paths", "fields", "prediction", "simulation", "companions", "answers")


@functools.cache
def table(wing: str) -> Mapping[str, Schema]:
    """The schemas of a wing, by the names of their classes."""
    return import_module(f"qpot.{wing}.file_fields").SCHEMAS  # type: ignore[no-any-return]


@functools.cache
def bases(wing: str) -> tuple[type[Any], ...]:
    """The classes whose subclasses are the methods of a wing."""
    return import_module(f"qpot.{wing}.file_fields").METHODS  # type: ignore[no-any-return]


def schema_of(value: Any, place: str = "") -> tuple[str, Schema]:
    """The wing and the schema of an object.

    Raises
    ------
    ValueError
        If files hold no such object.
    """
    cls = type(value)
    parts = cls.__module__.split(".")
    if parts[0] == "qpot" and len(parts) > 1 and parts[1] in WINGS:
        schema = table(parts[1]).get(cls.__name__)
        if schema is not None and schema.cls is cls:
            return parts[1], schema
    what = f"{place} is of the class {cls.__name__}" if place else f"a {cls.__name__} is not a result"
    raise ValueError(
        f"{what}, which a file does not hold; qpot.save takes results such as a Prediction or a PathSolution"
    )


def schema_named(name: Any) -> Schema:
    """The schema of a class that a file names, such as ``paths.PathSolution``.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    wing, _, cls = name.partition(".") if isinstance(name, str) else ("", "", "")
    if wing not in WINGS or cls not in table(wing):
        raise ValueError(f"the file holds an object of the class {name!r:.80}, which this qpot does not know")
    return table(wing)[cls]
