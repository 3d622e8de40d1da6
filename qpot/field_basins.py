"""Other basins: the field goes on over every saddle, and from every attractor, that its rays reach."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._arrays import Array
from qpot.field_path import free_descent
from qpot.field_run import CORE, PATCH, FieldRun, run_rays
from qpot.field_solution import Passage
from qpot.field_source import equilibrium_head, local_jets, refined_equilibrium
from qpot.grid import Grid
from qpot.solvers.marching.characteristics import taylor_value
from qpot.solvers.marching.scatter import NEWEST
from qpot.solvers.marching.state import SweepState, add_records, write_patch

# Values this many radii around a saddle are looked at when the sweep goes over it.
_CLEAR = 4.0


def other_basins(run: FieldRun, state: SweepState, medium: tuple[Any, ...], points: Array) -> tuple[Passage, ...]:
    """Continue over every saddle and from every attractor that the sweep reaches, lowest first.

    Past a saddle the drift carries on for free: V is flat along the way down, and what leaves it costs V(saddle, x).
    """
    grid = run.grid
    passages: list[Passage] = []
    waiting = [x for x in equilibria(run) if np.linalg.norm(points - x, axis=1).min() > 2.0 * float(grid.spacing.max())]
    reached: list[tuple[Array, float, int]] = []
    while waiting:
        levels = [_value_at(state, grid, x) for x in waiting]
        before = [-1] * len(waiting)
        for i, x in enumerate(waiting):
            for end, flat, number in reached:
                if np.linalg.norm(end - x) < 1e-9 * (1.0 + np.linalg.norm(x)) and before[i] < 0:
                    levels[i], before[i] = flat, number
        order = int(np.argmin(levels))
        level = levels[order]
        if not level < float(state.exits[0]):
            break
        x = waiting.pop(order)
        rates = np.linalg.eigvals(run.system.jacobian(x[None])[0]).real
        if (rates > 0).all() or np.abs(rates).min() < 1e-9 * np.abs(rates).max():
            # nothing starts from a repeller that does not go over a saddle cheaper; degenerate points are left to the march
            continue
        Q, T, a = local_jets(medium, x, saddle=bool((rates > 0).any()))
        attracts = not bool((rates > 0).any())
        passages.append(Passage(point=x, level=level, attracts=attracts, before=before[order]))
        if not attracts:
            _clear_beyond(run, state, x)
            # V does not rise on the free way down: what attracts there lies at the saddle's level exactly
            reached += [(end, level, len(passages) - 1) for end in free_ends(run, x, waiting)]
        # provisional values from before say nothing about what starts here
        void = (state.distance > state.near) & (state.value >= level)
        state.value[void], state.distance[void], state.owner[void], state.tries[void] = np.inf, np.inf, -1, 0
        head = equilibrium_head(x, level, Q, T)
        first = add_records(state, head[None], np.array([-1], np.int32), np.array([CORE * state.near]))
        # at a saddle both sheets run along the ridge and the test for it says nothing
        state.counts[NEWEST] = first if attracts else 0
        write_patch(state, first, PATCH * state.near, a)
        run_rays(run, state)
    return tuple(passages)


def free_ends(run: FieldRun, saddle: Array, ends: list[Array]) -> list[Array]:
    """Those of the equilibria ``ends`` that the drift carries a saddle's surroundings to, on either side."""
    found = []
    for side in (1.0, -1.0):
        curve = free_descent(run.system, run.grid, saddle, side)
        for end in ends:
            if np.linalg.norm(curve[-1] - end) <= float(run.grid.spacing.max()):
                found.append(end)
    return found


def _clear_beyond(run: FieldRun, state: SweepState, saddle: Array) -> None:
    """Forget values close to a saddle on its far side.

    Polynomials of heads on the near side reach across the ridge, where they continue smoothly into another branch,
    below the saddle's level; no path gets there for less than that level.
    """
    grid = run.grid
    rates, left = np.linalg.eig(run.system.jacobian(saddle[None])[0].T)
    across = np.real(left[:, int(np.argmax(rates.real))])
    node = int(np.ravel_multi_index(tuple(_nearest(grid, saddle)), grid.shape))
    side = float(across @ _offset(grid, state.records[state.owner[node]][None, : grid.dimension], saddle)[0])
    offset = _offset(grid, grid.points(), saddle)
    far = (np.linalg.norm(offset, axis=1) < _CLEAR * state.near) & (np.sign(side) * (offset @ across) < 0.0)
    state.value[far] = np.inf
    state.distance[far] = np.inf
    state.owner[far] = -1
    state.tries[far] = 0


def _nearest(grid: Grid, x: Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    index = np.rint((x - grid.lower) / grid.spacing).astype(np.int64)
    return np.where(grid.periodic, index % grid.shape, np.clip(index, 0, np.array(grid.shape) - 1))


def _offset(grid: Grid, points: Array, origin: Array) -> Array:
    """``points - origin``, the short way round on periodic axes."""
    offset = points - origin
    for i, wraps in enumerate(grid.periodic):
        if wraps:
            period = float(grid.upper[i] - grid.lower[i])
            offset[:, i] -= period * np.round(offset[:, i] / period)
    return offset


def _value_at(state: SweepState, grid: Grid, x: Array) -> float:
    """V at a point from the head that the nearest node belongs to; inf where no ray has come near."""
    node = int(np.ravel_multi_index(tuple(_nearest(grid, x)), grid.shape))
    if state.owner[node] < 0 or not state.distance[node] <= state.near:
        return float("inf")
    head = state.records[state.owner[node]]
    dx = _offset(grid, x[None], head[: grid.dimension])[0]
    return float(taylor_value(head, dx, state.medium[7])[0])


def equilibria(run: FieldRun) -> list[Array]:
    """Equilibria of the drift in the grid: Newton's method from the cells where every component changes sign."""
    grid = run.grid
    d = grid.dimension
    cells = np.ones(tuple(n if p else n - 1 for n, p in zip(grid.shape, grid.periodic, strict=True)), dtype=bool)
    for c in range(d):
        low = high = run.samples[..., c]
        for axis, wraps in enumerate(grid.periodic):
            if wraps:
                low = np.minimum(low, np.roll(low, -1, axis))
                high = np.maximum(high, np.roll(high, -1, axis))
            else:
                n = low.shape[axis]
                a, b = (np.take(low, np.arange(n - 1), axis), np.take(low, np.arange(1, n), axis))
                low = np.minimum(a, b)
                a, b = (np.take(high, np.arange(n - 1), axis), np.take(high, np.arange(1, n), axis))
                high = np.maximum(a, b)
        cells &= (low <= 0.0) & (high >= 0.0)
    starts = grid.lower + (np.argwhere(cells) + 0.5) * grid.spacing
    found: list[Array] = []
    for start in starts[:1000]:
        try:
            x = refined_equilibrium(run.system, start, 2.0 * float(np.linalg.norm(grid.spacing)))
        except ValueError:
            continue
        x = grid.wrap(x[None])[0]
        if grid.contains(x[None])[0] and all(np.linalg.norm(x - y) > 1e-6 * grid.spacing.max() for y in found):
            found.append(x)
    return found
