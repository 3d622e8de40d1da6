"""Drift and covariance at a point, with all derivatives up to the third, from the splines of a medium."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.kernel import kernel
from qpot.solvers.fields.marching.splines import basis, locate
from qpot.solvers.fields.marching.stencil import noise_metric

Array = NDArray[np.float64]


class Work(NamedTuple):
    """Work space of `sample` and of the rates of a ray; m fields in d dimensions.

    Attributes
    ----------
    weights : array (d, 4, 4)
        Weights of the spline coefficients around the point: axis, order of the derivative, coefficient.
    value, first, second, third : arrays (m,), (m, d), (m, d, d), (m, d, d, d)
        The fields and their derivatives at the point of the last `sample`.
    covariance, covariance_slope : arrays (d, d), (d, d, d)
        a and its derivatives.
    velocity_slope, velocity_curvature : arrays (d, d), (d, d, d)
        First and second derivatives of b + a p with p held fixed.
    rates : array (d, d)
        R of Y' = R Y, at the point of the last `rhs`.
    """

    weights: Array
    value: Array
    first: Array
    second: Array
    third: Array
    covariance: Array
    covariance_slope: Array
    velocity_slope: Array
    velocity_curvature: Array
    rates: Array


def make_work(d: int) -> Work:
    """Make the work space for a medium of ``d`` axes."""
    m = d + d * (d + 1) // 2
    return Work(
        weights=np.zeros((d, 4, 4)),
        value=np.zeros(m),
        first=np.zeros((m, d)),
        second=np.zeros((m, d, d)),
        third=np.zeros((m, d, d, d)),
        covariance=np.zeros((d, d)),
        covariance_slope=np.zeros((d, d, d)),
        velocity_slope=np.zeros((d, d)),
        velocity_curvature=np.zeros((d, d, d)),
        rates=np.zeros((d, d)),
    )


@kernel
def component(i, j, d):
    """Position of a_ij among the sampled fields: after the d drifts come the rows of the upper triangle."""
    if i > j:
        i, j = j, i
    return d + i * d - i * (i - 1) // 2 + (j - i)


@kernel
def sample_2d(x, medium, work):
    """Fill ``work`` with all fields and their derivatives at one point ``x`` (2,)."""
    coefficients, lower, inverse_spacing = medium.coefficients, medium.lower, medium.inverse_spacing
    shape, periodic, weights = medium.shape, medium.periodic, work.weights
    value, d1, d2, d3 = work.value, work.first, work.second, work.third
    m = coefficients.shape[3]
    i0, u0 = locate(x[0], lower[0], inverse_spacing[0], shape[0], periodic[0])
    i1, u1 = locate(x[1], lower[1], inverse_spacing[1], shape[1], periodic[1])
    basis(u0, inverse_spacing[0], weights[0])
    basis(u1, inverse_spacing[1], weights[1])
    A, B = weights[0], weights[1]
    for c in range(m):
        v00 = v10 = v01 = v20 = v11 = v02 = v30 = v21 = v12 = v03 = 0.0
        for a in range(4):
            t0 = t1 = t2 = t3 = 0.0
            for b in range(4):
                w = coefficients[i0 + a, i1 + b, 0, c]
                t0 += w * B[0, b]
                t1 += w * B[1, b]
                t2 += w * B[2, b]
                t3 += w * B[3, b]
            v00 += A[0, a] * t0
            v10 += A[1, a] * t0
            v20 += A[2, a] * t0
            v30 += A[3, a] * t0
            v01 += A[0, a] * t1
            v11 += A[1, a] * t1
            v21 += A[2, a] * t1
            v02 += A[0, a] * t2
            v12 += A[1, a] * t2
            v03 += A[0, a] * t3
        value[c] = v00
        d1[c, 0] = v10
        d1[c, 1] = v01
        d2[c, 0, 0] = v20
        d2[c, 0, 1] = d2[c, 1, 0] = v11
        d2[c, 1, 1] = v02
        d3[c, 0, 0, 0] = v30
        d3[c, 0, 0, 1] = d3[c, 0, 1, 0] = d3[c, 1, 0, 0] = v21
        d3[c, 0, 1, 1] = d3[c, 1, 0, 1] = d3[c, 1, 1, 0] = v12
        d3[c, 1, 1, 1] = v03


@kernel
def sample_3d(x, medium, work):
    """Fill ``work`` with all fields and their derivatives at one point ``x`` (3,)."""
    coefficients, lower, inverse_spacing = medium.coefficients, medium.lower, medium.inverse_spacing
    shape, periodic, weights = medium.shape, medium.periodic, work.weights
    value, d1, d2, d3 = work.value, work.first, work.second, work.third
    m = coefficients.shape[3]
    i0, u0 = locate(x[0], lower[0], inverse_spacing[0], shape[0], periodic[0])
    i1, u1 = locate(x[1], lower[1], inverse_spacing[1], shape[1], periodic[1])
    i2, u2 = locate(x[2], lower[2], inverse_spacing[2], shape[2], periodic[2])
    basis(u0, inverse_spacing[0], weights[0])
    basis(u1, inverse_spacing[1], weights[1])
    basis(u2, inverse_spacing[2], weights[2])
    A, B, C = weights[0], weights[1], weights[2]
    for c in range(m):
        v000 = v100 = v010 = v001 = 0.0
        v200 = v110 = v101 = v020 = v011 = v002 = 0.0
        v300 = v210 = v201 = v120 = v111 = v102 = v030 = v021 = v012 = v003 = 0.0
        for a in range(4):
            s00 = s10 = s20 = s30 = s01 = s11 = s21 = s02 = s12 = s03 = 0.0
            for b in range(4):
                t0 = t1 = t2 = t3 = 0.0
                for e in range(4):
                    w = coefficients[i0 + a, i1 + b, i2 + e, c]
                    t0 += w * C[0, e]
                    t1 += w * C[1, e]
                    t2 += w * C[2, e]
                    t3 += w * C[3, e]
                s00 += B[0, b] * t0
                s10 += B[1, b] * t0
                s20 += B[2, b] * t0
                s30 += B[3, b] * t0
                s01 += B[0, b] * t1
                s11 += B[1, b] * t1
                s21 += B[2, b] * t1
                s02 += B[0, b] * t2
                s12 += B[1, b] * t2
                s03 += B[0, b] * t3
            v000 += A[0, a] * s00
            v100 += A[1, a] * s00
            v200 += A[2, a] * s00
            v300 += A[3, a] * s00
            v010 += A[0, a] * s10
            v110 += A[1, a] * s10
            v210 += A[2, a] * s10
            v001 += A[0, a] * s01
            v101 += A[1, a] * s01
            v201 += A[2, a] * s01
            v020 += A[0, a] * s20
            v120 += A[1, a] * s20
            v011 += A[0, a] * s11
            v111 += A[1, a] * s11
            v002 += A[0, a] * s02
            v102 += A[1, a] * s02
            v030 += A[0, a] * s30
            v021 += A[0, a] * s21
            v012 += A[0, a] * s12
            v003 += A[0, a] * s03
        value[c] = v000
        d1[c, 0] = v100
        d1[c, 1] = v010
        d1[c, 2] = v001
        d2[c, 0, 0] = v200
        d2[c, 1, 1] = v020
        d2[c, 2, 2] = v002
        d2[c, 0, 1] = d2[c, 1, 0] = v110
        d2[c, 0, 2] = d2[c, 2, 0] = v101
        d2[c, 1, 2] = d2[c, 2, 1] = v011
        d3[c, 0, 0, 0] = v300
        d3[c, 1, 1, 1] = v030
        d3[c, 2, 2, 2] = v003
        d3[c, 0, 0, 1] = d3[c, 0, 1, 0] = d3[c, 1, 0, 0] = v210
        d3[c, 0, 0, 2] = d3[c, 0, 2, 0] = d3[c, 2, 0, 0] = v201
        d3[c, 0, 1, 1] = d3[c, 1, 0, 1] = d3[c, 1, 1, 0] = v120
        d3[c, 0, 2, 2] = d3[c, 2, 0, 2] = d3[c, 2, 2, 0] = v102
        d3[c, 1, 1, 2] = d3[c, 1, 2, 1] = d3[c, 2, 1, 1] = v021
        d3[c, 1, 2, 2] = d3[c, 2, 1, 2] = d3[c, 2, 2, 1] = v012
        mixed = v111
        d3[c, 0, 1, 2] = d3[c, 0, 2, 1] = d3[c, 1, 0, 2] = mixed
        d3[c, 1, 2, 0] = d3[c, 2, 0, 1] = d3[c, 2, 1, 0] = mixed


@kernel
def sample(x, medium, work, dims):
    """Fill ``work`` with drift and covariance at ``x``: ``value[m]``, ``first[m, i]``, ``second[m, i, j]``, and so on.

    ``dims`` are the medium's axes: as an argument their number settles which of the two branches is compiled.
    """
    if len(dims) == 2:
        sample_2d(x, medium, work)
    else:
        sample_3d(x, medium, work)


@kernel
def sample_values(x, medium, weights, value):
    """The sampled fields at ``x`` without derivatives, into ``value``; ``weights`` is work space ``(d, 4, 4)``."""
    coefficients, lower, inverse_spacing = medium.coefficients, medium.lower, medium.inverse_spacing
    shape, periodic = medium.shape, medium.periodic
    d = x.shape[0]
    m = coefficients.shape[3]
    i0, u = locate(x[0], lower[0], inverse_spacing[0], shape[0], periodic[0])
    basis(u, inverse_spacing[0], weights[0])
    i1, u = locate(x[1], lower[1], inverse_spacing[1], shape[1], periodic[1])
    basis(u, inverse_spacing[1], weights[1])
    i2 = 0
    depth = 1
    if d == 3:
        i2, u = locate(x[2], lower[2], inverse_spacing[2], shape[2], periodic[2])
        basis(u, inverse_spacing[2], weights[2])
        depth = 4
    for c in range(m):
        value[c] = 0.0
    for a in range(4):
        for b in range(4):
            wab = weights[0, 0, a] * weights[1, 0, b]
            for e in range(depth):
                w = wab * weights[2, 0, e] if d == 3 else wab
                for c in range(m):
                    value[c] += w * coefficients[i0 + a, i1 + b, i2 + e, c]


@kernel
def measure_noise(medium, work, A, G, half):
    """Fill ``G`` and ``half`` with the metric of the noise at the point of the last `sample`; see `noise_metric`.

    ``A`` is work space. False where the covariance is not positive definite.
    """
    d, varies, constant, value = len(medium.axes), medium.varies, medium.covariance, work.value
    for i in range(d):
        for j in range(d):
            A[i, j] = value[component(i, j, d)] if varies else constant[i, j]
    return noise_metric(A, G, half, medium.axes)
