"""Costs, minima and passes as data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.optional import coordinate_names, needed
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.solution import PathSolution

if TYPE_CHECKING:
    from pandas import DataFrame

# Above this dimension a point is one cell of a table and not a column for each coordinate.
_COLUMNS = 50


class CostTables(Drawn, figure="plot_costs"):
    """What costs between minima offer to notebooks: a figure and a table."""

    values: Array
    errors: Array
    direct: Array
    paths: Mapping[tuple[int, int], PathSolution]

    def to_dataframe(self) -> DataFrame:
        """The costs as a data frame, one row for each ordered pair of minima.

        Returns
        -------
        pandas.DataFrame
            With the columns ``from`` and ``to`` (ids of the minima), ``cost`` (V, inf where there is no route), ``error``,
            ``least`` (the least that V may be, where a leg was not solved; V elsewhere), ``direct`` (the cheapest single
            leg), and ``status`` (that of this leg; empty where no pass joins the two).

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> import qpot
        >>> case = qpot.gallery.separable_double_well()
        >>> table = qpot.predict(case.system, case.bounds).costs.to_dataframe()  # doctest: +SKIP
        >>> table.pivot(index="from", columns="to", values="cost")               # doctest: +SKIP
        """
        pandas = needed("pandas", "TransitionCosts.to_dataframe")
        costs: Any = self  # The property `least_values` belongs to the class that this one is a part of.
        k = len(self.values)
        pairs = [(i, j) for i in range(k) for j in range(k) if i != j]
        rows = tuple(np.array(pairs, dtype=np.int64).reshape(-1, 2).T)
        return pandas.DataFrame(
            {
                "from": rows[0],
                "to": rows[1],
                "cost": self.values[rows],
                "error": self.errors[rows],
                "least": costs.least_values[rows],
                "direct": self.direct[rows],
                "status": [self.paths[pair].status.name.lower() if pair in self.paths else "" for pair in pairs],
            }
        )


def minima_frame(
    minima: Sequence[Minimum], W: Array, errors: Array, selected: Sequence[int], possible: Sequence[int]
) -> DataFrame:
    """The minima as a data frame, indexed by their ids."""
    pandas = needed("pandas", "Prediction.to_dataframe")
    ids = range(len(minima))
    columns: dict[str, Any] = {
        **_points(minima),
        "loss": [m.loss for m in minima],
        "stationary_cost": np.asarray(W, dtype=float),
        "stationary_error": np.asarray(errors, dtype=float),
        "selected": [i in selected for i in ids],
        "possible": [i in possible for i in ids],
        "inside": [m.inside for m in minima],
        "period": [m.period if isinstance(m, LimitCycle) else np.nan for m in minima],
    }
    return pandas.DataFrame(columns, index=pandas.RangeIndex(len(minima), name="minimum"))


def saddles_frame(saddles: Sequence[Saddle | LimitCycle]) -> DataFrame:
    """The passes as a data frame; a side that leads to none of the minima is missing."""
    pandas = needed("pandas", "Prediction.to_dataframe")
    columns: dict[str, Any] = {
        **_points(saddles),
        "first": pandas.array([s.connects[0] for s in saddles], dtype="Int64"),
        "second": pandas.array([s.connects[1] for s in saddles], dtype="Int64"),
        "loss": np.array([s.loss for s in saddles], dtype=float),
        "degenerate": [bool(s.degenerate) for s in saddles],
        "period": np.array([s.period if isinstance(s, LimitCycle) else np.nan for s in saddles], dtype=float),
    }
    return pandas.DataFrame(columns, index=pandas.RangeIndex(len(saddles), name="saddle"))


def _points(states: Sequence[Minimum | Saddle | LimitCycle]) -> dict[str, Any]:
    """A column for each coordinate, or one column of whole points where there are many coordinates."""
    d = states[0].point.size if states else 0
    if d > _COLUMNS:
        return {"point": [s.point for s in states]}
    return {name: np.array([s.point[n] for s in states]) for n, name in enumerate(coordinate_names(d))}
