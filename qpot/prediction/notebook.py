"""TransitionCosts in a notebook: the matrix as HTML, a figure and a data frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qpot._core import html
from qpot._core.arrays import Array
from qpot.paths.solution import PathSolution
from qpot.prediction.cost_cells import cost_cells
from qpot.prediction.tables import CostTables

# A table stops after this many minima and says how many more there are.
_MOST = 20


class CostViews(CostTables):
    """What costs between minima offer to notebooks."""

    values: Array
    errors: Array
    paths: Mapping[tuple[int, int], PathSolution]
    notes: tuple[str, ...]
    coverage: str

    def _repr_html_(self) -> str:
        """The matrix of costs with errors, what the audit says, and what limits the costs, for notebooks."""
        costs: Any = self  # `audit` and `least_values` are properties of the class that this one is a part of.
        k = len(self.values)
        return html.document(
            [
                html.heading(f"Costs V(i, j) between {k} minima, {len(self.paths)} direct routes"),
                *(html.paragraph(line) for line in (costs.audit, *self.notes, self.coverage) if line),
                cost_table(self.values, self.errors, costs.least_values),
            ]
        )


def cost_table(values: Array, errors: Array, least: Array) -> str:
    """The matrix of costs as an HTML table."""
    k = len(values)
    cells = cost_cells(values, errors, least)
    rows = [[str(i), *cells[i][:_MOST]] for i in range(min(k, _MOST))]
    more = html.paragraph(f"and {k - _MOST} more minima") if k > _MOST else ""
    return html.table(["from \\ to", *(str(j) for j in range(min(k, _MOST)))], rows) + more
