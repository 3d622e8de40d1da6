"""Fingerprints of inputs: what is the same on another machine has the same one, up to rounding."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from qpot._core.arrays import Array

# Objects inside of objects are looked at so deep.
_DEPTH = 12
# A number below this fraction of one may differ by all of itself: residuals are rounding.
_ROUNDING = 1e-12


class Fingerprint:
    """What identifies a value: a hash of its structure, text and whole numbers, and sums of its floating-point numbers.

    Parameters
    ----------
    value : object
        Arrays, numbers, text, containers and dataclasses of these. An object that travels by reference (a system) and a
        function are known by the name of their class or their own.
    exact : bool
        Whether single floating-point numbers, such as tolerances, belong to the hash. Of objects with a position only that
        counts then.
    """

    def __init__(self, value: Any, *, exact: bool = False) -> None:
        self._hash, self._exact = hashlib.sha256(), exact
        # Pairs of a number and the scale of its rounding.
        self._sums: list[tuple[float, float]] = []
        self._walk(value, _DEPTH)

    def plain(self) -> dict[str, Any]:
        """The fingerprint as a value that JSON can hold."""
        return {"text": self._hash.hexdigest(), "sums": [list(pair) for pair in self._sums]}

    def _name(self, text: str) -> None:
        self._hash.update(text.encode() + b"\0")

    def _walk(self, value: Any, depth: int) -> None:
        if value is None or isinstance(value, (bool, int, str, bytes, Enum, np.bool_, np.integer)):
            self._name(f"{type(value).__name__} {value!r}")
        elif isinstance(value, (float, complex, np.inexact)) and not isinstance(value, np.ndarray):
            if self._exact or not np.isfinite(value):
                self._name(repr(complex(value)))
            else:
                self._name("number")
                self._sums += [(float(x), abs(float(x))) for x in (np.real(value), np.imag(value))]
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self._array(value)
        elif isinstance(value, Executor) or depth == 0:
            self._name("executor or too deep")
        elif getattr(type(value), "by_reference", False):
            self._name(type(value).__name__)
        elif isinstance(value, np.random.Generator):
            seeds = getattr(value.bit_generator, "seed_seq", None)
            spawned = [getattr(seeds, name, None) for name in ("entropy", "spawn_key", "n_children_spawned")]
            self._parts("generator", [value.bit_generator.state, spawned], depth)
        elif isinstance(value, Mapping):
            self._parts("mapping", [part for item in value.items() for part in item], depth)
        elif self._exact and hasattr(value, "point"):
            self._parts("point", [np.asarray(value.point, dtype=np.float64)], depth)
        elif isinstance(value, (tuple, list, set, frozenset)):
            self._parts(
                type(value).__name__, [*value, *(vars(value).values() if hasattr(value, "__dict__") else ())], depth
            )
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = [getattr(value, f.name) for f in dataclasses.fields(value)]
            self._parts(type(value).__name__, parts, depth)
        elif callable(value):
            self._name(getattr(value, "__qualname__", type(value).__name__))
        else:
            inner = vars(value) if hasattr(value, "__dict__") else {}
            self._parts(type(value).__name__, [v for name, v in inner.items() if not name.startswith("_")], depth)

    def _parts(self, name: str, parts: list[Any], depth: int) -> None:
        self._name(f"{name} of {len(parts)}")
        for part in parts:
            self._walk(part, depth - 1)

    def _array(self, value: np.ndarray[Any, Any]) -> None:
        self._name(f"array {value.shape} {value.dtype.kind}")
        if value.dtype.kind not in "fc":
            self._hash.update(np.ascontiguousarray(value).tobytes())
            return
        flat = np.ascontiguousarray(value).view(value.real.dtype).ravel().astype(np.float64)
        usual = np.isfinite(flat)
        self._hash.update(usual.tobytes())
        flat = np.where(usual, flat, 0.0)
        scale = float(np.linalg.norm(flat))
        self._sums += [(scale, scale), (float(flat @ np.cos(np.arange(flat.size))), scale)]


def agree(one: Mapping[str, Any], other: Mapping[str, Any], *, tolerance: float) -> bool:
    """Whether two fingerprints, as `Fingerprint.plain` gives them, are those of the same value up to rounding."""
    if one["text"] != other["text"] or len(one["sums"]) != len(other["sums"]):
        return False
    a, b = (np.array(x["sums"], dtype=np.float64).reshape(-1, 2) for x in (one, other))
    return bool((np.abs(a[:, 0] - b[:, 0]) <= tolerance * np.maximum(a[:, 1], b[:, 1]) + _ROUNDING).all())


def summarised(values: Array, most: int = 64) -> Array:
    """At most so many numbers that show whether the ``values`` are the same: themselves, or weighted sums of parts."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    if flat.size <= most:
        return flat
    edges = np.linspace(0, flat.size, most, endpoint=False).astype(np.int64)
    return np.asarray(np.add.reduceat(flat * (1.5 + np.cos(np.arange(flat.size))), edges))
