"""Exits by noise: where a model's noise leaves the basin of a minimum, by a short simulation, and over which pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.landscape.by_products import climbed
from qpot.landscape.flow_by_products import large_flow
from qpot.landscape.linear_rates import fastest_rate, fixed_point_rates
from qpot.landscape.tolerant import NaNLoss
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.landscape.chebyshev_flow import ChebyshevFlow
from qpot.solvers.landscape.descents import descend_together
from qpot.solvers.landscape.noisy_exits import Exit, NoisyExits

# A step in time is this part of the fastest relaxation time at the minimum.
_STEP = 0.3
# A relaxation time counts as so many steps at most, where rates differ by a factor of a thousand and more.
_LONGEST_RUN = 3000
# Every so many steps a point of a way is kept.
_STRIDE = 2
# Descents are followed until the slope is this part of that at the distance from a minimum that counts as near, for so many
# steps at most.
_REST, _STEPS = 0.3, 1000
# Replicas may go as far as this many times the minimum's largest coordinate.
_FAR = 100.0
# The first noise: by equipartition the excess loss of the stationary state is so many heights of the lowest pass.
_EXCESS = 8.0
# Climbs to a pass start where a crossing has settled for so many of the fastest relaxation times more.
_SETTLING = (5.0, 30.0)
# The edge of a basin is found to this part of the distance between two points of a way, by so many halvings at most.
_HALVINGS = 24
# A point of a descent along the edge is near the pass where the drift is least, away from the minimum by this part.
_AWAY = 0.2
# The longest step of the climb from there to the pass, as a part of the distance between the minima.
_LONGEST = 0.05
# A curve along a way begins where the way was last nearer to the minimum than this part of the way to the pass, or than a bit
# more than it ever was; it is averaged over so many points to both sides.
_LEFT, _NEAREST, _AVERAGED = 0.25, 1.05, 3


def exits_by_noise(
    system: System, total: FiniteSum, home: Array, *, height: float, near: float, rng: np.random.Generator
) -> list[Exit]:
    """The ways on which the diffusion with the samples' noise leaves the basin of a minimum, the weakest noise first.

    Parameters
    ----------
    system : System
        A loss with minibatch noise.
    total : FiniteSum
        Its samples.
    home : array (d,)
    height : float
        How much higher than the minimum the lowest known pass is.
    near : float
        Descents that end within this distance of the minimum began in its basin.

    Notes
    -----
    x moves by -g dt + sqrt(epsilon dt / N) sum_i xi_i (g_i - g) with normal numbers xi, in one weighted sum of gradients.
    Costs decide how rare a way is, so that under weak noise the ways are those of low cost; the noise is as weak as some
    thousand relaxation times of all replicas together allow.
    """
    loss, gradient = NaNLoss(system), system.unchecked.gradient
    rates = fixed_point_rates(system, home, name="minimum")
    dt = _STEP / float(np.abs(rates.values).max())
    N, far = total.n_samples, _FAR * max(1.0, float(np.abs(home).max()))

    def step(x: Array, strength: float, generator: np.random.Generator) -> Array:
        normal = generator.standard_normal((len(x), N))
        normal -= normal.mean(axis=1, keepdims=True)
        moved = x - total.combined_gradient(x, dt / N + np.sqrt(strength * dt / N) * normal)
        # A replica that runs away begins anew.
        moved[np.abs(moved).max(axis=1) > far] = home
        return np.asarray(moved)

    def descend(x: Array) -> Array:
        # At this slope a point is nearer to its minimum than ``near``, if that is not much flatter.
        return descend_together(loss, gradient, x, tolerance=_REST * rates.slowest * near, most=_STEPS).ends

    trace = float(np.sum((total.gradients_at(home[None])[0] - total.gradient(home[None])[0]) ** 2)) / N
    exits = NoisyExits(
        step=step,
        descend=descend,
        home=home,
        near=near,
        relaxation=int(np.clip(round(1.0 / rates.slowest / dt), 1, _LONGEST_RUN)),
        stride=_STRIDE,
        rng=rng,
    )
    return exits.search(_EXCESS * 4.0 * height / max(trace, 1e-300))


def settled_crossings(system: System, way: Exit) -> Iterator[Array]:
    """Points (d,) from which a climb may lead to the pass of a way, the nearest to where it comes to its end's basin first.

    The drift carries the point between the two basins down stiff walls within a short time, along the edge as long as it does
    not leave it.
    """
    x = 0.5 * (way.points[-2] + way.points[-1])
    fastest = fastest_rate(system, x)

    def velocity(_: float, y: Array) -> Array:
        return np.asarray(system.unchecked.drift(y[None])[0])

    size = float(np.linalg.norm(way.end - x))
    for time in _SETTLING:
        flow = ChebyshevFlow(
            velocity, 0.0, x, time / fastest, rtol=1e-3, atol=1e-4 * size, radius=partial(fastest_rate, system)
        )
        try:
            while flow.status == "running":
                flow.step()
        except NonFiniteError:
            return
        x = flow.y.copy()
        yield x


def pass_on_edge(system: System, way: Exit, *, slowest: float) -> Array | None:
    """The fixed point to which the edge of a basin leads where a way crosses it; None where none is found.

    Between the last point outside the basin of the way's end and the first one inside, halving finds a point from which the
    descent follows the edge down to the pass before it turns to the end; from where it is slowest the lowest mode is climbed.

    Parameters
    ----------
    slowest : float
        The slowest linear rate at the minima, which bounds the time of a descent.
    """
    outside, inside = way.points[-2], way.points[-1]
    along: Array | None = None
    for _ in range(_HALVINGS):
        middle = 0.5 * (inside + outside)
        try:
            flow = large_flow(system, middle, way.end[None], slowest=slowest)
        except NonFiniteError:
            return None
        if flow is None:
            outside = middle
        else:
            inside, along = middle, flow[2]
    if along is None:
        return None
    away = np.linalg.norm(along - way.end, axis=1)
    along = along[away > _AWAY * away[0]]
    slowly = along[int(np.argmin(np.linalg.norm(system.unchecked.drift(along), axis=1)))]
    return climbed(system, slowly, _LONGEST * float(away.max()))


def curves_along(ways: Sequence[Exit], start: Array, end: Array, most: int) -> list[Array]:
    """Polylines (n, d) from a minimum to a saddle along some of the ways between them, those of all noise strengths in turn.

    Under weak noise ways are nearer to the cheapest path, and under stronger noise there are more kinds of them.
    """
    levels: dict[float, list[Exit]] = {}
    for way in ways:
        levels.setdefault(way.strength, []).append(way)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*levels.values()))
    chosen = [way for way in turns if way is not None][:most]
    return [_curve_along(way.points, start, end) for way in chosen]


def _curve_along(points: Array, start: Array, end: Array) -> Array:
    """The part of a way after it was last near the minimum, averaged over neighbouring points, between both ends."""
    away = np.linalg.norm(points - start, axis=1)
    near = max(_LEFT * float(np.linalg.norm(end - start)), _NEAREST * float(away.min()))
    rest = points[int(np.flatnonzero(away < near)[-1]) :]
    padded = np.pad(rest, ((_AVERAGED, _AVERAGED), (0, 0)), mode="edge")
    smooth = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AVERAGED + 1, axis=0).mean(axis=2)
    return np.concatenate([start[None], smooth, end[None]])
