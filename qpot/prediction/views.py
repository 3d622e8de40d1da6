"""A prediction in a notebook: its report as HTML with a small picture, a figure, and data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qpot._core import html
from qpot._core.drawn import Drawn
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Saddle
from qpot.prediction.notebook import cost_table
from qpot.prediction.pictures import levels_picture, map_picture, side_by_side
from qpot.prediction.report import ROWS, PredictionReport, place
from qpot.prediction.tables import minima_frame, saddles_frame

if TYPE_CHECKING:
    from pandas import DataFrame

# With more minima than this the costs are folded away, and the report as text leaves them out.
_FOLDED = 8


class PredictionViews(PredictionReport, Drawn, figure="plot_answer"):
    """What a prediction offers to notebooks besides its numbers."""

    def to_dataframe(self, what: str = "minima") -> DataFrame:
        """The minima, the saddles or the costs as a data frame.

        Parameters
        ----------
        what : {"minima", "saddles", "costs"}

        Returns
        -------
        pandas.DataFrame
            "minima": one row for each, with its coordinates ``x_1``, ..., ``x_d`` (one column ``point`` above 50 dimensions),
            ``loss``, ``stationary_cost`` (W - min W), ``stationary_error``, ``selected``, ``possible``, ``inside`` (the
            box) and ``period`` (of a limit cycle). "saddles": one row for each pass, with its coordinates, the minima
            ``first`` and ``second`` on its two sides, ``loss``, ``degenerate`` and ``period``. "costs": one row for each
            ordered pair of minima, as `TransitionCosts.to_dataframe`, and the ``prefactor`` of the rate (NaN where it is
            not known).

        Raises
        ------
        ValueError
            If ``what`` is none of these.
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> import qpot
        >>> case = qpot.gallery.separable_double_well()
        >>> table = qpot.predict(case.system, case.bounds).to_dataframe()  # doctest: +SKIP
        """
        if what == "minima":
            return minima_frame(
                self.minima, self.stationary_costs, self.stationary_errors, self.selected, self.possible
            )
        if what == "saddles":
            return saddles_frame(self.saddles)
        if what == "costs":
            table = self.costs.to_dataframe()
            rows = (table["from"].to_numpy(), table["to"].to_numpy())
            k = len(self.minima)
            A = np.full((k, k), np.nan) if self.prefactors is None else self.prefactors
            table["prefactor"] = A[rows]
            return table
        raise ValueError(f'what must be "minima", "saddles" or "costs", got {what!r}')

    def _repr_html_(self) -> str:
        """Everything that the text says, with tables and small pictures, for notebooks."""
        k, costs = len(self.minima), self.costs
        pictures = (
            levels_picture(costs.direct, self.stationary_costs, self.selected),
            map_picture(self.minima, self.saddles, costs.paths.values(), self.selected),
        )
        matrix = cost_table(costs.values, costs.errors, costs.least_values)
        head = ("id", "point", "loss", "W - min W", "error", "cheapest escape")
        passes = [_pass_row(saddle) for saddle in self.saddles[:ROWS]]
        return html.document(
            [
                html.paragraph(self.answer(), strong=True),
                *(html.paragraph(line) for line in (*self.cautions(), self.second_opinion()) if line),
                side_by_side(pictures),
                html.heading("Minima"),
                html.table(head, self._minimum_rows(), strong=[i for i in self.selected if i < ROWS]),
                html.paragraph(f"and {k - ROWS} more") if k > ROWS else "",
                html.heading("Saddles") if passes else "",
                html.table(("point", "loss", "leads"), passes) if passes else "",
                html.paragraph(f"and {len(self.saddles) - ROWS} more") if len(self.saddles) > ROWS else "",
                html.heading("Costs V(i, j)") + matrix if k <= _FOLDED else html.folded("Costs V(i, j)", matrix),
                html.folded("Chosen by itself (overridden by)", html.listed(costs.choices)) if costs.choices else "",
            ]
        )


def _pass_row(saddle: Saddle | LimitCycle) -> tuple[str, str, str]:
    """The cells of a pass: where it is, its loss, and what lies on its sides."""
    return place(saddle), "-" if np.isnan(saddle.loss) else f"{saddle.loss:.6g}", saddle.label
