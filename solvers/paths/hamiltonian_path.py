"""Extremals of the action in Hamiltonian form, by collocation in time and damped Newton steps.

The functional F(x, p) = int (p.x' - H(x, p)) dt is discretised with x continuous of degree m on every element and p free
at its m Gauss points. Stationarity in p is x' = H_p at the Gauss points, stationarity in x the adjoint equation
p' = -H_x. The value there is the action int p.a p / 2 dt. No inverse of the covariance is needed, so that it may have any
rank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.linalg import ldl
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu

from qpot.solvers.paths.elements import ElementPath, _tables
from qpot.solvers.paths.free_passage import FreeEnd
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = NDArray[np.float64]

# Status: the Newton correction or what it could gain is below the tolerance.
CONVERGED = 0
# Status: the iterations ran out, or no step reduces the residual.
MAX_ITERATIONS = 1
# Status: the extremal is stationary, but no minimum.
UNSTABLE = 2

# A Newton step that would have to be damped further than this has failed.
_SMALLEST_DAMPING = 0.05
# The inertia of the symmetric system is read from a dense factorisation, which takes too long above this size.
LARGEST_INERTIA = 4000
# The mode that shifts the path in time costs next to nothing and may come out slightly negative on a coarse mesh. This
# fraction of each row's largest entry is added before eigenvalues are counted.
_SOFT = 1e-6
# A block with an eigenvalue below this part of its largest is nearly singular.
_SINGULAR = 1e-12
# Newton steps are held back along that mode by this fraction of the matrix.
_HELD = 1e-8
# Where steps fail they are held back by more, up to this fraction.
_HELD_MOST = 1e-2
# A step along that mode may be long and gain nothing. The path also counts as converged if all that the step could change,
# sum |g_i step_i|, is below this number times the tolerance, relative to the action.
_GAIN = 1e-3
# Where no step helps, a path that steps could not change by more than this part of its action has converged as far as it may.
STALLED = 1e-6


@dataclass(frozen=True)
class PhasePath:
    """Positions and momenta of a path in time.

    Attributes
    ----------
    positions : ElementPath
        Positions as polynomials of degree m on K elements.
    momenta : array (K, m, d)
        Momenta at the m Gauss points of each element.
    end : FreeEnd or None
        The plane in which the last point may move; None where it is fixed.
    """

    positions: ElementPath
    momenta: Array
    end: FreeEnd | None = None

    def at_gauss(self) -> tuple[Array, Array, Array, Array]:
        """x, x' and p (K m, d) at the Gauss points in order, and their weights (K m,)."""
        x, v, w = self.positions.at_quadrature(self.positions.degree)
        d = x.shape[-1]
        return x.reshape(-1, d), v.reshape(-1, d), self.momenta.reshape(-1, d), w.ravel()

    def momentum_at(self, times: Array) -> Array:
        """p (n, d) at arbitrary times, from the polynomial of degree m - 1 of their element."""
        path = self.positions
        k = np.clip(np.searchsorted(path.breaks, times, side="right") - 1, 0, path.n_elements - 1)
        local = 2.0 * (times - path.breaks[k]) / np.diff(path.breaks)[k] - 1.0
        m = path.degree
        to_coefficients = np.linalg.inv(legendre.legvander(legendre.leggauss(m)[0], m - 1))
        basis = legendre.legvander(local, m - 1) @ to_coefficients
        return np.asarray(np.einsum("nq,nqd->nd", basis, self.momenta[k]), dtype=np.float64)

    def on(self, breaks: Array, degree: int) -> PhasePath:
        """The same path on another mesh over the same span."""
        positions = self.positions.on(breaks, degree)
        h = np.diff(breaks)
        times = (breaks[:-1, None] + 0.5 * h[:, None] * (legendre.leggauss(degree)[0] + 1.0)).ravel()
        return PhasePath(positions, self.momentum_at(times).reshape(h.size, degree, -1), self.end)


@dataclass(frozen=True)
class Extremal:
    """Outcome of `solve_extremal`.

    Attributes
    ----------
    path : PhasePath
    action : float
    correction : float
        Root mean square of the last Newton correction, relative to the extent of positions and momenta.
    iterations : int
    status : int
        CONVERGED or MAX_ITERATIONS.
    gain : float
        By how much a further step might change the action, where steps stopped short of the tolerance.
    """

    path: PhasePath
    action: float
    correction: float
    iterations: int
    status: int
    gain: float = 0.0


def hamiltonian_action(hamiltonian: DiffusionHamiltonian, path: PhasePath) -> float:
    """The action int p.a p / 2 dt by the collocation's own Gauss quadrature."""
    x, _, p, w = path.at_gauss()
    return float(0.5 * np.einsum("n,ni,nij,nj->", w, p, hamiltonian.covariance(x), p))


def constraint_defect(hamiltonian: DiffusionHamiltonian, path: PhasePath) -> float:
    """How much the action may gain because x' = H_p is violated between the collocation points.

    It is the sum over the elements of |int p.(x' - H_p) dt|.
    """
    q = 2 * path.positions.degree + 2
    x, v, w = path.positions.at_quadrature(q)
    d = x.shape[-1]
    h = np.diff(path.positions.breaks)
    times = path.positions.breaks[:-1, None] + 0.5 * h[:, None] * (legendre.leggauss(q)[0] + 1.0)
    p = path.momentum_at(times.ravel())
    _, _, velocity = hamiltonian.first(x.reshape(-1, d), p)
    products = w.ravel() * np.einsum("ni,ni->n", p, v.reshape(-1, d) - velocity)
    return float(np.abs(products.reshape(h.size, q).sum(axis=1)).sum())


def solve_extremal(
    hamiltonian: DiffusionHamiltonian,
    path: PhasePath,
    *,
    tolerance: float,
    max_iterations: int,
    stalled: float = STALLED,
) -> Extremal:
    """Newton's method for the two-point problem, damped by the natural monotonicity test.

    The first point is fixed, and the last one is, too, or moves in a plane.

    Parameters
    ----------
    tolerance : float
        The path is converged if the Newton correction, relative to the extent of positions and momenta, is below this.
    max_iterations : int
        Most Newton steps.
    stalled : float
        Where no step helps, a path that steps could not change by more than this part of its action counts as converged.

    Notes
    -----
    P. Deuflhard, Newton Methods for Nonlinear Problems, Springer 2004, section 3.3.
    """
    held, size, gain = _HELD, np.inf, np.inf
    for iteration in range(1, max_iterations + 1):
        residual, matrix = _system(hamiltonian, path)
        weights, positions = _weights(path)
        scaled, right = csc_array(matrix * weights[None, :] * weights[:, None]), residual * weights
        rows = _row_sizes(scaled) * positions
        action = hamiltonian_action(hamiltonian, path)
        while True:
            step, trial = _damped_step(hamiltonian, path, scaled, held * rows, right, weights)
            size = float(np.sqrt(np.mean(step**2))) if step is not None else np.inf
            if step is not None:
                gain = float(np.abs(right * step).sum())
                if size <= tolerance or gain <= tolerance * _GAIN * abs(action):
                    final = _moved(path, step * weights)
                    return Extremal(final, hamiltonian_action(hamiltonian, final), size, iteration, CONVERGED)
            if trial is not None:
                break
            held *= 100.0
            if held > _HELD_MOST:
                # Along a mode that costs next to nothing rounding may decide; what a step could gain is said with the answer.
                near = step is not None and gain <= stalled * abs(action)
                return Extremal(path, action, size, iteration, CONVERGED if near else MAX_ITERATIONS, gain)
        path, held = trial, max(held / 10.0, _HELD)
    return Extremal(path, hamiltonian_action(hamiltonian, path), size, max_iterations, MAX_ITERATIONS)


def _damped_step(
    hamiltonian: DiffusionHamiltonian, path: PhasePath, matrix: csc_array, shift: Array, right: Array, weights: Array
) -> tuple[Array | None, PhasePath | None]:
    """The Newton step in scaled unknowns, and the path after as much of it as passes the monotonicity test.

    Either is None where there is none.
    """
    try:
        factor = splu(csc_array(matrix + diags_array(shift)))
    except RuntimeError:  # The matrix is exactly singular; the caller holds the step back by more.
        return None, None
    step = -factor.solve(right)
    size = float(np.sqrt(np.mean(step**2)))
    if not np.isfinite(size):
        return None, None
    damping = 1.0
    while damping >= _SMALLEST_DAMPING:
        trial = _moved(path, damping * step * weights)
        try:
            following = float(np.sqrt(np.mean(factor.solve(_residual(hamiltonian, trial) * weights) ** 2)))
        except ValueError:  # A user function is not finite there, so that the step was too long.
            following = np.inf
        if following <= (1.0 - 0.25 * damping) * size:
            return step, trial
        damping *= 0.5
    return step, None


def is_minimum(hamiltonian: DiffusionHamiltonian, path: PhasePath) -> bool | None:
    """Whether an extremal is a minimum: the matrix has as many negative eigenvalues as there are momenta.

    That is equivalent to a Hessian that is positive definite on the kernel of the linearised constraint. The answer is None
    where the system is too large for a dense factorisation and a block of it nearly singular.
    """
    _, matrix = _system(hamiltonian, path)
    weights, positions = _weights(path)
    if matrix.shape[0] > LARGEST_INERTIA:
        count = _negative_by_blocks(matrix, weights, positions, path)
        return None if count is None else count == path.momenta.size
    dense = matrix.toarray() * weights[:, None] * weights[None, :]
    dense += np.diag(_SOFT * np.abs(dense).max(axis=1) * positions)
    _, blocks, _ = ldl(dense)
    diagonal, off = np.diag(blocks).copy(), np.diag(blocks, -1)
    negative = 0
    i = 0
    while i < diagonal.size:
        if i + 1 < diagonal.size and off[i] != 0.0:
            negative += int((np.linalg.eigvalsh(blocks[i : i + 2, i : i + 2]) < 0.0).sum())
            i += 2
        else:
            negative += int(diagonal[i] < 0.0)
            i += 1
    return negative == path.momenta.size


def _negative_by_blocks(matrix: csc_array, weights: Array, positions: NDArray[np.bool_], path: PhasePath) -> int | None:
    """The number of negative eigenvalues, element by element; None where a block is too close to singular to tell.

    The inertia of a matrix is that of a leading block plus that of its Schur complement (Haynsworth). An element couples
    only to the node that it shares with the next one.
    """
    K, m, d = path.momenta.shape
    scaled = (diags_array(weights) @ matrix @ diags_array(weights)).tocsr()
    soft = _SOFT * abs(scaled).max(axis=1).toarray().ravel() * positions
    edges = np.maximum(np.arange(K + 1) * 2 * m * d - d, 0)
    edges[-1] = scaled.shape[0]
    negative, passed = 0, np.zeros((d, d))
    for k in range(K):
        rows = slice(edges[k], edges[k + 1])
        block = scaled[rows, rows].toarray() + np.diag(soft[rows])
        block[:d, :d] -= passed
        values, vectors = np.linalg.eigh(block)
        if np.abs(values).min() <= _SINGULAR * np.abs(values).max():
            return None
        negative += int((values < 0.0).sum())
        if k + 1 < K:
            coupling = vectors.T @ scaled[rows, edges[k + 1] : edges[k + 1] + d].toarray()
            passed = coupling.T @ (coupling / values[:, None])
    return negative


def _numbering(path: PhasePath) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """The number of the unknown at every local entry, (K, (m + 1) d + m d), the unknowns that are positions, and how many.

    The fixed ends have the number -1. Positions and momenta of an element stand together, so that the matrix is banded. The
    last point's coordinates, where it is free, are those in the frame of its plane.
    """
    K, m, d = path.momenta.shape
    width = 2 * m * d
    inside = np.arange(m * d)
    local = np.empty((K, (2 * m + 1) * d), dtype=np.int64)
    starts = np.arange(K)[:, None] * width
    local[:, : m * d] = starts + inside
    local[:, m * d : (m + 1) * d] = starts + width + np.arange(d)
    local[:, (m + 1) * d :] = starts + m * d + inside
    local -= d  # The first node is fixed and has no unknowns.
    local[0, :d] = -1
    local[-1, m * d : (m + 1) * d] = -1
    size = K * width - d
    if path.end is not None:
        local[-1, m * d : (m + 1) * d - 1] = size + np.arange(d - 1)
        size += d - 1
    position = np.unique(local[:, : (m + 1) * d])
    return local, position[position >= 0], size


def _residual(hamiltonian: DiffusionHamiltonian, path: PhasePath) -> Array:
    x, v, p, w = path.at_gauss()
    _, H_x, H_p = hamiltonian.first(x, p)
    return _gradient(path, v, p, w, H_x, H_p)


def _gradient(path: PhasePath, v: Array, p: Array, w: Array, H_x: Array, H_p: Array) -> Array:
    K, m, d = path.momenta.shape
    values, slopes, _ = _tables(m, m)
    rate = 2.0 / np.diff(path.positions.breaks)
    in_x = -(w[:, None] * H_x).reshape(K, m, d)
    in_v = (w[:, None] * p).reshape(K, m, d) * rate[:, None, None]
    nodes = np.einsum("qi,kqd->kid", values, in_x) + np.einsum("qi,kqd->kid", slopes, in_v)
    local = np.concatenate([nodes.reshape(K, -1), (w[:, None] * (v - H_p)).reshape(K, -1)], axis=1)
    if path.end is not None:
        last = slice(m * d, (m + 1) * d)
        local[-1, last] = local[-1, last] @ path.end.frame
    index, _, size = _numbering(path)
    gradient = np.zeros(size)
    free = index >= 0
    np.add.at(gradient, index[free], local[free])
    return gradient


def _system(hamiltonian: DiffusionHamiltonian, path: PhasePath) -> tuple[Array, csc_array]:
    """The gradient of F and its symmetric Hessian."""
    x, v, p, w = path.at_gauss()
    K, m, d = path.momenta.shape
    e = hamiltonian.expand(x, p)
    values, slopes, _ = _tables(m, m)
    rate = 2.0 / np.diff(path.positions.breaks)
    W = w.reshape(K, m)
    xx = -np.einsum("qi,kq,kqab,qj->kiajb", values, W, e.xx.reshape(K, m, d, d), values, optimize=True)
    local = np.zeros((K, (2 * m + 1) * d, (2 * m + 1) * d))
    n_x = (m + 1) * d
    local[:, :n_x, :n_x] = xx.reshape(K, n_x, n_x)
    # The axes of this block are element, Gauss point, component of w (v - H_p), node and component of x.
    derivative = np.einsum("k,qj,ab->kqajb", rate, slopes, np.eye(d)) - np.einsum(
        "kqab,qj->kqajb", e.px.reshape(K, m, d, d), values
    )
    px = (W[:, :, None, None, None] * derivative).reshape(K, m * d, n_x)
    local[:, n_x:, :n_x] = px
    local[:, :n_x, n_x:] = np.swapaxes(px, 1, 2)
    pp = np.zeros((K, m, d, m, d))
    q = np.arange(m)
    pp[:, q, :, q, :] = -(W[:, :, None, None] * e.pp.reshape(K, m, d, d)).transpose(1, 0, 2, 3)
    local[:, n_x:, n_x:] = pp.reshape(K, m * d, m * d)
    if path.end is not None:
        last = slice(m * d, (m + 1) * d)
        local[-1, :, last] = local[-1, :, last] @ path.end.frame
        local[-1, last] = path.end.frame.T @ local[-1, last]
    index, _, size = _numbering(path)
    rows = np.broadcast_to(index[:, :, None], local.shape)
    columns = np.broadcast_to(index[:, None, :], local.shape)
    keep = (rows >= 0) & (columns >= 0) & (local != 0.0)
    matrix = csc_array((local[keep], (rows[keep], columns[keep])), shape=(size, size))
    return _gradient(path, v, p, w, e.x, e.p), matrix


def _row_sizes(matrix: csc_array) -> Array:
    return np.asarray(abs(matrix).max(axis=1).toarray(), dtype=np.float64).ravel()


def _weights(path: PhasePath) -> tuple[Array, NDArray[np.bool_]]:
    """Typical sizes of the unknowns, and which of them are positions."""
    _, positions, size = _numbering(path)
    is_position = np.zeros(size, dtype=bool)
    is_position[positions] = True
    p_scale = float(np.abs(path.momenta).max()) or 1.0
    return np.where(is_position, np.ptp(path.positions.nodes, axis=0).max(), p_scale), is_position


def _moved(path: PhasePath, step: Array) -> PhasePath:
    K, m, d = path.momenta.shape
    index, _, _ = _numbering(path)
    padded = np.append(step, 0.0)
    nodes = path.positions.nodes.copy()
    first = padded[index[:, : m * d]].reshape(-1, d)  # The number -1, of a fixed end, takes the zero at the end.
    nodes[:-1] += first
    if path.end is not None:
        nodes[-1] += path.end.frame @ padded[index[-1, m * d : (m + 1) * d]]
    momenta = path.momenta + padded[index[:, (m + 1) * d :]].reshape(K, m, d)
    return PhasePath(replace(path.positions, nodes=nodes), momenta, path.end)
