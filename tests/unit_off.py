"""A unit that switches off: the model case of passes at which the noise vanishes, and its cost by shooting."""

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_lyapunov

import qpot

Array = NDArray[np.float64]


def unit_off(decay: float = 0.2, *, floor: float = 0.0, units: int = 1) -> qpot.System:
    """Copies of L(w, u) = (1 - w u)^2 / 2 + decay (w^2 + u^2) / 2 under the noise diag(u^2, w^2) + floor."""

    def pairs(x: Array) -> tuple[Array, Array]:
        return x[:, ::2], x[:, 1::2]

    def loss(x: Array) -> Array:
        w, u = pairs(x)
        return np.asarray((0.5 * (1 - w * u) ** 2 + 0.5 * decay * (w**2 + u**2)).sum(axis=1))

    def gradient(x: Array) -> Array:
        w, u = pairs(x)
        slopes = np.empty_like(x)
        slopes[:, ::2] = -(1 - w * u) * u + decay * w
        slopes[:, 1::2] = -(1 - w * u) * w + decay * u
        return slopes

    def covariance(x: Array) -> Array:
        w, u = pairs(x)
        own = np.empty_like(x)
        own[:, ::2], own[:, 1::2] = u**2, w**2
        return (own + floor)[:, :, None] * np.eye(x.shape[1])

    return qpot.System.from_loss(loss, gradient, covariance, dimension=2 * units)


def home(decay: float = 0.2) -> Array:
    """The minimum (m, m) of one unit without a tilt."""
    return np.full(2, np.sqrt(1.0 - decay))


def by_shooting(decay: float, low: float, high: float) -> tuple[float, float]:
    """V from the minimum to the saddle by shots against time, and the distance by which they miss the minimum.

    Near (0, 0) the stable manifold of Hamilton's equations is known to fifth order in q along the ridge and p across it:
    the normal component of x is -q^2 p / (4 (mu + nu)), the tangential one of p is q p^2 / (4 (mu + nu)), with mu = 1 - decay
    and nu = 1 + decay. Shots differ in the ratio p / q^(mu / nu), between ``low`` and ``high``, and are bisected.
    """
    mu, nu, q = 1.0 - decay, 1.0 + decay, 1e-4
    n, e = np.array([1.0, 1.0]) / np.sqrt(2.0), np.array([-1.0, 1.0]) / np.sqrt(2.0)

    def backwards(_: float, z: Array) -> Array:
        w, u, p, s, _value = z
        r = 1.0 - w * u
        velocity = [r * u - decay * w + u * u * p, r * w - decay * u + w * w * s]
        force = [p * (u * u + decay) - s * (r - w * u) - w * s * s, s * (w * w + decay) - p * (r - w * u) - u * p * p]
        return -np.array([*velocity, *force, -0.5 * (u * u * p * p + w * w * s * s)])

    def far(_: float, z: Array) -> float:
        return float(np.linalg.norm(z[:4])) - 8.0

    far.terminal = True  # type: ignore[attr-defined]

    def shot(ratio: float) -> Array:
        p = ratio * q ** (mu / nu)
        start = [*(q * e - q**2 * p / (4.0 * (mu + nu)) * n), *(p * n + q * p**2 / (4.0 * (mu + nu)) * e), 0.0]
        return np.asarray(solve_ivp(backwards, (0, 60), start, method="DOP853", rtol=1e-10, atol=1e-14, events=[far]).y)

    def side(z: Array) -> bool:
        return bool(z[1, -1] > z[0, -1])

    first = side(shot(low))
    for _ in range(38):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if side(shot(middle)) == first else (low, middle)
    z, m = shot(low), np.sqrt(1.0 - decay)
    misses = np.linalg.norm(z[:2] - m, axis=0)
    k = int(misses.argmin())
    J = -np.eye(2) + (1.0 - 2.0 * m * m) * np.eye(2)[::-1]
    spread = solve_continuous_lyapunov(J, -(m**2) * np.eye(2))
    x = z[:2, k] - m
    return float(z[4, k] + 0.5 * x @ np.linalg.solve(spread, x)), float(misses[k])
