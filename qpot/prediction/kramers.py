"""Rate prefactors from critical points (Eyring and Kramers), and the expected number of steps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_float_array, as_noise_level, as_positive
from qpot.prediction.along_paths import DEGENERATE, bouchet_reygner

__all__ = ["bouchet_reygner", "expected_steps", "eyring_kramers"]


def eyring_kramers(
    hessian_at_minimum: ArrayLike,
    hessian_at_saddle: ArrayLike,
    *,
    covariance: ArrayLike = 1.0,
    covariance_at_saddle: float | None = None,
) -> float:
    r"""Prefactor A of the rate ``A exp(-V / epsilon)`` from a minimum over one saddle, for drift -grad L.

    .. math:: A = \frac{|\lambda_-|}{2\pi}\sqrt{\frac{\det H_O}{|\det H_s|}} \times
              \Bigl(\frac{c_O}{c_s}\Bigr)^{1 - d/2}

    Parameters
    ----------
    hessian_at_minimum, hessian_at_saddle : ``(d, d)``
        Hessians of the loss; numbers are accepted for d = 1.
    covariance : number or ``(d, d)``
        Noise covariance a. A number stands for isotropic noise at the minimum. A matrix stands for constant noise; it
        must commute with the Hessians all along the path (which is checked at both ends), so that the vector field
        2 a^-1 grad L is a gradient.
    covariance_at_saddle : number, optional
        Isotropic noise c at the saddle, if it differs. The formula then holds if the noise depends on x through the loss
        only, and always for d = 1.

    Returns
    -------
    float
        The number of transitions INTO the other minimum per unit of time. Those that reach the saddle and turn back are
        not counted; with them the number would be twice as large. A time of SGD is steps times learning rate. The rates
        over parallel saddles add up.

    Raises
    ------
    ValueError
        If the first Hessian is not positive definite, or the second does not have exactly one negative eigenvalue; if
        one of them is degenerate (the prefactor is then another power of epsilon); if the noise vanishes (the minimum is
        then absorbing); if detailed balance fails (`bouchet_reygner` then has the answer).

    Notes
    -----
    H. Eyring, J. Chem. Phys. 3 (1935) 107; H. A. Kramers, Physica 7 (1940) 284; F. Bouchet, J. Reygner, Ann. Henri
    Poincare 17 (2016) 3499, with K = div l + (1/2) (d_i a_ij) d_j phi. For a = c(x) 1 and a transverse drift l that
    vanishes, exp(int K dt) = c_s / c_O, and the Hessians of the quasi-potential phi are 2 H / c.

    Examples
    --------
    >>> from qpot.prediction.kramers import eyring_kramers
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


def expected_steps(cost: float, prefactor: float, *, epsilon: float, learning_rate: float | None = None) -> float:
    """Expected number of steps of SGD until the transition, exp(cost / epsilon) / (prefactor * learning_rate).

    Without a learning rate it is the expected time, in units of the drift's time.

    Parameters
    ----------
    cost : float
        V of the transition; it may be infinite.
    prefactor : float
        A, for example from `eyring_kramers`.
    epsilon : float
        The noise level (learning rate / batch size).
    learning_rate : float, optional
        The time that one step takes; 1 by default.

    Returns
    -------
    float
        The number of steps or the time; infinite where the cost is infinite or the number exceeds the largest float.

    Raises
    ------
    ValueError
        If the cost is negative or NaN, or another argument is not positive.

    Examples
    --------
    >>> from qpot.prediction.kramers import eyring_kramers, expected_steps
    >>> round(expected_steps(0.5, eyring_kramers(2.0, -1.0), epsilon=0.05, learning_rate=0.05))
    1957220
    """
    A = as_positive(prefactor, name="prefactor")
    level, eta = (
        as_noise_level(epsilon),
        as_positive(1.0 if learning_rate is None else learning_rate, name="learning_rate"),
    )
    if not cost >= 0:
        raise ValueError(f"cost must be a number >= 0, got {cost!r}")
    exponent = cost / level - math.log(A) - math.log(eta)
    return math.exp(exponent) if exponent < 709.0 else math.inf


def _hessian(H: ArrayLike, name: str) -> Array:
    """A finite symmetric matrix ``(d, d)``, made exactly symmetric."""
    matrix = np.atleast_2d(as_float_array(H, name=name))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} has shape {matrix.shape}, expected (d, d)")
    if not np.isfinite(matrix).all() or np.abs(matrix - matrix.T).max() > 1e-6 * np.abs(matrix).max():
        raise ValueError(f"{name} must be finite and symmetric, got {matrix.tolist()}")
    return np.asarray((matrix + matrix.T) / 2)


def _unstable_rate(H0: Array, Hs: Array) -> float:
    """The negative eigenvalue at the saddle, as a positive number, after checks of both Hessians."""
    at_minimum, at_saddle = np.linalg.eigvalsh(H0), np.linalg.eigvalsh(Hs)
    # Both are compared with one scale: in one dimension a Hessian's only eigenvalue cannot be compared with itself.
    largest = max(np.abs(at_minimum).max(), np.abs(at_saddle).max())
    for name, values in (("hessian_at_minimum", at_minimum), ("hessian_at_saddle", at_saddle)):
        if np.abs(values).min() <= DEGENERATE * largest:
            raise ValueError(
                f"{name} is degenerate (eigenvalues {values.tolist()}): the prefactor is another power of "
                "epsilon and this "
                "formula does not hold; the exponent V stays right"
            )
    if at_minimum[0] < 0:
        raise ValueError(f"hessian_at_minimum has the eigenvalue {at_minimum[0]:g} < 0: not a minimum")
    if (at_saddle < 0).sum() != 1:
        raise ValueError(
            f"hessian_at_saddle has {(at_saddle < 0).sum()} negative eigenvalues, expected one: {at_saddle.tolist()}"
        )
    return float(-at_saddle[0])


def _noise(value: ArrayLike, name: str) -> float:
    """The strength of isotropic noise; zero is refused with its meaning."""
    number = float(as_float_array(value, name=name))
    if number == 0:
        raise ValueError(
            f"{name} is zero: an interpolating minimum is absorbing, W of all others is infinite and there "
            "is no rate out of "
            "it; ask for hitting probabilities (qpot.committor)"
        )
    return as_positive(number, name=name)


def _check_detailed_balance(a: Array, H0: Array, Hs: Array) -> None:
    """Refuse a covariance that is not positive definite or does not commute with both Hessians."""
    if a.shape != H0.shape:
        raise ValueError(f"covariance has shape {a.shape}, expected {H0.shape} or a number")
    values = np.linalg.eigvalsh((a + a.T) / 2)
    if values[0] <= DEGENERATE * np.abs(values).max() or np.abs(a - a.T).max() > 1e-9 * np.abs(a).max():
        raise ValueError(f"covariance must be symmetric and positive definite, got {a.tolist()}")
    for name, H in (("hessian_at_minimum", H0), ("hessian_at_saddle", Hs)):
        if np.abs(a @ H - H @ a).max() > 1e-6 * np.abs(a @ H).max():
            raise ValueError(
                f"covariance does not commute with {name}: there is no detailed balance, and this formula "
                "would be wrong by "
                "a factor; use bouchet_reygner along the minimum action path"
            )
