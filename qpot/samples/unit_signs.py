"""Changes of sign of the arrays of a unit, as vectors over the field of two elements."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from qpot._core.arrays import Array

# Of so many arrays of places all combinations of signs are tried, of more only those that change few or leave few.
_ALL_SIGNS = 8


def patterns_of(n: int) -> Iterator[Array]:
    """Changes of sign of n arrays, those of few arrays first, without the one that changes none."""
    counts: Iterable[int] = range(1, n + 1) if n <= _ALL_SIGNS else sorted({1, 2, 3, n - 3, n - 2, n - 1, n})
    for count in counts:
        for some in itertools.combinations(range(n), count):
            pattern = np.ones(n)
            pattern[list(some)] = -1.0
            yield pattern


def _bits(pattern: Array) -> int:
    """The entries that are negative, as the bits of a number."""
    return int.from_bytes(np.packbits(np.asarray(pattern) < 0).tobytes(), "big")


def independent(patterns: Sequence[Array]) -> list[Array]:
    """The first patterns that are no products of those before."""
    kept: list[Array] = []
    reduced: list[int] = []
    for pattern in patterns:
        rest = _reduced(_bits(pattern), reduced)
        if rest:
            kept.append(pattern)
            reduced.append(rest)
    return kept


def _reduced(bits: int, basis: list[int]) -> int:
    """What is left of a number after the elimination of the leading bits of a basis, which was built in this order."""
    for other in basis:
        bits = min(bits, bits ^ other)
    return bits
