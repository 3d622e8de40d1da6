"""The search for minima: descents from starts in rounds, until the basins that no start has hit are small."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qpot._core.arrays import Array
from qpot._core.checkpoint import cpu_seconds, kept
from qpot._core.progress import ProgressCallback
from qpot.landscape.coverage import CONFIDENCE, Coverage
from qpot.landscape.descended import bottoms
from qpot.landscape.kinks import KINK, falling_jumps, kink_minimum
from qpot.landscape.periods import Periods
from qpot.landscape.points import FLAT, SAME, Minimum, as_minimum, tidy, within
from qpot.landscape.symmetry import Symmetry, same_class
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.solvers.landscape.contradictions import contradictions
from qpot.solvers.landscape.coverage import good_turing, stratified, trials_needed, unseen_bound
from qpot.solvers.landscape.flow import AT_REST, Attractors, Limits, relax
from qpot.solvers.landscape.half_stable import moved_on
from qpot.solvers.landscape.neighbourhoods import attracting_ellipsoids
from qpot.solvers.landscape.stationary_points import distinct, find_roots

Integers = NDArray[np.int64]

# Up to this many parameters all starts of a model descend together, since a call costs the same for one point or many.
_TOGETHER = 50
# Up to this dimension the starts of every loss follow the flow together, with implicit steps, whose Jacobian is cheap here.
_FLOW = 3
# Up to this dimension the drift is scanned, where the starts follow the flow.
_NARROW = 8
# No more rounds than this follow one another, each of twice as many starts as the one before.
_ROUNDS = 10
# The drift is scanned for contradictions at this many points, and at fewer where samples make a call expensive.
_SCANNED, _SAMPLED = 1 << 15, 1 << 20
# So many points are evaluated at once, which bounds the memory that a user's function takes.
_CHUNK = 2048
# The scan, and the descents from the starts that it chooses, may each take this share of the budget. It limits them only
# where a call takes more than some microseconds for each point.
_SHARE = 0.4
# So many of the first starts descend before the others.
_EARLY = 64
# A descent takes about so many implicit steps.
_STEPS = 60
# Starts are chosen where the drift differs from the trend of its surroundings by more than this share of its length there,
# at most this fraction of the points scanned.
_CONTRADICTS, _CHOSEN = 0.1, 1.0 / 16.0
# A fixed point with a rate below this part of the typical one may be a half-stable rest.
_SLOWER = 1e-4
# Once a minimum at a kink is known, trajectories whose steps become short are given up after so many.
_CHATTER = 150
# Of starts that end in the same cell of the box, of this part of its edges, one is followed along kinks.
_CELL = 0.02
# The local error of a step, as a part of the length of the flow. A call of a model is expensive and its steps only have to
# lead down to a minimum, so that they may be longer.
_LOCAL, _LOCAL_MODEL = 1e-4, 1e-3
# What is carried further than so many times round a periodic axis, and is at rest nowhere, goes round for ever.
_TURNS = 1.5
# What descents add to a search.
_FOUND = ("minima", "fastest", "labels", "unseen", "spent", "restless", "restless_at", "round", "typical")
# A neighbourhood that stops the descents is used only if it is at least this fraction of the box.
_WIDE = 1e-4


class Search:
    """What a search has found so far, and the descents with which it goes on."""

    def __init__(
        self,
        system: System,
        lower: Array,
        upper: Array,
        *,
        group: Symmetry | None,
        report: ProgressCallback,
        budget: float,
        strict: bool = False,
        periods: Periods | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.system, self.lower, self.upper, self.group, self.report = system, lower, upper, group, report
        self.size, self.executor = upper - lower, executor
        # Without periodic axes every axis is open, and nothing below is moved.
        self.periods = Periods(lower=lower, lengths=np.full_like(lower, np.inf)) if periods is None else periods
        self.drift = NaNDrift(system)
        self.minima: list[Minimum] = []
        # The fastest rate at any of them.
        self.fastest = 0.0
        self.labels = np.zeros(0, dtype=np.int64)
        self.unseen = float("nan")
        self.spent = False
        # The starts that stay in the box and come to no minimum, and one of the points that they were at last.
        self.restless, self.restless_at = 0, np.zeros(0)
        # The periodic axes round which they are carried.
        self.round: set[int] = set()
        self.typical = 0.0
        self.budget, self.strict, self.begun = budget, strict, cpu_seconds()
        flowing = not system.gradient_drift or system.loss is None or system.dimension <= _FLOW
        self.model = isinstance(system.finite_sum, ModelSum)
        self.flowing = flowing or (self.model and system.dimension <= _TOGETHER)

    def carried(self) -> dict[str, Any]:
        """What has been found so far, for a checkpoint."""
        return {name: getattr(self, name) for name in _FOUND}

    def carry(self, kept: dict[str, Any]) -> None:
        """Take over what an earlier run had found."""
        for name, value in kept.items():
            setattr(self, name, value)

    @property
    def over(self) -> bool:
        """Whether the budget is spent."""
        return cpu_seconds() - self.begun > self.budget

    @property
    def kinked(self) -> bool:
        """Whether a minimum at a kink of more than one parameter is known."""
        return self.system.dimension > 1 and any(m.kink for m in self.minima)

    def first(self, starts: Array) -> None:
        """Descend from the first starts, which count as uniform."""
        if self.system.dimension == 1:
            self._add_kinks()
        if not self.flowing or len(starts) <= 2 * _EARLY:
            self.labels = self._descend(starts)
            return
        # The minima that the first few lead to end the descents of the others early.
        self.labels = np.concatenate([self._descend(starts[:_EARLY]), self._descend(starts[_EARLY:])])

    def _add_kinks(self) -> None:
        """On a line: keep the minima at which the drift jumps from positive to negative; no flow comes to rest there."""
        places = self.periods.wrap(falling_jumps(self.drift, self.lower, self.size, bool(self.periods.closed[0])))
        found = [as_minimum(self.system, tidy(place)) for place in places]
        for minimum in found:
            self._keep(replace(minimum, kink=KINK))

    def refine(self, points: Array) -> None:
        """Descend from those of ``points`` at which the drift contradicts its surroundings."""
        kept("refine", lambda: self._refine(points), inputs=points, changed=[self])

    def _refine(self, points: Array) -> None:
        values, begun = [], cpu_seconds()
        for first in range(0, points.shape[0], _CHUNK):
            values.append(self.drift(points[first : first + _CHUNK]))
            if cpu_seconds() - begun > _SHARE * self.budget:
                break
        each = (cpu_seconds() - begun) / min(len(values) * _CHUNK, points.shape[0])
        field = np.concatenate(values) / self.size
        usable = np.isfinite(field).all(axis=1)
        points, field = points[: field.shape[0]][usable], field[usable]
        scores = contradictions((points - self.lower) / self.size, field)
        affordable = _SHARE * self.budget / max(each * _STEPS * (2 * points.shape[1] + 4), 1e-12)
        order = np.argsort(-scores, kind="stable")[: int(min(_CHOSEN * points.shape[0], affordable))]
        chosen = points[order[scores[order] > _CONTRADICTS]]
        if self.kinked:  # All points next to a kink contradict their surroundings.
            chosen = chosen[:: max(1, len(chosen) // _EARLY)]
        if chosen.shape[0]:
            self._descend(chosen)

    def cover(self, coverage: float, rng: np.random.Generator) -> None:
        """Go on with rounds of stratified starts until unseen basins hold less than ``1 - coverage`` of the box.

        A round that finds ``new`` starts of ``n`` in basins unknown before it bounds the mass of those basins, and thereby
        of what is unseen after it. The rounds share the error probability, the j-th with ``1 / (j (j + 1))`` of it, so that
        all bounds hold together however many rounds there are.
        """
        if not self.minima or self.over:
            self.spent = self.over
            return
        self.unseen = 1.0
        n, begun = 0, cpu_seconds()
        for j in range(1, _ROUNDS + 1):
            confidence = 1.0 - (1.0 - CONFIDENCE) / (j * (j + 1))
            n = max(2 * n, trials_needed(1.0 - coverage, confidence))
            self.report(j, _ROUNDS, f"coverage, round {j} of at most {_ROUNDS}, {len(self.minima)} minima")
            known = len(self.minima)
            starts = self.lower + self.size * stratified(int(np.log2(n)), self.size.size, rng)
            labels = self._descend(starts)
            new = int((labels >= known).sum())
            self.labels = np.concatenate([self.labels, labels])
            self.unseen = min(self.unseen, unseen_bound(new, labels.size, confidence))
            if self.unseen <= 1.0 - coverage:
                return
            # The next round takes about twice as long as this one.
            spent, begun = cpu_seconds() - begun, cpu_seconds()
            if begun + 2.0 * spent > self.begun + self.budget:
                break
        self.spent = True

    def coverage(self, order: list[int], wanted: float | None) -> Coverage:
        """The `Coverage` of the minima in the given order."""
        hits = np.bincount(self.labels[self.labels >= 0], minlength=len(self.minima))
        return Coverage(
            starts=self.labels.size,
            hits=tuple(int(hits[i]) for i in order),
            unseen=self.unseen,
            estimate=good_turing(hits),
            elsewhere=float((self.labels < 0).mean()) if self.labels.size else 1.0,
            wanted=wanted,
            spent=self.spent,
            restless=self.restless,
            restless_at=tuple(float(x) for x in self.restless_at),
            round=tuple(sorted(self.round)),
            degenerate=sum(m.degenerate for m in self.minima),
        )

    def _descend(self, starts: Array) -> Integers:
        """The index of the minimum to which each start leads, -1 where to none in the box; new minima are kept."""
        return kept("descents", lambda: self._descents(starts), inputs=starts, changed=[self])

    def _descents(self, starts: Array) -> Integers:
        labels, ends, rested = self._followed(starts) if self.flowing else self._descended(starts)
        turned = np.abs(self.periods.turns(ends - starts[: len(ends)])) > _TURNS * self.size
        ends = self.periods.wrap(ends)
        loose = np.flatnonzero((labels < 0) & rested)
        if loose.size:
            labels[loose] = self._identified(ends[loose])
        inside = ((ends > self.lower) & (ends < self.upper)).all(axis=1)
        lost = np.flatnonzero((labels < 0) & inside)
        if lost.size:
            lost = lost[np.isfinite(self.drift(ends[lost])).all(axis=1)]
        if lost.size and self.system.dimension > 1:
            lost = self._slid(labels, ends, lost)
        self.round |= set(np.flatnonzero(turned[lost].any(axis=0)).tolist())
        if lost.size and not self.restless:
            middle = np.median(ends[lost], axis=0)
            self.restless_at = ends[lost[np.argmin((np.abs(ends[lost] - middle) / self.size).sum(axis=1))]]
        self.restless += lost.size
        return labels

    def _slid(self, labels: Integers, ends: Array, lost: Integers) -> Integers:
        """Follow those of the ``lost`` ends along kinks, one for each cell of the box; those are left that lead nowhere."""
        size = float(np.linalg.norm(self.size))
        typical = self.typical or float(np.median(np.linalg.norm(self.drift(ends[lost]), axis=1)))
        cells = np.floor((ends[lost] - self.lower) / (_CELL * self.size)).astype(np.int64)
        kept, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)[1:]
        found = np.full(kept.size, -1, dtype=np.int64)
        for n, k in enumerate(kept):
            if self.over and (self.model or (self.minima and not self.restless)):
                self.spent = True
                break
            minimum = kink_minimum(self.system, ends[lost[k]], size, typical)
            if minimum is None:
                continue
            minimum = replace(minimum, point=self.periods.wrap(minimum.point))
            if not within(minimum.point[None], self.lower, self.upper)[0]:
                continue
            away = self._away(minimum.point).tolist()
            if away and min(away) <= 10 * SAME:
                found[n] = int(np.argmin(away))
                continue
            found[n] = self._keep(minimum)
        labels[lost] = found[cell.ravel()]
        return lost[labels[lost] < 0]

    def _followed(self, starts: Array) -> tuple[Integers, Array, NDArray[np.bool_]]:
        """Follow the flow from the starts until it enters the neighbourhood of a known minimum or comes to rest."""
        size = float(np.linalg.norm(self.size))
        if not self.typical:
            speeds = np.linalg.norm(self.drift(starts), axis=1)
            if not np.isfinite(speeds).any():
                self.system.unchecked.drift(starts[:1])  # The error names the user's function.
            self.typical = float(np.median(speeds[np.isfinite(speeds)]))
        ids, attractors = self._neighbourhoods()
        limits = Limits(
            0.5 * (self.lower + self.upper),
            2.0 * size,
            rest_speed=1e-9 * self.typical,
            max_steps=_CHATTER if self.kinked else 1000,
            periods=self.periods.lengths if self.periods.closed.any() else None,
        )
        labels, ends, status = relax(
            self.drift,
            self.system.unchecked.jacobian,
            starts,
            attractors,
            limits,
            scale=0.1 * size,
            tolerance=_LOCAL_MODEL if self.model else _LOCAL,
        )
        found = labels >= 0
        labels[found] = ids[labels[found]]
        rested = status == AT_REST
        # Where nothing rests, the points that were reached may still be close enough for Newton's method.
        return labels, ends, rested if rested.any() or found.any() else np.ones_like(rested)

    def _neighbourhoods(self) -> tuple[Integers, Attractors]:
        """Neighbourhoods of those known minima that are not degenerate, and their ids."""
        ids = np.array([i for i, m in enumerate(self.minima) if not m.degenerate], dtype=np.int64)
        d = self.size.size
        if ids.size == 0:
            return ids, Attractors(np.zeros((0, d)), np.zeros((0, d, d)), np.zeros(0))
        points = np.array([self.minima[i].point for i in ids])
        jacobians = np.array([-self.minima[i].hessian for i in ids])
        size = float(np.linalg.norm(self.size))
        metrics, radii, _ = attracting_ellipsoids(self.drift, points, jacobians, spread=size)
        wide = radii > _WIDE * size
        return ids[wide], Attractors(points[wide], metrics[wide], radii[wide])

    def _descended(self, starts: Array) -> tuple[Integers, Array, NDArray[np.bool_]]:
        """Minimise the loss from each start within the box; a start at which a user's function fails leads nowhere."""
        n, failure = starts.shape[0], None
        ends, rested = starts.copy(), np.zeros(n, dtype=bool)
        low, high = (
            np.where(self.periods.closed, side, x) for side, x in ((-np.inf, self.lower), (np.inf, self.upper))
        )
        coming = bottoms(self.system, starts, low, high, self.executor)
        for k in range(n):
            self.report(k, n, f"descent {k + 1} of {n}, {len(self.minima)} minima")
            if self.over and rested.any() and (self.strict or self.labels.size):
                self.spent = True
                coming.close()
                return np.full(k, -1, dtype=np.int64), ends[:k], rested[:k]
            bottom = next(coming)
            if self.executor is not None:
                self.begun -= bottom.seconds  # The budget counts the time of all processes.
            if bottom.point is None:
                failure = bottom.failure
            else:
                ends[k], rested[k] = bottom.point, True
        if not rested.any() and failure is not None:
            raise failure
        return np.full(n, -1, dtype=np.int64), ends, rested

    def _identified(self, ends: Array) -> Integers:
        """The index of the minimum at which each end lies, after Newton's method; minima that are new are kept."""
        labels = np.full(ends.shape[0], -1, dtype=np.int64)
        roots, found = find_roots(self.drift, self.system.unchecked.jacobian, ends, lower=self.lower, upper=self.upper)
        roots = self.periods.wrap(roots)
        inside = np.flatnonzero(found & within(roots, self.lower, self.upper))
        if inside.size == 0:
            return labels
        scaled = roots[inside] / self.size
        kept = distinct(scaled, tolerance=SAME)
        ids = np.array([self._id(root) for root in roots[inside[kept]]], dtype=np.int64)
        labels[inside] = ids[cKDTree(scaled[kept]).query(scaled)[1]]
        return labels

    def _id(self, root: Array) -> int:
        """The index of a fixed point among the minima, to which it is added where it is new; -1 where it does not attract."""
        if self.minima:
            known = np.array([m.point for m in self.minima])
            gaps = self._away(root)
            if gaps.min() <= SAME:
                return int(gaps.argmin())
            if self.group is not None:
                for i, point in enumerate(known):
                    if same_class(root, point, self.group, self.size, tolerance=SAME):
                        return i
        minimum = as_minimum(self.system, root)
        if minimum.rates.real.min() <= -FLAT * np.abs(minimum.rates).max():
            return -1
        if self._half_stable(minimum):
            return -1
        return self._keep(minimum)

    def _keep(self, minimum: Minimum) -> int:
        """The index of a minimum that is new."""
        self.minima.append(minimum)
        self.fastest = max(self.fastest, float(np.abs(minimum.rates).max()))
        return len(self.minima) - 1

    def _away(self, point: Array) -> Array:
        """The distances (k,) of the known minima, or of their nearest images, from a point (d,), in units of the box."""
        points = np.array([m.point for m in self.minima]).reshape(-1, self.size.size)
        return np.asarray(np.linalg.norm(self.periods.shortest(points - point) / self.size, axis=1))

    def _half_stable(self, minimum: Minimum) -> bool:
        """Whether a fixed point that seems to attract has a slow rate along which the drift carries on, or away from it."""
        slowest = float(np.abs(minimum.rates).min())
        fastest = max(float(np.abs(minimum.rates).max()), self.fastest)
        size = float(np.linalg.norm(self.size))
        if slowest > _SLOWER * max(fastest, self.typical / size):
            return False
        if self.size.size == 1:
            # On a line a flat top has a rate of either sign within rounding, and pushes away all the same.
            steps = self.size * np.array([[1e-3], [-1e-3], [1e-4], [-1e-4]])
            if (self.drift(minimum.point + steps)[:, 0] * np.array([1.0, -1.0, 1.0, -1.0]) > 0.0).all():
                return True
        jacobian = self.system.unchecked.jacobian
        speed = 1e-12 * max(self.typical, fastest * size)
        return bool(moved_on(self.drift, jacobian, minimum.point[None], scale=size, rest_speed=speed)[1][0])


def scanned(system: System) -> int:
    """The number of points at which the drift is scanned for contradictions; 0 where their spacing would be too wide."""
    if system.dimension > _NARROW:
        return 0
    count = _SCANNED if system.dimension <= 3 else _SCANNED // 4
    samples = 1 if system.finite_sum is None else system.finite_sum.n_samples
    return int(min(count, _SAMPLED // samples))
