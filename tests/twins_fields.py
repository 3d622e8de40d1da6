"""Plain NumPy twins of the field solver's kernels, written from their formulas with whole tensors and matrix algebra.

A state is taken apart into x, V, p, Q, T and Y. Drift and covariance are polynomials of low degree, which cubic splines
reproduce, so a twin never looks at a spline.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from scipy.linalg import null_space

Array = NDArray[np.float64]


class State(NamedTuple):
    """A flat state taken apart."""

    x: Array
    V: float
    p: Array
    Q: Array
    T: Array
    Y: Array


def parts(y: Array, d: int) -> State:
    """Take a flat state apart."""
    x, V, p, Q, T, Y = np.split(y, np.cumsum([d, 1, d, d * d, d**3]))
    return State(x, float(V[0]), p, Q.reshape(d, d), T.reshape(d, d, d), Y.reshape(d, d))


def joined(state: State) -> Array:
    """Put the parts of a state together."""
    return np.concatenate([np.ravel(part) for part in state])


def symmetric(rng: np.random.Generator, d: int, order: int) -> Array:
    """A random tensor that is the same under all exchanges of its indices."""
    tensor = rng.normal(size=(d,) * order)
    if order == 2:
        return tensor + tensor.T
    return np.asarray(sum(np.einsum("ijk->" + "".join(o), tensor) for o in ("ijk", "ikj", "jik", "jki", "kij", "kji")))


@dataclass(frozen=True)
class Polynomials:
    """Drift and covariance with polynomial components; ``a`` has one coefficient where it does not vary."""

    b: Array
    a: Array

    @property
    def dimension(self) -> int:
        """d."""
        return int(self.b.shape[-1])

    @property
    def varies(self) -> bool:
        """Whether the covariance does."""
        return bool(max(self.a.shape[:-2]) > 1)

    def samples(self, points: Array) -> Array:
        """The fields at ``points`` in the order in which a medium takes them."""
        upper = np.triu_indices(self.dimension)
        b = np.array([_derivative(self.b, x, ()) for x in points])
        a = np.array([_derivative(self.a, x, ())[upper] for x in points])
        return np.hstack([b, a]) if self.varies else b

    def at(self, x: Array, order: int) -> tuple[Array, Array]:
        """All derivatives of drift ``(d, ...)`` and covariance ``(d, d, ...)`` of one order; their indices come last."""
        d = self.dimension
        axes = list(product(range(d), repeat=order))
        b = np.stack([_derivative(self.b, x, i) for i in axes], axis=-1).reshape((d,) * (1 + order))
        a = np.stack([_derivative(self.a, x, i) for i in axes], axis=-1).reshape((d,) * (2 + order))
        return b, a


def _derivative(coefficients: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """The derivative along ``axes`` of a polynomial with ``coefficients`` ``(k_0, .., k_{d-1}, ...)`` at ``x``."""
    for axis in axes:
        coefficients = np.asarray(polynomial.polyder(coefficients, axis=axis), dtype=np.float64)
    for z in x:
        coefficients = np.asarray(np.tensordot(z ** np.arange(coefficients.shape[0]), coefficients, axes=1))
    return coefficients


def random_polynomials(rng: np.random.Generator, d: int, varies: bool, periodic: bool) -> Polynomials:
    """A drift of second degree and a covariance that is positive definite in the unit box, constant or of second degree.

    On a periodic first axis nothing depends on it.
    """
    first = 1 if periodic else 3
    b = 0.4 * rng.normal(size=(first,) + (3,) * (d - 1) + (d,))
    root = np.eye(d) + 0.2 * rng.normal(size=(d, d))
    a = np.zeros(((first,) + (3,) * (d - 1) if varies else (1,) * d) + (d, d))
    if varies:
        a += 0.01 * rng.normal(size=a.shape)
        a = a + np.swapaxes(a, -1, -2)
    a[(0,) * d] += root @ root.T + 0.2 * np.eye(d)
    return Polynomials(b, a)


def hamiltonian(fields: Polynomials, x: Array, p: Array) -> tuple[float, Array]:
    """H = <b, p> + 1/2 <p, a p> and dH/dp."""
    b, a = fields.at(x, 0)
    return float(b @ p + 0.5 * p @ a @ p), b + a @ p


def _with_permutations(tensor: Array) -> Array:
    """The sum over the three choices of the index that stands alone, which is the last one here."""
    return tensor + tensor.transpose(0, 2, 1) + tensor.transpose(2, 1, 0)


def rates(fields: Polynomials, y: Array) -> tuple[Array, Array]:
    """Time derivative of a flat state, and the matrix R by which neighbouring rays part."""
    _, _, p, Q, T, Y = s = parts(y, fields.dimension)
    (b, a), (b1, a1), (b2, a2), (b3, a3) = (fields.at(s.x, k) for k in range(4))
    # M = b + a p and G = <b, p> + 1/2 <p, a p>, differentiated with p held fixed
    M, M1, M2 = b + a @ p, b1 + np.einsum("cei,e->ci", a1, p), b2 + np.einsum("ceij,e->cij", a2, p)
    G1, G2, G3 = (
        np.einsum("c,c...->...", p, bk) + 0.5 * np.einsum("c,e,ce...->...", p, p, ak)
        for bk, ak in ((b1, a1), (b2, a2), (b3, a3))
    )
    R = M1 + a @ Q
    dQ = -(G2 + M1.T @ Q + Q @ M1 + Q @ a @ Q)
    single = np.einsum("cij,ck->ijk", M2, Q) + np.einsum("cek,ci,ej->ijk", a1, Q, Q) + np.einsum("ck,cij->ijk", R, T)
    dT = -(G3 + _with_permutations(single))
    return joined(State(M, 0.5 * float(p @ a @ p), -G1, dQ, dT, R @ Y)), R


def taylor(y: Array, dx: Array) -> tuple[float, Array]:
    """V and its gradient at ``x + dx``."""
    _, V, p, Q, T, _ = parts(y, dx.size)
    value = V + p @ dx + 0.5 * dx @ Q @ dx + np.einsum("ijk,i,j,k->", T, dx, dx, dx) / 6.0
    return float(value), p + Q @ dx + 0.5 * np.einsum("ijk,j,k->i", T, dx, dx)


def shifted(y: Array, dx: Array) -> Array:
    """The polynomial of a state about ``x + dx``."""
    x, _, _, Q, T, _ = parts(y, dx.size)
    value, slope = taylor(y, dx)
    return joined(State(x + dx, value, slope, Q + T @ dx, T, np.eye(dx.size)))


def runge_kutta(fields: Polynomials, y: Array, dt: float) -> Array:
    """One classical step, by its tableau."""
    a = [[], [0.5], [0.0, 0.5], [0.0, 0.0, 1.0]]
    k: list[Array] = []
    for row in a:
        k.append(rates(fields, y + dt * sum((w * s for w, s in zip(row, k, strict=True)), np.zeros_like(y)))[0])
    return np.asarray(y + dt * np.array([1, 2, 2, 1]) @ np.array(k) / 6.0)


def projected(y: Array, dy: Array, d: int, R: Array | None = None, reach: float = 0.0) -> Array:
    """A state with H = 0, and with what Q and T are along the ray replaced by what p' and Q' say there.

    With the rates R of a ray that does not slow down, changes are damped where these are fast over the length ``reach``.
    """
    x, V, p, Q, T, Y = parts(y, d)
    v, action, slope, dQ, _, _ = parts(dy, d)
    H, speed = p @ v - action, np.linalg.norm(v)
    # more than an integrator leaves is no error of its
    if abs(H) <= 0.01 * speed * np.linalg.norm(p):
        p = p - H * v / speed**2
    m = v / speed
    P = np.eye(d) - np.outer(m, m)
    fades = R is not None and v @ R @ v > 0.0
    B = (reach / speed) * (R if fades and R is not None else np.zeros((d, d)))
    D = np.linalg.inv(np.eye(d) + B.T @ B)
    w, W = D @ (slope / speed - Q @ m), D @ (dQ / speed - T @ m) @ D
    Q = Q + np.outer(m, P @ w) + np.outer(P @ w, m) + (m @ w) * np.outer(m, m)
    T = (
        T
        + _with_permutations(np.einsum("ij,k->ijk", P @ W @ P, m))
        + _with_permutations(np.einsum("i,j,k->ijk", m, m, P @ W @ m))
        + (m @ W @ m) * np.einsum("i,j,k->ijk", m, m, m)
    )
    return joined(State(x, V, p, Q, T, Y))


def noise_metric(a: Array, ratio: float = 16.0) -> Array:
    """The inverse of the covariance, lifted until its aspect is at most ``ratio``, scaled to unit determinant."""
    low, high = np.linalg.eigvalsh(a)[[0, -1]]
    lifted = a + max(0.0, (high - ratio * low) / (ratio - 1.0)) * np.eye(len(a))
    return np.asarray(np.linalg.inv(lifted) * np.linalg.det(lifted) ** (1.0 / len(a)))


def length(metric: Array, v: Array) -> float:
    """Length of ``v`` in a metric."""
    return float(np.sqrt(v @ metric @ v))


def across(metric: Array, v: Array) -> Array:
    """The projector along ``v`` onto what is orthogonal to it in a metric."""
    return np.eye(v.size) - np.outer(v, v @ metric) / (v @ metric @ v)


def frame(metric: Array, v: Array) -> Array:
    """Columns that are orthonormal in a metric, and orthogonal to ``v``."""
    root = np.linalg.cholesky(metric)
    return np.asarray(np.linalg.solve(root.T, null_space((root.T @ v)[None])))


def carried_excess(X: Array, G: Array, v: Array, Y: Array, G_new: Array, v_new: Array) -> Array:
    """How far a bundle with excess ``X`` has drawn together after a step with map ``Y``."""
    old, new = frame(G, v), frame(G_new, v_new)
    back = np.linalg.inv(new.T @ G_new @ Y @ old)
    values, vectors = np.linalg.eigh(back.T @ old.T @ (G + X) @ old @ back)
    sides = G_new @ new @ vectors
    return np.asarray((sides * np.maximum(values - 1.0, 0.0)) @ sides.T)


def full(upper: Array, d: int) -> Array:
    """The symmetric matrix with this upper triangle."""
    matrix = np.zeros((d, d))
    matrix[np.triu_indices(d)] = upper
    return matrix + np.triu(matrix, 1).T


def short_way(gap: Array, period: Array) -> Array:
    """A difference of positions, the short way round on axes with a finite period."""
    turns = np.where(np.isfinite(period), np.floor(gap / period + 0.5), 0.0)
    return np.where(turns != 0.0, gap - np.where(np.isfinite(period), period, 0.0) * turns, gap)


class Chain(NamedTuple):
    """Heads of rays, the heads before them (-1: a source's), and the excess at each as a matrix."""

    heads: Array
    parents: list[int]
    excess: list[Array]


def walk_upstream(
    fields: Polynomials, chain: Chain, record: int, offset: Array, near: float, period: Array
) -> tuple[int, Array]:
    """The head where a ray beside ``record``'s was closest to it, and the offset across the ray there."""
    d = offset.size
    candidates = []
    while True:
        s = parts(chain.heads[record], d)
        G = noise_metric(fields.at(s.x, 0)[1])
        velocity = hamiltonian(fields, s.x, s.p)[1]
        root = chain.parents[record] < 0
        side = offset if root else across(G, velocity) @ offset
        size = length(G + chain.excess[record] / 4.0, side)
        candidates.append((size, record, side))
        if root:
            return record, side
        if size <= 0.06 * near or size > 20.0 * near:
            _, record, side = min(candidates, key=lambda c: c[0])
            return record, side
        before = chain.parents[record]
        began = np.array_equal(s.Y[0, :2], [1.0, 0.0])
        offset = np.asarray(np.linalg.solve(s.Y, offset), dtype=np.float64)
        if began:
            offset = offset + short_way(s.x - chain.heads[before, :d], period)
        record = before


def _way_back(
    fields: Polynomials, y: Array, w: Array, core: float, growth: float, Y: Array, near: float
) -> tuple[Array, float, float, Array]:
    """Back along the rays of a head's polynomial: the offset, by how much rays part there, the limit of that, and the map."""
    s = parts(y, w.size)
    G = noise_metric(fields.at(s.x, 0)[1])
    R = rates(fields, y)[1]
    fast, most = float(np.abs(R).sum(axis=1).max()), min(300.0 * growth, 1e4)
    v = hamiltonian(fields, s.x, s.p)[1]
    before = np.inf

    def velocity(z: Array) -> Array:
        b, a = fields.at(s.x + z, 0)
        return np.asarray(b + a @ taylor(y, z)[1])

    for step in itertools.count():
        ahead = velocity(w)
        dt = min(0.5 / fast, near / length(G, ahead))
        left, pace = (0.5 * (w @ w - core**2), w @ ahead) if core > 0.0 else (v @ G @ w, v @ G @ ahead)
        if left <= (1e-9 * (w @ w) if core > 0.0 else 1e-9 * pace * dt) or (core <= 0.0 and pace <= 0.0):
            break
        if step % 1000 == 0:
            if w @ w >= 0.99 * before:
                break
            before = float(w @ w)
        if left < pace * dt:
            dt = float(left / pace)
        k = [ahead]
        for part in (0.5, 0.5, 1.0):
            k.append(velocity(w - part * dt * k[-1]))
        Y = Y @ (np.eye(w.size) + dt * R + 0.5 * dt**2 * R @ R)
        growth = float(np.abs(Y).sum(axis=1).max())
        if growth > most:
            break
        w = w - dt / 6.0 * (k[0] + 2.0 * k[1] + 2.0 * k[2] + k[3])
    return w, growth, most, Y


class _Beginning(NamedTuple):
    """Where a ray may begin: a head, the offset from it and its length there, and whether the way there drew it in."""

    size: float
    record: int
    shift: Array
    drawn: bool


def retraced(
    fields: Polynomials, chain: Chain, cores: list[float], record: int, offset: Array, near: float, period: Array
) -> tuple[int, Array]:
    """The head beside which a ray to ``record``'s head + ``offset`` begins, in the plane, and the offset there; -1: none."""
    d = offset.size
    w, growth, Y = offset, 1.0, np.eye(d)
    found: list[_Beginning] = []
    first = -1.0
    while True:
        y = chain.heads[record]
        s = parts(y, d)
        G = noise_metric(fields.at(s.x, 0)[1])
        M = G + chain.excess[record] / 4.0
        v = hamiltonian(fields, s.x, s.p)[1]
        before = chain.parents[record]
        if first < 0.0:
            first = max(length(G, w if before < 0 else across(G, v) @ w), 0.06 * near)
        if before < 0:
            w = _way_back(fields, y, w, cores[record], growth, Y, near)[0]
            if length(M, w) <= 1.5 * near:
                return record, w
            break
        gap = short_way(s.x - chain.heads[before, :d], period)
        began = np.array_equal(s.Y[0, :2], [1.0, 0.0])
        rate = float(np.abs(s.Y - np.eye(d)).sum(axis=1).max())
        beside = not began and abs(v @ G @ w) * rate <= 0.25 * abs(v @ G @ gap)
        if not beside and v @ G @ w > 0.0 and np.linalg.norm(w + gap) >= np.linalg.norm(w):
            size = w @ w
            w, growth, most, Y = _way_back(fields, y, w, 0.0, growth, Y, near)
            if growth > most:
                leapt = began and chain.parents[before] >= 0 and length(G, gap) > 0.5 * near
                if length(M, w) <= 1.5 * near and not (leapt and length(M, w) > 0.5 * near):
                    found.append(_Beginning(length(M, w), record, w, length(G, across(G, v) @ w) <= first))
                break
            beside = (v @ G @ w) ** 2 <= 1e-4 * (v @ G @ v) * size
        if beside:
            side = across(G, v) @ w
            apart = length(M, side)
            found.append(_Beginning(apart, record, side, bool(apart <= max(0.5 * first, 0.06 * near))))
            if not 0.06 * near < apart <= 20.0 * near:
                break
            w, Y = np.asarray(np.linalg.solve(s.Y, w), dtype=np.float64), Y @ s.Y
            growth = float(np.abs(Y).sum(axis=1).max())
            if growth > 1e4:
                break
        if began or not beside:
            w = w + gap
        record = before
    if not found:
        return -1, w
    best = min(found, key=lambda c: c.size)
    return (best.record if best.drawn else -1), best.shift


class Sheets(NamedTuple):
    """Values, distances and owners of nodes on a grid, the heads they belong to, and the first head of the newest sheet."""

    value: Array
    distance: NDArray[np.float32]
    owner: NDArray[np.int32]
    heads: Array
    newest: int


class Written(NamedTuple):
    """What writing a polynomial did: the new nodes, labels, numbers of nodes, least value at the boundary, and why."""

    value: Array
    distance: NDArray[np.float32]
    owner: NDArray[np.int32]
    labels: list[tuple[float, int]]
    gained: int
    lost: int
    seen: int
    exit: float
    reasons: Counter[str]


class Box(NamedTuple):
    """A grid: lower corner, spacing, shape and periods (inf: none)."""

    lower: Array
    spacing: Array
    shape: tuple[int, ...]
    period: Array

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Which axes close on themselves."""
        return tuple(bool(finite) for finite in np.isfinite(self.period))

    def points(self) -> Array:
        """All nodes ``(n, d)``."""
        axes = [low + h * np.arange(n) for low, h, n in zip(self.lower, self.spacing, self.shape, strict=True)]
        return np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], axis=1)

    def on_boundary(self, node: int) -> bool:
        """Whether a node lies at an end of an axis that does not close on itself."""
        index = np.unravel_index(node, self.shape)
        ends = [i in (0, n - 1) for i, n in zip(index, self.shape, strict=True)]
        return bool(np.any(np.array(ends) & ~np.isfinite(self.period)))


def trusted_radius(y: Array, d: int, radius: float) -> float:
    """The largest radius, among ``radius`` times powers of 0.9, within which the cubic term is at most half of the others."""
    s = parts(y, d)
    p, q, t = (float(np.linalg.norm(tensor)) for tensor in (s.p, s.Q, s.T))
    return next(float(r) for r in radius * 0.9 ** np.arange(60) if t * r**2 / 6.0 <= 0.5 * (p + 0.5 * q * r))


def across_separatrix(fields: Polynomials, old: Array, x: Array, slope: Array, period: Array) -> bool:
    """Whether the rays of an old sheet come from the other side of the separatrix on which ``x`` lies with a new one."""
    d = x.size
    s = parts(old, d)
    _, old_slope = taylor(old, short_way(x - s.x, period))
    normal = slope - old_slope
    return bool((normal @ hamiltonian(fields, x, old_slope)[1]) * (normal @ hamiltonian(fields, s.x, s.p)[1]) < 0.0)


def write_polynomial(
    fields: Polynomials,
    box: Box,
    sheets: Sheets,
    y: Array,
    velocity: Array,
    R: Array,
    G: Array,
    M: Array,
    *,
    record: int,
    level: float,
    near: float,
    far: float,
) -> Written:
    """Write the polynomial of a head onto all nodes that it is good for and where no other one is better."""
    d = len(box.shape)
    s = parts(y, d)
    p, q, t = (float(np.linalg.norm(tensor)) for tensor in (s.p, s.Q, s.T))
    change = p * near + 0.5 * q * near**2
    reach = trusted_radius(y, d, far)
    value, distance, owner = sheets.value.copy(), sheets.distance.copy(), sheets.owner.copy()
    labels: list[tuple[float, int]] = []
    gained = lost = seen = 0
    boundary = np.inf
    reasons: Counter[str] = Counter()
    gaps = short_way(box.points() - s.x, box.period)
    # along the axes, the first one first
    for node in np.lexsort(gaps.T[::-1]).tolist():
        dx = gaps[node]
        r = length(M, dx)
        if r > reach:
            continue
        old_r = float(distance[node])
        good, was_good, has = r <= near, old_r <= near, bool(owner[node] >= 0)
        newer = owner[node] < sheets.newest <= record
        if not good and was_good and not newer:
            reasons["far from a good one"] += 1
            continue
        side = across(G, velocity) @ dx if velocity.any() else dx
        if not good and r**2 - dx @ G @ dx > side @ G @ side:
            reasons["pinched"] += 1
            continue
        if velocity @ dx > 0.0 > velocity @ dx + dx @ R @ dx:
            reasons["turned back"] += 1
            continue
        new, slope = taylor(y, dx)
        if new < -1e-4 * change:
            reasons["negative"] += 1
            continue
        seen += good
        beyond = False
        if has and not (good and not was_good):
            old = value[node]
            tolerance = 1e-4 * change + 0.1 * t * max(r, old_r) ** 3 / 6.0
            if new > old + tolerance:
                close = newer and new - old < q * far**2
                beyond = close and across_separatrix(fields, sheets.heads[owner[node]], s.x + dx, slope, box.period)
                if not beyond:
                    expensive = good and was_good and new > old + tolerance + 0.03 * change
                    lost += expensive
                    reasons["more expensive" if expensive else "higher"] += 1
                    continue
            elif new > old - tolerance:
                if r >= old_r:
                    reasons["further"] += 1
                    continue
            elif was_good and not good:
                reasons["lower from afar"] += 1
                continue
            elif was_good and abs(old - level) < 1e-9 * abs(level):
                # a ray that was aimed at this node goes on from it: the last digit decides what is settled
                reasons["undecided"] += 1
            elif was_good and old < level:
                lost += new < old - 0.03 * change
                reasons["below what is settled"] += 1
                continue
        drops = not has or new < value[node] - 0.1 * p * near
        closer = old_r > 0.7 * near and r < 0.7 * old_r
        value[node], distance[node], owner[node] = new, r, record
        reasons["beyond a separatrix" if beyond else "taken"] += 1
        if good:
            gained += beyond or not has or closer
            if not beyond and box.on_boundary(node):
                boundary = min(boundary, new)
        elif drops or beyond:
            labels.append((max(new, s.V) + 0.3 * p * near, -node - 1))
    return Written(value, distance, owner, labels, gained, lost, seen, boundary, reasons)
