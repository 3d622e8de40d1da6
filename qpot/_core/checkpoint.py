"""Checkpoints: a folder in which finished parts of a computation are kept, so that the same call goes on from there.

A part is identified by its name and by how many parts of this name began before it, within the part that it belongs to. This
is the same in every run of the same call, since a library function that is given the same results so far takes the same way.
A fingerprint of the part's inputs is held against that of the record besides; a part whose inputs have changed is computed
anew.

The checkpoint in use is kept for the thread at work and not handed down from function to function, because the loops whose
parts are kept lie far below the caller who names the folder.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

import numpy as np

from qpot._core import records
from qpot._core.fingerprint import Fingerprint, agree
from qpot._core.status import SolveError

P = ParamSpec("P")
R = TypeVar("R")

# Inputs of a part agree with those of its record up to this, since the steps between two parts are rounded differently on
# another machine.
TOLERANCE = 1e-6
# Arguments that do not change a result.
_SILENT = ("executor", "progress")


@runtime_checkable
class Carried(Protocol):
    """An argument that a function changes, such as a clock: what it has become is kept with the function's result."""

    def carried(self) -> Any:
        """What is to be kept, as a plain value."""
        ...

    def carry(self, kept: Any) -> None:
        """Become what was kept."""
        ...


class Checkpoint:
    """The records in a folder, and the place in the program at which the computation is.

    Parameters
    ----------
    folder : Path
        A folder that exists.
    """

    def __init__(self, folder: Path) -> None:
        self._place, self._begun = folder, Counter[str]()
        # CPU seconds that earlier runs spent on the parts that were taken over.
        self.credit = 0.0
        self._interruptions = SolveError.interruptions
        # What is to be called when the checkpoint is no longer in use, since a generator may be closed much later.
        self.at_end: list[Callable[[], None]] = []

    def next_place(self, name: str) -> Path:
        """The file of the part that begins now."""
        self._begun[name] += 1
        return self._place / f"{name}-{self._begun[name]}"

    def part(self, name: str, compute: Callable[[], R], inputs: Any, changed: Sequence[Any]) -> R:
        """The result of ``compute``, from its record where there is one; see `kept`."""
        place, mark = self.next_place(name), Fingerprint(inputs).plain()
        record = self.taken(place, mark)
        if record is not None:
            self.credit += record["seconds"]
            for one, state in zip(changed, record["changed"], strict=True):
                _become(one, state)
            return record["value"]  # type: ignore[no-any-return]
        begun = cpu_seconds()
        outside = self._place, self._begun
        self._place, self._begun = place, Counter()
        try:
            value = compute()
        finally:
            self._place, self._begun = outside
        record = self.keep(place, mark, value, cpu_seconds() - begun, [_state(one) for one in changed])
        for one, state in zip(changed, record["changed"], strict=True):
            _become(one, state)
        return record["value"]  # type: ignore[no-any-return]

    def taken(self, place: Path, mark: dict[str, Any]) -> dict[str, Any] | None:
        """The record of a part with these inputs, None where there is none."""
        data = records.read(place.with_name(f"{place.name}.record"))
        if data is None:
            return None
        record: dict[str, Any] = records.unpacked(data)
        return record if agree(record["mark"], mark, tolerance=TOLERANCE) else None

    @property
    def writes(self) -> bool:
        """Whether parts are written; after an interruption they may be what is left of others, and are not."""
        return SolveError.interruptions == self._interruptions

    def keep(
        self, place: Path, mark: dict[str, Any], value: Any, seconds: float, changed: Sequence[Any] = ()
    ) -> dict[str, Any]:
        """Write the record of a part, and return it as it will be read.

        What is read may differ from what was computed in the order in which an array lies in memory, and thereby in the
        rounding of what follows; so a run that computes a part and one that reads it go on with the same.
        """
        data = records.packed({"mark": mark, "seconds": seconds, "changed": list(changed), "value": value})
        if self.writes:
            records.write(place.with_name(f"{place.name}.record"), data)
        return records.unpacked(data)  # type: ignore[no-any-return]


_ACTIVE: ContextVar[Checkpoint | None] = ContextVar("checkpoint in use", default=None)


def active() -> Checkpoint | None:
    """The checkpoint in use, None without one."""
    return _ACTIVE.get()


@contextmanager
def using(checkpoint: Checkpoint | None) -> Iterator[None]:
    """Within this block parts are kept in this checkpoint; with None they are kept in none."""
    token = _ACTIVE.set(checkpoint)
    try:
        yield
    finally:
        _ACTIVE.reset(token)
        while checkpoint is not None and checkpoint.at_end:
            checkpoint.at_end.pop()()


def cpu_seconds() -> float:
    """The CPU time of this process, together with what earlier runs spent on the parts that were taken over from them.

    Budgets are counted in it, so that a run that goes on has not more time than one that was never stopped.
    """
    checkpoint = _ACTIVE.get()
    return time.process_time() + (0.0 if checkpoint is None else checkpoint.credit)


def kept(name: str, compute: Callable[[], R], *, inputs: Any = (), changed: Sequence[Any] = ()) -> R:
    """The result of ``compute()``, which is kept in the checkpoint in use.

    Parameters
    ----------
    name : str
        The name of the part.
    compute : callable
        It returns arrays, containers and dataclasses of these. Parts may be kept in it again.
    inputs : object
        What the result depends on, apart from the system.
    changed : sequence of Generator or Carried
        What ``compute`` changes besides.

    Examples
    --------
    >>> kept("sum", lambda: 1 + 2)
    3
    """
    checkpoint = _ACTIVE.get()
    return compute() if checkpoint is None else checkpoint.part(name, compute, inputs, changed)


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of plain values and a system, so that its results are kept in the checkpoint in use."""
    parameters = tuple(inspect.signature(function).parameters)

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        if _ACTIVE.get() is None:
            return function(*args, **kwargs)
        given = {**dict(zip(parameters, args, strict=False)), **kwargs}
        inputs = {name: value for name, value in given.items() if name not in _SILENT}
        changed = [value for value in given.values() if isinstance(value, (np.random.Generator, Carried))]
        return kept(function.__name__.lstrip("_"), lambda: function(*args, **kwargs), inputs=inputs, changed=changed)

    return called


def _state(one: Any) -> Any:
    return one.bit_generator.state if isinstance(one, np.random.Generator) else one.carried()


def _become(one: Any, state: Any) -> None:
    if isinstance(one, np.random.Generator):
        one.bit_generator.state = state
    else:
        one.carry(state)
