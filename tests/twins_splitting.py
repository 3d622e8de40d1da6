"""Exact mean hitting times of a one-dimensional chain with Gaussian steps, and plain twins of the splitting kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qpot._core.arrays import Array


def chain_on_line(
    drift: Callable[[Array], Array],
    noise: Callable[[Array], Array],
    epsilon: float,
    step: float,
    pieces: list[tuple[float, float, int]],
) -> tuple[Array, Array]:
    """Discretise the chain x + h b + sqrt(h eps a) xi by Gauss-Legendre nodes on the pieces: nodes and rates ``(n, n)``.

    Mass that lands outside the pieces is lost to the target.
    """
    nodes, weights = [], []
    for low, high, n in pieces:
        x, w = np.polynomial.legendre.leggauss(n)
        nodes.append(0.5 * (high - low) * x + 0.5 * (high + low))
        weights.append(0.5 * (high - low) * w)
    x, w = np.concatenate(nodes), np.concatenate(weights)
    mean, variance = x + step * drift(x), step * epsilon * noise(x)
    density = np.exp(-((x - mean[:, None]) ** 2) / (2 * variance[:, None])) / np.sqrt(2 * np.pi * variance[:, None])
    return x, density * w


def mean_steps(P: Array, lost: Array) -> Array:
    """Mean steps until the chain with substochastic ``P`` is lost, with probability ``lost`` from every state.

    States are eliminated without subtraction (Grassmann, Taksar and Heyman 1985), so that losses of 1e-15 keep their
    digits.
    """
    n = P.shape[0]
    A, out, time = P.copy(), lost.copy(), np.ones(n)
    np.fill_diagonal(A, 0.0)
    scale = np.empty(n)
    for k in range(n - 1, 0, -1):
        scale[k] = A[k, :k].sum() + out[k]
        share = A[:k, k] / scale[k]
        A[:k, :k] += np.outer(share, A[k, :k])
        out[:k] += share * out[k]
        time[:k] += share * time[k]
        np.fill_diagonal(A[:k, :k], 0.0)
    result = np.empty(n)
    result[0] = time[0] / out[0]
    for k in range(1, n):
        result[k] = (time[k] + A[k, :k] @ result[:k]) / scale[k]
    return result


def arrival_probability(up: float, start: int, top: int) -> float:
    """Gambler's ruin: the probability to come from ``start`` to ``top`` before 0 by steps, up with probability ``up``."""
    ratio = (1.0 - up) / up
    return (1.0 - ratio**start) / (1.0 - ratio**top)


def coordinate(arrays: Any, x: Array) -> float:
    """One value of a reaction coordinate by its definition."""
    if arrays.nodes.shape[0]:
        best = (np.inf, 0.0)
        for a, b, h, g in zip(
            arrays.nodes[:-1], arrays.nodes[1:], arrays.heights[:-1], arrays.heights[1:], strict=True
        ):
            t = np.clip((x - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
            best = min(best, (float(np.linalg.norm(x - a - t * (b - a))), float(h + t * (g - h))))
        return best[1]
    values = arrays.heights.reshape(arrays.shape)
    u = np.clip((x - arrays.origin) / arrays.spacing, 0.0, arrays.shape - 1.0)
    for position in u:  # one axis after the other
        cell = min(int(position), values.shape[0] - 2)
        values = values[cell] * (1 - (position - cell)) + values[cell + 1] * (position - cell)
    return float(values)
