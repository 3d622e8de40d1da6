"""The coefficients of the equation that carries the Hessian of a quasi-potential along a path."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array
from qpot.problem.functions import DifferencedJacobian
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System

# Step of central differences, relative to 1 + |x_j|; second differences of the covariance take it in both directions.
_STEP = 1e-4
# One call evaluates at most so many numbers, which bounds the memory.
_NUMBERS = 2_000_000


class Coefficients(NamedTuple):
    """H_xx, H_px, a ``(n, d, d)``, velocity and -H_x ``(n, d)``, and the part of K without the Hessian ``(n,)``."""

    H_xx: Array
    H_px: Array
    a: Array
    velocity: Array
    force: Array
    K: Array


def coefficients(system: System, x: Array, p: Array) -> Coefficients:
    """The coefficients at points of a path and their momenta, ``(n, d)``."""
    (b, a), J = _fields(system, x), system.unchecked.jacobian(x)
    H_xx, da = _second_differences(system, x, p, a, b)
    H_x = np.einsum("nij,ni->nj", J, p) + 0.5 * np.einsum("ni,nikj,nk->nj", p, da, p)
    H_px = J + np.einsum("nikj,nk->nij", da, p)
    velocity = b + np.einsum("nij,nj->ni", a, p)
    K = np.einsum("nii->n", J) + np.einsum("niji,nj->n", da, p)
    return Coefficients(H_xx, H_px, a, velocity, -H_x, K)


def _fields(system: System, x: Array) -> tuple[Array, Array]:
    """Drift and covariance, from one evaluation where the system has one for both."""
    both = system.unchecked.moments
    return both(x) if both is not None else (system.unchecked.drift(x), system.unchecked.covariance(x))


def _second_differences(system: System, x: Array, p: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """H_xx at fixed momenta, ``(n, d, d)``, and the derivatives of the covariance, ``(n, d, d, d)``, the last axis of x.

    The mixed differences f(x + u + v) + f(x - u - v) - f(x + u) - f(x - u) - f(x + v) - f(x - v) + 2 f(x) share all but two
    values with the others. Where the Jacobian is a function of the user's, its first differences are more exact.
    """
    n, d = x.shape
    pieces = min(n, -(-n * 2 * d**4 // _NUMBERS))
    if pieces > 1:
        rows = np.array_split(np.arange(n), pieces)
        parts = [_second_differences(system, x[r], p[r], a[r], b[r]) for r in rows]
        return np.concatenate([H for H, _ in parts]), np.concatenate([da for _, da in parts])
    noisy = system.noise.constant is None
    own = not isinstance(system.jacobian, DifferencedJacobian)
    step = _STEP * (1.0 + np.abs(x))
    axes = np.moveaxis(step[:, :, None] * np.eye(d), 1, 0)  # (d, n, d): the shift along each axis.
    H_xx, da = np.zeros((n, d, d)), np.zeros((n, d, d, d))

    def energies(shifts: Array, drift: Array, covariance: Array) -> Array:
        noise = 0.5 * np.einsum("ni,snij,nj->sn", p, covariance, p) if noisy else np.zeros(shifts.shape[:2])
        return np.asarray(noise if own else noise + np.einsum("sni,ni->sn", drift, p))

    def at(shifts: Array) -> tuple[Array, Array]:
        """Drift and covariance at shifted points; those that do not count are the ones in the middle."""
        y = (x + shifts).reshape(-1, d)
        moved_b, moved_a = np.broadcast_to(b, shifts.shape), np.broadcast_to(a, (*shifts.shape, d))
        if noisy and not own:
            moved_b, moved_a = (f.reshape(-1, n, *f.shape[1:]) for f in _fields(system, y))
        elif noisy:
            moved_a = system.unchecked.covariance(y).reshape(moved_a.shape)
        elif not own:
            moved_b = system.unchecked.drift(y).reshape(moved_b.shape)
        return moved_b, moved_a

    pairs = list(itertools.combinations(range(d), 2)) if noisy or not own else []
    mixed = np.array([axes[i] + axes[j] for i, j in pairs]).reshape(-1, n, d)
    shifts = np.concatenate([axes, -axes, mixed, -mixed])
    by_samples = isinstance(system.noise, SampleNoise) and system.noise.total.kernel is None
    whole = 2 * d if by_samples else len(shifts)
    moved_b, moved_a = at(shifts[:whole])
    H = energies(shifts[:whole], moved_b, moved_a)
    if by_samples and pairs:
        H = np.concatenate([H, _energies_by_samples(system, x, p, shifts[whole:], own)])
    here = energies(np.zeros((1, n, d)), b[None], a[None])[0]
    both = H[:d] + H[d : 2 * d] - 2.0 * here
    for j in range(d):
        if noisy:
            da[..., j] = (moved_a[j] - moved_a[d + j]) / (2.0 * step[:, j])[:, None, None]
        H_xx[:, j, j] += both[j] / step[:, j] ** 2
        if own:
            gap = system.unchecked.jacobian(x + axes[j]) - system.unchecked.jacobian(x - axes[j])
            turned = np.einsum("nij,ni->nj", gap / (2.0 * step[:, j])[:, None, None], p)
            H_xx[:, :, j] += 0.5 * turned
            H_xx[:, j, :] += 0.5 * turned
    for k, (i, j) in enumerate(pairs):
        bend = H[2 * d + k] + H[2 * d + len(pairs) + k] - 2.0 * here - both[i] - both[j]
        bend = bend / (2.0 * step[:, i] * step[:, j])
        H_xx[:, i, j] += bend
        H_xx[:, j, i] += bend
    return H_xx, da


def _energies_by_samples(system: System, x: Array, p: Array, shifts: Array, own: bool) -> Array:
    """The energies at shifted points ``(s, n, d)``: p.a p is a variance over the samples, which needs no covariance."""
    noise = system.noise
    assert isinstance(noise, SampleNoise)
    values = np.empty(shifts.shape[:2])
    for k, shift in enumerate(shifts):
        y = x + shift
        spread = noise.total.derivatives_along(y, p).var(axis=1) + noise.floor * (p**2).sum(axis=1)
        values[k] = 0.5 * spread
        if not own:
            values[k] += np.einsum("ni,ni->n", system.unchecked.drift(y), p)
    return values
