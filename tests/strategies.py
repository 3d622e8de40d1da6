"""Hypothesis strategies: covariances, rotations, stable linear systems, polynomial double wells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ortho_group

import qpot

Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


@st.composite
def rotations(draw: st.DrawFn, dimension: int) -> Array:
    """Orthogonal matrices."""
    seed = draw(seeds)
    return np.asarray(ortho_group.rvs(dimension, random_state=np.random.default_rng(seed)), dtype=np.float64)


@st.composite
def spd_matrices(draw: st.DrawFn, dimension: int, *, low: float = 0.2, high: float = 5.0) -> Array:
    """Symmetric positive definite matrices, with eigenvalues between ``low`` and ``high``."""
    values = draw(st.lists(st.floats(np.log(low), np.log(high)), min_size=dimension, max_size=dimension))
    Q = draw(rotations(dimension))
    matrix = (Q * np.exp(values)) @ Q.T
    return np.asarray(0.5 * (matrix + matrix.T), dtype=np.float64)


@st.composite
def stable_matrices(draw: st.DrawFn, dimension: int) -> Array:
    """Matrices A whose eigenvalues have real part at least 0.2; foci and non-normal ones are among them."""
    rng = np.random.default_rng(draw(seeds))
    matrix = rng.standard_normal((dimension, dimension))
    shift = draw(st.floats(0.2, 1.5)) - float(np.linalg.eigvals(matrix).real.min())
    return np.asarray(matrix + shift * np.eye(dimension), dtype=np.float64)


class PolynomialWell(NamedTuple):
    """Two minima at +-1 on a turned axis, a saddle between them, and the exact differences of the loss; a = I."""

    system: qpot.System
    start: Array
    end: Array
    saddle: Array
    forth: float  # L(saddle) - L(start)
    back: float  # L(saddle) - L(end)


@st.composite
def polynomial_wells(draw: st.DrawFn) -> PolynomialWell:
    """Wells of L = h (u^2 - 1)^2 + t (u^3/3 - u) + k w^2/2 + c w^2 u^2/2 in turned coordinates; a = I.

    L_u = 0 at u = +-1 for every tilt t on the axis w = 0, and at u = -t / (4 h) between them.
    """
    height = draw(st.floats(0.2, 1.0))
    tilt = draw(st.floats(-0.3, 0.3)) * 4 * height
    k, c = draw(st.floats(0.3, 3.0)), draw(st.floats(0.0, 1.0))
    R = draw(rotations(2))

    def loss(x: Array) -> Array:
        u, w = (x @ R).T
        return np.asarray(
            height * (u**2 - 1) ** 2 + tilt * (u**3 / 3 - u) + 0.5 * k * w**2 + 0.5 * c * w**2 * u**2, dtype=np.float64
        )

    def gradient(x: Array) -> Array:
        u, w = (x @ R).T
        g_u = 4 * height * (u**3 - u) + tilt * (u**2 - 1) + c * w**2 * u
        g_w = k * w + c * w * u**2
        return np.asarray(np.stack([g_u, g_w], axis=1) @ R.T, dtype=np.float64)

    top = np.array([[-tilt / (4 * height), 0.0]]) @ R.T
    ends = np.array([[-1.0, 0.0], [1.0, 0.0]]) @ R.T
    levels = loss(np.concatenate([ends, top]))
    return PolynomialWell(
        system=qpot.System.from_loss(loss, gradient, 1.0, dimension=2),
        start=ends[0],
        end=ends[1],
        saddle=top[0],
        forth=float(levels[2] - levels[0]),
        back=float(levels[2] - levels[1]),
    )
