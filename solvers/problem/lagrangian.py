"""The Lagrangian of a diffusion and its derivatives, for batches of points.

With r = v - b(x) and p = a(x)^{-1} r the Lagrangian is L(x, v) = r.p / 2 and its Legendre dual is
H(x, p) = b.p + p.a p / 2. All derivatives of L follow from those of H at the dual momentum p:

    L_v = p,   L_x = -H_x,   L_vv = H_pp^{-1},   L_xv = -H_xp H_pp^{-1},   L_xx = -H_xx + H_xp H_pp^{-1} H_px.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.differences import central_jacobian, sides_of, spacing_of
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = NDArray[np.float64]

# The fourth root of the machine epsilon balances rounding and truncation of a second difference, 1e-8 each. That is enough
# for H_xx, which only shapes Newton steps.
_SECOND_STEP = 1.2e-4
# A covariance whose smallest eigenvalue is below this fraction of the largest is singular to working precision.
_RANK_TOLERANCE = 1e-13


class SingularCovarianceError(ValueError):
    """The covariance cannot be inverted; ``.point`` is where."""

    def __init__(self, point: Array, eigenvalues: Array) -> None:
        super().__init__(f"singular covariance, eigenvalues {eigenvalues[0]:.3g} ... {eigenvalues[-1]:.3g}")
        self.point = point
        self.eigenvalues = eigenvalues

    def __reduce__(self) -> tuple[type[SingularCovarianceError], tuple[Array, Array]]:
        # The arguments differ from the message; without this the error could not come back from a worker process.
        return type(self), (self.point, self.eigenvalues)


class Expansion(NamedTuple):
    """L and its first and second derivatives at n points of dimension d.

    Attributes
    ----------
    value : array (n,)
    x, v : array (n, d)
        L_x, and L_v, which is the momentum.
    xx, xv, vv : array (n, d, d)
        L_xx, L_xv with the index of x before that of v, and L_vv.
    """

    value: Array
    x: Array
    v: Array
    xx: Array
    xv: Array
    vv: Array


class Lagrangian(Protocol):
    """What the action needs to know about a system, for batches of points, velocities and momenta ``(n, d)``."""

    def bounded(self) -> BoundedLagrangian | None:
        """The same Lagrangian where the noise makes steps of bounded size only, so that L may be infinite; else None."""
        ...

    def value(self, x: Array, v: Array) -> Array:
        """L (n,)."""
        ...

    def momentum(self, x: Array, v: Array) -> Array:
        """The momentum L_v (n, d)."""
        ...

    def metric(self, x: Array, v: Array) -> Array:
        """L_vv (n, d, d)."""
        ...

    def speed(self, x: Array, direction: Array) -> Array:
        """The speed (n,) of an optimal path along a direction."""
        ...

    def hamiltonian(self, x: Array, p: Array) -> Array:
        """H (n,), the Legendre dual of L."""
        ...

    def geometric(self, x: Array, v: Array) -> Array:
        """The integrand (n,) of the geometric action: the least L over all speeds along v, per unit of |v|."""
        ...

    def expand(self, x: Array, v: Array) -> Expansion:
        """L with all first and second derivatives."""
        ...


class BoundedLagrangian(Lagrangian, Protocol):
    """A Lagrangian that is infinite for velocities outside the convex hull of the noise's steps."""

    def with_added(self, added: float) -> Lagrangian:
        """The Lagrangian with Gaussian noise added, as a multiple of the noise's own covariance: it is finite."""
        ...

    def hull_margin(self, x: Array, v: Array) -> float:
        """How far inside the hull the velocities v at the points x lie, at least; 0 on its edge."""
        ...

    def cumulants(self, x: Array, p: Array) -> Array:
        """H and H_p together, (n, 1 + d)."""
        ...


class DiffusionLagrangian:
    """L(x, v) = (v - b)^T a^{-1} (v - b) / 2 for functions b and a of batches of points.

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
    moments : callable (n, d) -> (n, d), (n, d, d), optional
        Drift and covariance from one evaluation, where that is cheaper than two. The Jacobian is then differenced together
        with the covariance.

    Raises
    ------
    SingularCovarianceError
        If ``constant`` cannot be inverted; the methods raise it where the covariance at a point cannot.
    """

    def __init__(
        self,
        drift: Callable[[Array], Array],
        jacobian: Callable[[Array], Array],
        covariance: Callable[[Array], Array],
        constant: Array | None,
        moments: Callable[[Array], tuple[Array, Array]] | None = None,
    ) -> None:
        self.drift, self.jacobian, self.covariance, self.moments = drift, jacobian, covariance, moments
        self._constant_inverse: Array | None = None
        self.constant = constant
        if constant is not None:
            self._constant_inverse = _inverse(constant[None], np.zeros((1, constant.shape[0])))[0]

    def bounded(self) -> None:
        """None, since Gaussian noise makes every velocity possible."""
        return

    def inverse_covariance(self, x: Array) -> Array:
        """a(x)^{-1}, (n, d, d)."""
        if self._constant_inverse is not None:
            return np.broadcast_to(self._constant_inverse, (x.shape[0], *self._constant_inverse.shape))
        return _inverse(self.covariance(x), x)

    def fields(self, x: Array) -> tuple[Array, Array]:
        """The drift and the inverse covariance, which is one matrix (d, d) for all points where it is constant."""
        if self._constant_inverse is not None:
            return self.drift(x), self._constant_inverse
        if self.moments is None:
            return self.drift(x), _inverse(self.covariance(x), x)
        b, a = self.moments(x)
        return b, _inverse(a, x)

    def value(self, x: Array, v: Array) -> Array:
        """L at n points."""
        b, inverse = self.fields(x)
        return 0.5 * _quadratic(inverse, v - b)

    def momentum(self, x: Array, v: Array) -> Array:
        """p = a^{-1} (v - b)."""
        b, inverse = self.fields(x)
        return _times(inverse, v - b)

    def metric(self, x: Array, v: Array) -> Array:
        """L_vv = a^{-1}, whatever the velocity."""
        return self.inverse_covariance(x)

    def speed(self, x: Array, direction: Array) -> Array:
        """|b|. An optimal path has this speed in the metric of a^{-1}; the Euclidean norm is a good enough guess."""
        return np.asarray(np.linalg.norm(self.drift(x), axis=1), dtype=np.float64)

    def hamiltonian(self, x: Array, p: Array) -> Array:
        """H(x, p) = b.p + p.a p / 2."""
        if self.constant is not None:
            b, curvature = self.drift(x), _quadratic(self.constant, p)
        else:
            b, a = (self.drift(x), self.covariance(x)) if self.moments is None else self.moments(x)
            curvature = _quadratic(a, p)
        return np.asarray((b * p).sum(axis=1) + 0.5 * curvature, dtype=np.float64)

    def geometric(self, x: Array, v: Array) -> Array:
        """The integrand of the geometric action, |b| |v| - <b, v> in the metric a^{-1}."""
        b, inverse = self.fields(x)
        bb, vv = _quadratic(inverse, b), _quadratic(inverse, v)
        bv = (b * _times(inverse, v)).sum(axis=1)
        # Along the drift |b||v| - <b,v> loses its digits; the difference of the squares divided by the sum does not.
        norm = np.sqrt(bb * vv)
        cross = _gram_gap(inverse, b, v, bb, vv)
        total = norm + bv
        return np.where(bv <= 0.0, norm - bv, cross / np.where(total > 0.0, total, 1.0))

    def expand(self, x: Array, v: Array) -> Expansion:
        """L with all first and second derivatives."""
        b, inverse = self.fields(x)
        r = v - b
        p = _times(inverse, r)
        J, a_x = self._first_derivatives(x)
        H_x = np.einsum("nij,ni->nj", J, p)
        H_px = J.copy()
        if a_x is not None:
            a_x_p = np.einsum("nijk,nj->nik", a_x, p)
            H_x += 0.5 * np.einsum("nik,ni->nk", a_x_p, p)
            H_px += a_x_p
        whitened = inverse @ H_px
        L_xx = np.swapaxes(H_px, 1, 2) @ whitened - second_differences(self.hamiltonian, x, p)
        return Expansion(
            value=0.5 * (r * p).sum(axis=1),
            x=-H_x,
            v=p,
            xx=L_xx,
            xv=-np.swapaxes(whitened, 1, 2),
            vv=np.array(np.broadcast_to(inverse, J.shape)),
        )

    def _first_derivatives(self, x: Array) -> tuple[Array, Array | None]:
        """The Jacobian (n, d, d) and the derivative of the covariance (n, d, d, d), None where that is constant."""
        if self.constant is not None:
            return self.jacobian(x), None
        if self.moments is None:
            return self.jacobian(x), central_jacobian(self.covariance, x)
        derivative = central_jacobian(_Stacked(self.moments), x)
        return derivative[:, 0], derivative[:, 1:]


class _Stacked:
    """Drift and covariance as one array (n, d + 1, d), with the rounding and the box that their function states."""

    def __init__(self, moments: Callable[[Array], tuple[Array, Array]]) -> None:
        self.moments = moments
        self.spacing, self.sides = spacing_of(moments), sides_of(moments)

    def __call__(self, x: Array) -> Array:
        b, a = self.moments(x)
        return np.concatenate([b[:, None], a], axis=1)


class DualLagrangian(DiffusionLagrangian):
    """The Lagrangian of a Hamiltonian that knows its derivatives better than differences of its matrices do."""

    def __init__(self, hamiltonian: DiffusionHamiltonian) -> None:
        h = hamiltonian
        constant = None if h.constant is None else h.constant + h.floor * np.eye(h.constant.shape[0])
        super().__init__(h.drift, h.jacobian, h.covariance, constant)
        self.dual = hamiltonian

    def hamiltonian(self, x: Array, p: Array) -> Array:
        """H (n,)."""
        return self.dual.first(x, p)[0]

    def expand(self, x: Array, v: Array) -> Expansion:
        """L with all first and second derivatives, from those of H."""
        b, inverse = self.fields(x)
        r = v - b
        p = _times(inverse, r)
        e = self.dual.expand(x, p)
        whitened = inverse @ e.px
        return Expansion(
            value=0.5 * (r * p).sum(axis=1),
            x=-e.x,
            v=p,
            xx=np.swapaxes(e.px, 1, 2) @ whitened - e.xx,
            xv=-np.swapaxes(whitened, 1, 2),
            vv=np.array(np.broadcast_to(inverse, e.px.shape)),
        )


def second_differences(hamiltonian: Callable[[Array, Array], Array], x: Array, p: Array) -> Array:
    """H_xx (n, d, d) at fixed p, from one call for all shifted points, 1 + 2 d + d (d - 1) for each point."""
    n, d = x.shape
    h = _SECOND_STEP * (1.0 + np.abs(x))
    pairs = [(i, j) for i in range(d) for j in range(i)]
    shifts = np.zeros((1 + 2 * d + 2 * len(pairs), n, d))
    for i in range(d):
        shifts[1 + 2 * i, :, i] = h[:, i]
    for k, (i, j) in enumerate(pairs):
        shifts[1 + 2 * d + 2 * k, :, i] = h[:, i]
        shifts[1 + 2 * d + 2 * k, :, j] = h[:, j]
    shifts[2::2] = -shifts[1::2]
    points = (x + shifts).reshape(-1, d)
    H = hamiltonian(points, np.tile(p, (shifts.shape[0], 1))).reshape(-1, n)
    both = H[1::2] + H[2::2] - 2.0 * H[0]  # This is h.H_xx h for every shift h.
    result = np.empty((n, d, d))
    for i in range(d):
        result[:, i, i] = both[i] / h[:, i] ** 2
    for k, (i, j) in enumerate(pairs):
        mixed = (both[d + k] - both[i] - both[j]) / (2.0 * h[:, i] * h[:, j])
        result[:, i, j] = result[:, j, i] = mixed
    return result


def _inverse(a: Array, x: Array) -> Array:
    """Inverses of covariances (n, d, d), or an error that names the first of the points x where there is none."""
    values, vectors = np.linalg.eigh(a)
    bad = values[:, 0] <= _RANK_TOLERANCE * np.maximum(values[:, -1], np.finfo(float).tiny)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise SingularCovarianceError(x[row].copy(), values[row])
    return np.asarray((vectors / values[:, None, :]) @ np.swapaxes(vectors, 1, 2), dtype=np.float64)


def _times(matrix: Array, vector: Array) -> Array:
    """Symmetric matrices (n, d, d), or one (d, d) for all points, times vectors (n, d)."""
    if matrix.ndim == 2:
        return np.asarray(vector @ matrix, dtype=np.float64)
    return np.asarray(np.einsum("nij,nj->ni", matrix, vector), dtype=np.float64)


def _quadratic(matrix: Array, vector: Array) -> Array:
    return np.asarray((vector * _times(matrix, vector)).sum(axis=1), dtype=np.float64)


def _gram_gap(inverse: Array, b: Array, v: Array, bb: Array, vv: Array) -> Array:
    """|b|^2 |v|^2 - <b, v>^2 without cancellation: |b|^2 times the squared distance of v from the line of b."""
    bv = (b * _times(inverse, v)).sum(axis=1)
    across = v - b * (bv / np.where(bb > 0.0, bb, 1.0))[:, None]
    return np.where(bb > 0.0, bb * _quadratic(inverse, across), 0.0 * vv)
