"""Plain NumPy twin of the sweep of the field solver: rays are launched, advanced and dropped over one heap of labels.

All numbers come from the twins of the single kernels in `twins_fields`; here is what decides about rays.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from twins_fields import (
    Array,
    Box,
    Chain,
    Polynomials,
    Sheets,
    carried_excess,
    hamiltonian,
    length,
    noise_metric,
    parts,
    projected,
    rates,
    retraced,
    runge_kutta,
    shifted,
    short_way,
    trusted_radius,
    walk_upstream,
    write_polynomial,
)

from qpot.solvers.fields.marching.heap import heap_pop, heap_push
from qpot.solvers.fields.marching.parts import Nodes, Reach

# Stages and weights of a step of sixth order (Butcher 1964).
STAGES = (
    (1 / 3,),
    (0, 2 / 3),
    (1 / 12, 4 / 12, -1 / 12),
    (-1 / 16, 18 / 16, -3 / 16, -6 / 16),
    (0, 9 / 8, -3 / 8, -6 / 8, 4 / 8),
    (9 / 44, -36 / 44, 63 / 44, 72 / 44, 0, -64 / 44),
)
WEIGHTS = np.array([11, 0, 81, 81, -32, -32, 11]) / 120


def with_fresh_propagator(y: Array, d: int) -> Array:
    """The same state with the map of offsets set back to one."""
    return np.concatenate([y[: -d * d], np.eye(d).ravel()])


def fastest(R: Array) -> float:
    """A bound of the rates at which neighbouring rays part."""
    return float(np.abs(R).sum(axis=1).max())


def flow_back(R: Array, w: Array, radius: float) -> Array:
    """Midpoint steps of w' = -R w, each a fiftieth of the shortest time, until ``w`` is no longer than ``radius``."""
    step = R * 0.02 / fastest(R)
    back = np.eye(w.size) - step + 0.5 * step @ step
    while np.linalg.norm(w) > radius:
        w = back @ w
    return w


def on_shell(fields: Polynomials, y: Array) -> Array | None:
    """A state with H = 0 after two Newton steps of p along dH/dp, or None where p is not close to that."""
    d = fields.dimension
    y = y.copy()
    p = y[d + 1 : 2 * d + 1]
    for _ in range(2):
        H, v = hamiltonian(fields, y[:d], p)
        if abs(H) > 0.3 * np.linalg.norm(v) * np.linalg.norm(p):
            return None
        p -= H * v / (v @ v)
    return y


class Heap:
    """Labels, in a heap whose order of equal keys is that of the sweep's."""

    def __init__(self, keys: Array, items: NDArray[np.int64], size: int) -> None:
        self.keys, self.items, self.size = keys.copy(), items.copy(), size

    def push(self, key: float, item: int) -> None:
        """Add a label."""
        self.size = heap_push(self.keys, self.items, self.size, key, item)

    def pop(self) -> tuple[float, int]:
        """Take the lowest label."""
        key, item, self.size = heap_pop(self.keys, self.items, self.size)
        return float(key), int(item)


@dataclass
class SweepTwin:
    """All that a sweep knows; ``log`` counts what happened to labels."""

    fields: Polynomials
    box: Box
    reach: Reach
    nodes: Nodes
    heads: list[Array]
    parents: list[int]
    idle: list[float]
    wake: list[float]
    excess: list[Array]
    heap: Heap
    newest: int = 0
    log: Counter[str] = field(default_factory=Counter)

    def above_exit(self, fraction: float) -> float:
        """The least value at the boundary so far, and a fraction of it more."""
        exit_level = float(self.nodes.exits[0])
        return exit_level + fraction * abs(exit_level) if np.isfinite(exit_level) else exit_level

    def metric(self, x: Array) -> Array:
        """The metric of the noise at a point."""
        return noise_metric(self.fields.at(x, 0)[1])

    def add(self, head: Array, parent: int, excess: Array, *, idle: float, wake: float) -> int:
        """Append a head; returns its record."""
        self.heads.append(head)
        self.parents.append(parent)
        self.excess.append(excess)
        self.idle.append(idle)
        self.wake.append(wake)
        return len(self.heads) - 1

    def write(self, record: int, velocity: Array, R: Array, level: float) -> tuple[int, int, int]:
        """Write the polynomial of a head; returns the numbers of nodes gained, lost and seen."""
        nodes, near = self.nodes, self.reach.near
        G = self.metric(self.heads[record][: velocity.size])
        done = write_polynomial(
            self.fields,
            self.box,
            Sheets(nodes.value, nodes.distance, nodes.owner, np.array(self.heads), self.newest),
            self.heads[record],
            velocity,
            R,
            G,
            G + self.excess[record] / 4.0,
            record=record,
            level=level,
            near=near,
            far=self.reach.far,
        )
        nodes.value[:], nodes.distance[:], nodes.owner[:] = done.value, done.distance, done.owner
        nodes.exits[0] = min(nodes.exits[0], done.exit)
        self.log["undecided"] += done.reasons["undecided"]
        for label in done.labels:
            self.heap.push(*label)
        return done.gained, done.lost, done.seen

    def wanted(self, node: int, highest: float) -> bool:
        """Whether a ray shall be aimed at a node."""
        nodes = self.nodes
        provisional = nodes.owner[node] >= 0 and nodes.distance[node] > self.reach.near
        return bool(provisional and nodes.tries[node] < 4 and nodes.value[node] <= highest)

    def launch(self, node: int, key: float) -> int | None:
        """Start a ray beside the one that has reached a node; returns its record."""
        fields, d = self.fields, self.fields.dimension
        owner = int(self.nodes.owner[node])
        self.nodes.tries[node] += 1
        aim = short_way(self.box.points()[node] - self.heads[owner][:d], self.box.period)
        if self.nodes.tries[node] > 1:
            aim = aim / 2.0
        chain = Chain(np.array(self.heads), self.parents, self.excess)
        start, shift = -1, aim
        if d == 2 and self.reach.retraces and self.parents[0] < 0:
            dy, R = rates(fields, self.heads[owner])
            if self.parents[owner] < 0 or dy[:d] @ R @ dy[:d] > 0.0:
                start, shift = retraced(fields, chain, self.idle, owner, aim, self.reach.near, self.box.period)
                self.log["retraced" if start >= 0 else "not retraced"] += 1
        if start < 0:
            start, shift = walk_upstream(fields, chain, owner, aim, self.reach.near, self.box.period)
            if self.parents[start] < 0:
                shift = flow_back(rates(fields, self.heads[start])[1], shift, self.idle[start])
        new = on_shell(fields, shifted(self.heads[start], shift))
        if new is None:
            self.log["no way to launch"] += 1
            return None
        self.log["launched from a source" if self.parents[start] < 0 else "launched beside a ray"] += 1
        record = self.add(new, start, self.excess[start], idle=0.0, wake=key)
        velocity, R = rates(fields, new)
        self.write(record, velocity[:d], R, float(new[d]))
        return record

    def below(self, item: int) -> bool:
        """Whether a ray is so far below its level that others have been at all nodes of its patch."""
        s, near = parts(self.heads[item], self.fields.dimension), self.reach.near
        slope, curvature = np.linalg.norm(s.p), np.linalg.norm(s.Q)
        return bool(s.V + self.reach.lead * slope * near + 2.0 * curvature * near**2 < self.wake[item])

    def rest(self, velocity: Array, R: Array, speed: float, radii: float) -> bool:
        """Whether a ray is about to come to rest within so many radii."""
        return bool(speed <= radii * self.reach.near * fastest(R) and velocity @ R @ velocity <= 0.0)

    def inside(self, y: Array) -> bool:
        """Whether a head is finite and on the grid; its position is brought back into the period."""
        if not (np.abs(y) < 1e300).all():
            return False
        low, period = self.box.lower, self.box.period
        size = self.box.spacing * (np.array(self.box.shape) - 1)
        turns = np.where(np.isfinite(period), np.floor((y[: low.size] - low) / period), 0.0)
        y[: low.size] -= np.where(np.isfinite(period), period, 0.0) * turns
        outside = np.maximum(low - y[: low.size], y[: low.size] - low - size)
        return bool((outside[~np.isfinite(period)] <= self.reach.near).all())

    def advance(self, item: int) -> int | None:
        """Carry a ray one step on and write its polynomial; returns the record if it goes on."""
        fields, d, reach = self.fields, self.fields.dimension, self.reach
        y = with_fresh_propagator(self.heads[item], d)
        k1, R = rates(fields, y)
        G, v = self.metric(y[:d]), k1[:d]
        speed = length(G, v)
        awake = y[d] >= self.wake[item] - 1e-6 * abs(self.wake[item])
        if self.rest(v, R, speed, 0.4 if awake else 0.02):
            self.log["came to rest"] += 1
            return None
        dt = min(reach.stride / speed, reach.phase / fastest(R))
        new = runge_kutta(fields, y, dt)
        if not self.inside(new):
            self.log["left the grid"] += 1
            return None
        dy, R = rates(fields, new)
        excess = carried_excess(self.excess[item], G, v, parts(new, d).Y, self.metric(new[:d]), dy[:d])
        new = projected(new, dy, d, R, reach.fade)
        record = self.add(new, item, excess, idle=0.0, wake=self.wake[item])
        gained, lost, seen = self.write(record, dy[:d], R, float(self.heads[item][d]))
        if lost > 0.8 * seen:
            self.log["cheaper paths there"] += 1
            return None
        if trusted_radius(new, d, reach.near) < 0.5 * reach.near:
            self.log["not believed"] += 1
            return None
        if not (gained > 0 or new[d] < self.wake[item]):
            self.idle[record] = self.idle[item] + speed * dt
        if self.idle[record] >= 2.5 * reach.near:
            self.log["of no use"] += 1
            return None
        self.log["advanced"] += 1
        return record

    def climb(self, item: int) -> int | None:
        """Carry a ray on until its patch comes up to its level; returns its last record."""
        fields, d, reach = self.fields, self.fields.dimension, self.reach
        y = with_fresh_propagator(self.heads[item], d)
        k1, R = rates(fields, y)
        while True:
            G, v = self.metric(y[:d]), k1[:d]
            speed = length(G, v)
            if self.rest(v, R, speed, 0.02):
                self.log["came to rest below"] += 1
                return None
            dt = min(reach.stride / speed, reach.deep / fastest(R))
            k = [k1]
            for row in STAGES:
                k.append(rates(fields, y + dt * np.array(row) @ np.array(k))[0])
            new = y + dt * WEIGHTS @ np.array(k)
            if not self.inside(new):
                self.log["left the grid below"] += 1
                return None
            dy, R = rates(fields, new)
            excess = carried_excess(self.excess[item], G, v, parts(new, d).Y, self.metric(new[:d]), dy[:d])
            k1 = np.concatenate([dy[: -d * d], R.ravel()])
            new = projected(new, dy, d, R, reach.fade)
            item = self.add(new, item, excess, idle=0.0, wake=self.wake[item])
            if not self.below(item):
                self.log["climbed"] += 1
                return item
            y = with_fresh_propagator(new, d)

    def run(self, stop: float, steps: int) -> bool:
        """Take so many labels, or fewer if the sweep ends before; whether it did."""
        d = self.fields.dimension
        for _ in range(steps):
            if self.heap.size == 0 or self.heap.keys[0] > min(self.above_exit(self.reach.overrun), stop):
                return True
            highest = self.above_exit(self.reach.aim)
            key, item = self.heap.pop()
            if item < 0:
                if not self.wanted(-item - 1, highest):
                    self.log["not wanted"] += 1
                    continue
                # by the slope of the head that has reached the node so far
                slope = float(np.linalg.norm(parts(self.heads[self.nodes.owner[-item - 1]], d).p))
                record = self.launch(-item - 1, key)
            else:
                record = self.climb(item) if self.below(item) else self.advance(item)
            if record is not None:
                self.heap.push(float(self.heads[record][d]), record)
                if item < 0:
                    self.heap.push(key + 0.5 * slope * self.reach.near, item)
        return False
