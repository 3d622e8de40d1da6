"""Label noise: targets that are perturbed afresh whenever a sample is drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_count, as_own_array, as_points
from qpot.samples.finite_sum import FiniteSum, check_finite_sum


def label_noise_sum(
    build: Callable[[Array, Array], FiniteSum], inputs: ArrayLike, targets: ArrayLike, perturbations: ArrayLike
) -> FiniteSum:
    """The finite sum whose samples are all pairs of a sample and a perturbation of its target.

    SGD that draws a sample and adds a fresh perturbation to its target is exactly SGD on this sum. Its sample m N + i is
    sample i with perturbation m.

    Parameters
    ----------
    build : callable ``(inputs, targets) -> FiniteSum``
        A function that makes the finite sum of given data, for example `qpot.least_squares_sum`.
    inputs : ``(N, ...)``
        The inputs, one row for each sample.
    targets : ``(N, ...)``
        The targets, one row for each sample.
    perturbations : ``(M,)``
        At least two equally likely values with mean zero; (-s, s) is label noise of variance s^2.

    Returns
    -------
    FiniteSum
        A sum of M N samples.

    Raises
    ------
    ValueError
        If there are fewer than two perturbations, if their mean is not zero (they would then move the minimum of the loss),
        or if inputs, targets and the sum do not fit in size.

    Examples
    --------
    Label noise moves SGD even where the data are fitted exactly:

    >>> import numpy as np, qpot
    >>> X, y = np.array([[1.0], [2.0]]), np.array([1.0, 2.0])
    >>> noisy = qpot.label_noise_sum(qpot.least_squares_sum, X, y, [-0.1, 0.1])
    >>> noisy.covariance([[1.0]]).round(12), qpot.least_squares_sum(X, y).covariance([[1.0]])
    (array([[[0.025]]]), array([[[0.]]]))
    """
    shifts = as_own_array(perturbations, name="perturbations")
    if shifts.ndim != 1 or shifts.size < 2 or not np.isfinite(shifts).all():
        raise ValueError(f"perturbations must be at least two finite numbers, got {perturbations!r}")
    if abs(shifts.mean()) > 1e-12 * np.abs(shifts).max():
        raise ValueError(f"perturbations have the mean {shifts.mean():.6g}; subtract it, or the loss is another one")
    y = as_own_array(targets, name="targets")
    X = np.asarray(inputs)
    if y.ndim == 0 or X.shape[:1] != y.shape[:1]:
        raise ValueError(f"inputs and targets have shapes {X.shape} and {y.shape}; one row for each sample in both")
    total = build(np.concatenate([X] * shifts.size), np.concatenate([y + shift for shift in shifts]))
    if not isinstance(total, FiniteSum) or total.n_samples != y.shape[0] * shifts.size:
        raise ValueError(
            f"build must return a FiniteSum with one sample for each of the {y.shape[0] * shifts.size} rows"
        )
    return total


def label_noise_covariance(noisy_sum: FiniteSum, levels: int) -> Callable[[ArrayLike], Array]:
    """The part of a `label_noise_sum`'s covariance that comes from the labels, as a covariance function.

    This part is the mean over samples of the covariance over their labels; the rest of the sum's covariance comes from the
    drawing of samples. It is N times the noise of full-batch training with fresh label noise.

    Parameters
    ----------
    noisy_sum : FiniteSum
        A sum from `label_noise_sum`.
    levels : int
        The number M of perturbations.

    Returns
    -------
    callable ``(n, d) -> (n, d, d)``

    Raises
    ------
    ValueError
        If M does not divide the number of samples.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> noisy = qpot.label_noise_sum(qpot.least_squares_sum, [[1.0], [2.0]], [1.0, 3.0], [-0.1, 0.1])
    >>> qpot.label_noise_covariance(noisy, 2)([[0.0]]).round(12)
    array([[[0.025]]])
    """
    check_finite_sum(noisy_sum, name="noisy_sum")
    M = as_count(levels, name="levels", minimum=2)
    N, d = noisy_sum.n_samples, noisy_sum.dimension
    if N % M:
        raise ValueError(f"levels={M} does not divide the {N} samples; pass the number of perturbations")

    def covariance(points: ArrayLike) -> Array:
        x = as_points(points, dimension=d, name="points")
        g = noisy_sum.gradients_at(x).reshape(x.shape[0], M, N // M, d)
        g = (g - g.mean(axis=1, keepdims=True)).reshape(x.shape[0], N, d)
        result: Array = np.swapaxes(g, 1, 2) @ g / N
        return result

    return covariance
