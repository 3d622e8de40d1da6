"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qpot._core.file_schema import Count, Flag, Many, Maybe, Number, Part, Schema, numbers, schemas
from qpot.chain.certainty import Selection
from qpot.chain.contraction import contraction_of
from qpot.chain.cycles import Cycle
from qpot.chain.graphs import DisconnectivityTree
from qpot.chain.intervals import IntervalSelection
from qpot.chain.passage import ReactiveFlux
from qpot.chain.routes import Routes
from qpot.chain.training_time import TrainingTimeDiagram
from qpot.chain.w_graphs import WGraph

METHODS: tuple[type[Any], ...] = ()

_STATE = Count(of="k")
_STATES = Many(_STATE)
_ROUTE = Many(_STATE, size=2)


def _cycle(cycle: Cycle) -> Mapping[str, Any]:
    """A cycle is kept as the routes of its chain, from which its hierarchy follows, and its place in there."""
    contraction = cycle.contraction
    return {"routes": contraction.routes, "tolerance": contraction.tolerance, "index": cycle.index}


def _cycle_of(routes: Routes, tolerance: float, index: int) -> Cycle:
    return Cycle(contraction_of(routes, tolerance=tolerance), index)


def _tree(graph: WGraph) -> None:
    """Every minimum but the root has one route out, and all of them lead to the root."""
    following = dict(graph.edges)
    for start in following:
        state = start
        for _ in range(len(graph.edges)):
            state = following.get(state, state)
        if state != graph.root:
            raise ValueError(f"WGraph.edges lead from {start} to {state} and not to the root {graph.root}")
    if len(following) < len(graph.edges) or graph.root in following:
        raise ValueError("WGraph.edges leave one minimum twice, or leave the root")


SCHEMAS = schemas(
    Schema(
        Routes,
        {
            "k": Count(low=1),
            "tails": numbers("m", kind="i", low=0),
            "heads": numbers("m", kind="i", low=0),
            "costs": numbers("m", low=0.0),
            "errors": Maybe(numbers("m", finite=False, low=0.0)),
        },
        also=lambda routes: _known(routes, "tails", "heads"),
    ),
    Schema(
        Cycle,
        {"routes": Part(Routes), "tolerance": Number(low=0.0), "index": Count(low=-1)},
        parts=_cycle,
        build=_cycle_of,
    ),
    Schema(WGraph, {"root": Count(), "cost": Number(low=0.0), "edges": Many(Many(Count(), size=2))}, also=_tree),
    Schema(
        Selection,
        {
            "selected": Many(Count()),
            "possible": Many(Count()),
            "margin": Number(finite=False, low=0.0),
            "certain_margin": Number(finite=False),
            "refine": Maybe(Many(Count(), size=2)),
            "decides": Flag(),
            "routes": Part(Routes),
        },
        also=lambda selection: _named(selection, selection.routes.k, "selected", "possible"),
    ),
    Schema(
        IntervalSelection,
        {
            "stationary_costs": numbers("k", finite=False),
            "stationary_errors": numbers("k", finite=False, low=0.0),
            "among": _STATES,
            "selected": _STATES,
            "margin": Number(finite=False),
            "certain_margin": Number(finite=False),
        },
    ),
    Schema(
        ReactiveFlux,
        {
            "committor": numbers("k", low=0.0),
            "backward_committor": numbers("k", low=0.0),
            "source": _STATES,
            "target": _STATES,
            "edges": numbers("m", 2, kind="i", low=0, of="k"),
            "share": numbers("m"),
            "net_share": numbers("m"),
            "log_flux": numbers("m", finite=False),
            "log_rate": Number(finite=False),
        },
    ),
    Schema(
        TrainingTimeDiagram,
        {
            "learning_rates": numbers("n", low=0.0),
            "steps": numbers("m", low=0.0),
            "state": numbers("m", "n", kind="i", low=-1),
            "probability": Maybe(numbers("m", "n", "k")),
            "k": Count(low=1),
            "start": Count(),
            "batch_size": Count(low=1),
            "diffusion": Flag(),
        },
        also=lambda diagram: _named(diagram, diagram.k, "start", "state"),
    ),
    Schema(
        DisconnectivityTree,
        {
            "bottoms": numbers("k", finite=False),
            "levels": numbers("n", finite=False),
            "children": Many(Many(Count(of="n")), size="n"),
            "roots": Many(Count(of="n")),
        },
    ),
)


def _known(routes: Routes, *names: str) -> None:
    """Refuse routes between minima that do not exist."""
    for name in names:
        ids = getattr(routes, name)
        if ids.size and ids.max() >= routes.k:
            raise ValueError(f"Routes.{name} names the minimum {ids.max()}, but there are {routes.k}")
    if (routes.tails == routes.heads).any():
        raise ValueError("Routes.heads: a route leads from a minimum to itself")


def _named(result: Any, k: int, *names: str) -> None:
    """Refuse ids of minima that do not exist."""
    for name in names:
        ids = np.ravel(np.asarray(getattr(result, name), dtype=np.int64))
        if ids.size and ids.max() >= k:
            raise ValueError(f"{type(result).__name__}.{name} names the minimum {ids.max()}, but there are {k}")
