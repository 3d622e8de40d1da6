"""Saved results: `save` and `load` for every result, in one format of arrays and text, without pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from qpot._core.archive import MAX_BYTES, read_archive, write_archive
from qpot._core.file_reader import Reader
from qpot._core.file_tables import schema_of
from qpot._core.file_writer import content
from qpot._core.interrupts import interruptible

if TYPE_CHECKING:
    from qpot._core.types import FileLike

# How a file says what it is, and the version of the format that this module writes; it reads this one and all before it.
FORMAT, VERSION = "qpot result", 1
# The members of a file beside its arrays: what it is, and the values.
_ABOUT, _VALUE = "about.json", "value.json"
# The files that releases before this format wrote are known by one of their entries, and read by these modules.
_OLDER = {"about.npy": "qpot.prediction.older_files", "settings.npy": "qpot.simulation.older_files"}


@interruptible
def save(result: Any, file: FileLike) -> None:
    """Write a result to one file, from which `load` makes it again.

    Parameters
    ----------
    result : object
        Any result of qpot: a `Prediction`, `TransitionCosts`, `PathSolution`, `FieldSolution`, `Ensemble`, ...
    file : path or binary stream
        The name is taken as it is, usually with the ending ``.npz``, since `numpy.load` reads the arrays too. What was there
        before is replaced when the new file is complete, and not touched otherwise.

    Raises
    ------
    ValueError
        If the result is of no class that can be saved, or holds something that a file does not, or values that no result has.
    OSError
        If the file cannot be written.

    Notes
    -----
    Functions are not kept: a system, a model or a loss of the user's is passed again to `load` where it is needed.
    ``docs/files.md`` describes the format.

    Examples
    --------
    >>> import io, numpy as np, qpot
    >>> graph = qpot.w_graph(np.array([[0.0, 1.0], [2.0, 0.0]]), 0)
    >>> file = io.BytesIO()
    >>> qpot.save(graph, file)
    >>> qpot.load(file) == graph
    True
    """
    text, arrays = content(result)
    # What cannot be loaded again must not take the place of what can.
    Reader(arrays, {}).read(text)
    members = {_VALUE: text, **arrays}
    about = {
        "format": FORMAT,
        "version": VERSION,
        "class": f"{schema_of(result)[0]}.{type(result).__name__}",
        "qpot": import_module("qpot").__version__,
        "bytes": sum(map(len, members.values())),
    }
    about["sha256"] = _digest(about, members)
    write_archive(file, {_ABOUT: json.dumps(about, indent=1).encode(), **members})


@interruptible
def load(file: FileLike, *, system: Any = None, max_bytes: int = MAX_BYTES, **given: Any) -> Any:
    """Read a result that `save` or the method ``save`` of a result wrote.

    Parameters
    ----------
    file : path or binary stream
    system : System, optional
        The system of the result, which its file does not hold: for `Prediction.check`, `FieldSolution.path_to` and others
        that compute further.
    max_bytes : int
        The most that the file may take in memory, 1 GiB by default. Larger files are refused before they are read.
    **given
        Other parts that a file does not hold, such as ``symmetries`` of a `Prediction` or the ``model`` of a
        `TrainingTrajectory`.

    Returns
    -------
    object
        Of the class that was saved.

    Raises
    ------
    ValueError
        If the file is not of qpot, is damaged, was written by a newer release, or holds values that no result has; if a part
        is given that the result does not have, or a system of another dimension.
    OSError
        If there is no such file.

    Examples
    --------
    >>> import io, numpy as np, qpot
    >>> file = io.BytesIO()
    >>> qpot.cycle_hierarchy(np.array([[0.0, 1.0], [2.0, 0.0]])).save(file)
    >>> qpot.load(file).exit_cost
    inf
    """
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
        raise ValueError(f"max_bytes must be a whole number of at least 1, got {max_bytes!r}")
    parts = {**({} if system is None else {"system": system}), **given}
    members = read_archive(file, max_bytes=max_bytes)
    name = str(file) if isinstance(file, str) or hasattr(file, "__fspath__") else "the stream"
    try:
        if _ABOUT not in members:
            return _older(members, name, parts)
        _hold(members, name)
        text = members.pop(_VALUE)
        return Reader(members, parts).read(text)
    except RecursionError as error:
        raise ValueError(f"{name} holds values within values within values, which no result does") from error


def _hold(members: dict[str, bytes], name: str) -> None:
    """Check what a file says it is and its checksum, and take the header out of its members."""
    try:
        about = json.loads(members.pop(_ABOUT))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} was damaged: its header cannot be read ({error}); load a copy") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{name} is no file of a qpot result; qpot.load reads what qpot.save wrote")
    version = about.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ValueError(
            f"{name} holds a {FORMAT} of version {version}, written by qpot {about.get('qpot')!r:.20}; this qpot reads up to "
            f"version {VERSION}: install a newer one"
        )
    if about.pop("sha256", None) != _digest(about, members) or version != VERSION or _VALUE not in members:
        raise ValueError(f"{name} was damaged or changed after it was written: its checksum does not fit; load a copy")


def _digest(about: Mapping[str, Any], members: Mapping[str, bytes]) -> str:
    """A checksum of the header and everything else."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(members):
        digest.update(f"\0{name}\0{len(members[name])}\0".encode())
        digest.update(members[name])
    return digest.hexdigest()


def _older(members: dict[str, bytes], name: str, parts: dict[str, Any]) -> Any:
    """The result of a file of a release before this format, checked as that of any other."""
    for entry, module in _OLDER.items():
        if entry in members:
            result = import_module(module).read(members, name)
            text, arrays = content(result)
            return Reader(arrays, parts).read(text)
    raise ValueError(f"{name} is no file of a qpot result; qpot.load reads what qpot.save wrote")


class Saved:
    """A result that is saved and loaded by its own methods."""

    def save(self, file: FileLike) -> None:
        """Write the result to one file without pickle, from which `load` makes it again; see `qpot.save`."""
        save(self, file)

    @classmethod
    def load(cls, file: FileLike, *, system: Any = None, max_bytes: int = MAX_BYTES, **given: Any) -> Self:
        """Read a result of this class that `save` wrote; see `qpot.load` for the arguments."""
        result = load(file, system=system, max_bytes=max_bytes, **given)
        if not isinstance(result, cls):
            raise ValueError(
                f"the file holds a {type(result).__name__}, not a {cls.__name__}; load it with qpot.load, or with "
                f"{type(result).__name__}.load"
            )
        return result
