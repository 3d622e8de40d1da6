"""How kernels are compiled: cached, without the GIL, dividing as NumPy does, with fused products and no reference counts.

A kernel owns no array: all come from the caller, who holds them. Counting references to every entry of a tuple that is
looked at costs two atomic operations each; without them the rates of a ray take a third of the time in 2-D, half in 3-D.
What belongs together travels as a named tuple of arrays, which costs no more than the arrays by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qpot.solvers.common.compiled import njit

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_UNCOUNTED: dict[str, Any] = {"_nrt": False}


def _compiled(function: Callable[..., Any], **more: Any) -> Any:
    """Compile without reference counts where this version of numba can."""
    options = _OPTIONS | more
    try:
        return njit(**options, **_UNCOUNTED)(function)
    except KeyError:  # a version of numba without this option
        return njit(**options)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that neither makes nor returns arrays."""
    return _compiled(function)


def unfused_kernel(function: Callable[..., Any]) -> Any:
    """Compile like `kernel`, but round every product by itself, as plain Python does."""
    return _compiled(function, fastmath=False)


def part(function: Callable[..., Any]) -> Any:
    """Compile a part of a kernel: its statements take the place of the call, and it is not compiled by itself.

    A long kernel is written as parts with names. As functions of their own each of them would be compiled with all that
    it calls, once more for every level of calls above it.
    """
    return _compiled(function, inline="always")


@kernel
def assign(target, source):  # type: ignore[no-untyped-def]
    """Copy a vector entry by entry: assigning to a slice would make room for a copy in between."""
    for i in range(target.shape[0]):
        target[i] = source[i]


@kernel
def row_norm(M, d):  # type: ignore[no-untyped-def]
    """The largest sum of absolute values in a row of the ``d x d`` matrix: a bound of the rates of w' = M w."""
    largest = 0.0
    for i in range(d):
        row = 0.0
        for j in range(d):
            row += abs(M[i, j])
        largest = max(largest, row)
    return largest
