"""Objects that travel by reference: a system goes to each worker once, and tasks carry its name.

A class says by ``by_reference = True`` that its objects are large and are not changed by tasks. They are pickled once for
all tasks and named by the hash of that. The worker looks the name up among what it has; it reads the file in which the
caller has put it; and where it does not see that file, on another machine, it answers that the object is `Missing`, and the
task is sent once more with the object itself.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import pickle
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from qpot._core.status import SolveError
from qpot._core.workers import end_with, work

# A process keeps so many of these objects, those that were used last.
_MOST = 8
# Smaller ones travel with every task, since to look them up takes as long.
_SMALL = 2_000

_KNOWN: OrderedDict[str, Any] = OrderedDict()
_LOCK = threading.Lock()


class Missing(NamedTuple):
    """A worker's answer to a task with names of objects that it does not have."""

    names: tuple[str, ...]


class Parcel(NamedTuple):
    """One task: itself as bytes, and the names of the objects in it with the files that hold them, or their contents."""

    task: bytes
    objects: tuple[tuple[str, str | bytes], ...]


class Sender:
    """The tasks of one function, for an executor whose workers are other processes.

    Parameters
    ----------
    pickler : type
        `pickle.Pickler`, or that of cloudpickle.
    """

    def __init__(self, pickler: type[Any]) -> None:
        self._pickler = pickler
        self._names: dict[int, str] = {}
        self._held: dict[str, bytes] = {}
        # What has a name here must live as long, since it is known by its address.
        self._alive: list[Any] = []

    def packed(self, task: Any, *, whole: bool = False) -> bytes:
        """A task as it is sent, a `Parcel` as bytes, in which no executor looks for anything of its own.

        If it is ``whole`` the objects in it come with it, which otherwise are in files.
        """
        used: dict[str, str | bytes] = {}
        sender = self

        class Outgoing(self._pickler):  # type: ignore[misc,name-defined]
            def persistent_id(self, obj: Any) -> str | None:
                if not getattr(type(obj), "by_reference", False) or isinstance(obj, type):
                    return None
                name = sender._name(obj)
                if name:
                    used[name] = sender._held[name] if whole else _file_of(name, sender._held[name])
                return name

        buffer = io.BytesIO()
        Outgoing(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(task)
        return pickle.dumps(Parcel(buffer.getvalue(), tuple(used.items())), protocol=pickle.HIGHEST_PROTOCOL)

    def _name(self, obj: Any) -> str | None:
        """The name of an object that travels by reference, None for a small one."""
        if id(obj) not in self._names:
            buffer = io.BytesIO()
            self._pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(obj)
            data = buffer.getvalue()
            name = "" if len(data) < _SMALL else hashlib.sha256(data).hexdigest()
            self._names[id(obj)] = name
            self._alive.append(obj)
            if name:
                self._held[name] = data
        return self._names[id(obj)] or None


def sender_for(executor: Executor) -> Sender | None:
    """Who sends tasks to this executor; None where its workers are threads of this process."""
    if isinstance(executor, ThreadPoolExecutor):
        return None
    if isinstance(executor, ProcessPoolExecutor):
        return Sender(pickle.Pickler)
    try:
        import cloudpickle
    except ImportError:
        return Sender(pickle.Pickler)
    return Sender(cloudpickle.Pickler)


def unpacked_call(function: Callable[[Any], Any], task: bytes, sender: int = -1) -> Any:
    """In the worker: the function of a task, which the process ``sender`` has sent, or `Missing`."""
    end_with(sender)
    parcel: Parcel = pickle.loads(task)
    objects, missing = _objects_of(dict(parcel.objects))
    if missing:
        return Missing(missing)

    class Incoming(pickle.Unpickler):
        def persistent_load(self, pid: str) -> Any:
            return objects[pid]

    before = SolveError.interruptions
    result = work(function, Incoming(io.BytesIO(parcel.task)).load())
    if SolveError.interruptions != before:
        raise KeyboardInterrupt  # The task took it for a failure, and its result is not what it would be.
    return result


def _objects_of(places: Mapping[str, str | bytes]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The objects by their names, and the names of those that cannot be had."""
    found: dict[str, Any] = {}
    missing = []
    for name, place in places.items():
        with _LOCK:
            known = name in _KNOWN
            if known:
                _KNOWN.move_to_end(name)
                found[name] = _KNOWN[name]
        if known:
            continue
        data = place if isinstance(place, bytes) else _read(Path(place), name)
        if data is None:
            missing.append(name)
            continue
        found[name] = pickle.loads(data)
        with _LOCK:
            _KNOWN[name] = found[name]
            while len(_KNOWN) > _MOST:
                _KNOWN.popitem(last=False)
    return found, tuple(missing)


def _read(path: Path, name: str) -> bytes | None:
    """The contents of the file of an object; None where it is not there, or is another one."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == name else None


class _Files:
    """The folder in which this process puts objects for workers on the same machine; it is removed when the process ends."""

    folder: ClassVar[Path | None] = None
    written: ClassVar[OrderedDict[str, Path]] = OrderedDict()


def _file_of(name: str, data: bytes) -> str | bytes:
    """The path of the file that holds an object, or its contents where no file can be written."""
    with _LOCK:
        if name not in _Files.written:
            if _Files.folder is None:
                _Files.folder = Path(tempfile.mkdtemp(prefix="qpot-"))
                atexit.register(_remove, _Files.folder, os.getpid())
            path = _Files.folder / name
            try:
                path.write_bytes(data)
            except OSError:  # The disk is full, or somebody has removed the folder.
                return data
            _Files.written[name] = path
            while len(_Files.written) > _MOST:
                _Files.written.popitem(last=False)[1].unlink(missing_ok=True)
        _Files.written.move_to_end(name)
        return str(_Files.written[name])


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # A forked process shares the folder, and ends earlier.
        shutil.rmtree(folder, ignore_errors=True)
