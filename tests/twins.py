"""Plain NumPy twins of the path solvers: dense, slow, written without any of the library's code."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.integrate import simpson, solve_bvp
from scipy.interpolate import BarycentricInterpolator
from scipy.optimize import minimize

Array = NDArray[np.float64]
Field = Callable[[Array], Array]


def plain_action(drift: Field, covariance: Field, breaks: Array, nodes: Array, unit_nodes: Array, points: int) -> float:
    """The action S = int (x'-b)^T a^{-1} (x'-b) / 2 dt of a piecewise polynomial, element by element."""
    degree = unit_nodes.size - 1
    gauss, weights = legendre.leggauss(points)
    total = 0.0
    for k in range(breaks.size - 1):
        h = breaks[k + 1] - breaks[k]
        local = nodes[k * degree : (k + 1) * degree + 1]
        polynomial = BarycentricInterpolator(unit_nodes, local)
        x = polynomial(gauss)
        v = polynomial.derivative(gauss) * 2 / h
        for n in range(points):
            r = v[n] - drift(x[n][None])[0]
            total += 0.25 * h * weights[n] * float(r @ np.linalg.solve(covariance(x[n][None])[0], r))
    return total


def dense_derivatives(value: Callable[[Array], float], interior: Array, step: float = 1e-4) -> tuple[Array, Array]:
    """Gradient and Hessian of a function of the interior nodes by central differences."""
    flat = interior.ravel()
    n = flat.size
    eye = np.eye(n) * step

    def f(z: Array) -> float:
        return value(z.reshape(interior.shape))

    gradient = np.array([(f(flat + e) - f(flat - e)) / (2 * step) for e in eye])
    hessian = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            mixed = (
                f(flat + eye[i] + eye[j])
                - f(flat + eye[i] - eye[j])
                - f(flat - eye[i] + eye[j])
                + f(flat - eye[i] - eye[j])
            )
            hessian[i, j] = hessian[j, i] = mixed / (4 * step**2)
    return gradient, hessian


def from_lower_band(band: Array) -> Array:
    """The dense symmetric matrix of LAPACK's lower band storage."""
    width, n = band.shape
    dense = np.zeros((n, n))
    for offset in range(min(width, n)):
        for j in range(n - offset):
            dense[j + offset, j] = dense[j, j + offset] = band[offset, j]
    return dense


def segment_actions(drift: Field, covariance: Field, left: Array, right: Array) -> Array:
    """The geometric action |b| |dx| - <b, dx> in the metric a^{-1} of straight segments, by the midpoint rule."""
    middle, step = 0.5 * (left + right), right - left
    b, inverse = drift(middle), np.linalg.inv(covariance(middle))
    bb = np.einsum("ni,nij,nj->n", b, inverse, b)
    vv = np.einsum("ni,nij,nj->n", step, inverse, step)
    bv = np.einsum("ni,nij,nj->n", b, inverse, step)
    return np.asarray(np.sqrt(bb * vv) - bv, dtype=np.float64)


def polyline_geometric_action(points: Array, drift: Field, covariance: Field) -> float:
    """The geometric action of a polyline (Heymann and Vanden-Eijnden 2008, eq. 1.5), by the midpoint rule."""
    return float(segment_actions(drift, covariance, points[:-1], points[1:]).sum())


def equal_arc_length(points: Array, n: int) -> Array:
    """The polyline with n points at equal distances."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    u = np.linspace(0.0, s[-1], n)
    return np.stack([np.interp(u, s, points[:, i]) for i in range(points.shape[1])], axis=1)


def polyline_minimum(drift: Field, covariance: Field, start: Array, n: int, *, rounds: int = 12) -> Array:
    """A polyline of n points that minimises the geometric action.

    Its points take quasi-Newton steps, with derivatives by differences, and are redistributed in every round. The error is
    of first order in their distance, as in the geometric minimum action method.
    """
    points = equal_arc_length(start, n)
    d = points.shape[1]
    h = 1e-6

    def value_and_slope(flat: Array) -> tuple[float, Array]:
        full = np.concatenate([points[:1], flat.reshape(-1, d), points[-1:]])
        left, right = full[:-1], full[1:]
        slope = np.zeros_like(full)
        for i in range(d):
            shift = h * np.eye(d)[i]
            slope[:-1, i] += (
                segment_actions(drift, covariance, left + shift, right)
                - segment_actions(drift, covariance, left - shift, right)
            ) / (2 * h)
            slope[1:, i] += (
                segment_actions(drift, covariance, left, right + shift)
                - segment_actions(drift, covariance, left, right - shift)
            ) / (2 * h)
        return float(segment_actions(drift, covariance, left, right).sum()), slope[1:-1].ravel()

    for _ in range(rounds):
        result = minimize(value_and_slope, points[1:-1].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 60})
        moved = np.concatenate([points[:1], result.x.reshape(-1, d), points[-1:]])
        points = equal_arc_length(moved, n)
    return points


class HamiltonSolution(NamedTuple):
    points: Array
    momenta: Array
    action: float
    energy: float


def hamilton_boundary_value(
    drift: Field, jacobian: Field, covariance: Array, guess: Array, *, span: float, tolerance: float = 1e-9
) -> HamiltonSolution:
    """Solve x' = b + a p, p' = -J^T p for constant a, from the first to the last point of ``guess`` in a given time.

    The solver is ``scipy.integrate.solve_bvp``. The action int p.a p / 2 dt exceeds V by about exp(-2 rate span).
    """
    d = guess.shape[1]

    def right_hand_side(_: Array, z: Array) -> Array:
        x, p = z[:d].T, z[d:].T
        dx = drift(x) + p @ covariance
        dp = -np.einsum("nij,ni->nj", jacobian(x), p)
        return np.concatenate([dx.T, dp.T])

    def ends(za: Array, zb: Array) -> Array:
        return np.concatenate([za[:d] - guess[0], zb[:d] - guess[-1]])

    times = np.linspace(0.0, span, guess.shape[0])
    velocity = np.gradient(guess, times, axis=0)
    momentum = np.linalg.solve(covariance, (velocity - drift(guess)).T)
    solution = solve_bvp(
        right_hand_side, ends, times, np.concatenate([guess.T, momentum]), tol=tolerance, max_nodes=60000
    )
    assert solution.success, solution.message
    t = np.linspace(0.0, span, 40001)
    z = solution.sol(t)
    x, p = z[:d].T, z[d:].T
    pap = np.einsum("ni,ij,nj->n", p, covariance, p)
    energy = np.einsum("ni,ni->n", drift(x), p) + 0.5 * pap
    return HamiltonSolution(x, p, float(simpson(0.5 * pap, x=t)), float(np.abs(energy).max()))
