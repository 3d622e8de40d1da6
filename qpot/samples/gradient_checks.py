"""check_gradients: whether a finite sum's gradients fit its losses, and its means fit its samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_count, as_points, as_rng, format_point
from qpot._core.interrupts import interruptible
from qpot._core.types import SeedLike
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.formulas import Integers

# A relative difference below this between a gradient and a difference of losses is the error of the latter.
_DIFFERENCE_TOLERANCE = 1e-4
# Step of central differences, near the cube root of the rounding.
_STEP = 6e-6


@interruptible
def check_gradients(
    finite_sum: FiniteSum, near: ArrayLike | None = None, *, points: int = 3, rng: SeedLike = None
) -> None:
    """Compare a finite sum's gradients with its losses at random points.

    Every sample's gradient along a random direction is compared with the central difference of its loss,
    ``mean_gradient`` with the mean of the samples' gradients, and ``drawn_gradients`` and ``batch_gradient`` with the
    gradients of single samples.

    Parameters
    ----------
    finite_sum : FiniteSum
    near : ``(d,)`` or ``(n, d)``, optional
        Centres of the random points, which lie at distances of about 0.1 (1 + |x_j|) in every coordinate; by default the
        origin, with distances of about one.
    points : int
        The number of random points for each centre.
    rng : numpy.random.Generator or seed, optional

    Raises
    ------
    ValueError
        If two of them differ; the error names the function, the sample, the point and both numbers.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> data = np.array([1.0, -1.0])
    >>> wrong = qpot.FiniteSum(sample_losses=lambda x: (x - data) ** 2, sample_gradients=lambda x: (x - data)[:, :, None],
    ...                        n_samples=2, dimension=1)
    >>> qpot.check_gradients(wrong)
    Traceback (most recent call last):
    ...
    ValueError: sample_gradients of sample 0 at the point (0.12573): ...
    """
    if not isinstance(finite_sum, FiniteSum):
        raise ValueError(f"finite_sum must be a qpot.FiniteSum, got {type(finite_sum).__name__}")
    generator, n = as_rng(rng), as_count(points, name="points")
    d, N = finite_sum.dimension, finite_sum.n_samples
    if near is None:
        x = generator.normal(size=(n, d))
    else:
        centres = np.repeat(as_points(near, dimension=d, name="near"), n, axis=0)
        x = centres + 0.1 * (1.0 + np.abs(centres)) * generator.normal(size=centres.shape)
    v = generator.normal(size=x.shape)
    v *= (1.0 + np.abs(x).max(axis=1, keepdims=True)) / np.linalg.norm(v, axis=1, keepdims=True)
    ahead, behind = finite_sum.losses_at(x + _STEP * v), finite_sum.losses_at(x - _STEP * v)
    differences = (ahead - behind) / (2.0 * _STEP)
    rounding = 1e-15 / _STEP * np.maximum(np.abs(ahead), np.abs(behind))
    along = finite_sum.derivatives_along(x, v)
    scale = np.abs(along).max(axis=1, keepdims=True)
    bad = np.abs(along - differences) > _DIFFERENCE_TOLERANCE * (scale + np.abs(differences)) + 10 * rounding
    if bad.any():
        row, sample = np.argwhere(bad)[0]
        raise ValueError(
            f"sample_gradients of sample {sample} at the point {format_point(x[row])}: along a random direction the gradient "
            f"is {along[row, sample]:.6g}, but the loss changes at the rate {differences[row, sample]:.6g}; correct "
            "sample_gradients (or sample_losses)"
        )
    if finite_sum.mean_gradient is not None:
        finite_sum.check_mean_gradient(x)
    index = generator.integers(N, size=(x.shape[0], 3))
    single = [finite_sum.combined_gradient(x, _unit_weights(N, index[:, b])) for b in range(3)]
    expected = np.stack(single, axis=1)
    for name, function, wanted in (
        ("drawn_gradients", finite_sum.drawn_gradients, expected),
        ("batch_gradient", finite_sum.batch_gradient, expected.mean(axis=1)),
    ):
        if function is not None:
            given = np.asarray(function(x, index), dtype=np.float64)
            if given.shape != wanted.shape or not np.allclose(
                given, wanted, rtol=1e-6, atol=1e-9 * (1 + np.abs(wanted).max())
            ):
                raise ValueError(
                    f"{name} differs from sample_gradients for the samples {index[0].tolist()} at the point "
                    f"{format_point(x[0])}, or at one of the others tried; make them the same function"
                )


def _unit_weights(n_samples: int, index: Integers) -> Array:
    """Weights ``(n, N)`` that single out one sample for each point."""
    weights = np.zeros((index.size, n_samples))
    weights[np.arange(index.size), index] = 1.0
    return weights
