"""Rate prefactors along a minimum action path (Bouchet and Reygner), for any drift and covariance."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from qpot._core.arrays import Array, as_point, as_points, format_point
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike
from qpot.prediction.linear_ends import arrival, departure
from qpot.prediction.path_coefficients import coefficients
from qpot.problem.system import System
from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.prediction.transverse_hessian import transport

# A fixed point with an eigenvalue below this share of the largest one counts as degenerate: the quadratic approximation
# then has no meaning.
DEGENERATE = 1e-7
# Steps of the integration for each of the shortest relaxation times, ...
_OFTEN = 16
# ... and in stiff systems, where the solution is smooth and only the stability of the steps counts, if there would be more
# than ``_MANY_STEPS``.
_SELDOM = 2
_MANY_STEPS = 10_000
# Beyond this number of steps, a few seconds, the integration is given up.
_MOST_STEPS = 100_000
# A prefactor of more than this power of e is no prefactor, but the sign of a Hessian that was lost on the way.
_LARGEST_EXPONENT = 300.0
# On the way from the last point to the saddle, which is long, motion and Hessian hardly change in such a time.
_TAIL = 4
# A path that ends farther from the saddle than this part of the distance of its ends misses it.
_NEAR = 0.1
# The logarithm of the prefactor may change by this much on the last part of the way from the last point to the saddle.
_ARRIVED = 0.01
# Pieces into which the way between two points of a path is divided, and the points of Gauss's rule on each.
_PIECES, _GAUSS = 4, 4


def bouchet_reygner(
    system: System,
    points: ArrayLike,
    momenta: ArrayLike,
    *,
    minimum: PointLike | None = None,
    saddle: PointLike | None = None,
) -> float:
    r"""Prefactor A of the rate ``A exp(-V / epsilon)`` along a minimum action path, for any drift and covariance.

    .. math:: A = \frac{\lambda_+}{2\pi}\sqrt{\frac{\det\nabla^2\phi(O)}{|\det\nabla^2\phi(s)|}}
              \exp\Bigl(-\int K\,dt\Bigr), \qquad
              K = \nabla\cdot b + (\partial_i a_{ij})\,p_j + \tfrac12 a:\nabla^2\phi

    Parameters
    ----------
    system : System
    points, momenta : ``(n, d)``
        Positions on the leg from the minimum to the saddle, and p = gradient of the quasi-potential there; n >= 8.
    minimum, saddle : ``(d,)`` or objects with ``.point``, optional
        The ends of the leg; by default its first and its last point.

    Returns
    -------
    float
        As for `eyring_kramers`: the number of transitions into the other minimum per unit of time.

    Raises
    ------
    ValueError
        If the ends are not a stable fixed point and a saddle with one unstable direction, if one of them is
        degenerate, if the covariance is singular at one of them, or if the Hamiltonian does not vanish along the path.
    SolveError
        If the Hessian of the quasi-potential, carried along the path, diverges or does not arrive at that of the
        saddle: there is a caustic, or the path is not a minimum action path.

    Notes
    -----
    F. Bouchet, J. Reygner, Ann. Henri Poincare 17 (2016) 3499, in the convention of this library. The Hessian Q of the
    quasi-potential follows Q' = -(H_xx + H_xp Q + Q H_px + Q a Q) from the solution of the Lyapunov equation at the
    minimum. Its part along the path, Q x' = p', is known and is imposed, because just this part is not stable at the
    saddle. Before the first and after the last point the path is continued by the flow at the fixed point. Beyond the saddle
    the committor depends on l (x - s) only, with the left eigenvector l of lambda_+; so it is the part of Q across l that has
    to be positive and to count, and |det Q| = (2 lambda_+ |l|^2 / l a l) det Q' at the saddle. Unlike det Q this
    stays well defined where the other rates at the saddle are small.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> from qpot.prediction.kramers import bouchet_reygner
    >>> system = qpot.System.from_loss(
    ...     lambda x: x[:, 0]**4/4 - x[:, 0]**2/2, lambda x: x**3 - x, 1.0, dimension=1)
    >>> x = np.linspace(-1, 0, 401)[1:-1, None]
    >>> rate = bouchet_reygner(system, x, 2 * (x**3 - x), minimum=[-1.0], saddle=[0.0])
    >>> round(1 / rate, 3)  # 2 pi / sqrt(2)
    4.443
    """
    d = system.dimension
    x = as_points(points, dimension=d, name="points")
    p = as_points(momenta, dimension=d, name="momenta")
    if p.shape != x.shape or x.shape[0] < 8:
        raise ValueError(f"points {x.shape} and momenta {p.shape} must have one shape (n, {d}) with n >= 8")
    origin = as_point(x[0] if minimum is None else minimum, dimension=d, name="minimum")
    s = as_point(x[-1] if saddle is None else saddle, dimension=d, name="saddle")
    J_O, a_O = _fixed_point(system, origin, "minimum")
    J_s, a_s = _fixed_point(system, s, "saddle")
    at_ends = [np.linalg.eigvals(J) for J in (J_O, J_s)]
    if min(np.abs(v.real).min() for v in at_ends) <= DEGENERATE * max(np.abs(v).max() for v in at_ends):
        raise ValueError(
            f"the minimum {format_point(origin)} or the saddle {format_point(s)} is degenerate (Jacobian "
            "eigenvalues "
            f"{at_ends[0].tolist()}, {at_ends[1].tolist()}): the prefactor is another power of epsilon and "
            "this formula "
            "does not hold; the exponent V stays right"
        )
    S = stationary_covariance(J_O, a_O)
    Q_O: Array = np.asarray(np.linalg.inv(S), dtype=np.float64)
    growth = np.linalg.eigvals(J_s)
    unstable = float(growth.real.max())
    speed = np.linalg.norm(
        system.unchecked.drift(x) + np.einsum("nij,nj->ni", system.unchecked.covariance(x), p), axis=1
    )
    moving = np.flatnonzero(speed > 1e-7 * speed.max())
    x, p, speed = (q[moving[0] : moving[-1] + 1] for q in (x, p, speed))
    _check_hamiltonian(system, x, p)
    span, along = _along(x, p, speed)
    start, depart = departure(origin, x[0], J_O + a_O @ Q_O, Q_O)
    pace = system.unchecked.drift(x[-1:])[0] + system.unchecked.covariance(x[-1:])[0] @ p[-1]
    end = arrival(s, J_s, a_s, x[-1], p[-1], pace)
    fastest = max(np.abs(np.linalg.eigvals(J_O)).max(), np.abs(growth).max())
    often = _often((start + span + end.span) * fastest)
    Q, integral, factors = Q_O, 0.0, []
    # On the linear path before the first point Q x' = p' holds only to first order, so it is not imposed there.
    seldom = min(often, _TAIL)
    for begin, stop, position, impose, per in (
        (0.0, start, depart, False, often), (0.0, span, along, True, often),
        (0.0, 0.5 * end.span, end.motion, True, seldom), (0.5 * end.span, end.span, end.motion, True, seldom),
    ):  # fmt: skip
        steps = max(8, math.ceil((stop - begin) * fastest * per))
        y, q = position(np.linspace(begin, stop, 2 * steps + 1))
        H_xx, H_px, a, velocity, force, K = coefficients(system, y, q)
        Q, piece = transport(H_xx, H_px, a, velocity, force, K, (stop - begin) / steps, Q, impose)
        integral += piece
        factors.append(end.log_factor(Q) - integral)
    exponent = 0.5 * float(np.linalg.slogdet(Q_O)[1]) + factors[-1]
    # In the linear part of the flow at the saddle the factor does not change any more.
    near = np.linalg.norm(x[-1] - s) <= _NEAR * np.linalg.norm(origin - s)
    if not near or not abs(factors[-1] - factors[-2]) <= _ARRIVED or not abs(exponent) < _LARGEST_EXPONENT:
        raise SolveError(
            "the Hessian of the quasi-potential, carried along the path, does not arrive at that of the "
            "saddle "
            f"{format_point(s)}; refine the path, and check that it is a minimum action path that ends there",
            status=Status.NOT_CONVERGED,
            partial=Q,
        )
    return float(unstable / (2.0 * math.pi) * math.exp(exponent))


def hessian_carried(
    system: System, points: ArrayLike, momenta: ArrayLike, *, minimum: PointLike
) -> tuple[Array, Array, float]:
    r"""The Hessian of the quasi-potential at both ends of a path out of a minimum, and the integral of K along it.

    The stationary density is
    :math:`\rho(x) = \sqrt{\det Q_O}\,(2 \pi \epsilon)^{-d/2} \exp(-\int K\,dt - V(x)/\epsilon)` to leading order, with K
    as in `bouchet_reygner`.

    Parameters
    ----------
    system : System
    points, momenta : ``(n, d)``
        A minimum action path from near the minimum to a point that is no fixed point; n >= 8.
    minimum : ``(d,)`` or object with ``.point``

    Returns
    -------
    Q_O, Q : array (d, d)
        The Hessians at the minimum and at the last point.
    integral : float
        The integral of K over the whole time of the path.

    Raises
    ------
    ValueError, SolveError
        As for `bouchet_reygner`.
    """
    d = system.dimension
    x, p = as_points(points, dimension=d, name="points"), as_points(momenta, dimension=d, name="momenta")
    if p.shape != x.shape or x.shape[0] < 8:
        raise ValueError(f"points {x.shape} and momenta {p.shape} must have one shape (n, {d}) with n >= 8")
    origin = as_point(minimum, dimension=d, name="minimum")
    J_O, a_O = _fixed_point(system, origin, "minimum")
    rates = np.linalg.eigvals(J_O)
    if np.abs(rates.real).min() <= DEGENERATE * np.abs(rates).max():
        raise ValueError(f"the minimum {format_point(origin)} is degenerate (Jacobian eigenvalues {rates.tolist()})")
    Q_O: Array = np.asarray(np.linalg.inv(stationary_covariance(J_O, a_O)), dtype=np.float64)
    velocity = system.unchecked.drift(x) + np.einsum("nij,nj->ni", system.unchecked.covariance(x), p)
    _check_hamiltonian(system, x, p)
    span, along = _along(x, p, np.linalg.norm(velocity, axis=1))
    start, depart = departure(origin, x[0], J_O + a_O @ Q_O, Q_O)
    fastest = float(np.abs(np.linalg.eigvals(system.unchecked.jacobian(np.vstack([origin, x[-1]])))).max())
    often = _often((start + span) * fastest)
    Q, integral = Q_O, 0.0
    for duration, position, impose in ((start, depart, False), (span, along, True)):
        steps = max(8, math.ceil(duration * fastest * often))
        y, q = position(np.linspace(0.0, duration, 2 * steps + 1))
        H_xx, H_px, a, speed, force, K = coefficients(system, y, q)
        Q, piece = transport(H_xx, H_px, a, speed, force, K, duration / steps, Q, impose)
        integral += piece
    if not np.isfinite(Q).all() or not abs(integral) < _LARGEST_EXPONENT:
        raise SolveError(
            "the Hessian of the quasi-potential, carried along the path, diverges: there is a caustic on the "
            "way, or it is no "
            "minimum action path",
            status=Status.NOT_CONVERGED,
            partial=Q,
        )
    return Q_O, Q, integral


def _often(durations: float) -> int:
    """Steps for each of the shortest relaxation times, of which the path takes so many.

    Raises
    ------
    SolveError
        If there are too many of them.
    """
    if durations * _SELDOM > _MOST_STEPS:
        raise SolveError(
            f"the path takes {durations:.2g} of the shortest relaxation times, too many to carry the Hessian of the "
            "quasi-potential along; the exponent V stays right",
            status=Status.BUDGET,
        )
    return _OFTEN if durations * _OFTEN <= _MANY_STEPS else _SELDOM


def _fixed_point(system: System, point: Array, name: str) -> tuple[Array, Array]:
    """Jacobian and covariance at the minimum or saddle, checked to be a fixed point of that kind with full noise."""
    here = point[None]
    J, a = system.unchecked.jacobian(here)[0], system.unchecked.covariance(here)[0]
    b = system.unchecked.drift(here)[0]
    if np.linalg.norm(b) > 1e-5 * np.linalg.norm(J) * (1.0 + np.linalg.norm(point)):
        raise ValueError(f"the {name} {format_point(point)} is not a fixed point: the drift there is {format_point(b)}")
    values = np.linalg.eigvals(J)
    growing = int((values.real > 0).sum())
    if growing != (name == "saddle"):
        raise ValueError(
            f"the {name} {format_point(point)} has {growing} unstable directions, expected {int(name == 'saddle')}"
        )
    noise = np.linalg.eigvalsh(a)
    if noise[0] <= DEGENERATE * max(noise[-1], 0.0):
        raise ValueError(
            f"the covariance is singular at the {name} {format_point(point)}: an interpolating minimum is "
            "absorbing and has "
            "no rate out of it, and at a saddle the quasi-potential has no Hessian; add an explicit floor or "
            "ask for "
            "hitting probabilities (qpot.committor)"
        )
    return J, a


def _check_hamiltonian(system: System, x: Array, p: Array) -> None:
    """Refuse momenta for which the Hamiltonian is not zero along the path."""
    drift, a = system.unchecked.drift(x), system.unchecked.covariance(x)
    work = np.einsum("ni,ni->n", drift, p)
    noise = 0.5 * np.einsum("ni,nij,nj->n", p, a, p)
    wrong = np.abs(work + noise) / (np.abs(work) + noise).max()
    if wrong.max() > 0.02:
        n = int(wrong.argmax())
        raise ValueError(
            f"momenta do not belong to the path: H(x, p) = {work[n] + noise[n]:.3g} at {format_point(x[n])} "
            "should be zero; "
            "pass the momenta of a converged minimum action path, uphill leg only"
        )


def _along(x: Array, p: Array, speed: Array) -> tuple[float, Callable[[Array], tuple[Array, Array]]]:
    """Duration of the path, and a function that gives positions and momenta at given times.

    Near the ends both are smooth functions of arc length but not of time; so they are interpolated in arc length, and
    the time follows from the speed.

    Raises
    ------
    SolveError
        If the speed vanishes on the way.
    """
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    position, momentum, pace = (CubicSpline(length, q) for q in (x, p, speed))
    # Times are integrals of 1 / speed between nodes that are close to each other on the scale on which the speed changes.
    share = np.linspace(0.0, 1.0, _PIECES, endpoint=False)
    nodes = np.append((length[:-1, None] + np.diff(length)[:, None] * share).ravel(), length[-1])
    abscissas, weights = np.polynomial.legendre.leggauss(_GAUSS)
    width = np.diff(nodes)
    between = pace(nodes[:-1, None] + width[:, None] * (1.0 + abscissas) / 2.0)
    fast = pace(nodes)
    if min(fast.min(), between.min()) <= 0.0:
        raise SolveError(
            "the speed vanishes along the path, so that it takes no definite time; refine the path",
            status=Status.NOT_CONVERGED,
        )
    times = np.concatenate([[0.0], np.cumsum((weights / between).sum(axis=1) * width / 2.0)])
    reached = CubicHermiteSpline(times, nodes, fast)

    def at(u: Array) -> tuple[Array, Array]:
        s = np.clip(reached(u), 0.0, length[-1])
        return position(s), momentum(s)

    return float(times[-1]), at
