"""The content of a saved result: a text of its values, in which objects and arrays are referred to, and the arrays."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from qpot._core.archive import array_bytes
from qpot._core.file_methods import is_known, options_of
from qpot._core.file_schema import Field, LeftOut, Many, Maybe, Method, NotSaved
from qpot._core.file_tables import schema_of

# Names of members are the places of arrays in the result, with all but these characters left out.
_KEPT = re.compile(r"[^A-Za-z0-9_.,-]+")


def content(result: Any) -> tuple[bytes, dict[str, bytes]]:
    """The values of a result as JSON text, and its arrays by the names of their members.

    Two results are the same if and only if their contents are.

    Raises
    ------
    ValueError
        If the result is of no class that can be saved, or holds something that a file does not.
    """
    writer = _Writer()
    root = writer.object(result, "")
    value = {"objects": writer.objects, "result": root["object"]}
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode(), writer.arrays


class _Writer:
    """The objects of a result in the order in which they can be made again, each once, and its arrays."""

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []
        self.arrays: dict[str, bytes] = {}
        # Each object and array by its identity, which holds as long as it is kept here.
        self._seen: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._open: set[int] = set()

    def object(self, value: Any, place: str) -> dict[str, Any]:
        """The reference to an object, whose fields are written if they have not been."""
        if id(value) in self._seen:
            return self._seen[id(value)][1]
        wing, schema = schema_of(value, place)
        if id(value) in self._open:
            raise ValueError(f"{place} holds itself, and cannot be saved")
        self._open.add(id(value))
        fields = {}
        for name, part in schema.taken_apart(value).items():
            spec = schema.fields[name]
            if not isinstance(spec, LeftOut):
                fields[name] = self.field(part, spec, f"{place}.{name}" if place else name)
        self._open.discard(id(value))
        self.objects.append({"class": f"{wing}.{schema.cls.__name__}", "fields": fields})
        reference = {"object": len(self.objects) - 1}
        self._seen[id(value)] = value, reference
        return reference

    def field(self, value: Any, spec: Field, place: str) -> Any:
        """A field for the text."""
        inner = spec.field if isinstance(spec, Maybe) else spec
        if isinstance(inner, Many) and isinstance(value, tuple):
            value = tuple(value)  # A tuple that knows more, such as how the minima were searched for, is kept as one.
        if value is None or not isinstance(inner, Method):
            return self.value(value, place)
        return {"method": self.method(value, inner, place)}

    def method(self, value: Any, spec: Method, place: str) -> dict[str, Any]:
        """A method by the name of its class and its options."""
        if not is_known(value, spec.wings):
            if not spec.own:
                raise ValueError(f"{place} is a {type(value).__name__}, which is no class that a file can name")
            return {"class": value.was if isinstance(value, NotSaved) else type(value).__name__}
        options = {}
        for name, one in options_of(value).items():
            known = not isinstance(one, (bool, int, float, str, type(None))) and is_known(one, spec.wings)
            options[name] = {"method": self.method(one, spec, f"{place}.{name}")} if known else self.value(one, place)
        return {"class": type(value).__name__, "options": options}

    def value(self, value: Any, place: str) -> Any:
        """A value for the text: what JSON has as it is, all else as a mapping of one entry that says what it is."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (np.bool_, np.integer, np.floating, np.complexfloating)):
            value = value.item()
        if isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, Enum):
            return {type(value).__name__: value.name}
        if isinstance(value, np.ndarray):
            return self.array(value, place)
        if type(value) is tuple or type(value) is list:
            # Results hold tuples; a list that came in by a user's method is one from then on.
            return [self.value(one, f"{place}.{n}") for n, one in enumerate(value)]
        if isinstance(value, Mapping):
            return {
                "map": [
                    [self.value(key, place), self.value(one, f"{place}.{_label(key)}")] for key, one in value.items()
                ]
            }
        return self.object(value, place)

    def array(self, value: np.ndarray[Any, Any], place: str) -> dict[str, Any]:
        """The reference to an array, which is kept under the name of its place."""
        if id(value) in self._seen:
            return self._seen[id(value)][1]
        if value.dtype.kind not in "fiubc":
            raise ValueError(f"{place} is an array of type {value.dtype}, which a file does not hold")
        stem = _KEPT.sub("", place)[:160].lstrip(".,-") or "array"
        name, n = stem, 1
        while f"{name}.npy" in self.arrays:
            name, n = f"{stem}_{n}", n + 1
        self.arrays[f"{name}.npy"] = array_bytes(value)
        reference = {"array": name}
        self._seen[id(value)] = value, reference
        return reference


def _label(key: Any) -> str:
    """A key of a mapping as a part of a name."""
    return ",".join(map(str, key)) if isinstance(key, tuple) else str(key)
