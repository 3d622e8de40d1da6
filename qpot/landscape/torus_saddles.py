"""The search for saddles on a torus: in R^d, between the minima of one cell and their images around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from qpot._core.arrays import Array
from qpot._core.progress import ProgressCallback
from qpot.landscape.borders import NEAREST, border_states, middles
from qpot.landscape.classified import classified, is_climbed, is_model, lifted_labels
from qpot.landscape.climbs import climbed_from_bands, climbed_from_minima
from qpot.landscape.lifts import LiftedLabels, in_the_cell
from qpot.landscape.minima import scattered
from qpot.landscape.passes import BOWS, ONE_BOW, passes_between
from qpot.landscape.periods import Periods
from qpot.landscape.points import SAME, Saddle, within
from qpot.landscape.saddle_list import Clock
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.landscape.stationary_points import distinct, find_roots

# Newton's method starts on the shortest ways between minima and images: so many, and for each minimum.
_FEWEST, _EACH = 100, 8


@dataclass(eq=False)
class TorusSearch:
    """The fixed points in the cell to which the searches have led so far."""

    system: System
    attractors: Array
    lower: Array
    upper: Array
    periods: Periods
    clock: Clock
    report: ProgressCallback
    kinked: bool = False

    def __post_init__(self) -> None:
        self.size = self.upper - self.lower
        self.points = np.zeros((0, self.size.size))

    def run(self, rng: Generator, *, number: int | None, given: Array | None) -> list[Saddle]:
        """The saddles in the cell, with their images next to the minima that they connect.

        Parameters
        ----------
        rng : Generator
        number : int or None
            Of starts for Newton's method; None is the default.
        given : array (n, d) or None
            Starts in place of scattered ones.
        """
        system, periods, clock, d = self.system, self.periods, self.clock, self.size.size
        starts, ends, ids = periods.pairs(self.attractors, self.size)
        labels = lifted_labels(system, self.attractors, self.lower, self.upper, periods)
        mountains = system.gradient_drift and system.loss is not None
        climbed = is_climbed(system)
        near = slice(max(_FEWEST, _EACH * len(self.attractors)))
        guesses = [middles(starts[near], ends[near])]
        if given is not None:
            guesses.append(given)
        elif number is not None or not climbed:
            count = min(max(64 * d, 128), 1024) if number is None else number
            guesses.append(scattered(self.lower, self.upper, count, rng))
        self.report(0, 3, "fixed points")
        if climbed:
            low, high = periods.beyond(self.lower, self.upper)
            images = np.concatenate([self.attractors, ends[:NEAREST]])
            images = images[distinct(images / self.size, tolerance=SAME)]
            guesses.append(climbed_from_bands(system, images, low, high, clock))
            guesses.append(climbed_from_minima(system, self.attractors, low, high, clock))
        last = mountains and d > 3
        borders = not climbed and not (mountains and self.kinked)
        # A pass between a minimum and its image decides no cost: it is looked for where borders are cheap.
        among = [n for n, (i, j) in enumerate(ids.tolist()) if i != j or d <= 2][:NEAREST]
        way = starts[among], ends[among]
        if borders and not last:
            self.report(1, 3, "basin borders")
            guesses.append(border_states(system, *way, labels.codes, clock, owners=labels.owners))
        self.report(2, 3, "connections")
        saddles = self._saddles(np.concatenate(guesses), labels)
        if borders and last:
            joined = {s.connects for s in saddles}
            states = border_states(system, *way, labels.codes, clock, joined, owners=labels.owners)
            saddles += self._saddles(states, labels)
        if mountains:
            bows = ONE_BOW if is_model(system) else BOWS
            low, high = self.lower, self.upper
            saddles += passes_between(
                system, self.attractors, saddles, labels, low, high, clock, bows=bows, periods=periods
            )
        self.report(3, 3, "done")
        return in_the_cell(saddles, labels, self.size)

    def _saddles(self, guesses: Array, labels: LiftedLabels) -> list[Saddle]:
        """The saddles among the fixed points near the guesses (n, d) that were not known before."""
        if not len(guesses):
            return []
        system, periods = self.system, self.periods
        roots, found = find_roots(
            NaNDrift(system),
            system.unchecked.jacobian,
            periods.wrap(guesses),
            lower=self.lower,
            upper=self.upper,
        )
        roots = periods.wrap(roots[found])
        roots = roots[within(roots, self.lower, self.upper)]
        roots = roots[distinct(roots / self.size, tolerance=SAME)]
        points = np.concatenate([self.points, roots])
        kept = np.array(periods.distinct(points, self.size, tolerance=SAME), dtype=np.int64)
        before, self.points = len(self.points), points[kept]
        return classified(system, points[kept[kept >= before]], labels, self.size, self.attractors, self.clock)
