"""The Hamiltonian of a finite sum's minibatch noise, from weighted products with its samples' gradients and Hessians."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array, difference_step
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian, HamiltonianExpansion

# One call holds at most this many numbers for each array over points and samples, which bounds the memory.
_NUMBERS = 4_000_000
# Step of the central differences of H_x and H_p, which only shape Newton steps.
_STEP = 1e-4


class SampleHamiltonian(DiffusionHamiltonian):
    """H(x, p) = b.p + p.(a + floor I) p / 2 where -b and a are mean and covariance of N samples' gradients g_i.

    With the weights c_i = (g_i.p - g.p - 1) / N the derivatives are H_p = sum c_i g_i and H_x = sum c_i H_i p. In d
    dimensions the second derivatives take 2 d such pairs for each point, where differences of matrices take 4 d^2 of these.

    Parameters
    ----------
    total : FiniteSum
    drift, jacobian, covariance : callable
        Those of the system, see `qpot.solvers.problem.hamiltonian.DiffusionHamiltonian`.
    floor : float
    """

    def __init__(self, total: FiniteSum, whole: DiffusionHamiltonian, floor: float = 0.0) -> None:
        super().__init__(whole.drift, whole.jacobian, whole.raw_covariance, None, floor)
        self.total = total

    def floored(self, floor: float) -> SampleHamiltonian:
        """The same Hamiltonian with another floor."""
        return SampleHamiltonian(self.total, self, floor)

    def first(self, x: Array, p: Array) -> tuple[Array, Array, Array]:
        """H (n,), H_x and H_p (n, d) at points and momenta (n, d)."""
        value, H_x, H_p = np.empty(x.shape[0]), np.empty_like(x), np.empty_like(x)
        size = max(1, _NUMBERS // max(self.total.n_samples, 1))
        for begin in range(0, x.shape[0], size):
            rows = slice(begin, begin + size)
            value[rows], H_x[rows], H_p[rows] = self._first(x[rows], p[rows])
        return value, H_x, H_p

    def _first(self, x: Array, p: Array) -> tuple[Array, Array, Array]:
        along = self.total.derivatives_along(x, p)
        mean = along.mean(axis=1)
        weights = (along - mean[:, None] - 1.0) / self.total.n_samples
        value = -mean + 0.5 * along.var(axis=1) + 0.5 * self.floor * (p**2).sum(axis=1)
        H_p = self.total.combined_gradient(x, weights) + self.floor * p
        return value, weighted_product(self.total, x, p, weights), H_p

    def force(self, x: Array, p: Array) -> Array:
        """H_x (n, d)."""
        return self.first(x, p)[1]

    def expand(self, x: Array, p: Array) -> HamiltonianExpansion:
        """H with all first and second derivatives, the latter by differences of the former from one call."""
        n, d = x.shape
        h = _STEP * (1.0 + np.abs(x))
        shifts = np.zeros((2 * d + 1, n, d))
        index = np.arange(d)
        shifts[index, :, index] = h.T
        shifts[d + index, :, index] = -h.T
        value, H_x, H_p = self.first((x + shifts).reshape(-1, d), np.tile(p, (2 * d + 1, 1)))
        forces, velocities = (f.reshape(2 * d + 1, n, d) for f in (H_x, H_p))
        # The first axis of these is that of the derivative.
        xx, px = ((f[:d] - f[d : 2 * d]) / (2.0 * h.T[:, :, None]) for f in (forces, velocities))
        xx = xx.transpose(1, 2, 0)
        return HamiltonianExpansion(
            value=value.reshape(-1, n)[-1],
            x=forces[-1],
            p=velocities[-1],
            xx=np.asarray(0.5 * (xx + np.swapaxes(xx, 1, 2))),
            px=px.transpose(1, 2, 0),
            pp=self.covariance(x),
        )


def weighted_product(total: FiniteSum, x: Array, v: Array, w: Array) -> Array:
    """The sums of w_i H_i v, (n, d), given by the finite sum or by one directional difference."""
    if total.weighted_hessian_product is not None:
        return np.asarray(total.weighted_hessian_product(x, v, w), dtype=np.float64)
    h = difference_step(x, v)
    up, down = total.combined_gradient(x + h * v, w), total.combined_gradient(x - h * v, w)
    return np.asarray((up - down) / (2.0 * h))
