"""Results from their contents: every value is checked before an object is made of it, and only classes are looked up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from qpot._core.archive import array_of
from qpot._core.file_methods import RawMethod, made
from qpot._core.file_schema import LeftOut, Maybe, Method, NotSaved, Place, Schema
from qpot._core.file_tables import schema_named
from qpot._core.status import Status

# The enumerations whose members a file names.
_ENUMERATIONS: dict[str, type[Enum]] = {"Status": Status}
_NON_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class Reader:
    """What makes the objects of a result from the text and the arrays of `qpot._core.file_writer.content`.

    Parameters
    ----------
    arrays : mapping
        The members of a file that are arrays.
    given : mapping
        Parts that the file does not hold, by name.
    """

    def __init__(self, arrays: Mapping[str, bytes], given: Mapping[str, Any]) -> None:
        self._members, self._given = arrays, given
        self._arrays: dict[str, np.ndarray[Any, Any]] = {}
        self._objects: list[Any] = []
        # The sizes of every object, by its identity.
        self._sizes: dict[int, dict[str, int]] = {}
        self._taken: set[str] = set()
        self._left_out: set[str] = set()

    def read(self, text: bytes) -> Any:
        """The result.

        Raises
        ------
        ValueError
            If the text is not one of values, or these are not those of a result.
        """
        value = json.loads(text)
        if not isinstance(value, dict) or not isinstance(value.get("objects"), list) or not value["objects"]:
            raise ValueError("the file holds no result; it was damaged or made by something else")
        for item in value["objects"]:
            self._objects.append(self._object(item))
        unused = set(self._given) - self._taken
        if unused:
            takes = f"it takes {', '.join(sorted(self._left_out))}" if self._left_out else "it takes none"
            raise ValueError(
                f"{sorted(unused)[0]}= was given, but a {type(self._objects[-1]).__name__} has no such part that is not in "
                f"its file: {takes}"
            )
        if value.get("result") != len(self._objects) - 1:
            raise ValueError("the file does not say which of its objects is the result")
        return self._objects[-1]

    def _object(self, item: Any) -> Any:
        """One object; those that it refers to have been made."""
        if not isinstance(item, dict) or not isinstance(item.get("fields"), dict):
            raise ValueError(f"the file holds an object that is none: {item!r:.80}")
        schema = schema_named(item.get("class"))
        place = Place(schema.cls.__name__, self._sizes, made)
        fields: dict[str, Any] = {}
        for name, spec in schema.fields.items():
            if isinstance(spec, LeftOut):
                continue
            if name in item["fields"]:
                value = self._value(item["fields"][name])
                inner = spec.field if isinstance(spec, Maybe) else spec
                left_out = isinstance(value, RawMethod) and value.options is None
                if left_out and isinstance(inner, Method) and inner.own:
                    fields[name] = self._missing(name, schema, value.name)
                else:
                    fields[name] = spec.checked(value, name, place)
            elif name not in schema.optional:
                raise place.wrong(name, "is missing in the file; it was damaged or made by something else")
        unknown = set(item["fields"]) - set(schema.fields)
        if unknown:
            raise place.wrong(
                sorted(unknown)[0][:80], "is not known to this qpot; install a newer one to read the file"
            )
        place.finish()
        for name, spec in schema.fields.items():
            if isinstance(spec, LeftOut):
                self._give(name, spec, schema, place, fields)
        return self._built(schema, fields, place)

    def _built(self, schema: Schema, fields: dict[str, Any], place: Place) -> Any:
        try:
            result = (schema.build or schema.cls)(**fields)
        except (TypeError, ArithmeticError) as error:
            raise ValueError(f"{schema.cls.__name__} cannot be made of what the file holds: {error}") from error
        if schema.also is not None:
            schema.also(result)
        self._sizes[id(result)] = {symbol: size for symbol, (size, _) in place.sizes.items()}
        return result

    def _give(self, name: str, spec: LeftOut, schema: Schema, place: Place, fields: dict[str, Any]) -> None:
        """Put a part that was given where it belongs, and what refuses its use where it is needed and was not given."""
        self._left_out.add(name)
        if name not in self._given:
            if spec.needed:
                fields[name] = NotSaved(name, schema.cls.__name__)
            return
        self._taken.add(name)
        part = self._given[name]
        dimension = getattr(part, "dimension", None)
        if isinstance(dimension, int) and "d" in place.sizes and place.sizes["d"][0] != dimension:
            raise ValueError(
                f"{name}= has the dimension {dimension}, and the {schema.cls.__name__} of the file has {place.sizes['d'][0]}"
            )
        fields[name] = part

    def _missing(self, name: str, schema: Schema, was: str) -> Any:
        """A flow or a loss of the user's own class, as it was given, or what refuses its use."""
        self._left_out.add(name)
        if name in self._given:
            self._taken.add(name)
            return self._given[name]
        return NotSaved(name, schema.cls.__name__, was[:80])

    def _value(self, tree: Any) -> Any:
        """A value of the text."""
        if tree is None or isinstance(tree, (bool, int, str)):
            return tree
        if isinstance(tree, float):
            if not np.isfinite(tree):
                raise ValueError("the file holds a number beyond the largest one")
            return tree
        if isinstance(tree, list):
            return tuple(self._value(one) for one in tree)
        if len(tree) != 1:
            raise ValueError(f"the file holds a value that is none: {tree!r:.80}")
        ((kind, inner),) = tree.items()
        if kind == "object" and isinstance(inner, int) and not isinstance(inner, bool):
            if 0 <= inner < len(self._objects):
                return self._objects[inner]
        elif kind == "array" and isinstance(inner, str):
            return self._array(inner)
        elif kind == "float" and isinstance(inner, str) and inner in _NON_FINITE:
            return _NON_FINITE[inner]
        elif kind == "map" and isinstance(inner, list):
            return self._map(inner)
        elif kind == "method" and isinstance(inner, dict):
            return self._method(inner)
        elif kind in _ENUMERATIONS and isinstance(inner, str) and inner in _ENUMERATIONS[kind].__members__:
            return _ENUMERATIONS[kind][inner]
        raise ValueError(f"the file holds a value that is none: {tree!r:.80}")

    def _map(self, items: list[Any]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for item in items:
            if not isinstance(item, list) or len(item) != 2:
                raise ValueError(f"the file holds an entry of a mapping that is none: {item!r:.80}")
            key, value = self._value(item[0]), self._value(item[1])
            plain = key if isinstance(key, tuple) else (key,)
            if not all(isinstance(one, (int, float, str)) for one in plain) or key in found:
                raise ValueError(f"the file holds a key of a mapping that is none, or twice: {item[0]!r:.80}")
            found[key] = value
        return found

    def _method(self, inner: dict[str, Any]) -> RawMethod:
        name, options = inner.get("class"), inner.get("options")
        if not isinstance(name, str) or not isinstance(options, (dict, type(None))):
            raise ValueError(f"the file holds a method that is none: {inner!r:.80}")
        if options is None:
            return RawMethod(name, None)
        return RawMethod(name, {str(key): self._value(one) for key, one in options.items()})

    def _array(self, name: str) -> np.ndarray[Any, Any]:
        if name not in self._arrays:
            if f"{name}.npy" not in self._members:
                raise ValueError(f"the file lacks the array {name!r:.80}; it was damaged or made by something else")
            self._arrays[name] = array_of(self._members[f"{name}.npy"], name)
        return self._arrays[name]
