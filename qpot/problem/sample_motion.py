"""The motion of a finite sum's SGD along a path: drift, inverse covariance and linearisation, which share what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, difference_step
from qpot.problem.inverse_roots import inverse_roots, times
from qpot.problem.noise import LocalOperators
from qpot.problem.sample_hamiltonian import weighted_product
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.pages import keep_pages

# What is known at the latest points is kept up to so many numbers an array, which bounds the memory.
_KEPT = 16_000_000
# One batch of matrices that are not kept holds at most this many numbers.
_NUMBERS = 2_000_000
# Gradients are centred and multiplied in pieces of about so many numbers, which stay in the cache.
_PIECE = 100_000


@dataclass
class _Latest:
    """What is known at points.

    Attributes
    ----------
    x, mean : array (n, d)
        The points, and the samples' mean gradients there.
    roots : array (n, d, d)
        R with a^{-1} = R^T R.
    centred : array (n, N, d) or None
        The samples' gradients less their mean; None where these are too many numbers, and where their changes took their
        place.
    force : tuple of arrays (n, d), or None
        Momenta p and H_x(x, p).
    """

    x: Array
    mean: Array
    roots: Array
    centred: Array | None
    force: tuple[Array, Array] | None = None


class SampleMotion:
    """The functions of an action under the drift -g(x) and covariance a(x) + floor I of N samples' gradients g_i with mean g.

    They are asked for one after another at the points of the same path, so that the samples' gradients, their mean and the
    inverse roots of their covariances are kept for the latest points. With the weights c_i = (g_i.p - g.p - 1) / N the
    gradient of H(x, p) = -g.p + p.(a + floor I) p / 2 in x is H_x = sum_i c_i H_i p, and

        H_xx = 1/N sum_i (H_i p - m) (H_i p - m)^T + d/dx (sum_i c_i H_i p)  at fixed c, with the mean m of H_i p.

    Parameters
    ----------
    total : FiniteSum
        The samples' gradients must be gradients of losses.
    floor : float
        A variance that is added in every direction.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.samples.ready_made import least_squares_sum
    >>> total = least_squares_sum(np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 0.0, 1.0]))
    >>> motion, x = SampleMotion(total, floor=0.1), np.array([[0.5]])
    >>> p = motion.solve(x, np.array([[0.2]]))
    >>> bool(np.isclose(p[0, 0], 0.2 / (total.covariance(x)[0, 0, 0] + 0.1)))
    True
    """

    def __init__(self, total: FiniteSum, floor: float = 0.0) -> None:
        keep_pages()
        self.total, self.floor = total, floor
        self._latest: _Latest | None = None

    def drift(self, x: Array) -> Array:
        """Minus the mean gradient, (n, d)."""
        return np.concatenate([-self._at(x[rows]).mean for rows in self._batches(x)])

    def solve(self, x: Array, r: Array) -> Array:
        """The products a^{-1} r, (n, d).

        Raises
        ------
        ValueError
            Where a covariance is singular; it names the point.
        """
        return np.concatenate([_solved(self._at(x[rows]), r[rows]) for rows in self._batches(x)])

    def force(self, x: Array, p: Array) -> Array:
        """The derivative H_x in x at fixed momenta p, (n, d)."""
        result = np.empty_like(p)
        for rows in self._batches(x):
            at, q = self._at(x[rows]), p[rows]
            if at.force is not None and np.array_equal(at.force[0], q):
                result[rows] = at.force[1]
            else:
                result[rows] = weighted_product(self.total, at.x, q, self._weights(at, q))
        return result

    def __call__(self, x: Array, v: Array) -> LocalOperators:
        """The linearised motion at points x and velocities v (n, d).

        The rates are M = sum_i c_i H_i + 1/N sum_i (g_i - g) (H_i p - m)^T.
        """
        n, d = x.shape
        rates, inverse = np.empty((n, d, d)), np.empty((n, d, d))
        p, base, c = np.empty((n, d)), np.empty((n, d)), np.empty((n, self.total.n_samples))
        # Of H_xx there is a factor where the samples are few, and a matrix where they are many.
        whole = self._batches(x) == [slice(0, n)] and _few(self.total, n)
        square = None if whole else np.empty((n, d, d))
        turned: Array | None = None
        for rows in self._batches(x):
            at = self._at(x[rows])
            np.matmul(np.swapaxes(at.roots, 1, 2), at.roots, out=inverse[rows])
            p[rows] = q = _solved(at, v[rows] + at.mean)
            c[rows] = weights = self._weights(at, q)
            turned = self._turns(at, q, rates[rows], None if square is None else square[rows])
            self._add_hessian(at, weights, q, rates[rows], base[rows])
        return LocalOperators(rates, inverse, p, _Bend(self.total, x, p, c, base, square, turned))

    def _batches(self, x: Array) -> list[slice]:
        """All points at once where they can be kept, otherwise in batches."""
        n, d = x.shape
        size = max(1, n if n * d * d <= _KEPT else _NUMBERS // (d * d))
        return [slice(first, first + size) for first in range(0, max(n, 1), size)]

    def _pieces(self, n: int, numbers: int) -> Iterator[slice]:
        """Rows of n points whose gradients are about so many numbers."""
        size = max(1, numbers // (self.total.n_samples * self.total.dimension))
        return (slice(first, first + size) for first in range(0, n, size))

    def _at(self, x: Array) -> _Latest:
        """What is known at the points, computed where they are not the latest ones."""
        if self._latest is None or not np.array_equal(self._latest.x, x):
            self._latest = None  # Its memory is free before more is taken.
            self._latest = self._moments(x)
        return self._latest

    def _moments(self, x: Array) -> _Latest:
        """Mean and inverse roots, and the centred gradients where they are few enough."""
        (n, d), N = x.shape, self.total.n_samples
        mean, roots = np.empty((n, d)), np.empty((n, d, d))
        centred = np.empty((n, N, d)) if n * N * d <= _KEPT else None
        floor = self.floor * np.eye(d)
        for rows in self._pieces(n, _PIECE if centred is not None else _NUMBERS):
            if centred is None:
                mean[rows], a = self.total.moments(x[rows])
            else:
                g = centred[rows]
                mean[rows] = _centred(self.total.gradients_at(x[rows]), g)
                a = np.swapaxes(g, 1, 2) @ g
                a /= N
            roots[rows] = inverse_roots(a + floor if self.floor else a, x[rows])
        return _Latest(x.copy(), mean, roots, centred)

    def _weights(self, at: _Latest, p: Array) -> Array:
        """The weights c_i = (g_i.p - g.p - 1) / N, (n, N)."""
        if at.centred is None:
            along = self.total.derivatives_along(at.x, p)
            along -= along.mean(axis=1, keepdims=True)
        else:
            along = times(at.centred, p)
        along -= 1.0
        along /= self.total.n_samples
        return along

    def _turns(self, at: _Latest, p: Array, rates: Array, square: Array | None) -> Array | None:
        """Write 1/N sum_i (g_i - g) t_i^T to ``rates``, and 1/N sum_i t_i t_i^T to ``square``; t_i is H_i p less its mean.

        Where there is no ``square`` all t_i, (n, N, d), are returned. They take the place of the gradients.
        """
        # The step is that of central differences, which single precision bears, too. First order takes one pass over the
        # samples instead of two, and its error only shapes Newton steps.
        h, N = difference_step(at.x, p), self.total.n_samples
        moved = at.x + h * p
        turns: Array | None = None
        if square is None:
            turns = at.centred if at.centred is not None else np.empty((len(p), N, p.shape[1]))
        for rows in self._pieces(len(p), _PIECE):
            turned = np.empty((len(moved[rows]), N, p.shape[1]))
            if at.centred is not None:
                here = at.centred[rows]
            else:
                here = np.empty_like(turned)
                _centred(self.total.gradients_at(at.x[rows]), here)
            _centred(self.total.gradients_at(moved[rows]), turned)
            turned -= here
            turned /= h[rows, :, None]
            np.matmul(np.swapaxes(here, 1, 2), turned, out=rates[rows])
            if square is not None:
                np.matmul(np.swapaxes(turned, 1, 2), turned, out=square[rows])
            if turns is not None:
                turns[rows] = turned
        rates /= N
        if square is not None:
            square /= N
        else:
            at.centred = None
        return turns

    def _add_hessian(self, at: _Latest, w: Array, p: Array, rates: Array, force: Array) -> None:
        """Add W = sum_i w_i H_i to ``rates`` and write W p to ``force``; by columns where the finite sum gives no W."""
        given: Callable[[Array, Array], Array] | None = self.total.weighted_hessian
        for rows in self._pieces(len(p), _NUMBERS):
            y = at.x[rows]
            if given is not None:
                W = np.asarray(given(y, w[rows]), dtype=np.float64)
            else:
                columns = (np.broadcast_to(column, y.shape) for column in np.eye(y.shape[1]))
                W = np.stack([weighted_product(self.total, y, column, w[rows]) for column in columns], axis=2)
            rates[rows] += W
            force[rows] = times(W, p[rows])
        if self.total.weighted_hessian_product is None:
            force[:] = weighted_product(self.total, at.x, p, w)  # It is compared with others that are differences, too.
        at.force = p, force


@dataclass(frozen=True)
class _Bend:
    """The products (u, h) -> H_xx u at fixed momenta, by a difference over h u.

    Attributes
    ----------
    total : FiniteSum
    x, p : array (n, d)
    weights : array (n, N)
        The weights c_i.
    force : array (n, d)
        H_x at the points.
    square : array (n, d, d) or None
        1/N sum_i t_i t_i^T, where t_i is H_i p less its mean over the samples.
    turned : array (n, N, d) or None
        All t_i, where there is no ``square``.
    """

    total: FiniteSum
    x: Array
    p: Array
    weights: Array
    force: Array
    square: Array | None
    turned: Array | None

    def __call__(self, u: Array, h: float) -> Array:
        change = weighted_product(self.total, self.x + h * u, self.p, self.weights)
        change -= self.force
        change /= h
        if self.square is not None:
            return change + times(self.square, u)
        assert self.turned is not None
        return change + times(np.swapaxes(self.turned, 1, 2), times(self.turned, u)) / self.total.n_samples


def _few(total: FiniteSum, n: int) -> bool:
    """Whether the vectors of all samples at n points are fewer numbers than matrices, about, and can be kept."""
    return total.n_samples < 2 * total.dimension and n * total.n_samples * total.dimension <= _KEPT


def _solved(at: _Latest, r: Array) -> Array:
    """The products a^{-1} r."""
    return times(np.swapaxes(at.roots, 1, 2), times(at.roots, r))


def _centred(g: Array, out: Array) -> Array:
    """Write the samples' gradients (n, N, d) less their mean (n, d), which is returned, to ``out``."""
    mean: Array = np.full(g.shape[1], 1.0 / g.shape[1]) @ g
    np.subtract(g, mean[:, None], out=out)
    return mean
