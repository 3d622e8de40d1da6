"""The report of a prediction: the answer in a sentence, and tables as plain text and as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot.landscape.points import Minimum, Saddle
from qpot.prediction.costs import TransitionCosts

# Tables stop after this many rows and say how many more there are.
_ROWS = 20


class PredictionReport:
    """What a prediction consists of, and how it is written as text and in a notebook."""

    selected: tuple[int, ...]
    margin: float
    margin_error: float
    stationary_costs: Array
    stationary_errors: Array
    costs: TransitionCosts
    minima: tuple[Minimum, ...]
    saddles: tuple[Saddle, ...]
    prefactors: Array | None
    dearer: Mapping[tuple[int, int], Array] | None
    population: int | None

    def answer(self) -> str:
        """The answer in one sentence."""
        ids = self.selected
        gap = f"{self.margin:.4g} +- {self.margin_error:.1g}"
        if len(ids) > 1:
            return (
                f"Tie: W of the minima {', '.join(map(str, ids))} agrees within the errors (margin {gap}); prefactors decide "
                "between them."
            )
        where = format_point(self.minima[ids[0]].point)
        return f"SGD selects minimum {ids[0]} at {where}: its W is least, by a margin of {gap}."

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
        missing = "" if known == routes else f", and has no opinion on {routes - known}"
        return (
            f"Second opinion: quasi-potential fields agree with {known} of {routes} costs within the errors{missing}."
        )

    def __repr__(self) -> str:
        """The answer, the second opinion, and tables of minima, saddles and costs as plain text."""
        lines = [f"Prediction: {self.answer()}", *filter(None, [self.costs.audit, self.second_opinion()]), "", "minima"]
        lines.append(f"  {'id':>3} {'point':<34} {'loss':>12} {'W - min W':>14} {'error':>8} {'cheapest escape':>22}")
        for row in self._minimum_rows():
            lines.append("  {:>3} {:<34} {:>12} {:>14} {:>8} {:>22}".format(*row))
        hidden = len(self.minima) - _ROWS
        if hidden > 0:
            lines.append(f"      and {hidden} more")
        lines += ["", "saddles"]
        for saddle in self.saddles[:_ROWS]:
            loss = "" if np.isnan(saddle.loss) else f"loss {saddle.loss:.6g}, "
            lines.append(f"      {format_point(saddle.point):<34} {loss}{saddle.label}")
        if len(self.saddles) > _ROWS:
            lines.append(f"      and {len(self.saddles) - _ROWS} more")
        if len(self.minima) <= 8:
            lines += ["", "costs V(i, j)", *("  " + line for line in self.costs.table().splitlines())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The answer, the second opinion, and tables of minima and saddles as HTML for notebooks."""
        head = "".join(f"<th>{name}</th>" for name in ("id", "point", "loss", "W - min W", "error", "cheapest escape"))
        body = []
        for row in self._minimum_rows():
            bold = int(row[0]) in self.selected
            cells = "".join(f"<td>{'<b>' if bold else ''}{escape(c)}{'</b>' if bold else ''}</td>" for c in row)
            body.append(f"<tr>{cells}</tr>")
        saddles = "".join(f"<li>{escape(format_point(s.point))}: {escape(s.label)}</li>" for s in self.saddles[:_ROWS])
        return (
            f"<p>{escape(self.answer())} {escape(self.costs.audit)} {escape(self.second_opinion())}</p>"
            f"<table><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(body)}</tbody></table><p>Saddles</p><ul>{saddles}</ul>"
        )

    def _minimum_rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """The cells of the table of minima; the last one is the cheapest cost to another minimum."""
        rows = []
        values = self.costs.values
        for i, minimum in enumerate(self.minima[:_ROWS]):
            others = np.where(np.arange(values.shape[0]) == i, np.inf, values[i])
            j = int(np.argmin(others))
            way = f"{others[j]:.8g} to {j}" if np.isfinite(others[j]) else "none"
            W = self.stationary_costs[i]
            rows.append(
                (
                    str(i),
                    format_point(minimum.point),
                    "-" if np.isnan(minimum.loss) else f"{minimum.loss:.6g}",
                    f"{W:.8g}",
                    f"{self.stationary_errors[i]:.1g}",
                    way,
                )
            )
        return rows
