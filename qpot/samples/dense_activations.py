"""Elementwise activations with their first two derivatives, in NumPy.

An activation is a function ``(z, order)`` of an array and the highest derivative that is wanted (0, 1 or 2). It returns the
values, the slopes and the curvatures, each of the shape of z. Derivatives that are not wanted are None; otherwise slopes of
None are one everywhere and curvatures of None are zero everywhere, which saves work. Where a derivative jumps it has the
value that PyTorch gives it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from qpot._core.arrays import Array

Derivatives = tuple[Array, Array | None, Array | None]
Activation = Callable[[Array, int], Derivatives]

_ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
_DENSITY_AT_ZERO = 1.0 / math.sqrt(2.0 * math.pi)
# The coefficient of the cube in the approximation of GELU by tanh.
_CUBE = 0.044715


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), of full relative accuracy on both sides; exp may overflow to infinity on the way."""
    e: Array = np.exp(-z)
    e += 1.0
    return np.reciprocal(e, out=e)


def softplus(z: Array) -> Array:
    """log(1 + exp(z)) without overflow."""
    result: Array = np.log1p(np.exp(-np.abs(z)))
    result += np.maximum(z, 0.0)
    return result


def identity(z: Array, order: int) -> Derivatives:
    """z itself."""
    return z, None, None


@dataclass(frozen=True)
class Affine:
    """scale z + shift."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, z: Array, order: int) -> Derivatives:
        slope = None if order < 1 else np.full(z.shape, self.scale)
        return np.asarray(self.scale * z + self.shift), slope, None


def tanh(z: Array, order: int) -> Derivatives:
    """The hyperbolic tangent."""
    a = np.tanh(z)
    if order == 0:
        return a, None, None
    slope = a * a
    np.subtract(1.0, slope, out=slope)
    return a, slope, None if order < 2 else -2.0 * a * slope


def logistic(z: Array, order: int) -> Derivatives:
    """The logistic sigmoid."""
    a = sigmoid(z)
    if order == 0:
        return a, None, None
    slope = a * (1.0 - a)
    return a, slope, None if order < 2 else slope * (1.0 - 2.0 * a)


def gelu(z: Array, order: int) -> Derivatives:
    """z Phi(z) with the normal distribution Phi."""
    phi = ndtr(z)
    if order == 0:
        return z * phi, None, None
    square = z * z
    density = _DENSITY_AT_ZERO * np.exp(-0.5 * square)
    return z * phi, phi + z * density, None if order < 2 else density * (2.0 - square)


def gelu_tanh(z: Array, order: int) -> Derivatives:
    """z (1 + tanh u) / 2 with u = sqrt(2 / pi) (z + 0.044715 z^3)."""
    square = z * z
    t = np.tanh(_ROOT_TWO_OVER_PI * z * (1.0 + _CUBE * square))
    value = 0.5 * z * (1.0 + t)
    if order == 0:
        return value, None, None
    rate = _ROOT_TWO_OVER_PI * (1.0 + 3.0 * _CUBE * square)
    left = 1.0 - t * t
    slope = 0.5 * (1.0 + t) + 0.5 * z * left * rate
    if order == 1:
        return value, slope, None
    bend = (6.0 * _ROOT_TWO_OVER_PI * _CUBE) * z
    return value, slope, left * (rate + 0.5 * z * (bend - 2.0 * t * rate * rate))


def silu(z: Array, order: int) -> Derivatives:
    """z sigmoid(z)."""
    s = sigmoid(z)
    value = z * s
    if order == 0:
        return value, None, None
    slope = s + value * (1.0 - s)
    return value, slope, None if order < 2 else s * (1.0 - s) * (2.0 + z * (1.0 - 2.0 * s))


def mish(z: Array, order: int) -> Derivatives:
    """z tanh(log(1 + exp(z)))."""
    t = np.tanh(softplus(z))
    if order == 0:
        return z * t, None, None
    s, left = sigmoid(z), 1.0 - t * t
    slope = t + z * s * left
    return z * t, slope, None if order < 2 else s * left * (2.0 + z * (1.0 - s - 2.0 * t * s))


@dataclass(frozen=True)
class Softplus:
    """log(1 + exp(beta z)) / beta, and z itself where beta z lies above the threshold."""

    beta: float = 1.0
    threshold: float = 20.0

    def __call__(self, z: Array, order: int) -> Derivatives:
        y = self.beta * z
        beyond = y > self.threshold
        value = softplus(y) / self.beta
        value[beyond] = z[beyond]
        if order == 0:
            return value, None, None
        slope = sigmoid(y)
        slope[beyond] = 1.0
        return value, slope, None if order < 2 else self.beta * slope * (1.0 - slope)


def log_sigmoid(z: Array, order: int) -> Derivatives:
    """-log(1 + exp(-z))."""
    value = -softplus(-z)
    if order == 0:
        return value, None, None
    slope = sigmoid(-z)
    return value, slope, None if order < 2 else slope * (slope - 1.0)


@dataclass(frozen=True)
class Elu:
    """scale z above zero and scale alpha (exp(z / width) - 1) elsewhere: ELU, CELU and SELU."""

    alpha: float = 1.0
    width: float = 1.0
    scale: float = 1.0

    def __call__(self, z: Array, order: int) -> Derivatives:
        low = np.minimum(z, 0.0) / self.width
        height = self.scale * self.alpha
        value = self.scale * np.maximum(z, 0.0) + height * np.expm1(low)
        if order == 0:
            return value, None, None
        e = np.exp(low)
        slope = (height / self.width) * (e * (z <= 0.0)) + self.scale * (z > 0.0)
        return value, slope, None if order < 2 else (height / self.width**2) * (e * (z < 0.0))


def relu(z: Array, order: int) -> Derivatives:
    """z above zero, and zero elsewhere."""
    return np.maximum(z, 0.0), None if order < 1 else (z > 0.0).astype(np.float64), None


@dataclass(frozen=True)
class LeakyRelu:
    """z above zero and a multiple of it elsewhere."""

    below: float = 0.01

    def __call__(self, z: Array, order: int) -> Derivatives:
        value = np.maximum(z, 0.0) + self.below * np.minimum(z, 0.0)
        slope = None if order < 1 else self.below + (1.0 - self.below) * (z > 0.0).astype(np.float64)
        return value, slope, None


@dataclass(frozen=True)
class Clipped:
    """z between two bounds, and the next bound elsewhere: Hardtanh and ReLU6."""

    low: float = -1.0
    high: float = 1.0

    def __call__(self, z: Array, order: int) -> Derivatives:
        inside = None if order < 1 else ((z > self.low) & (z < self.high)).astype(np.float64)
        return np.clip(z, self.low, self.high), inside, None


def softsign(z: Array, order: int) -> Derivatives:
    """z / (1 + |z|)."""
    root = 1.0 / (1.0 + np.abs(z))
    if order == 0:
        return z * root, None, None
    slope = root * root
    return z * root, slope, None if order < 2 else -2.0 * np.sign(z) * root * slope


def tanhshrink(z: Array, order: int) -> Derivatives:
    """z - tanh z."""
    t = np.tanh(z)
    square = t * t
    return z - t, None if order < 1 else square, None if order < 2 else 2.0 * t * (1.0 - square)


def sine(z: Array, order: int) -> Derivatives:
    """sin z."""
    a = np.sin(z)
    return a, None if order < 1 else np.cos(z), None if order < 2 else -a


def cosine(z: Array, order: int) -> Derivatives:
    """cos z."""
    a = np.cos(z)
    return a, None if order < 1 else -np.sin(z), None if order < 2 else -a


def exponential(z: Array, order: int) -> Derivatives:
    """exp z."""
    a = np.exp(z)
    return a, None if order < 1 else a, None if order < 2 else a


def square(z: Array, order: int) -> Derivatives:
    """z^2."""
    return z * z, None if order < 1 else 2.0 * z, None if order < 2 else np.full(z.shape, 2.0)


@dataclass(frozen=True)
class Composed:
    """One activation after another; derivatives by the chain rule."""

    parts: tuple[Activation, ...]

    def __call__(self, z: Array, order: int) -> Derivatives:
        slope: Array | None = None
        curvature: Array | None = None
        for part in self.parts:
            z, s, c = part(z, order)
            if c is not None and slope is not None:
                c = c * slope * slope
            if curvature is not None:
                bent = curvature if s is None else s * curvature
                c = bent if c is None else c + bent
            curvature = c
            slope = s if slope is None else slope if s is None else slope * s
        return z, slope, curvature


def composed(parts: Sequence[Activation]) -> Activation:
    """The activations one after another; the identity for none."""
    active = tuple(part for part in parts if part is not identity)
    if not active:
        return identity
    return active[0] if len(active) == 1 else Composed(active)
