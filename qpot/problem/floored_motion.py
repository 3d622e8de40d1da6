"""The motion of a finite sum's SGD with a floor of the noise, by factors: no matrix of the dimension is formed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky

from qpot._core.arrays import Array, difference_step
from qpot.problem.inverse_roots import times
from qpot.problem.sample_hamiltonian import weighted_product
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.pages import keep_pages

# Samples' gradients at the latest points are kept up to so many numbers, which bounds the memory.
KEPT = 150_000_000
# A batch of points whose gradients are not kept holds at most this many numbers.
_NUMBERS = 10_000_000


@dataclass
class _Latest:
    """What is known at points.

    Attributes
    ----------
    x, mean : array (n, d)
        The points, and the samples' mean gradients there.
    factors : array (n, N, d)
        G, the samples' gradients less their mean, over the square root of N: the covariance is G^T G.
    roots : array (n, N, N)
        Upper Cholesky factors of floor I + G G^T.
    """

    x: Array
    mean: Array
    factors: Array
    roots: Array


@dataclass(frozen=True)
class FactoredOperators:
    """The linearised motion at points x under momenta p: rates M = W + G^T T and covariances a = G^T G + floor I.

    Attributes
    ----------
    total : FiniteSum
    floor : float
    x, p : array (n, d)
    weights : array (n, N)
        The weights c_i = (g_i.p - g.p - 1) / N, with which W = sum_i c_i H_i.
    force : array (n, d)
        H_x = W p.
    factors, turns : array (n, N, d)
        G, and T: the vectors H_i p less their mean, over the square root of N.
    roots : array (n, N, N)
        Upper Cholesky factors of floor I + G G^T.
    """

    total: FiniteSum
    floor: float
    x: Array
    p: Array
    weights: Array
    force: Array
    factors: Array
    turns: Array
    roots: Array

    def bent(self, u: Array) -> Array:
        """The products W u, (n, d)."""
        return weighted_product(self.total, self.x, u, self.weights)

    def bent_at(self, row: int, vectors: Array) -> Array:
        """The products W v at one of the points with vectors (k, d)."""
        x, c = np.broadcast_to(self.x[row], vectors.shape), self.weights[row]
        return weighted_product(self.total, x, vectors, np.broadcast_to(c, (len(vectors), c.size)))

    def second(self, u: Array, du: Array, h: float) -> tuple[Array, Array]:
        """The action's second variation along (u, u'): the changes of -H_x and of p, (n, d) each.

        With m = a^{-1} (u' - M u) these are -M^T m - H_xx u and m, where H_xx = T^T T + d(W p)/dx at fixed c and p, the last
        part by a difference over h u. G m = (floor + G G^T)^{-1} G (u' - M u) needs no pass over the samples of its own.
        """
        along = times(self.turns, u)
        r = du - self.bent(u) - times(np.swapaxes(self.factors, 1, 2), along)
        inner = solved(self.roots, times(self.factors, r))
        m = (r - times(np.swapaxes(self.factors, 1, 2), inner)) / self.floor
        moved = (weighted_product(self.total, self.x + h * u, self.p, self.weights) - self.force) / h
        return -self.bent(m) - moved - times(np.swapaxes(self.turns, 1, 2), inner + along), m


class FlooredMotion:
    """The functions of an action under the drift -g(x) and the covariance a(x) + floor I of N samples' gradients, by factors.

    Systems of the number of samples take the place of matrices (Woodbury). The functions are asked for one after another at
    the points of the same path, so that the samples' gradients are kept for the latest points.

    Parameters
    ----------
    total : FiniteSum
        The samples' gradients must be gradients of losses.
    floor : float
        A positive variance that is added in every direction.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.samples.ready_made import least_squares_sum
    >>> total = least_squares_sum(np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 0.0, 1.0]))
    >>> motion, x = FlooredMotion(total, 0.1), np.array([[0.5]])
    >>> p = motion.solve(x, np.array([[0.2]]))
    >>> bool(np.isclose(p[0, 0], 0.2 / (total.covariance(x)[0, 0, 0] + 0.1)))
    True
    """

    def __init__(self, total: FiniteSum, floor: float) -> None:
        keep_pages()
        self.total, self.floor = total, floor
        self._latest: _Latest | None = None

    def drift(self, x: Array) -> Array:
        """Minus the mean gradient, (n, d)."""
        if self._latest is not None and np.array_equal(self._latest.x, x):
            return -self._latest.mean
        return -self.total.gradient(x)

    def solve(self, x: Array, r: Array) -> Array:
        """The products a^{-1} r, (n, d)."""
        result = np.empty_like(r)
        for rows in self._batches(x):
            at = self._at(x[rows])
            inner = solved(at.roots, times(at.factors, r[rows]))
            result[rows] = (r[rows] - times(np.swapaxes(at.factors, 1, 2), inner)) / self.floor
        return result

    def transpose_product(self, x: Array, p: Array) -> Array:
        """The drift's Jacobian, which is symmetric, times vectors, (n, d)."""
        N = self.total.n_samples
        return weighted_product(self.total, x, p, np.full((x.shape[0], N), -1.0 / N))

    def force(self, x: Array, p: Array) -> Array:
        """The derivative H_x in x at fixed momenta p, (n, d)."""
        return weighted_product(self.total, x, p, self._weights(x, p))

    def __call__(self, x: Array, v: Array) -> FactoredOperators:
        """The linearised motion at points x and velocities v (n, d), all of which is kept."""
        at = self._at(x)
        r = v + at.mean
        inner = solved(at.roots, times(at.factors, r))
        p = (r - times(np.swapaxes(at.factors, 1, 2), inner)) / self.floor
        # G p = (floor + G G^T)^{-1} G r.
        weights = (inner * np.sqrt(self.total.n_samples) - 1.0) / self.total.n_samples
        h = difference_step(x, p)
        turns = np.empty_like(at.factors)
        for rows in self._batches(x):
            # The step is that of central differences; its first-order error only shapes Newton steps.
            turns[rows] = self._factors(x[rows] + h[rows] * p[rows])[1]
            turns[rows] -= at.factors[rows]
            turns[rows] /= h[rows, :, None]
        force = weighted_product(self.total, x, p, weights)
        return FactoredOperators(self.total, self.floor, x, p, weights, force, at.factors, turns, at.roots)

    def _batches(self, x: Array) -> list[slice]:
        """Points in batches whose gradients are not too many numbers at once; all of them where they are kept."""
        n, size = x.shape[0], self.total.n_samples * self.total.dimension
        rows = max(1, n if n * size <= KEPT else _NUMBERS // size)
        return [slice(first, first + rows) for first in range(0, max(n, 1), rows)]

    def _weights(self, x: Array, p: Array) -> Array:
        along = self.total.derivatives_along(x, p)
        along -= along.mean(axis=1, keepdims=True)
        along -= 1.0
        return along / self.total.n_samples

    def _at(self, x: Array) -> _Latest:
        """What is known at the points, computed where they are not the latest ones."""
        if self._latest is None or not np.array_equal(self._latest.x, x):
            self._latest = None  # Its memory is free before more is taken.
            mean, factors = self._factors(x)
            self._latest = _Latest(x.copy(), mean, factors, self._roots(factors))
        return self._latest

    def _factors(self, x: Array) -> tuple[Array, Array]:
        """The mean gradients and G."""
        N, d = self.total.n_samples, self.total.dimension
        mean, factors = np.empty_like(x), np.empty((x.shape[0], N, d))
        for k in range(x.shape[0]):
            g = self.total.gradients_at(x[k : k + 1])[0]
            mean[k] = g.mean(axis=0)
            np.subtract(g, mean[k], out=factors[k])
            factors[k] /= np.sqrt(N)
        return mean, factors

    def _roots(self, factors: Array) -> Array:
        roots = np.empty((factors.shape[0], factors.shape[1], factors.shape[1]))
        for G, root in zip(factors, roots, strict=True):
            core = G @ G.T
            core[np.diag_indices_from(core)] += self.floor
            root[:] = cholesky(core, overwrite_a=True, check_finite=False)
        return roots


def solved(roots: Array, values: Array) -> Array:
    """The solutions (n, N) of systems with the upper Cholesky factors ``roots`` (n, N, N)."""
    return np.stack([cho_solve((R, False), b, check_finite=False) for R, b in zip(roots, values, strict=True)])
