"""One leg in many dimensions: products instead of matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, eigsh

from qpot._arrays import Array, NonFiniteError, format_point
from qpot.methods import LargeScaleAction
from qpot.solution import PathSolution, Status
from qpot.solvers.elements import ElementPath
from qpot.solvers.initial_path import timed_path
from qpot.solvers.large_action import LargeAction
from qpot.solvers.large_refinement import refine_large
from qpot.solvers.newton_krylov import CONVERGED
from qpot.solvers.time_preconditioner import as_linear_part, scalar_preconditioner, stiff_preconditioner
from qpot.system import System

# minimum_action_path changes to products above this dimension.
AUTOMATIC = 30
# Up to these dimensions the Jacobian at the two ends is formed, column by column, for its eigenvalues.
_DENSE_SYMMETRIC, _DENSE_GENERAL, _DENSE_DIFFERENCES = 2000, 600, 200
_ELEMENTS, _DEGREE = 16, 4
_CHUNK = 4_000_000
# Directional differences: of the drift (cbrt of the rounding), of the action's gradient with exact products and without.
_DRIFT_STEP, _EXACT_STEP, _DIFFERENCED_STEP = 6e-6, 1e-7, 1e-5


def products_suffice(system: System) -> bool:
    """Whether the large-scale method can take the system: the covariance's dependence on x must be known by products."""
    structured = system.structured_covariance
    if structured is not None:
        return structured.constant or structured.gradient is not None
    return system.constant_covariance is not None


def transpose_product(system: System) -> Callable[[Array, Array], Array]:
    """(x, p) -> J(x)^T p by the cheapest way that the system offers."""
    if system.jacobian_transpose_product is not None:
        return system.jacobian_transpose_product
    if system.gradient_drift:

        def along(x: Array, p: Array) -> Array:
            # J is symmetric: its product is the derivative of the drift along p
            norm = np.linalg.norm(p, axis=1, keepdims=True)
            h = _DRIFT_STEP * (1.0 + np.linalg.norm(x, axis=1, keepdims=True)) / np.where(norm > 0.0, norm, 1.0)
            return np.asarray((system.drift(x + h * p) - system.drift(x - h * p)) / (2.0 * h), dtype=np.float64)

        return along
    d = system.dimension
    if d > _DENSE_DIFFERENCES:
        raise ValueError(
            f"the drift is no gradient and has {d} dimensions: pass jacobian_transpose_product=(x, p) -> J(x)^T p to "
            "System, for example by automatic differentiation"
        )

    def dense(x: Array, p: Array) -> Array:
        size = max(1, _CHUNK // d**2)
        parts = [
            np.einsum("nij,ni->nj", system.jacobian(x[k : k + size]), p[k : k + size])
            for k in range(0, x.shape[0], size)
        ]
        return np.concatenate(parts)

    return dense


def products_of_covariance(
    system: System,
) -> tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array], Callable[[Array, Array], Array] | None]:
    """(x, p) -> a p, (x, r) -> a^{-1} r, and the gradient of p.a p where a depends on x."""
    structured = system.structured_covariance
    if structured is not None:
        return structured.times, structured.solve, structured.gradient
    a = system.constant_covariance
    if a is None:
        raise ValueError(
            "covariance is a function that returns matrices; in many dimensions pass a constant one or "
            "qpot.covariance.factored(factor, floor, gradient=...)"
        )
    try:
        factor = cho_factor(a)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "covariance is singular: the method for many dimensions needs noise in every direction; use "
            "qpot.covariance.factored with a floor, or method=qpot.GeometricAction() for the exact singular covariance"
        ) from error
    return (lambda x, p: p @ a), (lambda x, r: cho_solve(factor, r.T, check_finite=False).T), None


def rates_near_zero(system: System, point: Array, *, name: str) -> tuple[float, int]:
    """Slowest linear rate at a fixed point and the number of unstable directions (counted up to two)."""
    d = system.dimension
    product = transpose_product(system)

    def column(p: Array) -> Array:
        return np.asarray(product(point[None], np.asarray(p, dtype=np.float64).reshape(1, d))[0], dtype=np.float64)

    symmetric = system.gradient_drift
    if d <= (_DENSE_SYMMETRIC if symmetric else _DENSE_GENERAL):
        size = max(1, _CHUNK // d)
        eye = np.eye(d)
        rows = [product(np.tile(point, (len(part), 1)), part) for part in np.array_split(eye, -(-d // size))]
        J = np.concatenate(rows)
        values = np.linalg.eigvalsh(0.5 * (J + J.T)) if symmetric else np.linalg.eigvals(J).real
    else:
        operator = LinearOperator((d, d), matvec=column, dtype=np.float64)
        start = np.random.default_rng(0).normal(size=d)
        try:
            if symmetric:
                values = eigsh(operator, k=3, which="LA", tol=1e-3, v0=start, ncv=40, return_eigenvectors=False)
            else:
                values = eigs(operator, k=3, which="LR", tol=1e-3, v0=start, ncv=40, return_eigenvectors=False).real
        except ArpackNoConvergence as error:
            values = error.eigenvalues.real
            if values.size == 0:
                raise ValueError(
                    f"{name}={format_point(point)}: the slowest rates of the drift were not found by Lanczos iterations; "
                    "the drift is too stiff without linear_part, or not differentiable there"
                ) from error
    slowest = float(np.abs(values).min())
    if slowest <= 1e-7 * float(np.abs(values).max()):
        raise ValueError(
            f"{name}={format_point(point)} has a flat direction (rate {slowest:.3g}): it is not an isolated "
            "non-degenerate fixed point; remove the redundant parameter or add weight decay"
        )
    return slowest, int((values > 0).sum())


def large_leg(
    system: System,
    start: Array,
    end: Array,
    *,
    method: LargeScaleAction,
    curve: Array | None,
    report: Callable[[int, int, str], None],
) -> PathSolution:
    """The minimiser near one initial curve, from the attracting fixed point ``start`` to ``end``.

    Raises
    ------
    ValueError
        If ``start`` is no attracting fixed point, the covariance is singular, or products are missing.
    """
    times, solve, gradient = products_of_covariance(system)
    product = transpose_product(system)
    distance = float(np.linalg.norm(end - start))
    speed = float(np.linalg.norm(system.drift(start[None])))
    slow_start, unstable = rates_near_zero(system, start, name="start")
    if speed > 1e-4 * slow_start * distance:
        raise ValueError(
            f"start={format_point(start)} is not a minimum: the drift there is {speed:.3g}, not zero; polish it first"
        )
    if unstable:
        raise ValueError(f"start={format_point(start)} does not attract: its Jacobian has a positive eigenvalue")
    slow_end = 0.0
    if float(np.linalg.norm(system.drift(end[None]))) <= 1e-4 * slow_start * distance:
        slow_end, unstable = rates_near_zero(system, end, name="end")
        if not unstable:
            raise ValueError(
                f"end={format_point(end)} attracts: in many dimensions pass the saddle between as end; the way down from "
                "it costs nothing"
            )
    action = LargeAction(system.drift, product, solve, gradient)
    guess = _timed(system, start, end, curve, slow_start, slow_end)
    stiff = None
    if method.linear_part is not None:
        try:
            stiff = as_linear_part(method.linear_part, system.dimension)
        except ValueError as error:
            raise ValueError(f"linear_part: {error}") from error
    probe = np.random.default_rng(0).normal(size=system.dimension)
    probe /= np.linalg.norm(probe)

    def preconditioner(path: ElementPath) -> Callable[[Array], Array]:
        if stiff is not None:
            size = float(probe @ times(path.nodes[:1], probe[None])[0])
            return stiff_preconditioner(path, stiff, size)
        squares = np.empty(path.nodes.shape[0])
        rows = max(1, _CHUNK // system.dimension)
        for k in range(0, squares.size, rows):
            x = path.nodes[k : k + rows]
            squares[k : k + rows] = (product(x, np.broadcast_to(probe, x.shape)) ** 2).sum(axis=1)
        middle = path.nodes[path.nodes.shape[0] // 2 : path.nodes.shape[0] // 2 + 1]
        return scalar_preconditioner(
            path, squares, lambda r: times(middle if gradient is None else np.broadcast_to(middle, r.shape), r)
        )

    leg = refine_large(
        action,
        guess,
        preconditioner,
        slow_start=slow_start,
        slow_end=slow_end,
        tolerance=method.tolerance,
        max_iterations=method.max_iterations,
        max_products=method.max_products,
        max_elements=method.max_elements,
        difference=_EXACT_STEP if system.jacobian_transpose_product is not None else _DIFFERENCED_STEP,
        on_iteration=lambda i, s: report(i, max(i + 1, method.max_iterations), f"Newton step {i}, action {s:.6g}"),
    )
    return PathSolution(
        points=leg.path.nodes,
        action=leg.action,
        error=leg.error,
        status=Status.CONVERGED if leg.status == CONVERGED else Status.NOT_CONVERGED,
        residual=leg.residual,
        iterations=leg.products,
        method=method,
        momenta=action.momenta(leg.path),
        times=leg.path.node_times(),
        uphill=np.ones(leg.path.nodes.shape[0], dtype=bool),
    )


def _timed(
    system: System, start: Array, end: Array, curve: Array | None, slow_start: float, slow_end: float
) -> ElementPath:
    """The initial curve with the drift's speed, through its arc length alone, so that few points are held."""
    knots = np.stack([start, end]) if curve is None else curve
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])

    def at(s: Array) -> Array:
        k = np.clip(np.searchsorted(lengths, s, side="right") - 1, 0, lengths.size - 2)
        share = ((s - lengths[k]) / np.diff(lengths)[k])[:, None]
        return np.asarray((1.0 - share) * knots[k] + share * knots[k + 1], dtype=np.float64)

    def speed(s: Array, _: Array) -> Array:
        rows = max(1, _CHUNK // system.dimension)
        flat = s.ravel()
        return np.concatenate(
            [np.linalg.norm(system.drift(at(flat[k : k + rows])), axis=1) for k in range(0, flat.size, rows)]
        )

    scalar = timed_path(
        lengths[:, None], speed, slow_start=slow_start, slow_end=slow_end, n_elements=_ELEMENTS, degree=_DEGREE
    )
    nodes = at(np.clip(scalar.nodes[:, 0], 0.0, lengths[-1]))
    nodes[0], nodes[-1] = start, end
    if not np.isfinite(nodes).all():
        raise NonFiniteError("the initial curve is not finite", start)
    return ElementPath(scalar.breaks, nodes, scalar.degree)
