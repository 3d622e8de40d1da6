"""Rate prefactors from critical points (Eyring-Kramers), and expected steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_float_array, as_positive
from qpot.prediction.along_paths import DEGENERATE, bouchet_reygner

__all__ = ["bouchet_reygner", "expected_steps", "eyring_kramers"]


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


def expected_steps(cost: float, prefactor: float, *, epsilon: float, learning_rate: float) -> float:
    """Expected number of steps of SGD until the transition: exp(cost / epsilon) / (prefactor * learning
    rate).

    Infinite where it exceeds the largest float or the cost is infinite.

    Examples
    --------
    >>> from qpot.prediction.kramers import eyring_kramers, expected_steps
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
    # one scale for both: in one dimension there is nothing else to compare with
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


def _noise(value: Any, name: str) -> float:
    number = float(as_float_array(value, name=name))
    if number == 0:
        raise ValueError(
            f"{name} is zero: an interpolating minimum is absorbing, W of all others is infinite and there "
            "is no rate out of "
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
                f"covariance does not commute with {name}: there is no detailed balance, and this formula "
                "would be wrong by "
                "a factor; use bouchet_reygner along the minimum action path"
            )
