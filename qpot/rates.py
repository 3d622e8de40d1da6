"""Rate prefactors: Eyring-Kramers at critical points, Bouchet-Reygner along a computed path."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.linalg import solve_continuous_lyapunov

from qpot._arrays import Array, as_float_array, as_point, as_points, as_positive, format_point
from qpot.solution import SolveError, Status
from qpot.solvers.transverse_hessian import transport
from qpot.system import System

# an eigenvalue below this share of the largest one leaves the quadratic approximation without meaning
DEGENERATE = 1e-7
_STEP = 1e-4


def eyring_kramers(
    hessian_at_minimum: Any,
    hessian_at_saddle: Any,
    *,
    covariance: Any = 1.0,
    covariance_at_saddle: Any = None,
) -> float:
    r"""Prefactor A of the rate ``A exp(-V / epsilon)`` from a minimum over one saddle, for drift -grad L.

    .. math:: A = \frac{|\lambda_-|}{2\pi}\sqrt{\frac{\det H_O}{|\det H_s|}} \times
              \Bigl(\frac{c_O}{c_s}\Bigr)^{1 - d/2}

    Parameters
    ----------
    hessian_at_minimum, hessian_at_saddle : ``(d, d)``
        Hessians of the loss; numbers for d = 1.
    covariance : number or ``(d, d)``
        Noise covariance a. A matrix is constant and must commute with both Hessians along the way (a H
        symmetric), which makes 2 a^-1 L' a gradient; a number is isotropic noise at the minimum.
    covariance_at_saddle : number, optional
        Isotropic noise c(x) that differs at the saddle; valid if the noise depends on x through the loss, or
        in d = 1.

    Returns
    -------
    float
        Transitions per unit of time INTO the other minimum (those that turn back at the saddle are not
        counted: the time to reach the saddle is half). Times of SGD are steps times learning rate. Parallel
        saddles: add the rates.

    Raises
    ------
    ValueError
        If the first Hessian is not positive definite, or the second does not have exactly one negative
        eigenvalue; if one is degenerate (the prefactor then is another power of epsilon); if the noise
        vanishes (absorbing minimum); if detailed balance fails (then `bouchet_reygner` has the answer).

    Notes
    -----
    Eyring 1935; Kramers 1940; Bouchet and Reygner, Ann. Henri Poincare 17 (2016) 3499, with K = div l + (1/2)
    (d_i a_ij) d_j phi: for a = c(x) 1 and no circulation exp(int K dt) = c_s / c_O, and the Hessians of the
    quasi-potential are 2 H / c.

    Examples
    --------
    >>> from qpot.rates import eyring_kramers
    >>> rate = eyring_kramers(2.0, -1.0)  # L = x^4/4 - x^2/2
    >>> round(1 / rate, 6)
    4.442883
    """
    H0 = _hessian(hessian_at_minimum, "hessian_at_minimum")
    Hs = _hessian(hessian_at_saddle, "hessian_at_saddle")
    d = H0.shape[0]
    if Hs.shape != H0.shape:
        raise ValueError(f"hessian_at_saddle has shape {Hs.shape}, expected that at the minimum, {H0.shape}")
    unstable = _unstable_rate(H0, Hs)
    a = as_float_array(covariance, name="covariance")
    ratio = 1.0
    if a.ndim == 0:
        c0 = _noise(covariance, "covariance")
        cs = c0 if covariance_at_saddle is None else _noise(covariance_at_saddle, "covariance_at_saddle")
        ratio = (c0 / cs) ** (1.0 - d / 2.0)
    elif covariance_at_saddle is not None:
        raise ValueError(
            "covariance_at_saddle goes with isotropic noise (two numbers); for a state-dependent matrix use "
            "bouchet_reygner along the minimum action path"
        )
    else:
        _check_detailed_balance(a, H0, Hs)
    determinants = np.linalg.slogdet(H0)[1] - np.linalg.slogdet(Hs)[1]
    return float(unstable / (2.0 * math.pi) * math.exp(0.5 * determinants) * ratio)


def bouchet_reygner(
    system: System,
    points: Any,
    momenta: Any,
    *,
    minimum: Any = None,
    saddle: Any = None,
) -> float:
    r"""Prefactor A of the rate ``A exp(-V / epsilon)`` along a minimum action path, for any drift and
    covariance.

    .. math:: A = \frac{\lambda_+}{2\pi}\sqrt{\frac{\det\nabla^2\phi(O)}{|\det\nabla^2\phi(s)|}}
              \exp\Bigl(-\int K\,dt\Bigr), \qquad
              K = \nabla\cdot b + (\partial_i a_{ij})\,p_j + \tfrac12 a:\nabla^2\phi

    Parameters
    ----------
    system : System
    points, momenta : ``(n, d)``
        The uphill leg: positions and p = gradient of the quasi-potential there.
    minimum, saddle : ``(d,)`` or objects with ``.point``, optional
        Where the leg begins and ends; the first and the last point if left out.

    Returns
    -------
    float
        As `eyring_kramers`: transitions per unit of time into the other minimum.

    Raises
    ------
    ValueError
        If the ends are not a stable fixed point and a saddle with one unstable direction, one of them is
        degenerate, the covariance is singular at the minimum (absorbing), or the momenta do not belong to a
        zero of the Hamiltonian.
    SolveError
        If the Hessian of the quasi-potential carried along the path diverges or does not arrive at that of
        the saddle: a caustic, or a path that is not a minimum action path.

    Notes
    -----
    Bouchet and Reygner, Ann. Henri Poincare 17 (2016) 3499, in the convention of this library. The Hessian Q
    follows Q' = -(H_xx + H_xp Q + Q H_px + Q a Q) from the solution of the Lyapunov equation at the minimum;
    its part along the path is known, Q x' = p', and is imposed, since it is the part that is not stable at
    the saddle. Beyond the first and last point the path is continued linearly.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> from qpot.rates import bouchet_reygner
    >>> system = qpot.System.from_loss(lambda x: x[:, 0]**4/4 - x[:, 0]**2/2, lambda x: x**3 - x, 1.0,
    dimension=1) >>> x = np.linspace(-1, 0, 401)[1:-1, None] >>> rate = bouchet_reygner(system, x, 2 * (x**3 -
    x), minimum=[-1.0], saddle=[0.0]) >>> round(1 / rate, 3)  # 2 pi / sqrt(2) 4.443
    """
    d = system.dimension
    x = as_points(points, dimension=d, name="points")
    p = as_points(momenta, dimension=d, name="momenta")
    if p.shape != x.shape or x.shape[0] < 8:
        raise ValueError(f"points {x.shape} and momenta {p.shape} must have one shape (n, {d}) with n >= 8")
    O = as_point(x[0] if minimum is None else minimum, dimension=d, name="minimum")
    s = as_point(x[-1] if saddle is None else saddle, dimension=d, name="saddle")
    J_O, a_O = _fixed_point(system, O, "minimum")
    J_s, a_s = _fixed_point(system, s, "saddle")
    S = solve_continuous_lyapunov(J_O, -a_O)
    Q_O = np.linalg.inv((S + S.T) / 2)
    growth = np.linalg.eigvals(J_s)
    unstable = float(growth.real.max())
    speed = np.linalg.norm(system.drift(x) + np.einsum("nij,nj->ni", system.covariance(x), p), axis=1)
    moving = np.flatnonzero(speed > 1e-7 * speed.max())
    x, p, speed = (q[moving[0] : moving[-1] + 1] for q in (x, p, speed))
    _check_hamiltonian(system, x, p)
    span, along = _along(x, p, speed)
    late = min(span / 4.0, math.log(2.0) / unstable)
    departure, depart = _departure(O, x[0], J_O + a_O @ Q_O, Q_O)
    fastest = max(np.abs(np.linalg.eigvals(J_O)).max(), np.abs(growth).max())
    Q, integral, carried, distance = Q_O, 0.0, [], []
    # on the linear path before the first point Q x' = p' holds only to first order, and it need not be
    # imposed there
    for begin, end, position, impose in (
        (0.0, departure, depart, False), (0.0, span - late, along, True), (span - late, span, along, True)
    ):  # fmt: skip
        steps = max(8, math.ceil((end - begin) * fastest * 40))
        y, q = position(np.linspace(begin, end, 2 * steps + 1))
        coefficients = _coefficients(system, y, q)
        Q, piece = transport(*coefficients, (end - begin) / steps, Q, impose)
        integral += piece
        carried.append(Q)
        distance.append(np.linalg.norm(y[-1] - s))
    # from the last point to the saddle K decays like the distance, and Q changes linearly with it
    integral += float(coefficients[-1][-1] + 0.5 * (coefficients[2][-1] * Q).sum()) / unstable
    Q = Q + (Q - carried[1]) * distance[2] / (distance[1] - distance[2])
    # at the saddle Q solves Q J + J^T Q + Q a Q = 0; solving that there alone fails where two eigenvalues of
    # J cancel
    rest = Q @ J_s + J_s.T @ Q + Q @ a_s @ Q
    if not np.isfinite(Q).all() or not np.abs(rest).max() <= 0.05 * np.abs(Q @ a_s @ Q).max():
        raise SolveError(
            "the Hessian of the quasi-potential, carried along the path, does not arrive at that of the saddle "
            f"{format_point(s)}; refine the path, and check that it is a minimum action path that ends there",
            status=Status.NOT_CONVERGED,
            partial=Q,
        )
    determinants = np.linalg.slogdet(Q_O)[1] - np.linalg.slogdet(Q)[1]
    return float(unstable / (2.0 * math.pi) * math.exp(0.5 * determinants - integral))


def expected_steps(cost: float, prefactor: float, *, epsilon: float, learning_rate: float) -> float:
    """Expected number of steps of SGD until the transition: exp(cost / epsilon) / (prefactor * learning
    rate).

    Infinite where it exceeds the largest float or the cost is infinite.

    Examples
    --------
    >>> from qpot.rates import eyring_kramers, expected_steps
    >>> round(expected_steps(0.5, eyring_kramers(2.0, -1.0), epsilon=0.05, learning_rate=0.05))
    1957220
    """
    A = as_positive(prefactor, name="prefactor")
    level, eta = as_positive(epsilon, name="epsilon"), as_positive(learning_rate, name="learning_rate")
    if not cost >= 0:
        raise ValueError(f"cost must be a number >= 0, got {cost!r}")
    exponent = cost / level - math.log(A) - math.log(eta)
    return math.exp(exponent) if exponent < 709.0 else math.inf


def _hessian(H: Any, name: str) -> Array:
    matrix = np.atleast_2d(as_float_array(H, name=name))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} has shape {matrix.shape}, expected (d, d)")
    if not np.isfinite(matrix).all() or np.abs(matrix - matrix.T).max() > 1e-6 * np.abs(matrix).max():
        raise ValueError(f"{name} must be finite and symmetric, got {matrix.tolist()}")
    return np.asarray((matrix + matrix.T) / 2)


def _unstable_rate(H0: Array, Hs: Array) -> float:
    """The negative eigenvalue at the saddle, as a positive number, after checks of both Hessians."""
    at_minimum, at_saddle = np.linalg.eigvalsh(H0), np.linalg.eigvalsh(Hs)
    for name, values in (("hessian_at_minimum", at_minimum), ("hessian_at_saddle", at_saddle)):
        if np.abs(values).min() <= DEGENERATE * np.abs(values).max():
            raise ValueError(
                f"{name} is degenerate (eigenvalues {values.tolist()}): the prefactor is another power of epsilon and this "
                "formula does not hold; the exponent V stays right"
            )
    if at_minimum[0] < 0:
        raise ValueError(f"hessian_at_minimum has the eigenvalue {at_minimum[0]:g} < 0: not a minimum")
    if (at_saddle < 0).sum() != 1:
        raise ValueError(
            f"hessian_at_saddle has {(at_saddle < 0).sum()} negative eigenvalues, expected one: {at_saddle.tolist()}"
        )
    return float(-at_saddle[0])


def _noise(value: Any, name: str) -> float:
    number = float(as_float_array(value, name=name))
    if number == 0:
        raise ValueError(
            f"{name} is zero: an interpolating minimum is absorbing, W of all others is infinite and there is no rate out of "
            "it; ask for hitting probabilities (qpot.passage.committor)"
        )
    return as_positive(number, name=name)


def _check_detailed_balance(a: Array, H0: Array, Hs: Array) -> None:
    if a.shape != H0.shape:
        raise ValueError(f"covariance has shape {a.shape}, expected {H0.shape} or a number")
    values = np.linalg.eigvalsh((a + a.T) / 2)
    if values[0] <= DEGENERATE * np.abs(values).max() or np.abs(a - a.T).max() > 1e-9 * np.abs(a).max():
        raise ValueError(f"covariance must be symmetric and positive definite, got {a.tolist()}")
    for name, H in (("hessian_at_minimum", H0), ("hessian_at_saddle", Hs)):
        if np.abs(a @ H - H @ a).max() > 1e-6 * np.abs(a @ H).max():
            raise ValueError(
                f"covariance does not commute with {name}: there is no detailed balance, and this formula would be wrong by "
                "a factor; use bouchet_reygner along the minimum action path"
            )


def _fixed_point(system: System, point: Array, name: str) -> tuple[Array, Array]:
    """Jacobian and covariance at the minimum or the saddle, after checks."""
    J, a = system.jacobian(point)[0], system.covariance(point)[0]
    values = np.linalg.eigvals(J)
    if np.abs(values.real).min() <= DEGENERATE * np.abs(values).max():
        raise ValueError(
            f"the {name} {format_point(point)} is degenerate (Jacobian eigenvalues {values.tolist()}): the prefactor is "
            "another power of epsilon and this formula does not hold; the exponent V stays right"
        )
    growing = int((values.real > 0).sum())
    if growing != (name == "saddle"):
        raise ValueError(
            f"the {name} {format_point(point)} has {growing} unstable directions, expected {int(name == 'saddle')}"
        )
    noise = np.linalg.eigvalsh(a)
    if noise[0] <= DEGENERATE * max(noise[-1], 0.0):
        raise ValueError(
            f"the covariance is singular at the {name} {format_point(point)}: an interpolating minimum is absorbing and has "
            "no rate out of it, and at a saddle the quasi-potential has no Hessian; add an explicit floor or ask for "
            "hitting probabilities (qpot.passage.committor)"
        )
    return J, a


def _check_hamiltonian(system: System, x: Array, p: Array) -> None:
    drift, a = system.drift(x), system.covariance(x)
    work = np.einsum("ni,ni->n", drift, p)
    noise = 0.5 * np.einsum("ni,nij,nj->n", p, a, p)
    wrong = np.abs(work + noise) / (np.abs(work) + noise).max()
    if wrong.max() > 0.02:
        n = int(wrong.argmax())
        raise ValueError(
            f"momenta do not belong to the path: H(x, p) = {work[n] + noise[n]:.3g} at {format_point(x[n])} should be zero; "
            "pass the momenta of a converged minimum action path, uphill leg only"
        )


def _along(x: Array, p: Array, speed: Array) -> Any:
    """Time span, and positions and momenta at given times.

    Both are smooth in the length, not in time, near the ends; the time follows from the speed.
    """
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    position, momentum, pace = (CubicSpline(length, q) for q in (x, p, speed))

    def arrived(t: float, s: Array) -> float:
        del t
        return float(s[0] - length[-1])

    arrived.terminal = True  # type: ignore[attr-defined]
    longest = 10.0 * float((np.diff(length) / np.minimum(speed[1:], speed[:-1])).sum())
    run = solve_ivp(
        lambda t, s: pace(s),
        (0.0, longest),
        [0.0],
        events=arrived,
        dense_output=True,
        rtol=1e-10,
        atol=1e-12 * length[-1],
    )

    def at(u: Array) -> tuple[Array, Array]:
        s = np.clip(run.sol(u)[0], 0.0, length[-1])
        return position(s), momentum(s)

    return float(run.t[-1]), at


def _departure(O: Array, first: Array, B: Array, Q: Array) -> Any:
    """From a distance of 1e-6 of the first point on: x - O = exp(B u) (x_1 - O), p = Q (x - O)."""
    values, vectors = np.linalg.eig(B)
    amplitude = np.linalg.solve(vectors, (first - O).astype(complex))
    span = math.log(1e6) / float(values.real.min()) if np.linalg.norm(first - O) > 0 else 1e-12

    def position(u: Array) -> tuple[Array, Array]:
        x = np.real((np.exp(np.outer(u - span, values)) * amplitude) @ vectors.T)
        return O + x, x @ Q

    return span, position


def _coefficients(system: System, x: Array, p: Array) -> tuple[Array, ...]:
    """H_xx, H_px, a, velocity, -H_x and the part of K that needs no Hessian, at points of the path."""
    n, d = x.shape
    J, a = system.jacobian(x), system.covariance(x)
    da = np.empty((n, d, d, d))
    H_xx = np.empty((n, d, d))
    for j in range(d):
        step = np.zeros(d)
        step[j] = 1.0
        h = _STEP * (1.0 + np.abs(x[:, j]))
        up, down = x + h[:, None] * step, x - h[:, None] * step
        width = (2.0 * h)[:, None, None]
        da[..., j] = (system.covariance(up) - system.covariance(down)) / width
    H_x = np.einsum("nij,ni->nj", J, p) + 0.5 * np.einsum("ni,nikj,nk->nj", p, da, p)
    for j in range(d):
        step = np.zeros(d)
        step[j] = 1.0
        h = _STEP * (1.0 + np.abs(x[:, j]))
        up, down = x + h[:, None] * step, x - h[:, None] * step
        drift_part = np.einsum(
            "nij,ni->nj", (system.jacobian(up) - system.jacobian(down)) / (2.0 * h)[:, None, None], p
        )
        H_xx[:, :, j] = drift_part + _second_noise(system, x, up, down, h, p)
    H_px = J + np.einsum("nikj,nk->nij", da, p)
    velocity = system.drift(x) + np.einsum("nij,nj->ni", a, p)
    K = np.einsum("nii->n", J) + np.einsum("niji,nj->n", da, p)
    return (H_xx + np.swapaxes(H_xx, 1, 2)) / 2, H_px, a, velocity, -H_x, K


def _second_noise(system: System, x: Array, up: Array, down: Array, h: Array, p: Array) -> Array:
    """Derivative of (1/2) p d_i a p along the direction from ``down`` to ``up``, for all i, ``(n, d)``."""
    d = x.shape[1]
    if system.constant_covariance is not None:
        return np.zeros_like(x)
    result = np.empty_like(x)
    for i in range(d):
        step = np.zeros(d)
        step[i] = 1.0
        g = (_STEP * (1.0 + np.abs(x[:, i])))[:, None] * step
        noise = [
            0.5 * np.einsum("ni,nik,nk->n", p, system.covariance(y), p) for y in (up + g, up - g, down + g, down - g)
        ]
        result[:, i] = (noise[0] - noise[1] - noise[2] + noise[3]) / (4.0 * h * g[:, i])
    return result
