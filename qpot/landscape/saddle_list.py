"""The saddles that a search has found, together with what its budget left unsearched."""

from __future__ import annotations

from collections.abc import Iterable

from qpot._core.checkpoint import cpu_seconds
from qpot._core.saved import Saved
from qpot.landscape.points import Saddle
from qpot.problem.units import Units


class Saddles(tuple[Saddle, ...], Saved):
    """The saddles that a search has found: a tuple of `Saddle` that also knows what was left out.

    Attributes
    ----------
    skipped : tuple of str
        What the budget did not suffice for, in words; empty where the search was completed.
    missing : str
        In one to three dimensions, by how much the indices of the fixed points found do not add up to what the drift on the
        boundary of the box asks for, in words. Then at least one was missed, which may be a saddle. Empty where they add up.

    Examples
    --------
    >>> import qpot
    >>> well = qpot.gallery.separable_double_well().system
    >>> minima = qpot.find_minima(well, [(-2, 2), (-1, 1)])
    >>> saddles = qpot.find_saddles(well, minima, [(-2, 2), (-1, 1)])
    >>> saddles.summary, saddles.skipped
    ('1 saddle', ())
    """

    skipped: tuple[str, ...]
    missing: str

    def __new__(cls, saddles: Iterable[Saddle] = (), skipped: Iterable[str] = (), missing: str = "") -> Saddles:
        self = super().__new__(cls, saddles)
        self.skipped, self.missing = tuple(skipped), missing
        return self

    @property
    def complete(self) -> bool:
        """Whether nothing was left out for lack of time, and nothing is known to be missing."""
        return not self.skipped and not self.missing

    def in_units(self, units: Units) -> Saddles:
        """The same saddles in the coordinates to which the units lead."""
        return Saddles((saddle.in_units(units) for saddle in self), self.skipped, self.missing)

    @property
    def summary(self) -> str:
        """One line that says how many were found and what was not searched."""
        head = f"{len(self)} saddle{'' if len(self) == 1 else 's'}"
        if self.skipped:
            head += f"; the budget ended, and passes may be missing: {', '.join(self.skipped)} not searched"
        return f"{head}; {self.missing}" if self.missing else head


class Clock:
    """The CPU seconds that a search may take, and the list of what it left out."""

    def __init__(self, budget: float) -> None:
        self.budget, self.begun = budget, cpu_seconds()
        self.skipped: list[str] = []

    def past(self, share: float) -> bool:
        """Whether this share of the budget is spent."""
        return cpu_seconds() - self.begun > share * self.budget

    def spend(self, seconds: float) -> None:
        """Count CPU time of another process."""
        self.begun -= seconds

    def skip(self, what: str) -> None:
        """Note something that is left out."""
        self.skipped.append(what)

    def carried(self) -> list[str]:
        """What was noted, for a checkpoint."""
        return list(self.skipped)

    def carry(self, kept: list[str]) -> None:
        """Take over what an earlier run has noted."""
        self.skipped = list(kept)
