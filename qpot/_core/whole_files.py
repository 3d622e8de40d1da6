"""Whole files: what is written is there completely or not at all, and what was there before stays until then."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path, draft: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a draft beside ``path`` for writing, and move it there once this block has ended without an error.

    The draft reaches the disk before it is moved, so that neither a full disk nor a kill nor a machine that stops leaves half
    a file under the name, and whoever reads meanwhile sees the old file or the new one.

    Parameters
    ----------
    path : Path
        A link is followed: the file that it names is replaced, and the link stays.
    draft : Path, optional
        The name of the draft in the same folder; by default one that nobody else uses.

    Raises
    ------
    ValueError
        If the path is a folder, or its folder does not exist.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "a") as file:
    ...         _ = file.write(b"all")
    ...     (Path(folder) / "a").read_bytes()
    b'all'
    """
    target = Path(os.path.realpath(path))
    try:
        mode = stat.S_IMODE(os.stat(target).st_mode) if target.exists() else None
    except FileNotFoundError:  # It went between the two questions.
        mode = None
    if target.is_dir():
        raise ValueError(f"file={str(path)!r} is a folder; pass the name of a file in it")
    if not target.parent.is_dir():
        raise ValueError(f"file={str(path)!r}: there is no folder {str(target.parent)!r}; make it first")
    if target.exists() and not target.is_file():
        with open(target, "wb") as device:  # A pipe or a device cannot be replaced.
            yield device
        return
    own = draft is None
    draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.draft") if draft is None else draft
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if own else os.O_TRUNC) | getattr(os, "O_BINARY", 0)
    handle = os.open(draft, flags, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(draft, mode)
        os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # The name itself reaches the disk with the folder.
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
