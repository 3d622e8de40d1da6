"""Memory: how much is free, and a refusal before anything that cannot fit is begun."""

from __future__ import annotations

import os
from pathlib import Path

# Where Linux says how much memory a group of processes may use and uses.
_GROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))
_GIB = 2**30


def free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the operating system does not say."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
    except (OSError, ValueError):
        try:
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (AttributeError, ValueError, OSError):
            return None
    try:
        most, used = (path.read_text(encoding="ascii").strip() for path in _GROUP)
        if most != "max":
            found.append(int(most) - int(used))
    except (OSError, ValueError):
        return min(found, default=None)
    return min(found, default=None)


def check_memory(need: float, *, what: str, way_out: str) -> None:
    """Refuse what needs more bytes than are free, before it is begun.

    Raises
    ------
    ValueError
        The message says what needs how much, how much is free, and ``way_out``.
    """
    free = free_memory()
    if free is not None and need > max(free, 0):
        raise ValueError(f"{what} needs about {need / _GIB:.3g} GiB, and {free / _GIB:.3g} GiB are free; {way_out}")
