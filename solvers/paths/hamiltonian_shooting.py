"""Many extremals of the action at once, by shooting: initial paths where the ends of a leg are limit cycles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import RK45

from qpot.solvers.common.spending import spent
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = NDArray[np.float64]
# (step, rows, x, actions) -> which of the rows end.
Watch = Callable[[int, NDArray[np.int64], Array, Array], NDArray[np.bool_]]

# Relative accuracy of the extremals, and absolute accuracy as a part of their sizes at first.
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
# An extremal ends where the noise works at less than this part of its highest rate so far.
_STALLED = 1e-5
# The most steps of the integrator, and points that are kept for each of them.
_MOST, _POINTS = 4000, 4


@dataclass(frozen=True, eq=False)
class Extremals:
    """Extremals from several starts; rows are times, which are the same for all of them.

    Attributes
    ----------
    points, momenta : array (s, m, d)
    times, actions : array (s, m)
        Time and action since the start; NaN after an extremal has ended.
    """

    points: Array
    momenta: Array
    times: Array
    actions: Array


def shoot(
    hamiltonian: DiffusionHamiltonian, points: Array, momenta: Array, *, centre: Array, reach: float, watch: Watch
) -> Extremals:
    """Follow Hamilton's equations from positions and momenta (m, d), with the same steps for all of them.

    An extremal ends where it is further than ``reach`` from the ``centre``, not finite, stalled, or where the watch says so,
    which sees all others that are under way after every step.
    """
    m, d = points.shape
    alive, peak = np.arange(m), np.zeros(m)
    now = np.concatenate([points, momenta, np.zeros((m, 1))], axis=1)
    rows, clock, time, last = [now], [0.0], 0.0, 0.0
    scale = np.concatenate(
        [np.full(d, reach), np.full(d, float(np.abs(momenta).max())), [float(np.abs(momenta).max()) * reach]]
    )
    while alive.size and len(rows) < _MOST * _POINTS and not spent():
        solver = RK45(
            lambda _, y: _motion(hamiltonian, y, d),
            time,
            now[alive].ravel(),
            np.inf,
            rtol=_RELATIVE,
            atol=np.tile(_ABSOLUTE * scale, alive.size),
            first_step=last or None,
        )
        ended = np.zeros(alive.size, dtype=bool)
        while not ended.any() and len(rows) < _MOST * _POINTS and not spent():
            with np.errstate(all="ignore"):
                solver.step()
            if solver.status == "failed":  # The steps became too short for some, most likely for the fastest ones.
                ended[np.argsort(np.linalg.norm(rows[-1][alive, d : 2 * d], axis=1))[alive.size // 2 :]] = True
                last = 0.0
                break
            last, way = solver.step_size, solver.dense_output()
            times = np.linspace(time, solver.t, _POINTS + 1)[1:]
            for t, y in zip(times, way(times).T, strict=True):
                row = np.full_like(now, np.nan)
                row[alive] = y.reshape(alive.size, -1)
                rows.append(row)
                clock.append(float(t))
            time = float(solver.t)
            state = rows[-1][alive]
            ended = ~np.isfinite(state).all(axis=1)
            ended |= ~(np.linalg.norm(np.where(np.isfinite(state), state, np.inf)[:, :d] - centre, axis=1) <= reach)
            fine = np.flatnonzero(~ended)
            # An extremal that has come close to another separatrix stays there for long, and falls freely from there.
            x, p = state[fine, :d], state[fine, d : 2 * d]
            rate = np.einsum("ni,nij,nj->n", p, hamiltonian.covariance(x), p)
            peak[alive[fine]] = np.maximum(peak[alive[fine]], rate)
            ended[fine] = rate < _STALLED * peak[alive[fine]]
            fine = np.flatnonzero(~ended)
            ended[fine] = watch(len(rows) - 1, alive[fine], state[fine, :d], state[fine, -1])
        now = rows[-1]
        alive = alive[~ended]
    states = np.array(rows)
    T = np.where(np.isfinite(states[:, :, -1]), np.array(clock)[:, None], np.nan)
    return Extremals(states[:, :, :d], states[:, :, d : 2 * d], T, states[:, :, -1])


def _motion(hamiltonian: DiffusionHamiltonian, flat: Array, d: int) -> Array:
    """The velocities H_p, the forces -H_x and the rates p.a p / 2 of the actions."""
    state = flat.reshape(-1, 2 * d + 1)
    x, p = np.ascontiguousarray(state[:, :d]), state[:, d : 2 * d]
    if not np.isfinite(state).all():
        return np.full(flat.size, np.nan)
    pushed = np.einsum("nij,nj->ni", hamiltonian.covariance(x), p)
    rate = 0.5 * np.einsum("ni,ni->n", p, pushed)
    velocity, force = hamiltonian.drift(x) + pushed, -hamiltonian.force(x, p)
    return np.concatenate([velocity, force, rate[:, None]], axis=1).ravel()
