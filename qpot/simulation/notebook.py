"""Comparisons in a notebook: the verdict and the numbers behind it as HTML."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core import html
from qpot.simulation.arrhenius import ArrheniusLaw
from qpot.simulation.escape_points import EscapePoints
from qpot.simulation.shares import OccupationCheck


class ComparisonViews:
    """What a comparison offers to notebooks."""

    arrhenius: tuple[ArrheniusLaw, ...]
    occupations: tuple[OccupationCheck, ...]
    escape_points: tuple[EscapePoints, ...]
    remarks: tuple[str, ...]

    def _repr_html_(self) -> str:
        """The verdict, and tables of costs, shares of time and routes, for notebooks."""
        comparison: Any = self  # `sentence` is a property of the class that this one is a part of.
        parts = [html.paragraph(comparison.sentence, strong=True)]
        if self.arrhenius:
            head = (
                "from", "slope = measured cost", "sampling", "allowance", "95% interval", "predicted slope", "cost",
                "intercept", "predicted intercept",
            )  # fmt: skip
            parts += [html.heading("Costs, from escape times"), html.table(head, [_law(a) for a in self.arrhenius])]
        if self.occupations:
            names = ("epsilon", "minimum", "measured share", "predicted", "law")
            rows = [row for check in self.occupations for row in _shares(check)]
            parts += [html.heading("Shares of time"), html.table(names, rows)]
        if self.escape_points:
            columns = ("from", "epsilon", "to", "share of the escapes", "predicted", "near a saddle")
            rows = [row for points in self.escape_points for row in _routes(points)]
            parts += [html.heading("Routes of the escapes"), html.table(columns, rows)]
        return html.document(parts)


def _law(law: ArrheniusLaw) -> tuple[str, ...]:
    """The cells of one regression."""
    low, high = law.slope_interval()
    return (
        str(law.home),
        f"{law.slope:.5g} +- {law.slope_error:.2g}",
        f"{law.slope_sampling_error:.2g}",
        f"{law.slope_allowance:.2g}",
        f"{low:.5g} to {high:.5g}",
        f"{law.predicted_slope:.5g}",
        f"{law.cost:.5g}",
        f"{law.intercept:.4g} +- {law.intercept_error:.2g}",
        f"{law.predicted_intercept:.4g}" if np.isfinite(law.predicted_intercept) else "nan (not known)",
    )


def _shares(check: OccupationCheck) -> list[tuple[str, ...]]:
    """A row for each minimum of one ensemble."""
    law = "stationary law" if check.relaxed else "law after this time, not stationary yet"
    rows = zip(check.fractions, check.standard_errors, check.predicted, check.allowances, strict=True)
    return [
        (f"{check.epsilon:.4g}", str(i), f"{f:.4f} +- {e:.4f}", f"{p:.4f} +- {a:.4f}", law)
        for i, (f, e, p, a) in enumerate(rows)
    ]


def _routes(points: EscapePoints) -> list[tuple[str, ...]]:
    """A row for each minimum to which escapes lead, or should."""
    near = f"{points.share_near_saddles:.1%}" if points.distances.size else "-"
    return [
        (str(points.home), f"{points.epsilon:.4g}", str(j), f"{s:.3f}", f"{p:.3f}", near)
        for j, (s, p) in enumerate(zip(points.shares, points.predicted, strict=True))
        if s > 0 or p > 1e-3
    ]
