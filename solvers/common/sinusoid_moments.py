"""Mean and covariance of the gradients of sinusoids' samples, with one cosine and sine for each frequency and sample.

Differences of the moments move one or two coordinates at a time, so that many points of a batch share their frequency. The
cosines and sines of all samples, which take most of the time, are kept while the frequency stays the same.
"""

from __future__ import annotations

import math

import numpy as np

from qpot.solvers.common.compiled import njit


@njit(cache=True, nogil=True)
def sinusoid_moments(table, points, order, mean, covariance):  # type: ignore[no-untyped-def]
    """Fill ``mean`` ``(n, 3)`` and ``covariance`` ``(n, 3, 3)`` of the gradients at ``points`` ``(n, 3)``.

    The loss of a sample (t, y), a row of ``table``, is (a cos(w t) + b sin(w t) - y)^2 / 2 at the point (w, a, b). The points
    are taken in the ``order`` ``(n,)``, in which those of one frequency should be neighbours.
    """
    n_samples = table.shape[0]
    cosine, sine = np.empty(n_samples), np.empty(n_samples)
    gradients = np.empty((3, n_samples))
    last = math.nan
    for r in order:
        w, a, b = points[r, 0], points[r, 1], points[r, 2]
        if w != last:
            last = w
            for i in range(n_samples):
                phase = w * table[i, 0]
                cosine[i], sine[i] = math.cos(phase), math.sin(phase)
        for i in range(n_samples):
            c, s = cosine[i], sine[i]
            residual = a * c + b * s - table[i, 1]
            gradients[0, i] = residual * table[i, 0] * (b * c - a * s)
            gradients[1, i] = residual * c
            gradients[2, i] = residual * s
        m0 = m1 = m2 = 0.0
        for i in range(n_samples):
            m0 += gradients[0, i]
            m1 += gradients[1, i]
            m2 += gradients[2, i]
        m0, m1, m2 = m0 / n_samples, m1 / n_samples, m2 / n_samples
        mean[r, 0], mean[r, 1], mean[r, 2] = m0, m1, m2
        a00 = a10 = a11 = a20 = a21 = a22 = 0.0
        for i in range(n_samples):
            g0, g1, g2 = gradients[0, i] - m0, gradients[1, i] - m1, gradients[2, i] - m2
            a00 += g0 * g0
            a10 += g1 * g0
            a11 += g1 * g1
            a20 += g2 * g0
            a21 += g2 * g1
            a22 += g2 * g2
        covariance[r, 0, 0] = a00 / n_samples
        covariance[r, 1, 1] = a11 / n_samples
        covariance[r, 2, 2] = a22 / n_samples
        covariance[r, 1, 0] = covariance[r, 0, 1] = a10 / n_samples
        covariance[r, 2, 0] = covariance[r, 0, 2] = a20 / n_samples
        covariance[r, 2, 1] = covariance[r, 1, 2] = a21 / n_samples
