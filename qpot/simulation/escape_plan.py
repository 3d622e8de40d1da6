"""Which noise level to measure next: as small as the steps that are left afford, by plain runs or by splitting."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Levels of the regression for each minimum.
LEVELS = 5
# Costs in units of epsilon: least that a level may have, where the first one is tried, and what the last one aims at.
LEAST_COST, FIRST_COST, LAST_COST = 3.0, 4.0, 9.0
# The levels of one minimum span at most, and where nothing smaller can be afforded at least, so many epsilon.
_WIDEST, _NARROWEST = 5.0, 1.0
# Escapes that a plain run is worth: as many as are affordable within these bounds.
FEWEST, MOST = 24, 1000
# Clones of a splitting within the budget, and its repetitions.
FEWEST_CLONES, MOST_CLONES, REPETITIONS = 100, 600, 10
# Escapes that the levels ahead are reckoned with.
_WANTED = 80
# Steps grow a little faster than the plan reckons; a level takes at most this share of what is left for it.
_SHARE = 0.9
# Rather than to leave the levels incomplete, what is left is overdrawn by this factor.
_OVERDRAWN = 1.5
# A plain run lasts at least so many relaxation times, and at most so many mean escape times.
_SETTLED, _PATIENCE = 20.0, 2.5


@dataclass(frozen=True)
class Level:
    """The next noise level: 1 / epsilon, whether by splitting, and the replicas, or the clones of each repetition."""

    inverse_epsilon: float
    splitting: bool
    size: int


@dataclass(frozen=True)
class Known:
    """What is known of the escapes from one minimum: mean steps at one level, the slope, and what a splitting takes.

    ``clone_steps`` are the steps of one clone in one repetition at ``split_at`` = 1 / epsilon, in units of plain steps;
    they are infinite where splitting is not possible.
    """

    inverse_epsilon: float
    mean_steps: float
    slope: float
    clone_steps: float = float("inf")
    split_at: float = 1.0

    def steps(self, x: float) -> float:
        """Mean steps of an escape at x = 1 / epsilon."""
        exponent = self.slope * (x - self.inverse_epsilon)
        return self.mean_steps * x / self.inverse_epsilon * math.exp(min(exponent, 600.0))

    def clone(self, x: float) -> float:
        """Steps of one clone: selections grow with the cost, and excursions with 1 / learning rate."""
        return self.clone_steps * (x / self.split_at) ** 2


def affordable_reach(known: Known, left: int, steps: float, *, last: float) -> tuple[float, int]:
    """How many epsilon the ``left`` levels may span within so many ``steps``, and the escapes of each; (0, 0) if none.

    ``last`` is 1 / epsilon at which the levels end if that can be afforded.
    """
    widest = min(_WIDEST, max(known.slope * (last - known.inverse_epsilon), _NARROWEST))
    narrowest = _NARROWEST * left / (LEVELS - 1)
    for wanted in (_WANTED, FEWEST):
        for reach in np.arange(widest, narrowest - 1e-9, -0.25):
            if sum(min(_costs(known, x, wanted)) for x in _ahead(known, left, reach)) <= _SHARE * steps:
                return float(reach), wanted
    return 0.0, 0


def next_level(known: Known, left: int, steps: float, *, last: float) -> Level | None:
    """The next of ``left`` levels within so many ``steps``; None where not even the narrowest span is affordable."""
    reach, wanted = affordable_reach(known, left, steps, last=last)
    if not wanted:
        reach, wanted = _NARROWEST * left / (LEVELS - 1), FEWEST
        if sum(min(_costs(known, x, wanted)) for x in _ahead(known, left, reach)) > _OVERDRAWN * steps:
            return None
    ahead = _ahead(known, left, reach)
    return _level(known, ahead[0], _SHARE * _part(known, ahead, wanted) * steps, wanted)


def _ahead(known: Known, left: int, reach: float) -> list[float]:
    """The values of 1 / epsilon of the levels that are left, evenly spaced."""
    return [known.inverse_epsilon + reach / known.slope * n / left for n in range(1, left + 1)]


def replicas_and_steps(escapes: int, mean_steps: float, relaxation: float, wide: int) -> tuple[int, int]:
    """Replicas and steps of a plain run that is to see so many escapes, if possible with as many replicas as ``wide``.

    A run lasts many relaxation times, since nothing escapes in the first ones.
    """
    share = escapes / max(wide, escapes / _SHARE)
    times = min(max(-math.log1p(-share), _SETTLED * relaxation / mean_steps), _PATIENCE)
    return max(round(escapes / -math.expm1(-times)), 2), max(int(times * mean_steps), 1)


def first_level(known: Known, steps: float) -> Level:
    """The level at which the mean steps are known, with as many replicas as so many ``steps`` afford."""
    return _level(known, known.inverse_epsilon, _SHARE * steps, _WANTED)


def _costs(known: Known, x: float, wanted: int) -> tuple[float, float]:
    """What a level takes by a plain run with so many escapes, and by a splitting of about the same accuracy."""
    clones = FEWEST_CLONES if wanted == FEWEST else 2 * FEWEST_CLONES
    return wanted * known.steps(x), clones * REPETITIONS * known.clone(x)


def _part(known: Known, ahead: list[float], wanted: int) -> float:
    """The share of the steps that the first of the levels ahead gets: more than its cost where later ones need little."""
    needs = [min(_costs(known, x, wanted)) for x in ahead]
    own, even = needs[0] / sum(needs), 1.0 / len(ahead)
    return max(own, 0.5 * (even + own)) if own < even else own


def _level(known: Known, x: float, steps: float, wanted: int) -> Level:
    """A plain run or a splitting, whichever takes less, with as many escapes or clones as so many ``steps`` afford."""
    plain, split = _costs(known, x, wanted)
    if plain <= split:
        return Level(x, splitting=False, size=int(min(max(steps / known.steps(x), FEWEST), MOST)))
    clones = steps / (REPETITIONS * known.clone(x))
    return Level(x, splitting=True, size=int(min(max(clones, FEWEST_CLONES), MOST_CLONES)))
