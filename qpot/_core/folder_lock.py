"""A lock on a folder: one process at a time, and the operating system releases it when the process ends in any way."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# The folders that this process has locked: locks of the operating system do not keep a process from itself.
_OWN: set[Path] = set()
_GUARD = threading.Lock()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's file ``lock`` within this block.

    Processes that are forked within it do not hold the lock, so that a worker that outlives its parent does not keep it.

    Raises
    ------
    ValueError
        If another process, or another thread of this one, holds it.
    """
    resolved = folder.resolve()
    with _GUARD:
        if resolved in _OWN:
            raise _in_use(folder, "another thread of this process")
        _OWN.add(resolved)
    try:
        with open(folder / "lock", "a+b") as file:
            try:
                _lock(file)
            except OSError as error:
                file.seek(0)
                raise _in_use(folder, file.read().decode(errors="replace").strip() or "another process") from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}".encode())
            file.flush()
            yield
    finally:
        with _GUARD:
            _OWN.discard(resolved)


def _in_use(folder: Path, owner: str) -> ValueError:
    return ValueError(
        f"checkpoint={str(folder)!r} is in use by {owner}; wait until that has ended, or pass a folder of its own"
    )


def _lock(file: IO[bytes]) -> None:
    """Lock an open file or raise OSError; closing the file releases it."""
    if sys.platform == "win32":
        import msvcrt

        # A byte far behind the text, which others may then read.
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        # These locks belong to the process. Those of `flock` would live on in forked children.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
