"""Source: an equilibrium or a limit cycle, checked, refined, and turned into Taylor polynomials of V."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from qpot._core.arrays import Array, as_points, format_point, without_wrapper
from qpot._core.types import PointLike
from qpot.fields.grid import Grid
from qpot.landscape.attractor import growth_rates, not_at_rest, not_attracting
from qpot.problem.system import System
from qpot.solvers.fields.local_quadratic import cubic_at_equilibrium, quadratic_at_attractor, quadratic_at_saddle
from qpot.solvers.fields.marching.characteristics import state_size
from qpot.solvers.fields.marching.cycle import carry_round
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.parts import make_scratch
from qpot.solvers.fields.marching.sampling import component, make_work, sample

# The Hessian and the third derivative of V must settle within so many rounds of a limit cycle.
_ROUNDS = 200


@dataclass(frozen=True)
class Source:
    """An attractor as the heads of a sweep that do not move.

    Attributes
    ----------
    points : array (n, d)
        One equilibrium (n = 1), or points along a limit cycle.
    heads : array (n, m)
        The states at the points, with V = 0.
    parents : array of int (n,)
        The position of the point before, on a cycle; -1 for an equilibrium.
    """

    points: Array
    heads: Array
    parents: NDArray[np.int32]

    @property
    def is_cycle(self) -> bool:
        """Whether the source is a limit cycle."""
        return len(self.points) > 1


def as_source_points(source: PointLike, dimension: int) -> Array:
    """Convert a source to one point ``(1, d)`` or, in two dimensions, to at least eight points ``(n, 2)`` of a curve."""
    points = as_points(without_wrapper(source), dimension=dimension, name="source")
    if len(points) == 1:
        return points
    if dimension != 2:
        raise ValueError(
            f"source holds {len(points)} points in {dimension}-D; limit cycles are available in 2-D, "
            "elsewhere pass one attracting equilibrium"
        )
    if len(points) < 8:
        raise ValueError(f"source holds {len(points)} points; a limit cycle needs at least 8 along the closed curve")
    return points


def refined_equilibrium(system: System, point: Array, reach: float, *, name: str = "source") -> Array:
    """The equilibrium within ``reach`` of ``point``, by Newton's method.

    Raises
    ------
    ValueError
        If there is none, or if the drift's Jacobian is singular; the message calls the point ``name``.
    """
    x = np.array(point, dtype=np.float64)
    for _ in range(30):
        b = system.unchecked.drift(x[None])[0]
        J = system.unchecked.jacobian(x[None])[0]
        try:
            step = np.linalg.solve(J, b)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                f"{name} {format_point(point)}: the drift's Jacobian is singular there; "
                "a field needs an isolated equilibrium"
            ) from error
        x = x - step
        if np.linalg.norm(x - point) > reach:
            raise not_at_rest(point, float(np.linalg.norm(system.unchecked.drift(point[None]))), name=name)
        if np.linalg.norm(step) <= 1e-14 * (1.0 + np.linalg.norm(x)):
            break
    return x


def attracting_equilibrium(system: System, point: Array, grid: Grid) -> Array:
    """Check that ``point`` is an attracting equilibrium well inside the grid, and return it refined."""
    if not grid.contains(point[None])[0]:
        raise ValueError(f"source {format_point(point)} lies outside the {grid}; enlarge the grid")
    x = refined_equilibrium(system, point, 2.0 * float(grid.spacing.max()))
    inner = np.stack([x - grid.lower, grid.upper - x], axis=1) / grid.spacing[:, None]
    room = float(inner[grid.open_faces].min(initial=np.inf))
    if room < 4.0:
        raise ValueError(
            f"source {format_point(x)} lies {max(room, 0.0):.2g} cells from the boundary of the {grid}; "
            "move the boundary away"
        )
    rates = growth_rates(system, x).real
    if rates.max() >= -1e-9 * np.abs(rates).max():
        raise not_attracting(x, float(rates.max()), name="source")
    return x


def _local_expansion(medium: Medium, x: Array) -> tuple[Array, Array, Array, Array]:
    """Jacobian and second derivatives of the drift, and the covariance and its gradient, at ``x``, from the splines."""
    d = x.shape[0]
    work = make_work(d)
    sample(x, medium, work, medium.axes)
    a, slope = np.array(medium.covariance), np.zeros((d, d, d))
    if medium.varies:
        for i in range(d):
            for j in range(d):
                c = component(i, j, d)
                a[i, j] = work.value[c]
                slope[i, j] = work.first[c]
    return work.first[:d].copy(), work.second[:d].copy(), a, slope


def local_jets(medium: Medium, x: Array, *, saddle: bool = False) -> tuple[Array, Array, Array]:
    """Hessian and third derivative of V(x, .) at an equilibrium ``x``, and the covariance there, from the splines."""
    J, curvature, a, slope = _local_expansion(medium, x)
    Q = quadratic_at_saddle(J, a) if saddle else quadratic_at_attractor(J, a)
    return Q, cubic_at_equilibrium(J, curvature, a, slope, Q), a


def local_cubic(medium: Medium, x: Array, Q: Array) -> Array:
    """Third derivative at an equilibrium ``x`` of the solution of H = 0 that has the Hessian ``Q`` there."""
    J, curvature, a, slope = _local_expansion(medium, x)
    return cubic_at_equilibrium(J, curvature, a, slope, Q)


def equilibrium_head(x: Array, value: float, Q: Array, T: Array) -> Array:
    """The state at an equilibrium: V = ``value``, zero gradient, Hessian ``Q`` and third derivative ``T``."""
    d = x.shape[0]
    return np.concatenate([x, [value], np.zeros(d), Q.ravel(), T.ravel(), np.eye(d).ravel()])


def equilibrium_source(medium: Medium, x: Array) -> Source:
    """Make a source of an attracting equilibrium."""
    Q, T, _ = local_jets(medium, x)
    return Source(x[None], equilibrium_head(x, 0.0, Q, T)[None], np.array([-1], np.int32))


def cycle_source(system: System, medium: Medium, curve: Array, spacing: float, *, time: float = 1.0) -> Source:
    """Make a source of the stable limit cycle near the closed ``curve`` (n, 2), its heads about ``spacing`` / 2 apart.

    The cycle is one of ``time`` times the system's drift, which is the drift of ``medium``: ``time`` is -1 for the
    reversed drift. On a cycle V and its gradient vanish. Its Hessian Q and third derivative T are carried round the
    cycle along the drift until they settle on the periodic solution of their equations, which is stable if the cycle is.

    Raises
    ------
    ValueError
        If the drift does not settle on a cycle near the curve, or if Q and T do not settle.
    """

    def drift(x: Array) -> Array:
        return time * np.asarray(system.unchecked.drift(x))

    start, period = _settled_on_cycle(drift, curve)
    length = float(np.linalg.norm(np.diff(np.vstack([curve, curve[:1]]), axis=0), axis=1).sum())
    steps = max(64, int(np.ceil(length / (0.5 * spacing))))
    dt = period / steps
    n = state_size(2)
    work, scratch, y = make_work(2), make_scratch(2), np.zeros(n)
    y[:2] = start
    b = drift(start[None])[0]
    normal = np.array([-b[1], b[0]]) / np.linalg.norm(b)
    y[5:9] = np.outer(normal, normal).ravel() / float(np.trace(system.unchecked.covariance(start[None])[0]))
    heads = np.zeros((steps, n))
    before = np.full(12, np.inf)
    for _ in range(_ROUNDS):
        carry_round(y, heads, dt, medium, work, scratch)
        # After one round the state is at its start again, up to the integrator's error in the phase, which is removed.
        y[:2] = start
        change = np.abs(y[5:17] - before).max() / max(1e-300, float(np.abs(y[5:17]).max()))
        before = y[5:17].copy()
        if not np.isfinite(y).all() or float(np.abs(y[5:9]).max()) > 1e12:
            break
        if change < 1e-9:
            # The head before the first one is the last one of the round, so the first head takes the map of neighbouring
            # rays over the step between these two.
            heads[0, 17:] = y[17:]
            parents = np.roll(np.arange(steps, dtype=np.int32), 1)
            return Source(heads[:, :2].copy(), heads, parents)
    raise ValueError(
        "source: the curvature of V across the limit cycle did not settle; the cycle does not attract exponentially"
    )


def _settled_on_cycle(drift: Callable[[Array], Array], curve: Array) -> tuple[Array, float]:
    """A point on the limit cycle to which the drift leads from the curve, and the period of the cycle."""

    def flow(t: float, x: Array) -> Array:
        del t
        return np.asarray(drift(x[None])[0])

    length = float(np.linalg.norm(np.diff(np.vstack([curve, curve[:1]]), axis=0), axis=1).sum())
    speed = float(np.linalg.norm(drift(curve), axis=1).mean())
    if speed == 0.0:
        raise ValueError("source: the drift vanishes on the closed curve; pass its equilibrium as one point instead")
    guess = length / speed
    x = np.array(curve[0])
    for _ in range(20):
        settled = solve_ivp(flow, (0.0, 10.0 * guess), x, method="DOP853", rtol=1e-11, atol=1e-13)
        x = np.asarray(settled.y[:, -1], dtype=np.float64)
        b = flow(0.0, x)
        orbit = solve_ivp(flow, (0.0, 4.0 * guess), x, method="DOP853", rtol=1e-11, atol=1e-13, dense_output=True)
        times = np.linspace(0.0, 4.0 * guess, 4001)
        ahead = (orbit.sol(times) - x[:, None]).T @ b
        close = np.linalg.norm(orbit.sol(times) - x[:, None], axis=0) < 0.1 * length
        hits = np.flatnonzero((ahead[:-1] < 0) & (ahead[1:] >= 0) & close[1:])
        if hits.size == 0:
            break
        first = int(hits[0])
        period = float(
            brentq(lambda t, o=orbit, z=x, v=b: v @ (o.sol(t) - z), times[first], times[first + 1], xtol=1e-14)
        )
        if np.linalg.norm(orbit.sol(period) - x) < 1e-9 * length:
            if np.linalg.norm(curve - x, axis=1).min() > 0.25 * length:
                break
            return x, period
    raise ValueError(
        "source: the drift does not settle on a closed orbit near the curve; pass points along an attracting limit cycle"
    )
