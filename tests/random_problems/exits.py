"""Random exits and escapes whose cost is known, for the error bars of paths with free ends.

Of linear drifts the truth is taken in fifty digits from the covariance of the linear system; of prescribed quasi-potentials
it is the least of V over the boundary, by minimisations that share no code with qpot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
from scipy.integrate import quad
from scipy.optimize import minimize

import qpot

from .legs import _height, _slope, _well, counted_clock, stationary
from .prescribed import full_covariance, rotating_drift
from .problem import Array, random_turn

_DIGITS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Exit:
    """A way out of known cost: ``solve`` takes a method and other keywords, and returns an exit or an escape."""

    name: str
    value: float
    solve: Callable[..., Any]

    def solved(self, *, budget: float | None = None, looks: int | None = None, **options: Any) -> Any:
        """The answer by `qpot.GeometricAction` with these options, within a number of looks at the clock."""
        with counted_clock(looks is not None):
            return self.solve(
                method=qpot.GeometricAction(**options), budget=budget if looks is None else float(looks), throw=False
            )


def _searched(system: qpot.System, home: Array, boundary: qpot.Domain, **options: Any) -> qpot.ExitSolution:
    """The exit by the search alone, whose error bars are looked at here."""
    return qpot.exit_cost(system, home, boundary=boundary, second_opinion=False, **options)


def _least_on_sphere(K: Any, centre: Array, radius: float) -> float:
    """The least x K x / 2 with |x - centre| = radius: x - centre = -(K - m)^{-1} K centre with m below all eigenvalues."""
    values, vectors = mp.eigsy(K)
    g = vectors.T * (K * mp.matrix(centre.tolist()))
    d, r = len(values), mp.mpf(radius)
    at_centre = (mp.matrix(centre.tolist()).T * K * mp.matrix(centre.tolist()))[0] / 2
    lowest = min(values)
    if max(abs(z) for z in g) == 0:
        return float(lowest * r**2 / 2)

    def excess(m: Any) -> Any:
        return mp.sqrt(sum((g[k] / (values[k] - m)) ** 2 for k in range(d))) - r

    low = lowest - 2 * mp.norm(g) / r - abs(lowest)
    high = lowest - abs(lowest) * mp.mpf(10) ** (-40)
    for _ in range(400):
        middle = (low + high) / 2
        if excess(middle) > 0:
            high = middle
        else:
            low = middle
    z = [-g[k] / (values[k] - low) for k in range(d)]
    return float(at_centre + sum(g[k] * z[k] + values[k] * z[k] ** 2 / 2 for k in range(d)))


def _linear_system(rng: np.random.Generator, *, rank: int | None = None) -> tuple[Array, Array]:
    """A drift matrix, often strongly non-normal, and a covariance of eigenvalues that may be far apart."""
    d = int(rng.integers(2, 6))
    upper = np.triu(rng.normal(size=(d, d)), 1) * np.exp(rng.uniform(-1.0, 2.2))
    J = upper - np.diag(np.exp(rng.uniform(-1.5, 1.5, size=d)))
    if rng.random() < 0.5:
        J[1, 0] -= np.exp(rng.uniform(0.0, 2.0))
    if np.linalg.eigvals(J).real.max() > -0.05:
        J -= (np.linalg.eigvals(J).real.max() + 0.3) * np.eye(d)
    turn = random_turn(rng, d)
    sizes = np.exp(rng.uniform(-1.0, 1.0, size=d))
    if rng.random() < 0.4:
        sizes[-1] *= 10.0 ** rng.uniform(-6.0, -2.0)
    if rank is not None:
        sizes[rank % d + (rank % d == 0) :] = 0.0
    return J, (turn * sizes) @ turn.T


def linear_exit(rng: np.random.Generator, *, rank: int | None = None) -> Exit:
    """A linear drift out of a ball, a half-space or an ellipsoid."""
    J, a = _linear_system(rng, rank=rank)
    d = len(J)
    system = qpot.System(
        drift=lambda z: z @ J.T, covariance=lambda z: np.broadcast_to(a, (len(z), d, d)).copy(), dimension=d
    )
    sort = str(rng.choice(["centred ball", "ball", "half-space", "ellipsoid"]))
    boundary: qpot.Ball | qpot.HalfSpace | qpot.Region
    with mp.workdps(_DIGITS):
        C = stationary(J, a)
        if sort == "half-space":
            n, h = rng.normal(size=d), float(np.exp(rng.uniform(-1.0, 1.0)))
            boundary = qpot.HalfSpace(normal=n, offset=h)
            m = mp.matrix(n.tolist())
            value = float(mp.mpf(h) ** 2 / (2 * (m.T * C * m)[0]))
        elif sort == "ellipsoid":
            B = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
            boundary = qpot.Region(g=lambda z: 0.5 * ((z @ B.T) ** 2).sum(axis=1) - 1.0)
            W = mp.matrix(B.tolist())
            value = float(1 / max(mp.eigsy(W * C * W.T, eigvals_only=True)))
        else:
            r = float(np.exp(rng.uniform(-1.0, 1.0)))
            centre = np.zeros(d)
            if sort == "ball":
                centre = rng.normal(size=d)
                centre *= rng.uniform(0.0, 0.8) * r / np.linalg.norm(centre)
            boundary = qpot.Ball(radius=r, centre=centre)
            value = _least_on_sphere(C**-1, centre, r)
    return Exit(
        name=f"linear, d = {d}, {sort}",
        value=value,
        solve=lambda **options: _searched(system, np.zeros(d), boundary, **options),
    )


def low_rank_exit(rng: np.random.Generator) -> Exit:
    """The same where the covariance is singular, though the noise reaches every coordinate."""
    return linear_exit(rng, rank=int(rng.integers(1, 3)))


def prescribed_exit(rng: np.random.Generator) -> Exit:
    """A bent well under a covariance that depends on the place and a rotating drift, out of a domain below its pass."""
    for _ in range(200):
        found = _prescribed_exit(rng)
        if found is not None:
            return found
    raise RuntimeError("no domain below the pass was drawn")


def _prescribed_exit(rng: np.random.Generator) -> Exit | None:
    d = int(rng.integers(2, 6))
    h, tilt, k, bend = _well(rng, d)
    S = rng.normal(size=(d, d))
    S = float(rng.uniform(0.0, 1.0)) * (S - S.T) / np.sqrt(d)
    a = full_covariance(rng, d)
    home, top = np.r_[-1.0, bend], tilt / (4 * h)

    def slope(u: Any) -> Any:
        return _slope(u, h, tilt, k, bend)

    def V(u: Any) -> Any:
        away = u[..., 1:] - bend * u[..., :1] ** 2
        x = u[..., 0]
        return h * (x**2 - 1) ** 2 + tilt * (x - x**3 / 3 + 2 / 3) + 0.5 * away**2 @ k

    ceiling = float(V(np.r_[top, bend * top**2]))
    sort = str(rng.choice(["ball", "level of V", "ellipsoid"]))
    level, r = float(rng.uniform(0.2, 0.9)) * ceiling, float(rng.uniform(0.2, 0.8))
    B = np.eye(d) if sort == "ball" else np.eye(d) + 0.4 * rng.normal(size=(d, d))
    centre = home + 0.3 * r * rng.normal(size=d) / np.sqrt(d) / np.linalg.norm(B)

    def g(u: Any) -> Any:
        return 0.5 * (((u - centre) @ B.T) ** 2).sum(axis=-1) - r**2 / 2

    boundary: qpot.Ball | qpot.Region
    if sort == "level of V":
        boundary, value = qpot.Region(g=lambda z: V(z) - level, gradient=slope), level
    else:
        boundary = qpot.Ball(radius=r, centre=centre) if sort == "ball" else qpot.Region(g=g)
        value = _least(V, home, g, rng)
    if not 1e-3 < value < 0.95 * ceiling:
        return None
    system = qpot.System(drift=rotating_drift(slope, a, S, rng.normal(size=d)), covariance=a, dimension=d)
    return Exit(
        name=f"prescribed, d = {d}, {sort}",
        value=value,
        solve=lambda **options: _searched(system, home, boundary, **options),
    )


def _least(V: Callable[[Any], Any], home: Array, g: Callable[[Any], Any], rng: np.random.Generator) -> float:
    """The least V over g = 0 around ``home``, by sequential quadratic programming from many starts, then Newton's method."""
    d = home.size
    best, lowest = home, np.inf
    for _ in range(30):
        start = home + rng.normal(size=d)
        found = minimize(
            V,
            start,
            method="SLSQP",
            constraints={"type": "eq", "fun": g},
            options={"ftol": 1e-15, "maxiter": 300},
        )
        if abs(g(found.x)) < 1e-9 and found.fun < lowest:
            best, lowest = found.x, float(found.fun)
    if not np.isfinite(lowest):
        return np.inf
    # Two Newton steps of the Lagrange function make the value exact to rounding.
    step = 1e-4
    for _ in range(3):
        gV, HV = _derivatives(V, best, step)
        gg, Hg = _derivatives(g, best, step)
        m = float(gV @ gg) / float(gg @ gg)
        K = np.block([[HV - m * Hg, -gg[:, None]], [gg[None], np.zeros((1, 1))]])
        best = best + np.linalg.solve(K, np.r_[-(gV - m * gg), -g(best)])[:d]
    return float(V(best))


def _derivatives(f: Callable[[Any], Any], x: Array, h: float) -> tuple[Array, Array]:
    """Gradient and Hessian by central differences; the gradient with an error of fourth order."""
    e = np.eye(x.size)
    g = np.array([(8 * (f(x + h * i) - f(x - h * i)) - (f(x + 2 * h * i) - f(x - 2 * h * i))) / (12 * h) for i in e])
    H = np.array(
        [
            [
                (f(x + h * (i + j)) - f(x + h * (i - j)) - f(x - h * (i - j)) + f(x - h * (i + j))) / (4 * h * h)
                for j in e
            ]
            for i in e
        ]
    )
    return g, H


def escape(rng: np.random.Generator) -> Exit:
    """From a level of a loss to another level or to the saddle, under the noise f(loss) times the identity."""
    d = int(rng.integers(1, 5))
    h, tilt, k, bend = _well(rng, d)
    c0, c1, power = (
        float(rng.choice([0.0, rng.uniform(0.05, 1.0)])),
        float(rng.uniform(0.2, 2.0)),
        rng.uniform(0.5, 1.5),
    )

    def loss(z: Any) -> Any:
        away = z[:, 1:] - bend * z[:, :1] ** 2
        x = z[:, 0]
        return h * (x**2 - 1) ** 2 + tilt * (x - x**3 / 3 + 2 / 3) + 0.5 * away**2 @ k

    def f(level: Any) -> Any:
        return c0 + c1 * np.maximum(level, 0.0) ** power

    top = tilt / (4 * h)
    saddle, home = np.r_[top, bend * top**2], np.r_[-1.0, bend]
    with mp.workdps(_DIGITS):
        ceiling = float(_height(saddle, h, tilt, k, bend))
    low = float(rng.uniform(0.05, 0.5)) * ceiling
    high = float(rng.uniform(0.6, 0.95)) * ceiling
    system = qpot.System.from_loss(
        loss,
        lambda z: _slope(z, h, tilt, k, bend),
        lambda z: f(loss(z))[:, None, None] * np.eye(d),
        dimension=d,
    )
    to_saddle = rng.random() < 0.4
    last = ceiling if to_saddle else high
    value = float(quad(lambda level: 2.0 / f(level), low, last, epsabs=0.0, epsrel=1e-13)[0])
    goal = {"end": saddle} if to_saddle else {"to_loss": high}

    def solve(*, budget: float | None = None, **options: Any) -> Any:
        return qpot.escape_cost(system, home, from_loss=low, **goal, **options)

    return Exit(name=f"escape, d = {d}, {'saddle' if to_saddle else 'level'}", value=value, solve=solve)


EXITS: Mapping[str, Callable[[np.random.Generator], Exit]] = {
    "linear exit": linear_exit,
    "low-rank exit": low_rank_exit,
    "prescribed exit": prescribed_exit,
    "escape": escape,
}


def draw_exit(kind: str, seed: int, number: int) -> Exit:
    """The exit with this number: the same for the same seed, whatever else is drawn."""
    return EXITS[kind](np.random.default_rng([seed, 50 + list(EXITS).index(kind), number]))


def random_exit_cut(rng: np.random.Generator) -> dict[str, Any]:
    """Options under which most exits stop short: by the iterations, the mesh, the tolerance or the time of the search."""
    way = int(rng.integers(0, 4))
    if way == 0:
        return {"max_iterations": int(rng.integers(1, 20))}
    if way == 1:
        return {"max_iterations": int(rng.integers(1, 60)), "max_elements": int(rng.integers(4, 9))}
    if way == 2:
        return {"max_elements": int(rng.integers(4, 12))}
    return {"budget": float(np.exp(rng.uniform(-5.0, 1.0)))}
