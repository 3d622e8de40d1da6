"""The functions of chains of minima."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np

import qpot
from bad_input.scoring import Entry
from bad_input.values import (
    COSTS,
    COSTS_RIGHT,
    COUNT,
    NOISE_LEVEL,
    NUMBER,
    POSITIVE_RIGHT,
    PREFACTORS,
    STATE,
    STATES,
    C,
    accepted,
    refused,
    without,
)

_TOLERANCE = without(NUMBER, "masked") + refused(half=lambda: 0.5, minus=lambda: -0.1)
_LEVEL = NOISE_LEVEL + POSITIVE_RIGHT
_TIME = without(NUMBER, "nothing")


def _costs(name: str, call: Any, good: dict[str, Any] | None = None, **kinds: Any) -> Entry:
    """An entry of a function whose first argument is the costs."""
    return Entry(name, call, {"costs": lambda: C, **(good or {})}, {"costs": COSTS + COSTS_RIGHT, **kinds})


def entries() -> list[Entry]:
    """All entries of the wing."""
    level = {"epsilon": lambda: 0.1}
    of_level = {"epsilon": _LEVEL, "prefactors": PREFACTORS}
    ends = {"source": lambda: 0, "target": lambda: 2}
    axes = {"learning_rates": lambda: [0.1, 0.2], "steps": lambda: [10, 100], "start": lambda: 0}
    axis = refused(
        none=lambda: None,
        text=lambda: "0.1",
        minus=lambda: [-0.1],
        zero=lambda: [0.0],
        nan=lambda: [np.nan],
        empty=list,
        infinite=lambda: [np.inf],
        complex=lambda: [1j],
        dictionary=dict,
        function=lambda: abs,
    )
    law = refused(
        none=lambda: None,
        minus=lambda: -1,
        beyond=lambda: 3,
        half=lambda: 0.5,
        text=lambda: "0",
        short=lambda: [0.5, 0.5],
        sum=lambda: [1.0, 1.0, 0.0],
        negative=lambda: [1.5, -0.5, 0.0],
        nan=lambda: [np.nan, 0.5, 0.5],
        boolean=lambda: True,
        complex=lambda: [1j, 0, 0],
    )
    errors = refused(
        text=lambda: "errors",
        minus=lambda: -0.1,
        nan=lambda: np.nan,
        wide=lambda: np.zeros((2, 2)),
        vector=lambda: np.zeros(3),
        negative=lambda: -np.ones((3, 3)),
        complex=lambda: np.zeros((3, 3)) + 0j,
        dictionary=dict,
        object=object,
        masked=lambda: np.ma.masked_array(np.zeros((3, 3)), mask=np.eye(3, dtype=bool)[::-1]),
    )
    graph = refused(
        none=lambda: None,
        array=lambda: C,
        text=lambda: "graph",
        undirected=lambda: nx.Graph([(0, 1, {"cost": 1.0})]),
        empty=nx.DiGraph,
        without=lambda: nx.DiGraph([(0, 1)]),
        minus=lambda: nx.DiGraph([(0, 1, {"cost": -1.0})]),
        nan=lambda: nx.DiGraph([(0, 1, {"cost": np.nan})]),
        texts=lambda: nx.DiGraph([(0, 1, {"cost": "1"})]),
        loop=lambda: nx.DiGraph([(0, 0, {"cost": 1.0})]),
        boolean=lambda: nx.DiGraph([(0, 1, {"cost": True})]),
        dictionary=dict,
        class_=lambda: nx.DiGraph,
    ) + accepted(
        numbers=lambda: nx.DiGraph([(0, 1, {"cost": 1})]), parallel=lambda: nx.MultiDiGraph([(0, 1, {"cost": 1.0})])
    )
    return [
        _costs("stationary_costs", qpot.stationary_costs),
        _costs("as_graph", qpot.as_graph),
        _costs("w_graph", qpot.w_graph, {"root": lambda: 0}, root=STATE),
        _costs("cycle_hierarchy", qpot.cycle_hierarchy, tolerance=_TOLERANCE),
        _costs(
            "metastable_state",
            qpot.metastable_state,
            {"log_time": lambda: 1.0, "start": lambda: 0},
            log_time=_TIME,
            start=STATE,
            tolerance=_TOLERANCE,
        ),
        _costs("hitting_exponents", qpot.hitting_exponents, {"targets": lambda: 2}, targets=STATES),
        _costs("selection", qpot.selection, errors=errors),
        _costs("stationary_distribution", qpot.stationary_distribution, level, **of_level),
        _costs(
            "mean_first_passage_times",
            qpot.mean_first_passage_times,
            {**level, "targets": lambda: 2},
            targets=STATES,
            **of_level,
        ),
        _costs("committor", qpot.committor, {**level, **ends}, source=STATES, target=STATES, **of_level),
        _costs("reactive_flux", qpot.reactive_flux, {**level, **ends}, source=STATES, target=STATES, **of_level),
        _costs(
            "occupation_after",
            qpot.occupation_after,
            {**level, "log_time": lambda: 1.0, "start": lambda: 0},
            log_time=_TIME,
            start=law,
            **of_level,
        ),
        _costs(
            "training_time_diagram",
            qpot.training_time_diagram,
            axes,
            learning_rates=axis,
            steps=axis,
            start=STATE,
            batch_size=COUNT,
            prefactors=PREFACTORS,
        ),
        Entry(
            "from_graph",
            qpot.from_graph,
            {"graph": lambda: nx.DiGraph([(0, 1, {"cost": 1.0})])},
            {"graph": graph},
            aliases={"graph": ("edge",)},
        ),
    ]
