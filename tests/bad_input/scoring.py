"""One call with one argument replaced, and what came of it."""

from __future__ import annotations

import re
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import qpot

CLEAR = "clear error"
ACCEPTED = "rightly accepted"
# Seconds of CPU time after which a call counts as accepted.
PATIENCE = 5.0

# A message says what is wrong with the value or what would be right in one of these words.
_WAY_OUT = re.compile(
    r"must|expected|pass|use |choose|needs?|got |give|raise |make|between|at least|at most|only|not an? |is not|are not|"
    r"instead|remove|"
    r"set |widen|takes|does not|is empty|outside|look|build|missing|required|measure|let it|take |lower it|"
    r"restrict|kernels are|unexpected|belongs?"
)


@dataclass(frozen=True)
class Refused:
    """A value that must be refused, by an error that names the argument."""

    label: str
    make: Callable[[], Any]


@dataclass(frozen=True)
class Accepted:
    """A value that must be accepted."""

    label: str
    make: Callable[[], Any]


Kind = Refused | Accepted


@dataclass(frozen=True)
class Entry:
    """A public callable with arguments that it accepts, made anew for each call, and wrong ones for some of them."""

    name: str
    call: Callable[..., Any]
    good: Mapping[str, Any]
    kinds: Mapping[str, tuple[Kind, ...]]
    # Other words by which the message may name an argument.
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    slow: bool = False

    def cases(self) -> list[tuple[str, Kind]]:
        """All (argument, kind) of this entry."""
        return [(argument, kind) for argument, kinds in self.kinds.items() for kind in kinds]


def outcome(entry: Entry, argument: str, kind: Kind) -> str:
    """`CLEAR`, `ACCEPTED`, or a sentence that says what happened instead."""
    arguments = {name: make() for name, make in entry.good.items()}
    arguments[argument] = kind.make()
    try:
        with warnings.catch_warnings(), _within(PATIENCE):
            warnings.simplefilter("error")
            entry.call(**arguments)
    except (FileNotFoundError, ValueError, TypeError, qpot.SolveError) as error:
        return _refusal(entry, argument, kind, error)
    except _TooLongError:
        return f"accepted, and not done after {PATIENCE} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ACCEPTED if isinstance(kind, Accepted) else "accepted without a word"


class _TooLongError(BaseException):
    """A call goes on where it should have been refused; no handler of the library's catches this."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise `_TooLongError` after so many seconds of the process's own time."""

    def stop(signum: int, frame: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _refusal(entry: Entry, argument: str, kind: Kind, error: Exception) -> str:
    """Whether an error is a clear refusal of the argument."""
    message = str(error)
    if isinstance(kind, Accepted):
        return f"refused though it is right: {message}"
    if isinstance(error, FileNotFoundError):
        return CLEAR if str(kind.make()) in message else f"does not name the file: {message}"
    names = (argument, *entry.aliases.get(argument, ()))
    if not any(re.search(rf"(?<![a-z]){re.escape(name)}(?![a-z])", message) for name in names):
        return f"{type(error).__name__} does not name {argument}: {message}"
    if not _WAY_OUT.search(message):
        return f"{type(error).__name__} shows no way out: {message}"
    return CLEAR


@dataclass
class Table:
    """Counts of outcomes by callable, and every outcome that is neither clear nor rightly accepted."""

    rows: dict[str, list[int]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Try all kinds of one entry."""
        counts = self.rows.setdefault(entry.name, [0, 0, 0])
        for argument, kind in entry.cases():
            found = outcome(entry, argument, kind)
            place = {CLEAR: 0, ACCEPTED: 1}.get(found, 2)
            counts[place] += 1
            if place == 2:
                self.others.append(f"{entry.name}({argument}={kind.label}): {found}")

    def text(self) -> str:
        """The table as text, one line for each callable and one for the sums."""
        width = max(map(len, self.rows), default=8)
        lines = [f"{'':{width}}  clear  accepted  else"]
        lines += [f"{name:{width}}  {a:5d}  {b:8d}  {c:4d}" for name, (a, b, c) in sorted(self.rows.items())]
        a, b, c = np.array(list(self.rows.values())).sum(axis=0).tolist()
        lines.append(f"{'all ' + str(a + b + c) + ' kinds':{width}}  {a:5d}  {b:8d}  {c:4d}")
        return "\n".join([*lines, *self.others])
