"""How kernels are compiled: into a cache wherever there is room, and without counting references if they make no arrays.

The caller holds the arrays anyway, and counting costs 40 ns for each one that is passed, alone or as an entry of a tuple:
several times as long as the gradient of one sample. numba compiles its own sorting with the same option.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import config

from qpot.solvers.common import compiling
from qpot.solvers.common.cache_folder import private_folder

# For functions that create no arrays and return only numbers.
UNCOUNTED: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
# The same for the small functions of inner loops, which are compiled into the function that calls them.
LEAF: dict[str, Any] = UNCOUNTED | {"forceinline": True}

compiling.listen()


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Do what `numba.njit` does, with a cache also where numba finds no place for one, and without a wrapper for C.

    numba keeps compiled kernels beside their source or in the user's home, and refuses to compile where both cannot be
    written. They are then kept in a temporary folder of the user's own, and where there is none either, not at all.
    """
    options = {"no_cfunc_wrapper": True, **options}

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
        folder = private_folder()
        if folder is None:
            return numba.njit(**options | {"cache": False})(function)
        settings: Any = config
        before = settings.CACHE_DIR
        settings.CACHE_DIR = folder
        try:
            return numba.njit(**options)(function)
        finally:
            settings.CACHE_DIR = before

    return compiled
