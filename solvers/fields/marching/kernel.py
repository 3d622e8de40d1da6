"""How kernels are compiled: cached, without the GIL, dividing as NumPy does, with fused products and no reference counts.

A kernel owns no array: all come from the caller, who holds them. Counting references to every entry of a tuple that is
looked at costs two atomic operations each; without them the rates of a ray take a third of the time in 2-D, half in 3-D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_UNCOUNTED: dict[str, Any] = {"_nrt": False}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that neither makes nor returns arrays."""
    try:
        return njit(**_OPTIONS, **_UNCOUNTED)(function)
    except KeyError:  # a version of numba without this option
        return njit(**_OPTIONS)(function)


@kernel
def assign(target, source):  # type: ignore[no-untyped-def]
    """Copy a vector entry by entry: assigning to a slice would make room for a copy in between."""
    for i in range(target.shape[0]):
        target[i] = source[i]
