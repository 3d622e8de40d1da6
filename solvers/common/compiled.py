"""How kernels are compiled that make no arrays: without counting references to those that they are given.

The caller holds the arrays anyway, and counting costs 40 ns for each one that is passed, alone or as an entry of a tuple:
several times as long as the gradient of one sample. numba compiles its own sorting with the same option.
"""

from __future__ import annotations

from typing import Any

# For functions that create no arrays and return only numbers.
UNCOUNTED: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
# The same for the small functions of inner loops, which are compiled into the function that calls them.
LEAF: dict[str, Any] = UNCOUNTED | {"forceinline": True}
