"""How an answer is scored: right, flagged, refused, late, or wrong without a flag.

right      All minima are found, no other point in the box is called one, the selected set is the right one, and every V(i, j)
           lies within its error bar, or within 1e-6 of the truth, with an error bar below one percent of V.
flagged    Not right, but the answer says where it may be wrong: see `flags`, and `covered` for minima that are missing.
refused    A ValueError or SolveError with a message.
late       No answer within the time that the problem was given.
wrong      Everything else, among it exceptions of other types.
absent     The library has no way to pose the problem.
"""

from __future__ import annotations

import inspect
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds

import qpot

from .problem import Array, Problem
from .truth import TruthError, landing, sums_of_climbs

VERDICTS = ("right", "flagged", "refused", "late", "wrong", "absent")
# Differences of V below this fraction of it count as rounding.
EXACT = 1e-6
# An error bar of more than this fraction of V says that V is not known; a V that it covers counts as flagged.
WIDE = 1e-2
# A point lies on an orbit of which points are known within this part of the box.
ON_ORBIT = 5e-3
# Sentences of the report's first paragraph that say that a number or the chain may be wrong.
WARNING = re.compile(
    r"disagree|\bhole|cheaper (path|pass|way)|may be (wrong|missing|missed|incomplete)|did not (converge|finish|end)|"
    r"not converged|stopped short|do not trust|budget (ended|ran out)|unfinished|cannot be decided",
    re.IGNORECASE,
)
# Sentences that limit the answer to the box. They count where something outside matters, and only there.
LIMITED_TO_BOX = re.compile(r"\bthe box\b|outside|too small|leads? out", re.IGNORECASE)
# The bound on the share of basins that were not seen, in percent of the box.
UNSEEN = re.compile(r"less than ([0-9.e+-]+) ?%")


class Late(BaseException):
    """The time of a problem is over; not an Exception, so that no handler on the way takes it for a failure of its own."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """The verdict on one answer, why, what the answer itself says, and the CPU seconds that it took."""

    verdict: str
    reason: str
    flags: tuple[str, ...]
    seconds: float


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Raise `Late` after so many CPU seconds of this process."""
    if seconds is None:
        yield
        return

    def over(*_: Any) -> None:
        raise Late

    before = signal.signal(signal.SIGPROF, over)
    # It rings again, since a callback within compiled code may swallow the first one.
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def solve_and_score(problem: Problem, *, limit: float | None = None, second_opinion: bool | None = None) -> Score:
    """Solve a problem with `qpot.predict` as a user would, and score the answer."""
    options: dict[str, Any] = {"progress": None, "rng": 0}
    options["second_opinion"] = problem.second_opinion if second_opinion is None else second_opinion
    if problem.periodic is not None:
        if "periodic" not in inspect.signature(qpot.predict).parameters:
            return Score(verdict="absent", reason="predict has no periodic=", flags=(), seconds=0.0)
        options["periodic"] = problem.periodic
    begin = time.process_time()
    try:
        try:
            with limited(limit):
                # Pairs of two coordinates may look like two corners of a box, which are refused.
                box = Bounds(*np.array(problem.bounds).T)
                prediction = qpot.predict(problem.system, box, **options)
        finally:
            seconds = time.process_time() - begin
    except Late:
        return Score(verdict="late", reason=f"no answer in {limit:g} s", flags=(), seconds=seconds)
    except Exception as error:
        return Score(
            verdict=failure(error, seconds, limit), reason=f"{type(error).__name__}: {error}", flags=(), seconds=seconds
        )
    reason = what_is_wrong(problem, prediction)
    said = flags(prediction, outside=problem.outside)
    head = repr(prediction).split("\n\n")[0]
    if not reason:
        verdict = "right"
    elif said or reason.startswith("wide") or covered(problem, np.array([m.point for m in prediction.minima]), head):
        verdict = "flagged"
    else:
        verdict = "wrong"
    return Score(verdict=verdict, reason=reason, flags=said, seconds=seconds)


def map_and_score(problem: Problem, *, saddles: bool = True) -> Score:
    """Score the minima and the passes alone: V between minima as the cheapest sum of climbs of the known potential.

    It takes a tenth of the time of a prediction, and tells whether the map is whole. Without ``saddles`` only the minima
    within the bounds count.
    """
    begin = time.process_time()
    try:
        minima = qpot.find_minima(problem.system, problem.bounds)
        passes = qpot.find_saddles(problem.system, minima, problem.bounds) if saddles else ()
    except Exception as error:
        seconds = time.process_time() - begin
        return Score(
            verdict=failure(error, seconds, None), reason=f"{type(error).__name__}: {error}", flags=(), seconds=seconds
        )
    seconds = time.process_time() - begin
    found = np.array([m.point for m in minima])
    ids, reason = matched(problem, found)
    if not reason and saddles:
        heights = problem.potential(found)
        joined = [
            (i, j, float(problem.potential(s.point[None])[0]))
            for s, (i, j) in ((s, s.connects) for s in passes)
            if i is not None and j is not None and i != j
        ]
        values = sums_of_climbs(heights, joined)[np.ix_(ids, ids)]
        reason = wrong_cost(problem.costs, values, np.zeros_like(values))
        if not np.isfinite(values).all():  # `predict` refuses minima that are not connected.
            return Score(verdict="refused", reason=reason, flags=(), seconds=seconds)
    summary = str(getattr(minima, "summary", ""))
    verdict = "right" if not reason else "flagged" if covered(problem, found, summary) else "wrong"
    return Score(verdict=verdict, reason=reason, flags=(), seconds=seconds)


def failure(error: Exception, seconds: float, limit: float | None) -> str:
    """The verdict on an exception. One of another type is a defect of the library, which the table must show.

    Compiled code that the end of the time interrupts within a callback turns `Late` into a SystemError.
    """
    if isinstance(error, SystemError) and limit is not None and seconds >= 0.9 * limit:
        return "late"
    return "refused" if isinstance(error, (ValueError, qpot.SolveError)) and len(str(error)) > 10 else "wrong"


def flags(prediction: qpot.Prediction, *, outside: bool) -> tuple[str, ...]:
    """What a prediction says against itself.

    A flag is a disagreement of the second opinion, a hole, a path whose status is not CONVERGED, a sentence of the report's
    first paragraph that matches `WARNING`, or, where something outside the box matters, one that matches `LIMITED_TO_BOX`.
    """
    said = [f"{name}: {value}" for name in ("disagreements", "holes") if (value := getattr(prediction.costs, name, ()))]
    for pair, path in prediction.costs.paths.items():
        if path.status is not qpot.Status.CONVERGED:
            said.append(f"path {pair} has the status {path.status.name}")
    for line in repr(prediction).split("\n\n")[0].splitlines()[1:]:
        if WARNING.search(line) or (outside and LIMITED_TO_BOX.search(line)):
            said.append(line)
    return tuple(dict.fromkeys(text[:200] for text in said))


def covered(problem: Problem, found: Array, said: str) -> bool:
    """Whether minima are missing whose basins hold less of the box than the stated bound on what was not seen.

    The share of the missing basins is measured by 400 descents from random points.
    """
    bounds = [float(percent) / 100 for percent in UNSEEN.findall(said)]
    low, high = np.array(problem.bounds).T
    missing = [m for m in problem.minima if np.linalg.norm((found - m) / (high - low), axis=1).min() > 1e-4]
    if not bounds or not missing:
        return False
    everything = np.concatenate([found, missing])
    apart = np.linalg.norm(everything[:, None] - everything, axis=2) + 1e300 * np.eye(len(everything))
    hits, n = 0, 400
    for start in np.random.default_rng(0).uniform(low, high, size=(n, len(low))):
        try:
            hits += landing(problem.drift, start, everything, reach=float(apart.min())) >= len(found)
        except TruthError:
            continue
    return bool(hits / n <= max(bounds) + 2 * np.sqrt(max(hits, 1)) / n)


def what_is_wrong(problem: Problem, prediction: qpot.Prediction) -> str:
    """What the first fault of an answer is, in words; an empty string where it is right."""
    found = np.array([m.point for m in prediction.minima])
    ids, reason = matched(problem, found)
    if reason:
        return reason
    best = problem.potential(found)
    gap = 1e-7 * max(float(np.ptp(best)), float(problem.costs.max()))
    truth = set(np.flatnonzero(best <= best.min() + gap).tolist())
    if not truth <= set(prediction.selected):
        return f"selected {prediction.selected}, right is {tuple(sorted(truth))}"
    if problem.only_stationary:
        return wrong_weight(best - best.min(), prediction.stationary_costs, prediction.stationary_errors)
    return wrong_cost(
        problem.costs, prediction.costs.values[np.ix_(ids, ids)], prediction.costs.errors[np.ix_(ids, ids)]
    )


def matched(problem: Problem, found: Array) -> tuple[list[int], str]:
    """The ids of the true minima among those found, and what is missing or too much."""
    low, high = np.array(problem.bounds).T
    size = high - low
    away = np.abs((found[:, None] - problem.minima) / size)
    if problem.periodic is not None:
        wraps = np.array(problem.periodic)
        away = np.where(wraps, np.minimum(away % 1.0, 1.0 - away % 1.0), away)
    near = np.linalg.norm(away, axis=2)
    first = len(problem.minima) - len(problem.orbits)
    for n, orbit in enumerate(problem.orbits):
        near[:, first + n] = np.linalg.norm((found[:, None] - orbit) / size, axis=2).min(axis=1)
    ids = near.argmin(axis=0)
    for n, k in enumerate(ids):
        if near[k, n] > (1e-4 if n < first else ON_ORBIT):
            return (
                [],
                f"minimum {np.round(problem.minima[n], 4)} is missing ({len(found)} found, {len(problem.minima)} there are)",
            )
    inside = ((found >= low) & (found <= high)).all(axis=1)
    extra = [k for k in np.flatnonzero(inside) if k not in ids]
    if extra:
        return [], f"{np.round(found[extra[0]], 4)} is no minimum, or counted twice"
    return ids.tolist(), ""


def wrong_weight(truth: Array, values: Array, errors: Array) -> str:
    """The stationary cost farthest beyond its error bar, in words."""
    excess = np.abs(values - truth) / np.maximum(errors, EXACT * float(truth.max()))
    i = int(np.nan_to_num(excess, nan=np.inf).argmax())
    if not excess[i] > 1.0:
        return ""
    return f"W({i}) = {values[i]:.9g} +- {errors[i]:.1g}, right is {truth[i]:.9g}"


def wrong_cost(truth: Array, values: Array, errors: Array) -> str:
    """The worst cost beyond its error bar, then the widest error bar, in words."""
    with np.errstate(invalid="ignore"):
        off = np.where(values == truth, 0.0, np.abs(values - truth))
        excess = np.where(np.isnan(values), np.inf, off / np.maximum(errors, EXACT * np.maximum(truth, 1e-300)))
    np.fill_diagonal(excess, 0.0)
    i, j = np.unravel_index(int(excess.argmax()), excess.shape)
    if excess[i, j] > 1.0:
        return f"V({i}, {j}) = {values[i, j]:.9g} +- {errors[i, j]:.1g}, right is {truth[i, j]:.9g}"
    share = errors / np.where(truth > 0, truth, np.inf)
    i, j = np.unravel_index(int(share.argmax()), share.shape)
    return f"wide error bar: V({i}, {j}) = {values[i, j]:.6g} +- {errors[i, j]:.1g}" if share[i, j] > WIDE else ""
