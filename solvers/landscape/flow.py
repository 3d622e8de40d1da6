"""The deterministic flow x' = b(x) of many points at once, each with its own adaptive step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
BatchFunction = Callable[[Array], Array]

# How a point ends: in an attractor's neighbourhood, at rest outside all of them, beyond the escape radius,
# undecided after max_time or max_steps, or where the drift is not finite.
ARRIVED, AT_REST, LEFT, OUT_OF_TIME, NON_FINITE = range(5)

# Up to this dimension the linearly implicit method is used: the Jacobian costs little and stiffness does not
# matter. Up to the second one it takes over from the explicit method what is undecided after so many steps: that is stiff.
IMPLICIT_DIMENSION, STIFF_DIMENSION = 8, 200
_EXPLICIT_STEPS = 100
_GAMMA = 1.0 / (2.0 + np.sqrt(2.0))
_E32 = 6.0 + np.sqrt(2.0)


def relax(
    drift: BatchFunction,
    jacobian: BatchFunction | None,
    points: Array,
    attractors: Array,
    metrics: Array,
    radii: Array,
    *,
    escape_centre: Array,
    escape_radius: float,
    rest_speed: float,
    tolerance: float = 1e-4,
    scale: float = 1.0,
    max_time: float = np.inf,
    max_steps: int = 2000,
) -> tuple[Integers, Array, Integers]:
    """Follow the flow from every point until it enters a neighbourhood, leaves, rests or runs out of time.

    Parameters
    ----------
    drift, jacobian : ``(m, d) -> (m, d)``, ``(m, d) -> (m, d, d)`` or None
        NaN is allowed in trial steps (the step is halved). Without a Jacobian, or above dimension 200, the
        explicit method is used; above dimension 8 for the first 100 steps.
    points : ``(n, d)``
    attractors, metrics, radii : ``(k, d)``, ``(k, d, d)``, ``(k,)``
        Neighbourhoods (x - a)^T M (x - a) <= radius^2 that the flow cannot leave.
    escape_centre, escape_radius : ``(d,)``, float
        A point farther away has left.
    rest_speed : float
        A point slower than this has come to rest.
    tolerance, scale : float
        Local error allowed in a step: ``tolerance (scale + |x|)``.

    Returns
    -------
    label : ``(n,)`` int
        Index of the attractor, -1 without one.
    end : ``(n, d)``
        Where the point was decided.
    status : ``(n,)`` int
        ARRIVED, AT_REST, LEFT, OUT_OF_TIME or NON_FINITE.

    Notes
    -----
    Rosenbrock pair of orders 2 and 3 (Shampine and Reichelt, SIAM J. Sci. Comput. 18, 1997, the method of
    ode23s), linearly implicit and L-stable; explicit: Bogacki and Shampine, Appl. Math. Lett. 2 (1989),
    orders 3 and 2.
    """
    n, d = points.shape
    end = points.copy()
    label = np.full(n, -1, dtype=np.int64)
    status = np.full(n, OUT_OF_TIME, dtype=np.int64)
    implicit = jacobian is not None and d <= IMPLICIT_DIMENSION

    active = np.arange(n)
    x = end.copy()
    f = drift(x) if n else x
    time = np.zeros(n)
    h = np.zeros(n)
    for count in range(max_steps + 1):
        inside = _inside(x, attractors, metrics, radii)
        speed = np.sqrt((f**2).sum(axis=1))
        finite = np.isfinite(speed)
        label[active] = inside
        verdict = np.full(active.size, -1, dtype=np.int64)
        verdict[time >= max_time] = OUT_OF_TIME
        verdict[speed <= rest_speed] = AT_REST
        verdict[((x - escape_centre) ** 2).sum(axis=1) > escape_radius**2] = LEFT
        verdict[inside >= 0] = ARRIVED
        verdict[~finite & (inside < 0)] = NON_FINITE
        end[active] = x
        decided = verdict >= 0
        status[active[decided]] = verdict[decided]
        keep = ~decided
        active, x, f, time, h = active[keep], x[keep], f[keep], time[keep], h[keep]
        if active.size == 0 or count == max_steps:
            break
        if count == 0:
            # a first step that moves the point by a hundredth of the scale; the controller takes over from
            # there
            h = 0.01 * scale / np.maximum(speed[keep], 1e-300)
            # the derivative along the path tells how fast the drift itself changes
            if implicit:
                curvature = np.abs(jacobian(x)).sum(axis=2).max(axis=1)  # type: ignore[misc]
                h = np.minimum(h, 0.5 / np.maximum(curvature, 1e-300))
        if count == _EXPLICIT_STEPS and jacobian is not None and d <= STIFF_DIMENSION:
            implicit = True
        J = jacobian(x) if implicit else None  # type: ignore[misc]
        step = _rosenbrock_step if implicit else _explicit_step
        x, f, h, time = _advance(step, drift, J, x, f, h, time, tolerance, scale, max_time)
    return label, end, status


def relax_freely(
    drift: BatchFunction,
    jacobian: BatchFunction | None,
    points: Array,
    *,
    escape_centre: Array,
    escape_radius: float,
    rest_speed: float,
    scale: float,
) -> tuple[Array, Integers]:
    """`relax` where no attractor is known: ends ``(n, d)`` and status ``(n,)`` after 1000 steps at most."""
    d = points.shape[1]
    _, end, status = relax(
        drift,
        jacobian,
        points,
        np.zeros((0, d)),
        np.zeros((0, d, d)),
        np.zeros(0),
        escape_centre=escape_centre,
        escape_radius=escape_radius,
        rest_speed=rest_speed,
        scale=scale,
        max_steps=1000,
    )
    return end, status


def _inside(x: Array, attractors: Array, metrics: Array, radii: Array) -> Integers:
    found = np.full(x.shape[0], -1, dtype=np.int64)
    for k in range(attractors.shape[0]):
        offset = x - attractors[k]
        found[np.einsum("ni,ij,nj->n", offset, metrics[k], offset) <= radii[k] ** 2] = k
    return found


def _advance(
    step: Callable[..., tuple[Array, Array, Array]],
    drift: BatchFunction,
    J: Array | None,
    x: Array,
    f: Array,
    h: Array,
    time: Array,
    tolerance: float,
    scale: float,
    max_time: float,
) -> tuple[Array, Array, Array, Array]:
    """One trial step of every point; points whose error is too large stay and get a smaller step."""
    h = np.minimum(h, np.maximum(max_time - time, 1e-300))
    trial, f_trial, error = step(drift, J, x, f, h)
    allowed = tolerance * (scale + np.abs(x).max(axis=1))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        ratio = np.sqrt((error**2).sum(axis=1)) / allowed
        good = np.isfinite(f_trial).all(axis=1) & (ratio <= 1.0)
        factor = np.where(np.isfinite(ratio), np.clip(0.8 * ratio ** (-1.0 / 3.0), 0.2, 5.0), 0.2)
    x = np.where(good[:, None], trial, x)
    f = np.where(good[:, None], f_trial, f)
    time = np.where(good, time + h, time)
    return x, f, h * np.where(good, factor, np.minimum(factor, 0.5)), time


def _safely(drift: BatchFunction, trial: Array, fallback: Array) -> Array:
    """The drift at ``trial``, NaN where the trial point itself is not finite."""
    finite: NDArray[np.bool_] = np.isfinite(trial.sum(axis=1))
    if finite.all():
        return drift(trial)
    values = drift(np.where(finite[:, None], trial, fallback))
    values[~finite] = np.nan
    return values


def _rosenbrock_step(drift: BatchFunction, J: Array, x: Array, f: Array, h: Array) -> tuple[Array, Array, Array]:
    d = x.shape[1]
    step = h[:, None]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        inverse = _inverse(np.eye(d) - _GAMMA * h[:, None, None] * J)
        k1 = np.einsum("nij,nj->ni", inverse, f)
        f1 = _safely(drift, x + 0.5 * step * k1, x)
        k2 = np.einsum("nij,nj->ni", inverse, f1 - k1) + k1
        trial = x + step * k2
        f2 = _safely(drift, trial, x)
        k3 = np.einsum("nij,nj->ni", inverse, f2 - _E32 * (k2 - f1) - 2.0 * (k1 - f))
        return trial, f2, step / 6.0 * (k1 - 2.0 * k2 + k3)


def _explicit_step(drift: BatchFunction, J: None, x: Array, f: Array, h: Array) -> tuple[Array, Array, Array]:
    del J
    step = h[:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        k2 = _safely(drift, x + 0.5 * step * f, x)
        k3 = _safely(drift, x + 0.75 * step * k2, x)
        trial = x + step * (2.0 * f + 3.0 * k2 + 4.0 * k3) / 9.0
        k4 = _safely(drift, trial, x)
        return trial, k4, step * (-5.0 * f + 6.0 * k2 + 8.0 * k3 - 9.0 * k4) / 72.0


def _inverse(W: Array) -> Array:
    """Inverses of ``(n, d, d)``: by cofactors up to two dimensions, where LAPACK calls cost more."""
    d = W.shape[1]
    if d == 1:
        return 1.0 / W
    if d == 2:
        determinant = W[:, 0, 0] * W[:, 1, 1] - W[:, 0, 1] * W[:, 1, 0]
        inverse = np.empty_like(W)
        inverse[:, 0, 0], inverse[:, 1, 1] = W[:, 1, 1], W[:, 0, 0]
        inverse[:, 0, 1], inverse[:, 1, 0] = -W[:, 0, 1], -W[:, 1, 0]
        return inverse / determinant[:, None, None]
    try:
        return np.asarray(np.linalg.inv(W), dtype=np.float64)
    except np.linalg.LinAlgError:
        # an exactly singular matrix among them: NaN rejects that step, and a shorter one is regular
        regular = np.linalg.matrix_rank(W) == d
        inverse = np.full_like(W, np.nan)
        inverse[regular] = np.linalg.inv(W[regular])
        return inverse
