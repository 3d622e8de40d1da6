"""The Lagrangian of discrete SGD with its exact noise: H(x, p) = c log sum_i w_i(x) exp(-<p, g_i(x)> / c).

c is 1 for steps of one sample, and for minibatches with replacement too if costs are per epsilon = learning rate / batch
size, because H_B(p) = B H_1(p / B). Derivatives follow from those of H as in `qpot.solvers.problem.lagrangian`. Velocities
outside the convex hull of the steps -g_i have L = inf, which makes a line search step back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.problem.cumulant_dual import FEASIBLE, cumulants, duals, geometric_values
from qpot.solvers.problem.lagrangian import Expansion, SingularCovarianceError, second_differences

Array = NDArray[np.float64]

# A call for the steps of all samples returns at most so many numbers; larger batches of points are split.
_CHUNK = 2_000_000
# A covariance whose smallest eigenvalue is below this fraction of the largest is singular to working precision.
_RANK_TOLERANCE = 1e-13


class _Steps(NamedTuple):
    """The steps at n points.

    Attributes
    ----------
    g : array (n, N, d)
        Gradients of the N samples; a step is -g.
    w : array (n, N)
        Their probabilities.
    mean : array (n, d)
    C : array (n, d, d)
        Mean and covariance of the gradients.
    """

    g: Array
    w: Array
    mean: Array
    C: Array


class CumulantLagrangian:
    """L(x, v) = sup_p <p, v> - H(x, p) for the exact noise of discrete steps.

    Parameters
    ----------
    steps : callable (n, d) -> (n, N, d), (n, N)
        Gradients g_i (a step is -g_i) and their probabilities.
    scale : float
        The number c; the covariance that belongs to H is that of the g_i divided by c.
    added : float
        Gaussian noise that is added, as a multiple of the covariance of the g_i; 0 is the system itself. With added noise
        every velocity is feasible, which is how a feasible path is found.
    """

    def __init__(self, steps: Callable[[Array], tuple[Array, Array]], scale: float = 1.0, added: float = 0.0) -> None:
        self.steps, self.scale, self.added = steps, scale, added

    def bounded(self) -> CumulantLagrangian:
        """This Lagrangian itself: the steps are finitely many, so that velocities outside their hull are impossible."""
        return self

    def with_added(self, added: float) -> CumulantLagrangian:
        """The same steps with another amount of added Gaussian noise."""
        return CumulantLagrangian(self.steps, self.scale, added)

    def value(self, x: Array, v: Array) -> Array:
        """L (n,), inf outside the hull."""
        return self._dual(x, v)[0]

    def momentum(self, x: Array, v: Array) -> Array:
        """The dual momentum (n, d), NaN outside the hull."""
        L, p, _ = self._dual(x, v)
        return np.where(np.isfinite(L)[:, None], p, np.nan)

    def metric(self, x: Array, v: Array) -> Array:
        """L_vv (n, d, d); outside the hull that of Gaussian noise with the same covariance."""
        L, _, H_pp = self._dual(x, v)
        feasible = np.isfinite(L)
        if not feasible.all():
            H_pp[~feasible] = np.concatenate([s.C for s in self._pieces(x[~feasible])]) / self.scale
        return np.asarray(np.linalg.inv(H_pp), dtype=np.float64)

    def hamiltonian(self, x: Array, p: Array) -> Array:
        """H (n,)."""
        values: Array = self.cumulants(x, p)[:, 0]
        return values

    def geometric(self, x: Array, v: Array) -> Array:
        """The supremum of <p, v> over H(x, p) <= 0, the integrand of the geometric action; inf where no speed is feasible."""
        return self._geometric(x, v)[0]

    def speed(self, x: Array, direction: Array) -> Array:
        """The speed of the cheapest motion along a direction, 0 where the noise cannot push that way at any speed."""
        return np.asarray(self._geometric(x, direction)[1] * np.linalg.norm(direction, axis=1), dtype=np.float64)

    def expand(self, x: Array, v: Array) -> Expansion:
        """L with all first and second derivatives; they mean nothing where the value is inf."""
        n, d = x.shape
        L, p, H_pp = self._dual(x, v)
        p = np.where(np.isfinite(L)[:, None], p, 0.0)
        H_pp[~np.isfinite(L)] = np.eye(d)

        def at_fixed_momentum(points: Array) -> Array:
            return self.cumulants(points, np.tile(p, (points.shape[0] // n, 1)))

        derivative = central_jacobian(at_fixed_momentum, x)
        H_x, H_px = derivative[:, 0], derivative[:, 1:]
        vv: Array = np.asarray(np.linalg.inv(H_pp), dtype=np.float64)
        whitened = vv @ H_px
        return Expansion(
            value=L,
            x=-H_x,
            v=p,
            xx=np.swapaxes(H_px, 1, 2) @ whitened - second_differences(self.hamiltonian, x, p),
            xv=-np.swapaxes(whitened, 1, 2),
            vv=vv,
        )

    def _pieces(self, x: Array) -> list[_Steps]:
        """The steps at all points, in pieces of bounded size, with mean and covariance."""
        result = []
        start, count = 0, min(x.shape[0], 64)
        while start < x.shape[0]:
            g, w = self.steps(x[start : start + count])
            g, w = np.ascontiguousarray(g), np.ascontiguousarray(w)
            mean = np.einsum("nk,nki->ni", w, g)
            centred = g - mean[:, None]
            result.append(_Steps(g, w, mean, np.swapaxes(centred * w[..., None], 1, 2) @ centred))
            start += count
            count = max(1, _CHUNK // (g.shape[1] * g.shape[2]))
        return result

    def cumulants(self, x: Array, p: Array) -> Array:
        """H and H_p together, (n, 1 + d)."""
        result = np.empty((x.shape[0], 1 + x.shape[1]))
        row = 0
        for s in self._pieces(x):
            n = s.g.shape[0]
            K, K_p = np.empty(n), np.empty_like(s.mean)
            cumulants(s.g, s.w, s.C, self.added, p[row : row + n] / self.scale, K, K_p)
            result[row : row + n, 0], result[row : row + n, 1:] = self.scale * K, K_p
            row += n
        return result

    def hull_margin(self, x: Array, v: Array) -> float:
        """The least eigenvalue over n points of H_pp relative to the steps' covariance, which vanishes at the hull's edge.

        Where it is close to the rounding of velocities, the velocity tells next to nothing about the momentum.
        """
        L, _, H_pp = self._dual(x, v)
        if not np.isfinite(L).all():
            return 0.0
        C = np.concatenate([s.C for s in self._pieces(x)]) / self.scale
        return float(np.linalg.eigvals(np.linalg.solve(C, H_pp)).real.min())

    def _dual(self, x: Array, v: Array) -> tuple[Array, Array, Array]:
        """L (n,), the dual momentum (n, d) and H_pp (n, d, d); L is inf outside the hull."""
        n, d = x.shape
        L, p, H_pp = np.empty(n), np.empty((n, d)), np.empty((n, d, d))
        row = 0
        for s in self._pieces(x):
            rows = slice(row, row + s.g.shape[0])
            p[rows] = _gaussian_momentum(s, v[rows], x[rows]) / (1.0 + self.added)
            status = np.empty(s.g.shape[0], dtype=np.int64)
            velocity = np.ascontiguousarray(v[rows])
            duals(s.g, s.w, s.C, self.added, velocity, p[rows], L[rows], H_pp[rows], status)
            L[rows][status != FEASIBLE] = np.inf
            row = rows.stop
        return self.scale * L, self.scale * p, H_pp / self.scale

    def _geometric(self, x: Array, v: Array) -> tuple[Array, Array]:
        """The integrand of the geometric action, and the multiples of v at which it is attained, (n,) each."""
        n = x.shape[0]
        values, multiples = np.empty(n), np.empty(n)
        row = 0
        for s in self._pieces(x):
            rows = slice(row, row + s.g.shape[0])
            velocity = np.ascontiguousarray(v[rows])
            b = -s.mean
            bb = np.einsum("ni,ni->n", b, _gaussian_momentum(s, np.zeros_like(b), x[rows], drift=-b))
            vv = np.einsum("ni,ni->n", velocity, _gaussian_momentum(s, np.zeros_like(b), x[rows], drift=-velocity))
            guess = np.sqrt(np.where(vv > 0.0, bb / np.where(vv > 0.0, vv, 1.0), 0.0))
            geometric_values(s.g, s.w, s.C, self.added, velocity, guess, values[rows], multiples[rows])
            row = rows.stop
        return self.scale * values, multiples


def _gaussian_momentum(s: _Steps, v: Array, x: Array, drift: Array | None = None) -> Array:
    """C^{-1} (v - b), the momentum to leading order, from which the search for the exact one starts."""
    eigenvalues = np.linalg.eigvalsh(s.C)
    bad = eigenvalues[:, 0] <= _RANK_TOLERANCE * np.maximum(eigenvalues[:, -1], np.finfo(float).tiny)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise SingularCovarianceError(x[row].copy(), eigenvalues[row])
    b = -s.mean if drift is None else drift
    return np.asarray(np.linalg.solve(s.C, (v - b)[..., None])[..., 0], dtype=np.float64)
