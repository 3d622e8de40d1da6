"""Coverage: the minima of a search together with how often each was hit and how much of the box may hold others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from qpot._core.arrays import format_point
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot.landscape.kinks import at_kinks
from qpot.landscape.points import Minimum
from qpot.problem.units import Units

# The confidence of every statement about basins that were not seen.
CONFIDENCE = 0.95
# So many starts may end on the border of a basin by chance.
_STRAY = 3
# What it may be where starts come to no rest.
_NO_REST = "a minimum at a kink, a cycle, or slower than the search is patient"


@dataclass(frozen=True, kw_only=True)
class Coverage(Drawn, figure="plot_coverage"):
    """How thorough a search for minima was.

    Attributes
    ----------
    starts : int
        The number of starts that are uniform in the box. Starts that were chosen, since the drift there contradicts its
        surroundings, or that a caller gave, are not counted.
    hits : tuple of int
        How many of these starts led to each minimum.
    unseen : float
        The upper confidence bound (95 %) on the share of the box that the basins of further minima hold. It is NaN where
        nothing was counted.
    estimate : float
        The Good-Turing estimate of the same share: the share of starts that found a minimum that no other start found.
    elsewhere : float
        The share of starts that led to no minimum in the box: to outside it, to no point of rest, or to where the drift is
        not finite.
    wanted : float or None
        The share of the box that was to be covered.
    spent : bool
        Whether the budget ended the search before that was reached.
    degenerate : int
        The number of minima with a flat direction.
    restless : int
        The number of starts, chosen ones included, that stay in the box and come to no minimum.
    restless_at : tuple of float
        A point that one of them was at last.
    round : tuple of int
        The periodic axes round which the drift carries some of them for ever.
    kinks : tuple of str
        The functions of a model, such as relu, at whose kinks some of them end.
    training : str
        The summary of a search by training runs, without a box: ``unseen`` is then a share of such runs. Else empty.
    """

    starts: int
    hits: tuple[int, ...]
    unseen: float
    estimate: float
    elsewhere: float
    wanted: float | None = None
    spent: bool = False
    degenerate: int = 0
    restless: int = 0
    restless_at: tuple[float, ...] = ()
    round: tuple[int, ...] = ()
    kinks: tuple[str, ...] = ()
    training: str = ""

    @property
    def narrowest(self) -> float:
        """The share of the uniform starts that the least hit minimum has got; 0 where one was hit by chosen starts only."""
        return min(self.hits, default=0) / self.starts if self.starts else float("nan")

    @property
    def summary(self) -> str:
        """One line that says what was found and what may be missing."""
        if self.training:
            return self.training
        k = len(self.hits)
        head = f"{k} minim{'um' if k == 1 else 'a'}"
        if not self.starts:
            return f"{head} from given starts; the share of the box that other basins hold is not known"
        if self.unseen == self.unseen:
            head += (
                f"; with {CONFIDENCE:.0%} confidence basins not seen hold less than {_percent(self.unseen)} of the box"
            )
        else:
            head += "; the share of the box that other basins hold was not estimated"
        head = head.replace("95%", "95 %")
        least = self.narrowest
        head += f"; narrowest seen {least:.2g}" if least else f"; narrowest seen below {3.0 / self.starts:.1g}"
        if self.elsewhere:
            head += f"; {_percent(self.elsewhere)} of the starts led to no minimum in the box"
        if self.restless > _STRAY:
            where = format_point(np.array(self.restless_at))
            head += (
                f". ANOTHER ATTRACTOR that is not among them lies in the box: {self.restless} starts come to no rest, for "
                f"example near {where} ({rounds(self.round) or (at_kinks(self.kinks) if self.kinks else _NO_REST)})"
            )
        if self.degenerate:
            head += f"; {self.degenerate} with a flat direction, which may be one continuum"
        if self.spent:
            head += f"; the budget ended before the {self.wanted:.4g} wanted" if self.wanted else "; the budget ended"
        return head


class Minima(tuple[Minimum, ...], Drawn, Saved, figure="plot_coverage"):
    """The minima that a search has found: a tuple of `Minimum` that also knows how thorough the search was.

    Attributes
    ----------
    coverage : Coverage or None
        How often each minimum was hit, and how much of the box the basins of others may hold.

    Examples
    --------
    >>> import qpot
    >>> minima = qpot.find_minima(qpot.gallery.separable_double_well().system, [(-2, 2), (-1, 1)])
    >>> minima.unseen < 0.02, sum(minima.hits) == minima.coverage.starts
    (True, True)
    """

    coverage: Coverage

    def __new__(cls, minima: Iterable[Minimum] = (), coverage: Coverage | None = None) -> Minima:
        self = super().__new__(cls, minima)
        nothing = Coverage(
            starts=0, hits=(0,) * len(self), unseen=float("nan"), estimate=float("nan"), elsewhere=float("nan")
        )
        self.coverage = nothing if coverage is None else coverage
        return self

    def in_units(self, units: Units) -> Minima:
        """The same minima in the coordinates to which the units lead."""
        where = units.points(np.array(self.coverage.restless_at)) if self.coverage.restless else ()
        coverage = replace(self.coverage, restless_at=tuple(float(x) for x in where))
        return Minima((minimum.in_units(units) for minimum in self), coverage)

    @property
    def hits(self) -> tuple[int, ...]:
        """How many of the uniform starts led to each minimum."""
        return self.coverage.hits

    @property
    def unseen(self) -> float:
        """The upper bound (95 % confidence) on the share of the box that the basins of further minima hold."""
        return self.coverage.unseen

    @property
    def summary(self) -> str:
        """One line that says what was found and what may be missing."""
        return self.coverage.summary


def rounds(axes: tuple[int, ...]) -> str:
    """A phrase for a drift that goes round periodic axes for ever; empty without any."""
    if not axes:
        return ""
    return (
        f"the drift goes round the periodic ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))} for ever"
    )


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %"
