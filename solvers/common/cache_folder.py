"""A folder for compiled kernels where neither the installation nor the user's home can be written.

numba reads compiled kernels with pickle, so whoever can write to their folder can run code as its reader. The folder is
therefore one that only this user can have written to.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile


@functools.cache
def private_folder() -> str | None:
    """A folder below the system's temporary one that belongs to this user alone, or None where there is no such place.

    It is the same one in the next process, unless somebody else holds its name or could exchange it; then this process has
    one of its own, which goes with it.
    """
    try:
        parent = tempfile.gettempdir()
        if hasattr(os, "getuid"):
            path = os.path.join(parent, f"qpot-kernels-{os.getuid()}")
            if _is_kept_from_others(parent, path):
                return path
        # Its name cannot be foreseen.
        path = tempfile.mkdtemp(prefix="qpot-kernels-")
    except OSError:
        return None
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _is_kept_from_others(parent: str, path: str) -> bool:
    """Make the folder if need be, and whether nobody else can write to it, nor put another one in its place."""
    above = os.stat(parent)
    own = os.getuid()
    if above.st_uid not in (0, own) or (above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX):
        return False
    with contextlib.suppress(FileExistsError):  # One that is there is looked at like a new one.
        os.mkdir(path, 0o700)
    found = os.lstat(path)  # A link is no folder, wherever it leads.
    return stat.S_ISDIR(found.st_mode) and found.st_uid == own and not found.st_mode & 0o077
