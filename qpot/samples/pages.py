"""Memory that the process keeps when arrays of some megabytes are given back, so that its pages are not made anew."""

from __future__ import annotations

import functools

import numpy as np

# The number of entries of a block of just under 32 MiB.
_BLOCK = 4_190_000


@functools.cache
def keep_pages() -> None:
    """Let the process keep the memory that arrays and tensors of some megabytes give back.

    Without it a third of the time of a Hessian goes into fresh pages. The allocator of glibc takes blocks that are larger
    than any that was freed before from the system, up to 32 MiB, and returns them; after this one it keeps 64 MiB.
    """
    np.empty(_BLOCK)
