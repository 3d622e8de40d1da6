"""GlobalField: the quasi-potential of the whole landscape, the limit of -epsilon log of the stationary density."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_float_array, as_points, without_wrapper
from qpot._core.interrupts import interruptible
from qpot._core.parallel import run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.saved import Saved
from qpot._core.types import CostsLike, PointLike
from qpot.chain.w_graphs import stationary_costs
from qpot.fields.grid import Grid
from qpot.fields.methods import FieldMethod
from qpot.fields.solution import FieldSolution
from qpot.fields.solve import quasipotential
from qpot.fields.tables import GlobalTables
from qpot.problem.arguments import a_system, an_executor, checked
from qpot.problem.system import System


@dataclass(frozen=True, kw_only=True, eq=False)
class GlobalField(GlobalTables, Saved):
    """The quasi-potential of a landscape on a grid: min over i of W(i) - min W + V(O_i, x), zero at the selected minima.

    Attributes
    ----------
    values : array, the shape of the grid
        The global quasi-potential at the nodes, without epsilon; nan where no minimum's field is known.
    gradient : array (*shape, d)
        The gradient of the field that gives the value.
    owner : array of int, the shape of the grid
        The position of the minimum whose field gives the value; -1 where there is none.
    stationary_costs : array (k,)
        W(i) - min W.
    fields : tuple of FieldSolution
        The fields of the k minima.
    grid : Grid
        The nodes, the same for all fields.
    level : float
        The least W(i) + (level of field i). Below it no field that is unknown at a node could give a lower value.
    """

    values: Array
    gradient: Array
    owner: NDArray[np.int64]
    stationary_costs: Array
    fields: tuple[FieldSolution, ...]
    grid: Grid
    level: float

    def at(self, points: ArrayLike) -> Array:
        """The global quasi-potential at points ``(n, d)`` or ``(d,)``, by cubic Hermite interpolation of each field.

        Returns
        -------
        array (n,)
            inf where no field is known.

        Raises
        ------
        ValueError
            If a point lies outside the grid.
        """
        x = as_points(points, dimension=self.grid.dimension, name="points")
        if not self.grid.contains(x).all():
            raise ValueError(f"points leave the {self.grid}; enlarge the grid")
        shifted = [f.at(x) + w for f, w in zip(self.fields, self.stationary_costs, strict=True)]
        return np.asarray(np.nanmin(np.where(np.isnan(shifted), np.inf, shifted), axis=0))

    def __repr__(self) -> str:
        return f"GlobalField({self.grid}, {len(self.fields)} minima, level {self.level:.6g})"


@interruptible
@checked(system=a_system, executor=an_executor)
def global_quasipotential(
    system: System,
    minima: Sequence[PointLike],
    grid: Grid,
    *,
    stationary: ArrayLike | None = None,
    costs: CostsLike | None = None,
    method: FieldMethod | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = None,
) -> GlobalField:
    """The limit of -epsilon log of the stationary density of a landscape, as epsilon tends to 0.

    Parameters
    ----------
    system : System
        The system; its dimension is that of the grid.
    minima : sequence of k minima or points
        The attractors of the landscape.
    grid : Grid
        A grid on which the field of each minimum reaches all the others.
    stationary : array (k,), optional
        The stationary costs W.
    costs : array (k, k) or TransitionCosts, optional
        The costs between the minima, from which W follows. By default, without ``stationary``, they are read off the
        fields themselves.
    method : FieldMethod, optional
        `CharacteristicJets` (the default) or `OrderedLineIntegral`.
    executor : concurrent.futures.Executor, optional
        Where the fields of the minima are computed side by side.
    progress : callable, True, "auto" or None
        Takes the number of fields done, the number of all fields, and what is being done; True shows a bar.

    Returns
    -------
    GlobalField

    Raises
    ------
    ValueError
        If ``minima`` is empty; if ``stationary`` and ``costs`` are both given or do not match the minima; or if the
        fields do not reach from one minimum to another within the grid.
    SolveError
        As `quasipotential`.

    Notes
    -----
    The limit is min over i of W(i) + V(O_i, x), minus its minimum (Freidlin and Wentzell, Random Perturbations of
    Dynamical Systems, ch. 6).

    Examples
    --------
    >>> import numpy as np, qpot
    >>> well = qpot.System(drift=lambda x: x - x**3, covariance=np.eye(1), dimension=1)
    >>> landscape = qpot.global_quasipotential(well, [(-1.0,), (1.0,)], qpot.Grid(-2, 2, 81))
    >>> landscape.at((0.0,)).round(9)
    array([0.5])
    """
    if not isinstance(grid, Grid):
        raise ValueError(f"grid must be a qpot.Grid, got {grid!r}")
    if isinstance(minima, str) or not isinstance(minima, Iterable):
        raise ValueError(f"minima must be minima or points, such as qpot.find_minima returns, got {minima!r}")
    points = [as_points(without_wrapper(m), dimension=grid.dimension, name="minima") for m in minima]
    if not points:
        raise ValueError("minima is empty; find them with find_minima(system, bounds)")
    if stationary is not None and costs is not None:
        raise ValueError("pass stationary or costs, not both")
    W = None if stationary is None and costs is None else _given_costs(stationary, costs, len(points))
    with reporting(progress, "fields") as report:
        tasks = [(system, p if len(p) > 1 else p[0], grid, method) for p in points]
        fields = []
        for field in run_in_order(_field, tasks, executor):
            fields.append(field)
            report(len(fields), len(tasks), "fields")
    if W is None:
        W = stationary_costs(_cost_matrix(fields, points))
    stacked = np.stack([f.values + w for f, w in zip(fields, W, strict=True)])
    filled = np.where(np.isnan(stacked), np.inf, stacked)
    owner = np.argmin(filled, axis=0)
    values = np.min(filled, axis=0)
    unknown = ~np.isfinite(values)
    gradients = np.stack([f.gradient for f in fields])
    gradient = np.take_along_axis(gradients, owner[None, ..., None], axis=0)[0]
    return GlobalField(
        values=np.where(unknown, np.nan, values),
        gradient=gradient,
        owner=np.where(unknown, -1, owner),
        stationary_costs=W,
        fields=tuple(fields),
        grid=grid,
        level=float(min(f.level + w for f, w in zip(fields, W, strict=True))),
    )


def _field(task: tuple[System, Array, Grid, FieldMethod | None]) -> FieldSolution:
    """The field of one minimum; a function of one argument at module level, so that an executor can call it."""
    system, source, grid, method = task
    return quasipotential(system, source, grid, method=method)


def _cost_matrix(fields: Sequence[FieldSolution], points: Sequence[Array]) -> Array:
    """The costs ``(k, k)`` between the minima: V of each field at the others, where it is lowest on a cycle."""
    k = len(points)
    costs = np.zeros((k, k))
    for i, field in enumerate(fields):
        for j, target in enumerate(points):
            if i != j:
                costs[i, j] = float(np.nanmin(np.where(np.isnan(field.at(target)), np.inf, field.at(target))))
    missing = ~np.isfinite(costs)
    if missing.any():
        i, j = np.argwhere(missing)[0]
        raise ValueError(
            f"the field of minimum {i} leaves the grid at level {fields[i].level:.6g} before it reaches minimum {j}; "
            "enlarge the grid or pass costs"
        )
    return costs


__all__ = ["GlobalField", "global_quasipotential"]


def _given_costs(stationary: ArrayLike | None, costs: CostsLike | None, k: int) -> Array:
    """The stationary costs W ``(k,)`` of k minima, as they were given or from the costs between the minima."""
    if stationary is None:
        assert costs is not None
        W = stationary_costs(costs)
        if W.shape != (k,):
            raise ValueError(f"costs are for {W.size} minima, but {k} were given; pass those between the minima")
        return W
    W = as_float_array(stationary, name="stationary")
    if W.shape != (k,):
        raise ValueError(f"stationary has shape {W.shape} for {k} minima, expected ({k},)")
    if not (W >= 0).all() or not np.isfinite(W.min()):
        raise ValueError(f"stationary must be costs >= 0, at least one of them finite, got {W.tolist()}")
    return np.asarray(W - W.min())
