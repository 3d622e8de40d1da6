"""The folder of a checkpoint: what it is of, in a file for readers, and who uses it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from qpot._core.checkpoint import Checkpoint, using
from qpot._core.fingerprint import Fingerprint, agree
from qpot._core.folder_lock import locked

# The version of the folder's format.
_FORMAT = 1
# Options that are the same up to this part of their size are the same.
_TOLERANCE = 1e-9
_ABOUT = "about.json"
_README = """\
The finished parts of a computation by qpot, a file for each. The same call with checkpoint= naming this folder goes on from
them, on any machine to which the folder is copied. about.json says which call it is. The files hold numbers and no
code; deleting one means that its part is computed again. The folder may be deleted when the result is there.
"""


@contextmanager
def opened(
    folder: str | os.PathLike[str],
    *,
    call: str,
    system: Mapping[str, Any],
    options: Mapping[str, Any],
    difference: Callable[[dict[str, Any], dict[str, Any]], str],
) -> Iterator[None]:
    """Keep what is finished within this block in a folder, which is made if it does not exist.

    Parameters
    ----------
    folder : path
    call : str
        The name of the function that was called.
    system : mapping
        What identifies its system, as JSON can hold it.
    options : mapping
        Its other arguments that matter.
    difference : callable
        It gives in words what distinguishes two systems.

    Raises
    ------
    ValueError
        If the folder holds something else, belongs to another call or to other code, or is in use.
    """
    path = Path(folder)
    here = {
        "format": _FORMAT,
        "qpot": import_module("qpot").__version__,
        "source": source_digest(),
        "call": call,
        "system": dict(system),
        "options": {name: {"shown": _shown(v), **Fingerprint(v, exact=True).plain()} for name, v in options.items()},
    }
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        about = path / _ABOUT
        if about.exists():
            there = _read(about)
            reason = _mismatch(here, there, difference)
            if reason:
                raise ValueError(f"checkpoint={str(folder)!r} {reason}; pass a folder of its own, or delete this one")
        else:
            strangers = sorted(
                p.name for p in path.iterdir() if p.name not in ("lock", f"{_ABOUT}.draft", "README.txt")
            )
            if strangers:
                raise ValueError(
                    f"checkpoint={str(folder)!r} holds other files ({', '.join(strangers[:3])}); pass an empty folder, or a "
                    "name at which there is none yet"
                )
            (path / "README.txt").write_text(_README, encoding="utf-8")
            draft = path / f"{_ABOUT}.draft"
            with open(draft, "w", encoding="utf-8") as file:
                json.dump(here, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, about)
        with using(Checkpoint(path / "parts")):
            yield


def _read(about: Path) -> dict[str, Any]:
    try:
        there = json.loads(about.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{about} cannot be read ({error}): the folder is no checkpoint; pass another one") from error
    if not isinstance(there, dict) or "format" not in there:
        raise ValueError(f"{about} is not that of a checkpoint; pass another folder")
    return there


def _mismatch(
    here: dict[str, Any], there: dict[str, Any], difference: Callable[[dict[str, Any], dict[str, Any]], str]
) -> str:
    """How a call differs from the one of a folder, in words; empty where it does not."""
    if there["format"] != here["format"]:
        return f"has format {there['format']}, and this qpot writes format {here['format']}"
    if there["qpot"] != here["qpot"]:
        return f"was written by qpot {there['qpot']}, and this is {here['qpot']}, whose numbers may differ"
    if there["source"] != here["source"]:
        return f"was written by other code of qpot {there['qpot']} than this, whose numbers may differ"
    if there["call"] != here["call"]:
        return f"belongs to a call of {there['call']}, and this is one of {here['call']}"
    reason = difference(here["system"], there["system"])
    if reason:
        return f"belongs to another system: {reason}"
    for name in sorted({*here["options"], *there["options"]}):
        mine, other = here["options"].get(name), there["options"].get(name)
        if mine is None or other is None or not agree(mine, other, tolerance=_TOLERANCE):
            shown = ["nothing" if x is None else x["shown"] for x in (mine, other)]
            return f"belongs to a call with another {name}: {shown[0]} here, {shown[1]} in the folder"
    return ""


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:200]} ..."


@functools.cache
def source_digest() -> str:
    """A hash of the library's source, since a version that is being worked on changes without a new number."""
    package = Path(import_module("qpot").__path__[0])
    solvers = Path(import_module("qpot.solvers").__path__[0])
    digest = hashlib.sha256()
    for root in (package, solvers):
        for path in sorted(p for p in root.rglob("*.py") if "solvers" not in p.relative_to(root).parts):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]
