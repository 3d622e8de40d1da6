"""Minibatch SGD of tanh networks, with eight replicas side by side in the innermost loops.

The entries of eight replicas lie next to each other, so that the processor adds and multiplies them with vector instructions.
Every number is computed by the same operations in the same order as in `qpot.solvers.common.sample_gradients`, and random
numbers are drawn in the same order as in `stepping`, so that the results are the same bit for bit.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import LEAF, UNCOUNTED, njit
from qpot.solvers.simulation.minibatch import RESHUFFLED, RUNAWAY, SgdRule, draw_in_batch, draw_in_epoch

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# The replicas that are computed side by side; a compiled constant.
LANES = 8


class Lanes(NamedTuple):
    """Replicas in groups of `LANES`, and the work space of one group."""

    x: Array  # (groups, d, LANES)
    velocity: Array  # (groups, d, LANES)
    drawn: Integers  # (groups, B, LANES) the samples that are drawn in a step
    gradient: Array  # (d, LANES)
    inputs: Array  # (f, LANES)
    unit: Array  # (h, LANES)
    slope: Array  # (C - 1, LANES)
    sums: Array  # (2, LANES)

    @staticmethod
    def of(rule: SgdRule, x: Array, velocity: Array) -> Lanes:
        """The lanes of replicas at ``x`` (R, d); lanes that are left over repeat the last replica."""
        R, d = x.shape
        table, constants = rule.samples.table, rule.samples.constants
        f, h, outputs = table.shape[1] - 1, int(constants[1]), int(constants[2]) - 1
        groups = -(-R // LANES)
        rows = np.minimum(np.arange(groups * LANES), R - 1)
        shape = (groups, LANES, d)
        return Lanes(
            x=np.ascontiguousarray(np.swapaxes(x[rows].reshape(shape), 1, 2)),
            velocity=np.ascontiguousarray(np.swapaxes(velocity[rows].reshape(shape), 1, 2)),
            drawn=np.zeros((groups, rule.batch_size, LANES), dtype=np.int64),
            gradient=np.empty((d, LANES)),
            inputs=np.empty((f, LANES)),
            unit=np.empty((h, LANES)),
            slope=np.empty((outputs, LANES)),
            sums=np.empty((2, LANES)),
        )

    def copied_to(self, x: Array, velocity: Array) -> None:
        """Write the replicas back as rows (R, d)."""
        R, d = x.shape
        x[:] = np.swapaxes(self.x, 1, 2).reshape(-1, d)[:R]
        velocity[:] = np.swapaxes(self.velocity, 1, 2).reshape(-1, d)[:R]


def network_steps(
    rule: SgdRule, replicas: Any, rng: np.random.Generator, steps: Any, records: Array
) -> tuple[int, int]:
    """Do as `stepping.sgd_steps` for the kernel "tanh_network"."""
    lanes = Lanes.of(rule, replicas.x, replicas.velocity)
    kernel: Any = _network_steps
    step, replica = kernel(rule, replicas, lanes, rng, steps, records)
    lanes.copied_to(replicas.x, replicas.velocity)
    return int(step), int(replica)


@njit(**UNCOUNTED)
def _network_steps(rule, replicas, lanes, rng, steps, records):  # type: ignore[no-untyped-def]
    R, d = replicas.x.shape
    groups, batch = lanes.drawn.shape[0], lanes.drawn.shape[1]
    escape_step, trace = replicas.escape_step, replicas.trace
    momentum, scale = rule.momentum, 1.0 / rule.batch_size
    next_record, slot = 0, -1
    for k in range(steps.rates.size):
        step = steps.first_step + k + 1
        if trace.shape[1] > 0:
            slot = (step // steps.stride) % trace.shape[1] if step % steps.stride == 0 else -1
        for r in range(R):
            if escape_step[r] >= 0:
                continue
            for b in range(batch):
                if rule.sampling == RESHUFFLED:
                    i = draw_in_epoch(replicas.order, replicas.cursor, r, rng)
                else:
                    i = draw_in_batch(rule.sampling, replicas.order, b, rng)
                lanes.drawn[r // LANES, b, r % LANES] = i
        for group in range(groups):
            first = group * LANES
            last = min(first + LANES, R)
            running = 0
            for r in range(first, last):
                running += escape_step[r] < 0
            if running == 0:
                continue
            _add_gradients(rule.samples.table, rule.samples.constants, lanes, group)
            if running == LANES:
                _move(lanes, group, momentum, steps.rates[k] * scale)
            else:
                _move_some(lanes, group, momentum, steps.rates[k] * scale, escape_step, first, last)
            for r in range(first, last):
                if escape_step[r] < 0 and not lanes.sums[0, r - first] < RUNAWAY:
                    return step, r
            if slot >= 0:
                for r in range(first, last):
                    if escape_step[r] < 0:
                        for j in range(d):
                            trace[r, slot, j] = lanes.x[group, j, r - first]
            _stop(lanes, group, steps, step, replicas, first, last)
        if next_record < steps.record_at.size and steps.record_at[next_record] == k + 1:
            for r in range(R):
                for j in range(d):
                    records[next_record, r, j] = lanes.x[r // LANES, j, r % LANES]
            next_record += 1
    return -1, -1


@njit(**LEAF)
def _move(lanes, group, momentum, rate):  # type: ignore[no-untyped-def]
    x, velocity, gradient, total = lanes.x[group], lanes.velocity[group], lanes.gradient, lanes.sums[0]
    for m in range(LANES):
        total[m] = 0.0
    for j in range(x.shape[0]):
        for m in range(LANES):
            velocity[j, m] = momentum * velocity[j, m] - rate * gradient[j, m]
            x[j, m] += velocity[j, m]
            total[m] += abs(x[j, m])


@njit(**LEAF)
def _move_some(lanes, group, momentum, rate, escape_step, first, last):  # type: ignore[no-untyped-def]
    x, velocity, gradient, total = lanes.x[group], lanes.velocity[group], lanes.gradient, lanes.sums[0]
    for m in range(last - first):
        if escape_step[first + m] >= 0:
            continue
        total[m] = 0.0
        for j in range(x.shape[0]):
            velocity[j, m] = momentum * velocity[j, m] - rate * gradient[j, m]
            x[j, m] += velocity[j, m]
            total[m] += abs(x[j, m])


@njit(**LEAF)
def _stop(lanes, group, steps, step, replicas, first, last):  # type: ignore[no-untyped-def]
    """Stop the running replicas that are in a target; the first target counts."""
    x, distance = lanes.x[group], lanes.sums[1]
    for ball in range(steps.targets.shape[0]):
        for m in range(LANES):
            distance[m] = 0.0
        for j in range(x.shape[0]):
            for m in range(LANES):
                distance[m] += (x[j, m] - steps.targets[ball, j]) ** 2
        for r in range(first, last):
            if replicas.escape_step[r] < 0 and distance[r - first] <= steps.squared_radii[ball]:
                replicas.escape_step[r] = step
                replicas.escape_target[r] = ball


@njit(**UNCOUNTED)
def _add_gradients(table, constants, lanes, group):  # type: ignore[no-untyped-def]
    """The sums of the drawn samples' gradients; the loops over lanes that call no function become vector instructions."""
    f, h, outputs, decay = table.shape[1] - 1, int(constants[1]), int(constants[2]) - 1, constants[0]
    bias, last = h * f, h * f + h
    last_bias = last + outputs * h
    x, out, inputs, unit, slope = lanes.x[group], lanes.gradient, lanes.inputs, lanes.unit, lanes.slope
    largest, total, back = lanes.sums[0], lanes.sums[1], lanes.sums[0]
    for j in range(x.shape[0]):
        for m in range(LANES):
            out[j, m] = 0.0
    for b in range(lanes.drawn.shape[1]):
        index = lanes.drawn[group, b]
        for m in range(LANES):
            for j in range(f):
                inputs[j, m] = table[index[m], j]
        for k in range(h):
            for m in range(LANES):
                unit[k, m] = x[bias + k, m]
            for j in range(f):
                for m in range(LANES):
                    unit[k, m] += x[k * f + j, m] * inputs[j, m]
            for m in range(LANES):
                unit[k, m] = math.tanh(unit[k, m])
        for m in range(LANES):
            largest[m] = 0.0
        for c in range(outputs):
            for m in range(LANES):
                slope[c, m] = x[last_bias + c, m]
            for k in range(h):
                for m in range(LANES):
                    slope[c, m] += x[last + c * h + k, m] * unit[k, m]
            for m in range(LANES):
                largest[m] = max(largest[m], slope[c, m])
        for m in range(LANES):
            total[m] = math.exp(-largest[m])
        for c in range(outputs):
            for m in range(LANES):
                slope[c, m] = math.exp(slope[c, m] - largest[m])
            for m in range(LANES):
                total[m] += slope[c, m]
        for c in range(outputs):
            for m in range(LANES):
                slope[c, m] /= total[m]
        for m in range(LANES):
            label = int(table[index[m], f])
            if label < outputs:
                slope[label, m] -= 1.0
        for c in range(outputs):
            for m in range(LANES):
                out[last_bias + c, m] += slope[c, m]
        for k in range(h):
            for m in range(LANES):
                back[m] = 0.0
            for c in range(outputs):
                row = last + c * h + k
                for m in range(LANES):
                    back[m] += slope[c, m] * x[row, m]
                    out[row, m] += slope[c, m] * unit[k, m]
            for m in range(LANES):
                back[m] *= 1.0 - unit[k, m] * unit[k, m]
                out[bias + k, m] += back[m]
            for j in range(f):
                for m in range(LANES):
                    out[k * f + j, m] += back[m] * inputs[j, m]
        for j in range(x.shape[0]):
            for m in range(LANES):
                out[j, m] += decay * x[j, m]
