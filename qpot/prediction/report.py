"""The report of a prediction: the answer in a sentence, what limits it, and tables as plain text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot.chain.passage import committor, hitting_exponents
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.leg_intervals import leg_intervals, never_left
from qpot.prediction.open_report import named, open_lines, unknown_exits
from qpot.prediction.unfinished import doubt

# Tables stop after this many rows and say how many more there are.
ROWS = 20
# Which of two ends is reached first is decided at the smallest cost divided by this number, as for epsilon -> 0.
_COLD = 1e3
# Costs whose ratio is larger than this are not compared in that way.
_RANGE = 1e10


class PredictionReport:
    """What a prediction consists of, and how it is written as text."""

    selected: tuple[int, ...]
    margin: float
    margin_error: float
    stationary_costs: Array
    stationary_errors: Array
    costs: TransitionCosts
    minima: tuple[Minimum, ...]
    saddles: tuple[Saddle | LimitCycle, ...]
    prefactors: Array | None
    dearer: Mapping[tuple[int, int], Array] | None
    population: int | None
    left_out: tuple[int, ...]
    possible: tuple[int, ...]

    def answer(self) -> str:
        """The answer in one sentence."""
        ids = self.selected
        gap = f"{self.margin:.4g} +- {self.margin_error:.1g}"
        unsolved = self._unsolved(gap)
        if unsolved:
            return unsolved
        if len(ids) > 1:
            return (
                f"Tie: W of the minima {', '.join(map(str, ids))} agrees within the errors (margin {gap}); prefactors decide "
                "between them."
            )
        chosen = self.minima[ids[0]]
        where = format_point(chosen.point)
        selects, stays = self._subject()
        if len(self.minima) == 1:
            others = any("left out" in note for note in self.costs.notes)
            only = "in the chain, while others are left out" if others else "that was found: there is nothing to select"
            return f"{stays} stays at minimum 0 at {where}, the only one {only}."
        if isinstance(chosen, LimitCycle):
            return (
                f"{selects} selects the limit cycle {ids[0]} of period {chosen.period:.6g} through {where}: its W is "
                f"least, by a margin of {gap}."
            )
        outside = "" if self.minima[ids[0]].inside else ", outside the box"
        if np.isinf(self.margin):
            why = self._never(ids[0])
            return f"{selects} selects minimum {ids[0]} at {where}{outside}: it never leaves it for another. {why}"
        return f"{selects} selects minimum {ids[0]} at {where}{outside}: its W is least, by a margin of {gap}."

    def _subject(self) -> tuple[str, str]:
        """Who selects, and who stays: SGD, or the noise and the system where there is no loss that SGD could follow."""
        if all(np.isnan(m.loss) for m in self.minima):
            return "The noise", "The system"
        return "SGD", "SGD"

    def _unsolved(self, gap: str) -> str:
        """The answer where legs were not solved, or where nothing leaves several minima; empty otherwise."""
        ids, costs = self.selected, self.costs
        selects, stays = (word[:1].lower() + word[1:] if word != "SGD" else word for word in self._subject())
        intervals = leg_intervals(costs)
        closed = intervals.closed_sets(known=False)
        reasons = dict.fromkeys(never_left(costs, s) for s in closed)
        if len(closed) > 1 and all(reasons):
            return (
                f"Nothing is selected: {stays} never leaves the {named(ids)} for the others, and stays at the one that it "
                f"comes to first. The cost is infinite: {'; '.join(reasons)}."
            )
        among = [i for i in range(len(self.minima)) if i not in self.left_out]
        where = f"Among the {named(among)} " if self.left_out else ""
        if len(ids) == 1:
            if not self.left_out and not np.isnan(self.stationary_costs).any():
                return ""
            rest = [i for i in self.possible if i not in ids]
            more = f" {named(rest).capitalize()} may be selected instead." if rest else ""
            first = selects if where else self._subject()[0]
            return (
                f"{where}{first} selects minimum {ids[0]} at {format_point(self.minima[ids[0]].point)}: its W is least, by a "
                f"margin of at least {gap}.{more}"
            )
        if not intervals.doubtful.any() and doubt(costs) is None:
            return ""
        return f"{where or 'It is '}{'it is ' if where else ''}not decided which of the {named(ids)} {selects} selects."

    def _never(self, chosen: int) -> str:
        """Why no other minimum is reached from one, in a sentence."""
        reasons = [leg.reason for (i, _), leg in self.costs.paths.items() if i == chosen and np.isinf(leg.action)]
        return f"The cost is infinite: {reasons[0]}." if reasons else "All costs from there are infinite."

    def cautions(self) -> tuple[str, ...]:
        """What limits the answer, in a sentence each: holes, ways out of the box, a box that is too small, coverage."""
        open_ = open_lines(self.costs, self.selected, self.possible, self.left_out)
        return tuple(filter(None, [*open_, self.costs.audit, self._leaving(), *self.costs.notes, self.costs.coverage]))

    def _leaving(self) -> str:
        """Where it leaves the box, and whether it does so before it selects; empty if nothing leads out."""
        ways = self.costs.ways_out
        if not ways:
            return ""
        stays = self._subject()[1]
        it = stays if stays == "SGD" else stays.lower()
        unknown = [way for way in ways if np.isnan(way.cost)]
        if unknown:
            return f"A way leads out of the box, {unknown[0]}. The numbers hold within the box only."
        if unknown_exits(self.costs):
            cheapest = min(ways, key=lambda w: w.cost)
            return (
                f"A way leads out of the box, {cheapest}. Whether {it} takes it before it selects is not known, since legs "
                "were not solved."
            )
        lost = self._lost()
        if lost:
            way = min((w for w in ways if w.minimum == lost[0]), key=lambda w: w.cost, default=None)
            first = lost[0]
            if way is None:
                first = min(ways, key=lambda w: self.costs.values[first, w.minimum] + w.cost).minimum
                way = min((w for w in ways if w.minimum == first), key=lambda w: w.cost)
            onwards = np.delete(self.costs.values[first], first).min(initial=np.inf)
            named = "minimum" if len(lost) == 1 else "one of the minima"
            return (
                f"{stays} leaves the box before it selects, if it starts at {named} {', '.join(map(str, lost[:8]))}: {way}. "
                f"The cheapest way from there to another minimum costs {onwards:.6g}."
            )
        way = min(ways, key=lambda w: w.cost)
        more = "" if len(ways) == 1 else f" {len(ways) - 1} more lead out."
        return (
            f"The numbers hold until {it} leaves the box, which costs {self.costs.leaks[self.selected[0]]:.6g} from the "
            f"selected minimum. The cheapest way out is {way}.{more}"
        )

    def _lost(self) -> list[int]:
        """The minima from which SGD leaves the box before it reaches a selected one, or before it settles among them."""
        k = len(self.minima)
        costs = self.costs.with_outside()
        positive = costs[(costs > 0) & (costs < np.inf)]
        if positive.size == 0 or costs[costs < np.inf].max() > _RANGE * positive.min():
            return [i for i in range(k) if i not in self.selected and self.costs.leaks[i] < np.inf]
        others = [i for i in range(k) if i not in self.selected]
        out = committor(costs, float(positive.min()) / _COLD, list(self.selected), k)
        lost = [i for i in others if out[i] >= 0.5]
        # Before the chain has settled, it has come to the selected minimum from everywhere else.
        settled = hitting_exponents(self.costs.direct, list(self.selected))[others].max(initial=-np.inf)
        leaves = hitting_exponents(costs, k)[list(self.selected)]
        return sorted([*lost, *(i for i, c in zip(self.selected, leaves, strict=True) if c < settled)])

    def second_opinion(self) -> str:
        """What the quasi-potential fields say about the costs, in one sentence; empty if none were computed."""
        costs = self.costs
        if costs.field is None:
            return ""
        routes = len(costs.paths)
        known = int(sum(costs.field.known[pair] for pair in costs.paths))
        if costs.disagreements:
            pairs = "; ".join(
                f"V({i}, {j}) = {costs.direct[i, j]:.6g} by paths, {costs.field.values[i, j]:.6g} +- "
                f"{costs.field.errors[i, j]:.1g} by fields"
                for i, j in costs.disagreements
            )
            return (
                f"Second opinion: DISAGREES beyond the errors on {pairs}. Do not trust these costs before you know why."
            )
        if known == 0:
            return f"Second opinion: none ({next(iter(costs.field.reasons.values()), 'no routes')})."
        without: dict[str, list[str]] = {}
        for i, j in costs.paths:
            if not costs.field.known[i, j]:
                without.setdefault(costs.field.reasons.get((i, j), ""), []).append(f"V({i}, {j})")
        missing = "".join(
            f" None on {', '.join(pairs)}{f': {reason}' if reason else ''}." for reason, pairs in without.items()
        )
        return (
            f"Second opinion: quasi-potential fields agree with {known} of {routes} costs within the errors.{missing}"
        )

    def __repr__(self) -> str:
        """The answer, what limits it, the second opinion, and tables of minima, saddles and costs as plain text."""
        lines = [f"Prediction: {self.answer()}", *self.cautions(), *filter(None, [self.second_opinion()]), "", "minima"]
        lines.append(f"  {'id':>3} {'point':<34} {'loss':>12} {'W - min W':>14} {'error':>8} {'cheapest escape':>22}")
        for row in self._minimum_rows():
            lines.append("  {:>3} {:<34} {:>12} {:>14} {:>8} {:>22}".format(*row))
        hidden = len(self.minima) - ROWS
        if hidden > 0:
            lines.append(f"      and {hidden} more")
        lines += ["", "saddles"]
        for saddle in self.saddles[:ROWS]:
            loss = "" if np.isnan(saddle.loss) else f"loss {saddle.loss:.6g}, "
            cycle = f"limit cycle, period {saddle.period:.6g}, " if isinstance(saddle, LimitCycle) else ""
            lines.append(f"      {format_point(saddle.point):<34} {cycle}{loss}{saddle.label}")
        if len(self.saddles) > ROWS:
            lines.append(f"      and {len(self.saddles) - ROWS} more")
        if len(self.minima) <= 8:
            lines += ["", "costs V(i, j)", *("  " + line for line in self.costs.table().splitlines())]
        if self.costs.choices:
            lines += ["", "chosen by itself (overridden by)", *("  " + line for line in self.costs.choices)]
        return "\n".join(lines)

    def _minimum_rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """The cells of the table of minima; the last one is the cheapest cost to another minimum, or out of the box."""
        rows = []
        values, unknown = self.costs.values, unknown_exits(self.costs)
        for i, minimum in enumerate(self.minima[:ROWS]):
            others = np.where(np.arange(values.shape[0]) == i, np.inf, values[i])
            if i in unknown:  # An estimate without an error is no bound.
                others = np.where(np.isfinite(self.costs.errors[i]), others, np.inf)
            j = int(np.argmin(others))
            way = f"{others[j]:.8g} to {j}" if np.isfinite(others[j]) else "none"
            if i in unknown:
                way = f"<= {way}" if np.isfinite(others[j]) else "not known"
            out = min((w.cost for w in self.costs.ways_out if w.minimum == i), default=np.inf)
            way = f"{out:.8g} out" if out < others[j] else way
            W = self.stationary_costs[i]
            rows.append(
                (
                    str(i),
                    place(minimum),
                    "-" if np.isnan(minimum.loss) else f"{minimum.loss:.6g}",
                    "not known" if np.isnan(W) else f"{W:.8g}",
                    "" if np.isnan(W) else f"{self.stationary_errors[i]:.1g}",
                    way,
                )
            )
        return rows


def place(state: Minimum | Saddle) -> str:
    """Where a state or a pass is, and the period of a cycle."""
    where = format_point(state.point)
    return f"limit cycle, period {state.period:.6g}, {where}" if isinstance(state, LimitCycle) else where
