"""Which nodes a head speaks for: a ball in the metric of the noise, a^-1, scaled to unit determinant.

Where the noise is stronger in one direction V changes more slowly there, and a drift that turns carries offsets from
one direction into the other: patches that are round in the metric of the noise stay round. The aspect is limited so
that a patch never gets thinner than the spacing.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.kernel import kernel

# Largest ratio of the eigenvalues of the metric: axes of a patch differ by at most its square root.
METRIC_RATIO = 16.0


@kernel
def extreme_eigenvalues(A, dims):
    """Smallest and largest eigenvalue of the symmetric matrix ``A`` in 2-D or 3-D, in closed form."""
    d = len(dims)
    if d == 2:
        mean = 0.5 * (A[0, 0] + A[1, 1])
        radius = np.sqrt(0.25 * (A[0, 0] - A[1, 1]) ** 2 + A[0, 1] * A[0, 1])
        return mean - radius, mean + radius
    off = A[0, 1] ** 2 + A[0, 2] ** 2 + A[1, 2] ** 2
    mean = (A[0, 0] + A[1, 1] + A[2, 2]) / 3.0
    b0, b1, b2 = A[0, 0] - mean, A[1, 1] - mean, A[2, 2] - mean
    s = np.sqrt((b0 * b0 + b1 * b1 + b2 * b2 + 2.0 * off) / 6.0)
    if s == 0.0:
        return mean, mean
    det = (
        b0 * (b1 * b2 - A[1, 2] * A[1, 2])
        - A[0, 1] * (A[0, 1] * b2 - A[1, 2] * A[0, 2])
        + A[0, 2] * (A[0, 1] * A[1, 2] - b1 * A[0, 2])
    )
    cosine = min(1.0, max(-1.0, 0.5 * det / (s * s * s)))
    angle = np.arccos(cosine) / 3.0
    return mean + 2.0 * s * np.cos(angle + 2.0 * np.pi / 3.0), mean + 2.0 * s * np.cos(angle)


@kernel
def determinant(A, dims):
    """Determinant of a matrix in 2-D or 3-D."""
    d = len(dims)
    if d == 2:
        return A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0]
    return (
        A[0, 0] * (A[1, 1] * A[2, 2] - A[1, 2] * A[2, 1])
        - A[0, 1] * (A[1, 0] * A[2, 2] - A[1, 2] * A[2, 0])
        + A[0, 2] * (A[1, 0] * A[2, 1] - A[1, 1] * A[2, 0])
    )


@kernel
def noise_metric(A, G, half, dims):
    """The metric ``G`` of unit determinant of the covariance ``A``, and the half widths of its unit ball.

    False if ``A`` is not positive definite; then nothing is filled. ``A`` is changed where the aspect is limited.
    """
    d = len(dims)
    low, high = extreme_eigenvalues(A, dims)
    if not low > 0.0:
        return False
    lift = max(0.0, (high - METRIC_RATIO * low) / (METRIC_RATIO - 1.0))
    B = A
    for i in range(d):
        B[i, i] += lift
    det = determinant(B, dims)
    if d == 2:
        scale = np.sqrt(det)
        G[0, 0] = B[1, 1] / det * scale
        G[1, 1] = B[0, 0] / det * scale
        G[0, 1] = G[1, 0] = -B[0, 1] / det * scale
    else:
        scale = det ** (1.0 / 3.0)
        for i in range(3):
            for j in range(3):
                i1, i2 = (j + 1) % 3, (j + 2) % 3
                j1, j2 = (i + 1) % 3, (i + 2) % 3
                G[i, j] = (B[i1, j1] * B[i2, j2] - B[i1, j2] * B[i2, j1]) / det * scale
    for i in range(d):
        half[i] = np.sqrt(B[i, i] / scale)
    return True


@kernel
def metric_norm(G, v, dims):
    """Length of ``v`` in the metric ``G``."""
    d = len(dims)
    s = 0.0
    for i in range(d):
        for j in range(d):
            s += v[i] * G[i, j] * v[j]
    return np.sqrt(max(s, 0.0))
