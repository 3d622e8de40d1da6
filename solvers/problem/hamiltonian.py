"""The Hamiltonian H(x, p) = b.p + p.a p / 2 of a diffusion and its derivatives, for a of any rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.differences import central_jacobian

Array = NDArray[np.float64]

# Step of the difference of H_x that gives H_xx. It has a truncation error of 1e-8, which is enough for what only shapes
# Newton steps, and little noise where the Jacobian is itself a difference.
_STEP = 1e-4


class HamiltonianExpansion(NamedTuple):
    """H and its derivatives at n points of dimension d.

    Attributes
    ----------
    value : array (n,)
    x, p : array (n, d)
        H_x and H_p.
    xx, px, pp : array (n, d, d)
        H_xx, H_px with the index of p before that of x, and H_pp.
    """

    value: Array
    x: Array
    p: Array
    xx: Array
    px: Array
    pp: Array


class DiffusionHamiltonian:
    """H(x, p) = b.p + p.(a + floor I) p / 2 for functions b and a of batches of points; a may have any rank.

    Parameters
    ----------
    drift : callable (n, d) -> (n, d)
        The drift b.
    jacobian : callable (n, d) -> (n, d, d)
        ``[n, i, j]`` is d b_i / d x_j.
    covariance : callable (n, d) -> (n, d, d)
        The covariance a.
    constant : array (d, d) or None
        The covariance, where it does not depend on x.
    floor : float
        Is added to the diagonal of a: 0 for the answer, positive on the way there.
    """

    def __init__(
        self,
        drift: Callable[[Array], Array],
        jacobian: Callable[[Array], Array],
        covariance: Callable[[Array], Array],
        constant: Array | None,
        floor: float = 0.0,
    ) -> None:
        self.drift, self.jacobian, self.raw_covariance = drift, jacobian, covariance
        self.constant, self.floor = constant, floor

    def floored(self, floor: float) -> DiffusionHamiltonian:
        """The same Hamiltonian with another floor."""
        return DiffusionHamiltonian(self.drift, self.jacobian, self.raw_covariance, self.constant, floor)

    def covariance(self, x: Array) -> Array:
        """a(x) + floor I, (n, d, d)."""
        a = self.raw_covariance(x) if self.constant is None else np.broadcast_to(self.constant, (*x.shape, x.shape[1]))
        return np.asarray(a + self.floor * np.eye(x.shape[1]), dtype=np.float64)

    def first(self, x: Array, p: Array) -> tuple[Array, Array, Array]:
        """H (n,), H_x and H_p (n, d) at points and momenta (n, d)."""
        b, a_p = self.drift(x), np.einsum("nij,nj->ni", self.covariance(x), p)
        value = np.einsum("ni,ni->n", p, b + 0.5 * a_p)
        return value, self.force(x, p), b + a_p

    def force(self, x: Array, p: Array) -> Array:
        """H_x (n, d) = J^T p + d(p.a p / 2)/dx."""
        H_x: Array = np.einsum("nij,ni->nj", self.jacobian(x), p)
        if self.constant is None:
            H_x = H_x + 0.5 * np.einsum("nijk,ni,nj->nk", central_jacobian(self.raw_covariance, x), p, p)
        return H_x

    def expand(self, x: Array, p: Array) -> HamiltonianExpansion:
        """H with all first and second derivatives."""
        b, a, J = self.drift(x), self.covariance(x), self.jacobian(x)
        a_p = np.einsum("nij,nj->ni", a, p)
        H_x, H_px = np.einsum("nij,ni->nj", J, p), J
        if self.constant is None:
            a_x_p = np.einsum("nijk,nj->nik", central_jacobian(self.raw_covariance, x), p)
            H_px = J + a_x_p
            H_x = H_x + 0.5 * np.einsum("nik,ni->nk", a_x_p, p)
        return HamiltonianExpansion(
            value=np.einsum("ni,ni->n", p, b + 0.5 * a_p), x=H_x, p=b + a_p, xx=self._curvature(x, p), px=H_px, pp=a
        )

    def _curvature(self, x: Array, p: Array) -> Array:
        """H_xx (n, d, d) by central differences of H_x, symmetrised."""
        n, d = x.shape
        h = _STEP * (1.0 + np.abs(x))
        shifts = np.zeros((d, n, d))
        index = np.arange(d)
        shifts[index, :, index] = h.T
        points = np.concatenate([x + shifts, x - shifts]).reshape(-1, d)
        force = self.force(points, np.tile(p, (2 * d, 1))).reshape(2, d, n, d)
        columns = (force[0] - force[1]) / (2.0 * h.T[:, :, None])
        H_xx = columns.transpose(1, 2, 0)
        return np.asarray(0.5 * (H_xx + np.swapaxes(H_xx, 1, 2)), dtype=np.float64)
