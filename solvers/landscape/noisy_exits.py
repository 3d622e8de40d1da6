"""Exits by noise: ways on which a small diffusion leaves a basin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# (points (n, d), variance of the noise, generator) -> the points one step later.
Step = Callable[[Array, float, np.random.Generator], Array]
# Points (n, d) -> the ends of their descents.
Descend = Callable[[Array], Array]

# A history holds so many relaxation times before an exit, and at most so many numbers for all replicas.
_WINDOWS, _NUMBERS = 3, 20_000_000
# Most replicas, and the fewest; there are not so many that they take more steps than this together in a relaxation time.
_REPLICAS, _FEWEST, _STEPS = 128, 8, 128_000
# The noise is strengthened by this factor, at most so often, until this part of some replicas leaves in a relaxation time;
# these are a fourth of all.
_STRONGER, _RISES, _MANY, _SHARE = 3.0, 24, 0.2, 4
# From there it is weakened by this factor, at most so often; so many exits are enough at one strength.
_WEAKER, _FALLS, _ENOUGH = 0.65, 12, 32
# A way is divided into so many parts at once to find where it crosses the edge of the basin.
_PARTS = 8
# A run under one strength takes at most so many relaxation times and, but for the first ones, so many steps. The noise is not
# weakened further where it takes more than half of them.
_ROUNDS, _LEAST, _WORK = 4, 2, 4000


@dataclass(frozen=True, eq=False)
class Exit:
    """One way out of a basin.

    Attributes
    ----------
    points : array (n, d)
        At equal times, from within the basin to the first point in that of another minimum.
    end : array (d,)
        That minimum, where the descent from this point ends.
    strength : float
        The variance of the noise, in units of the covariance.
    """

    points: Array
    end: Array
    strength: float


@dataclass(eq=False)
class NoisyExits:
    """A diffusion that starts in a minimum, and the ways on which it leaves.

    Attributes
    ----------
    step : callable
        One step in time of many points under noise of some strength.
    descend : callable
        The ends of descents from many points.
    home : array (d,)
        The minimum.
    near : float
        A descent that ends within this distance of it began in its basin.
    relaxation : int
        Steps of a relaxation time, or fewer, after each of which it is asked who has left.
    stride : int
        Every so many steps a point of the histories is kept.
    rng : Generator
    """

    step: Step
    descend: Descend
    home: Array
    near: float
    relaxation: int
    stride: int
    rng: np.random.Generator
    # Relaxation times of the latest run.
    _rounds: int = field(init=False, repr=False, default=0)

    def search(self, strength: float) -> list[Exit]:
        """Exits under weaker and weaker noise, those under the weakest first; none if even strong noise leads out nowhere.

        Parameters
        ----------
        strength : float
            The first variance. It is raised until many leave within a relaxation time.
        """
        few = max(1, self.replicas // _SHARE)
        found = self.under(strength, 1, few)
        for _ in range(_RISES):
            if len(found) >= _MANY * few:
                break
            strength *= _STRONGER
            found = self.under(strength, 1, few)
        # Strong noise shows more kinds of ways.
        levels, most = [self.under(strength, 1, self.replicas)], int(np.clip(_WORK // self.relaxation, _LEAST, _ROUNDS))
        # The time until there are enough exits grows by some factor from strength to strength.
        for _ in range(_FALLS):
            if len(levels[-1]) < (_ENOUGH if len(levels) > 1 else 1) or self._rounds > max(1, most // 2):
                break
            strength *= _WEAKER
            levels.append(self.under(strength, most, self.replicas))
        return [way for level in reversed(levels) for way in level]

    @property
    def replicas(self) -> int:
        """How many points move together."""
        fitting = _NUMBERS // (self._kept * self.home.size)
        return int(np.clip(min(fitting, _STEPS // max(self.relaxation, 1)), _FEWEST, _REPLICAS))

    @property
    def _kept(self) -> int:
        """How many points of every history are kept."""
        return _WINDOWS * (self.relaxation // self.stride + 1)

    def under(self, strength: float, rounds: int, replicas: int) -> list[Exit]:
        """The exits of some replicas under noise of one strength, within so many relaxation times."""
        x = np.repeat(self.home[None], replicas, axis=0)
        history: list[Array] = []
        found: list[Exit] = []
        for done in range(rounds):
            self._rounds = done + 1
            for k in range(self.relaxation):
                if k % self.stride == 0:
                    history.append(x.copy())
                x = self.step(x, strength, self.rng)
            del history[: -self._kept]
            ends = self.descend(x)
            gone = np.flatnonzero(np.linalg.norm(ends - self.home, axis=1) > self.near)
            ways = [np.array([*(h[n] for h in history), x[n]]) for n in gone]
            found += [
                Exit(way[: n + 1], end, strength)
                for way, n, end in zip(ways, self._arrivals(ways, ends[gone]), ends[gone], strict=True)
            ]
            for points in (x, *history):
                points[gone] = self.home
            if len(found) >= _ENOUGH:
                break
        return found

    def _arrivals(self, ways: list[Array], ends: Array) -> Integers:
        """The number of a point of every way whose descent leads to the end while that of the point before does not."""
        before, after = np.zeros(len(ways), dtype=np.int64), np.array([len(way) - 1 for way in ways], dtype=np.int64)
        while (rows := np.flatnonzero(after - before > 1)).size:
            # One descent of many points takes little longer than one of few.
            shares = np.arange(1, _PARTS) / _PARTS
            between = before[rows, None] + np.ceil(shares * (after - before - 1)[rows, None]).astype(np.int64)
            reached = self.descend(np.concatenate([ways[n][between[k]] for k, n in enumerate(rows)]))
            gaps = np.linalg.norm(reached.reshape(*between.shape, -1) - ends[rows, None], axis=2)
            for k, n in enumerate(rows):
                # The last point from which another minimum is reached, and the one after it.
                others = np.flatnonzero(gaps[k] > self.near)
                last = int(others[-1]) if others.size else -1
                before[n] = before[n] if last < 0 else between[k, last]
                after[n] = after[n] if last == _PARTS - 2 else between[k, last + 1]
        return after
