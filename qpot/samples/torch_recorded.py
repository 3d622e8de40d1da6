"""Recorded operations: a function of many points is replayed as plain tensor operations, in pieces of a few sizes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.pages import keep_pages

# The sizes of pieces that are recorded; the rest of a batch is filled up with its last point.
_SIZES = (1024, 256, 64, 16, 4, 1)
# A call costs as much time as about so many points more.
_CALL = 24
# A size is recorded once the points and the calls in it, counted as points, have come to this many; recording takes about
# as long as that.
_WORTH = 1000
# The numbers that a model produces for a piece take at most so many bytes, since larger ones no longer fit into caches. Where
# those of one point take more, nothing is recorded.
_BYTES = 16e6
# Recorded values may differ from direct ones by this part of the largest value, which is rounding.
_ROUNDING = 1e-10


class Recorded:
    """A function of points and further arrays whose operations are recorded at some numbers of points.

    The operations depend on the kind of the function and on the shapes alone, so that Python and the bookkeeping of
    ``torch.func`` are needed only once. Products of many tiny matrices are recorded as one product, or as products of
    entries.

    Parameters
    ----------
    function : callable ``(kind, *tensors) -> tensor``
        Row k of the value belongs to row k of every tensor.
    tensor : callable
        It makes a tensor of an array.
    size : callable ``(kind, *arrays) -> int``
        The bytes that the model's values take for one point.
    """

    def __init__(
        self, function: Callable[..., Any], tensor: Callable[[Array], Any], size: Callable[..., float]
    ) -> None:
        self.function, self.tensor, self.size = function, tensor, size
        # The recorded functions by kind and shapes; None where recording has failed.
        self.known: dict[tuple[Any, ...], Callable[..., Any] | None] = {}
        self.asked: dict[tuple[Any, ...], int] = {}

    def __call__(self, kind: str, *arrays: Array) -> Array:
        """The values of the function for arrays whose first axes have one entry for each point."""
        n = len(arrays[0])
        largest = _BYTES / self.size(kind, *arrays)
        if n == 0 or largest < 1.0:
            return self._direct(kind, *arrays)
        shapes = tuple(a.shape[1:] for a in arrays)
        pieces = covering(n, tuple(s for s in _SIZES if s <= largest))
        for size in pieces:
            key = (kind, size, shapes)
            if key not in self.known:
                self.asked[key] = self.asked.get(key, 0) + size + _CALL
                if self.asked[key] >= _WORTH:
                    self.known[key] = self._record(kind, *(_filled(a[:size], size) for a in arrays))
        functions = [self.known.get((kind, size, shapes)) for size in pieces]
        if None in functions:
            return self._direct(kind, *arrays)
        return self._replayed(functions, pieces, arrays)

    def _direct(self, kind: str, *arrays: Array) -> Array:
        return _array(self.function(kind, *(self.tensor(a) for a in arrays)))

    def _replayed(self, functions: list[Any], pieces: tuple[int, ...], arrays: tuple[Array, ...]) -> Array:
        import torch

        values, first = [], 0
        with torch.no_grad():
            for function, size in zip(functions, pieces, strict=True):
                part = [a[first : first + size] for a in arrays]
                full = len(part[0]) == size
                given = [self.tensor(p if full else _filled(p, size)) for p in part]
                values.append(_array(function(*given))[: len(part[0])])
                first += size
        return values[0] if len(values) == 1 else np.concatenate(values)

    def _record(self, kind: str, *arrays: Array) -> Callable[..., Any] | None:
        """The recorded function, or None where the operations cannot be recorded or give other values elsewhere."""
        import torch

        from qpot.samples.torch_recorder import recorded

        keep_pages()
        given = [self.tensor(a) for a in arrays]
        wanted = self.function(kind, *given).detach()
        # It is recorded at other points than those at which it is compared, so that no value can have become a constant.
        others = [0.5 * given[0].flip(0), *given[1:]]
        # Views that a model takes of a product may need the layout that the usual product has.
        for faster in (True, False):
            try:
                function = recorded(functools.partial(self.function, kind), others, faster=faster)
                with torch.no_grad():
                    found = function(*given)
            except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError, IndexError):
                # A model may do what cannot be recorded, and is evaluated directly then.
                continue
            if agree(found, wanted):
                return function
        return None


@functools.lru_cache(maxsize=4096)
def covering(n: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The cheapest sizes of pieces that cover n points, of falling sizes that end with 1; the last may be filled up."""
    size = sizes[0]
    many = n // size
    if n % size == 0:
        return (size,) * many
    ways = [(size,) * (many + 1)]
    if len(sizes) > 1:
        ways.append((size,) * many + covering(n % size, sizes[1:]))
    return min(ways, key=lambda way: sum(way) + _CALL * len(way))


def _filled(part: Array, size: int) -> Array:
    """An array of ``size`` rows: those of ``part``, and its last one again."""
    return part[np.minimum(np.arange(size), len(part) - 1)]


def _array(value: Any) -> Array:
    return np.asarray(value.detach().cpu().numpy(), dtype=np.float64)


def agree(found: Any, wanted: Any) -> bool:
    """Whether two tensors have the same values but for rounding."""
    import torch

    if found.shape != wanted.shape:
        return False
    return bool(torch.isclose(found, wanted, rtol=0.0, atol=_ROUNDING * _largest(wanted), equal_nan=True).all())


def _largest(values: Any) -> float:
    """The largest absolute value that is finite."""
    return float(values.abs().nan_to_num(0.0, 0.0, 0.0).max()) if values.numel() else 0.0
