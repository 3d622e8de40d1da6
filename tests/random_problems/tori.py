"""Periodic axes: tilted rings, sheared tori, cylinders, and prescribed potentials under rotation and uneven noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.sparse.csgraph import shortest_path

from .lattices import rests_of
from .problem import Array, Problem, in_other_units
from .truth import landing

TURN = 2 * np.pi


@dataclass(frozen=True, eq=False)
class Axis:
    """One coordinate with its own drift and noise: a ring, or a line with two wells.

    Attributes
    ----------
    drift, noise : callables of arrays
    low, high : float
        A period, or the bounds of the line.
    minima, tops : arrays (k,)
        The tops are those next to the minima, on a ring the one after each.
    costs : array (k, k)
    height : callable
        Minus the integral of the drift, which does not repeat on a tilted ring.
    """

    drift: Callable[[Any], Any]
    noise: Callable[[Any], Any]
    low: float
    high: float
    minima: Array
    tops: Array
    costs: Array
    height: Callable[[Any], Any]


def cheapest(hops: Array) -> Array:
    """The cheapest sums of hops (k, k), where zeros off the diagonal would be missing edges."""
    return np.asarray(shortest_path(np.where(np.isfinite(hops), hops, 0.0), method="D"))


def with_costs(
    drift: Callable[[Any], Any], noise: Callable[[Any], Any], height: Any, low: float, high: float, *, ring: bool
) -> Axis | None:
    """The axis with its minima and costs; None where a rest is close to another one or to the end."""
    rests = rests_of(drift, low, high)
    slopes = np.array([drift(x + 1e-6) - drift(x - 1e-6) for x in rests])
    k = len(rests) // 2 if ring else (len(rests) + 1) // 2
    if not k or (len(rests) % 2 != 0) == ring or np.abs(slopes).min(initial=1.0) < 2e-7:
        return None
    if ring and slopes[0] > 0:
        rests = np.append(rests[1:], rests[0] + TURN)
    hops = np.full((k, k), np.inf)
    np.fill_diagonal(hops, 0.0)
    climbs = []
    for i in range(k):
        minimum = rests[2 * i]
        for step in (1, -1):
            place = 2 * i + step
            if not ring and not 0 <= place < len(rests):
                continue
            turns, n = divmod(place, len(rests))
            top = rests[n] + turns * TURN
            value = quad(lambda x: -2.0 * drift(x) / noise(x), minimum, top, epsabs=1e-13, epsrel=1e-13, limit=200)[0]
            j = (i + step) % k
            climbs.append(value)
            if j != i:
                hops[i, j] = min(hops[i, j], value)
    if min(climbs) < 0.05:
        return None
    return Axis(drift, noise, low, high, rests[::2], rests[1::2], cheapest(hops), height)


def ring(rng: np.random.Generator, *, tilt: float = 0.0, uneven: bool = True) -> Axis:
    """A Fourier sum on a circle, tilted by up to so much of its steepest slope, under noise that varies along it."""
    harmonics = np.arange(1, 4)
    while True:
        sizes, phases = rng.normal(size=3) / [1.0, 2.0, 3.0], rng.uniform(0, TURN, size=3)
        level, wave, phase = np.exp(rng.uniform(-0.7, 0.7)), rng.uniform(0.0, 0.6) * uneven, rng.uniform(0, TURN)
        low = rng.uniform(-np.pi, np.pi)
        part = tilt * rng.uniform(-1, 1)
        grid = np.linspace(0, TURN, 721)

        def slope(x: Any, sizes: Array = sizes, phases: Array = phases) -> Any:
            return -(harmonics * sizes * np.sin(harmonics * np.asarray(x)[..., None] + phases)).sum(axis=-1)

        force = part * float(np.abs(slope(grid)).max())

        def drift(x: Any, slope: Any = slope, force: float = force) -> Any:
            return force - slope(x)

        def height(x: Any, sizes: Array = sizes, phases: Array = phases, force: float = force) -> Any:
            x = np.asarray(x)
            return (sizes * np.cos(harmonics * x[..., None] + phases)).sum(axis=-1) - force * x

        def noise(x: Any, level: float = level, wave: float = wave, phase: float = phase) -> Any:
            return level * np.exp(wave * np.cos(np.asarray(x) + phase))

        found = with_costs(drift, noise, height, low, low + TURN, ring=True)
        if found is not None:
            return found


def line(rng: np.random.Generator) -> Axis:
    """One or two wells on a line."""
    level = np.exp(rng.uniform(-0.7, 0.7))
    if rng.random() < 0.4:
        centre = rng.uniform(-0.5, 0.5)
        return Axis(
            lambda x: centre - x,
            lambda x: level + 0 * x,
            -2.0,
            2.0,
            np.array([centre]),
            np.zeros(0),
            np.zeros((1, 1)),
            lambda x: 0.5 * (x - centre) ** 2,
        )
    while True:
        tilt = float(rng.uniform(-0.2, 0.2))

        def drift(x: Any, tilt: float = tilt) -> Any:
            return x - x**3 + tilt

        def height(x: Any, tilt: float = tilt) -> Any:
            return x**4 / 4 - x**2 / 2 - tilt * x

        found = with_costs(drift, lambda x: level + 0 * x, height, -2.2, 2.3, ring=False)
        if found is not None:
            return found


def stationary(costs: Array) -> Array:
    """W (k,) by trying every spanning tree."""
    k = len(costs)
    W = np.full(k, np.inf)
    for root in range(k):
        others = [i for i in range(k) if i != root]
        for targets in itertools.product(range(k), repeat=k - 1):
            way = dict(zip(others, targets, strict=True))
            if any(i == j for i, j in way.items()) or not all(_arrives(way, i, root) for i in others):
                continue
            W[root] = min(W[root], sum(costs[i, j] for i, j in way.items()))
    return np.asarray(W - W.min())


def _arrives(way: dict[int, int], i: int, root: int) -> bool:
    for _ in range(len(way) + 1):
        if i == root:
            return True
        i = way[i]
    return False


def _sizes(axes: list[Axis]) -> int:
    return int(np.prod([len(axis.minima) for axis in axes]))


def shear(rng: np.random.Generator, closed: tuple[bool, ...]) -> Array:
    """An integer matrix of determinant one that maps the lattice of the closed axes onto itself."""
    d = len(closed)
    S = np.eye(d)
    for i, j in itertools.permutations(range(d), 2):
        if closed[i] and closed[j] and rng.random() < 0.5:
            step = np.eye(d)
            step[i, j] = rng.choice([-1, 1])
            S = S @ step
    return S


def product(rng: np.random.Generator, axes: list[Axis], name: str, *, gradient: bool = False) -> Problem:
    """Axes side by side, seen through a shear of the lattice; ``gradient`` asks for a loss under isotropic noise."""
    closed = tuple(bool(abs(axis.high - axis.low - TURN) < 1e-12) for axis in axes)
    S = shear(rng, closed)
    inverse = np.round(np.linalg.inv(S))
    sites = np.array(list(itertools.product(*[range(len(axis.minima)) for axis in axes])))
    low, high = np.array([axis.low for axis in axes]), np.array([axis.high for axis in axes])
    minima = np.array([[axis.minima[n] for axis, n in zip(axes, site, strict=True)] for site in sites]) @ inverse.T
    minima = np.where(closed, low + np.mod(minima - low, TURN), minima)
    costs = np.sum([axis.costs[sites[:, None, n], sites[None, :, n]] for n, axis in enumerate(axes)], axis=0)
    W = stationary(costs)

    def drift(x: Any) -> Any:
        z = x @ S.T
        f = np.stack([axis.drift(z[:, n]) for n, axis in enumerate(axes)], axis=1)
        return f @ (S if gradient else inverse.T)

    def covariance(x: Any) -> Any:
        z = x @ S.T
        a = np.stack([axis.noise(z[:, n]) for n, axis in enumerate(axes)], axis=1)
        return (inverse * a[:, None, :]) @ inverse.T

    def potential(x: Any) -> Any:
        away = np.abs(x[:, None] - minima)
        away = np.where(closed, np.minimum(away % TURN, TURN - away % TURN), away)
        return W[np.linalg.norm(away, axis=2).argmin(axis=1)]

    others: dict[str, Any] = {}
    if gradient:
        level = float(axes[0].noise(0.0))

        def loss(x: Any) -> Any:
            return sum(axis.height((x @ S.T)[:, n]) for n, axis in enumerate(axes))

        costs = over_passes(axes, S, drift, lambda x: 2.0 / level * loss(x), minima)
        others = {
            "loss": loss,
            "gradient": lambda x: -drift(x),
            "constant": level,
        }
    return Problem(
        name=f"{' x '.join(str(len(axis.minima)) for axis in axes)} minima, {name}",
        drift=drift,
        covariance=covariance,
        bounds=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        minima=minima,
        costs=costs,
        potential=potential,
        periodic=closed,
        **others,
    )


def over_passes(
    axes: list[Axis], S: Array, drift: Callable[[Any], Any], height: Callable[[Any], Any], minima: Array
) -> Array:
    """The cheapest sums of climbs (k, k) over the passes of a sum of heights, whose sides are followed along the drift.

    Where the axes are not those of the noise, a pass next to one minimum may lead down to another than its neighbour.
    """
    k, inverse = len(minima), np.round(np.linalg.inv(S))
    cells = TURN * np.array(list(itertools.product(range(-3, 4), repeat=2)))
    images = (minima + cells[:, None]).reshape(-1, 2)
    near = images[len(images) // 2 - k :][: 3 * k]
    reach = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(near, 2))
    hops = np.full((k, k), np.inf)
    np.fill_diagonal(hops, 0.0)
    levels = height(minima)
    places = [*itertools.product(axes[0].tops, axes[1].minima), *itertools.product(axes[0].minima, axes[1].tops)]
    for place in np.array(places) @ inverse.T:
        top = minima[0] + np.mod(place - minima[0], TURN)
        step = 1e-5 * np.eye(2)
        J = np.stack([(drift((top + e)[None]) - drift((top - e)[None]))[0] for e in step], axis=1) / 2e-5
        rates, vectors = np.linalg.eig(J)
        away = 1e-3 * vectors[:, rates.real.argmax()].real
        sides = [landing(drift, top + sign * away, images, reach=reach) % k for sign in (1.0, -1.0)]
        for i, j in (sides, sides[::-1]):
            if i != j:
                hops[i, j] = min(hops[i, j], height(top[None])[0] - levels[i])
    return cheapest(hops)


def _drawn(make: Callable[[], list[Axis]], *, most: int = 5) -> list[Axis]:
    while True:
        axes = make()
        if 2 <= _sizes(axes) <= most:
            return axes


def tilted_ring(rng: np.random.Generator) -> Problem:
    """A ring whose drift goes on average in one direction."""
    return product(rng, _drawn(lambda: [ring(rng, tilt=0.6)]), "tilted ring")


def tilted_torus(rng: np.random.Generator) -> Problem:
    """Two rings, both tilted and sheared: no potential, although the drift has no rotation."""
    return product(rng, _drawn(lambda: [ring(rng, tilt=0.5), ring(rng, tilt=0.5)]), "tilted torus")


def sheared_torus(rng: np.random.Generator) -> Problem:
    """A loss such as U(x + y) + W(y) under isotropic noise."""
    axes = _drawn(lambda: [ring(rng, uneven=False), ring(rng, uneven=False)])
    level = float(axes[0].noise(0.0))
    scaled = [
        Axis(a.drift, axes[0].noise, a.low, a.high, a.minima, a.tops, a.costs * float(a.noise(0.0)) / level, a.height)
        for a in axes
    ]
    return product(rng, scaled, "sheared torus", gradient=True)


def cylinder(rng: np.random.Generator) -> Problem:
    """A ring beside a line."""
    axes = _drawn(lambda: [ring(rng, tilt=0.3 * (rng.random() < 0.5)), line(rng)])
    return product(rng, axes[:: int(rng.choice([1, -1]))], "cylinder")


def prescribed_torus(rng: np.random.Generator) -> Problem:
    """A prescribed potential with a rotation along its level sets, under isotropic noise that varies from place to place."""
    axes = _drawn(lambda: [ring(rng, uneven=False), ring(rng, uneven=False)])
    base = product(rng, axes, "prescribed torus")
    weights = np.array([2.0 / float(axis.noise(0.0)) for axis in axes])
    # The shear of `base` is drawn anew: only its coordinates are wanted.
    S = shear(rng, (True, True))
    inverse = np.round(np.linalg.inv(S))
    wave, phase, turn = rng.uniform(0, 0.6), rng.uniform(0, TURN, size=2), rng.uniform(-0.4, 0.4)
    sites = np.array(list(itertools.product(*[range(len(axis.minima)) for axis in axes])))
    low = np.array([axis.low for axis in axes])
    minima = np.array([[axis.minima[n] for axis, n in zip(axes, site, strict=True)] for site in sites]) @ inverse.T
    minima = low + np.mod(minima - low, TURN)

    def slope(x: Any) -> Any:
        z = x @ S.T
        return (
            np.stack([-w * axis.drift(z[:, n]) for n, (w, axis) in enumerate(zip(weights, axes, strict=True))], axis=1)
            @ S
        )

    def strength(x: Any) -> Any:
        return np.exp(wave * np.cos(x + phase).sum(axis=1))

    def drift(x: Any) -> Any:
        g = slope(x)
        return strength(x)[:, None] * (-0.5 * g + turn * np.stack([-g[:, 1], g[:, 0]], axis=1))

    def potential(x: Any) -> Any:
        return sum(w * axis.height((x @ S.T)[:, n]) for n, (w, axis) in enumerate(zip(weights, axes, strict=True)))

    return Problem(
        name=base.name,
        drift=drift,
        covariance=lambda x: strength(x)[:, None, None] * np.eye(2),
        bounds=base.bounds,
        minima=minima,
        costs=over_passes(axes, S, drift, potential, minima),
        potential=potential,
        periodic=(True, True),
    )


def three_rings(rng: np.random.Generator) -> Problem:
    """A torus in three dimensions."""
    return product(rng, _drawn(lambda: [ring(rng), ring(rng), ring(rng)], most=4), "three rings")


SORTS = (tilted_ring, tilted_torus, sheared_torus, cylinder, prescribed_torus, three_rings)


def tori(rng: np.random.Generator, sort: int | None = None) -> Problem:
    """One of them, in coordinates of other scale and offset in a third of the cases."""
    weights = np.array([0.2, 0.2, 0.2, 0.2, 0.15, 0.05])
    n = int(rng.choice(len(SORTS), p=weights)) if sort is None else sort
    problem = SORTS[n](rng)
    if rng.random() < 1 / 3:
        scale = np.exp(rng.uniform(-2, 2, size=1 if problem.loss is not None else problem.dimension))
        scale = scale * np.ones(problem.dimension)
        problem = in_other_units(problem, scale=scale, offset=rng.normal(size=problem.dimension) * 3)
    return problem


KINDS_OF_TORI = {sort.__name__: partial(tori, sort=n) for n, sort in enumerate(SORTS)}
