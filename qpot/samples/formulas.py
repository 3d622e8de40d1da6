"""Losses and gradients of samples in NumPy; the compiled kernels have the same formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray
from scipy.special import expit

from qpot._core.arrays import Array

Integers = NDArray[np.int64]


class SampleFunctions(ABC):
    """Losses ``(n, N)`` and gradients of samples; a subclass has the formulas.

    `drawn` gives the gradients ``(n, B, d)`` of the samples ``index (n, B)``, `gradients` those of all samples. The
    kernels of `qpot.solvers.common.sample_gradients` are the same formulas, compiled.
    """

    n_samples: int

    @abstractmethod
    def losses(self, x: Array) -> Array: ...

    @abstractmethod
    def drawn(self, x: Array, index: Integers) -> Array: ...

    def gradients(self, x: Array) -> Array:
        every = np.broadcast_to(np.arange(self.n_samples), (x.shape[0], self.n_samples))
        return self.drawn(x, every)


class Quadratic(SampleFunctions):
    """L_i = sum_j a_ij (x_j - c_ij)^2 / 2."""

    def __init__(self, a: Array, c: Array) -> None:
        self.a, self.c, self.n_samples = a, c, c.shape[0]

    def losses(self, x: Array) -> Array:
        result: Array = 0.5 * (self.a * (x[:, None, :] - self.c) ** 2).sum(axis=2)
        return result

    def drawn(self, x: Array, index: Integers) -> Array:
        result: Array = self.a[index] * (x[:, None, :] - self.c[index])
        return result


class LinearModel(SampleFunctions, ABC):
    """Losses that are functions of z_i = <X_i, x> and y_i, plus weight decay; `slope_of` is the derivative in z."""

    def __init__(self, X: Array, y: Array, weight_decay: float) -> None:
        self.X, self.y, self.weight_decay, self.n_samples = X, y, weight_decay, X.shape[0]

    @abstractmethod
    def loss_of(self, z: Array, y: Array) -> Array: ...

    @abstractmethod
    def slope_of(self, z: Array, y: Array) -> Array: ...

    def losses(self, x: Array) -> Array:
        decay = 0.5 * self.weight_decay * (x**2).sum(axis=1)
        result: Array = self.loss_of(x @ self.X.T, self.y) + decay[:, None]
        return result

    def gradients(self, x: Array) -> Array:
        return self.slope_of(x @ self.X.T, self.y)[:, :, None] * self.X + self.weight_decay * x[:, None, :]

    def drawn(self, x: Array, index: Integers) -> Array:
        rows = self.X[index]
        z = np.einsum("nbd,nd->nb", rows, x)
        return self.slope_of(z, self.y[index])[:, :, None] * rows + self.weight_decay * x[:, None, :]


class LeastSquares(LinearModel):
    """L_i = (z_i - y_i)^2 / 2."""

    def loss_of(self, z: Array, y: Array) -> Array:
        return 0.5 * (z - y) ** 2

    def slope_of(self, z: Array, y: Array) -> Array:
        return z - y


class LogisticRegression(LinearModel):
    """L_i = log(1 + exp(-y_i z_i)) with y_i = +-1."""

    def loss_of(self, z: Array, y: Array) -> Array:
        result: Array = np.logaddexp(0.0, -y * z)
        return result

    def slope_of(self, z: Array, y: Array) -> Array:
        result: Array = -y * expit(-y * z)
        return result


class Welsch(LinearModel):
    """L_i = c^2 (1 - exp(-(z_i - y_i)^2 / c^2)) / 2."""

    def __init__(self, X: Array, y: Array, weight_decay: float, scale: float) -> None:
        super().__init__(X, y, weight_decay)
        self.scale = scale

    def loss_of(self, z: Array, y: Array) -> Array:
        result: Array = -0.5 * self.scale**2 * np.expm1(-(((z - y) / self.scale) ** 2))
        return result

    def slope_of(self, z: Array, y: Array) -> Array:
        result: Array = (z - y) * np.exp(-(((z - y) / self.scale) ** 2))
        return result


class PhaseRetrieval(LinearModel):
    """L_i = (z_i^2 - y_i)^2 / 4."""

    def __init__(self, A: Array, y: Array) -> None:
        super().__init__(A, y, 0.0)

    def loss_of(self, z: Array, y: Array) -> Array:
        return 0.25 * (z**2 - y) ** 2

    def slope_of(self, z: Array, y: Array) -> Array:
        return (z**2 - y) * z


class Sinusoid(SampleFunctions):
    """L_i = (a cos(w t_i) + b sin(w t_i) - y_i)^2 / 2 at x = (w, a, b)."""

    def __init__(self, t: Array, y: Array) -> None:
        self.t, self.y, self.n_samples = t, y, t.size

    def losses(self, x: Array) -> Array:
        w, a, b = (x[:, j, None] for j in range(3))
        return 0.5 * (a * np.cos(w * self.t) + b * np.sin(w * self.t) - self.y) ** 2

    def drawn(self, x: Array, index: Integers) -> Array:
        t, y = self.t[index], self.y[index]
        w, a, b = (x[:, j, None] for j in range(3))
        c, s = np.cos(w * t), np.sin(w * t)
        residual = a * c + b * s - y
        return np.stack([residual * t * (b * c - a * s), residual * c, residual * s], axis=2)


class EmbeddedDoubleWell(SampleFunctions):
    """The double well plus and minus sqrt(3) times the three coordinates of an isometric embedding.

    The embedded metric is the covariance diag(d1, d2) = diag(1 + s q, 1 - s q) with q = (1 + tanh 2x) / 2, see
    `embedded_double_well_sum`.
    """

    n_samples = 6

    def __init__(self, s: float) -> None:
        self.s = s
        # For |s| < 1 the embedding exists everywhere, since r'^2 <= s^2 / (4 d2) with r = sqrt(d2) stays below d1.
        if not abs(s) < 1.0:
            raise ValueError(f"s={s:g}: the covariance diag(1 + s q, 1 - s q) is positive definite only for -1 < s < 1")
        # With u = tanh 2x the first embedding coordinate has the slope g(u) = A + B u + (1 - u^2) k(u) with a smooth k, so
        # that its integral over x is A x + (B / 2) log cosh 2x + (1 / 2) int k du. A polynomial interpolates k.
        self.A, self.B = 0.5 * (np.sqrt(1.0 + s) + 1.0), 0.5 * (np.sqrt(1.0 + s) - 1.0)
        degree = 32
        while True:
            k = Chebyshev.interpolate(self._bent_part, degree)
            if np.abs(k.coef[-4:]).max() <= 1e-14 or degree >= 512:
                break
            degree *= 2
        self.primitive = k.integ(lbnd=0.0)

    def _bent_part(self, u: Array) -> Array:
        """k(u), what is left of the slope besides its values at u = -1 and u = 1."""
        result: Array = (self._slope(0.5 * (1.0 + u)) - self.A - self.B * u) / (1.0 - u**2)
        return result

    def _slope(self, q: Array) -> Array:
        """Slope of the first embedding coordinate, sqrt(d1 - r'^2)."""
        d2_slope = -4.0 * self.s * q * (1.0 - q)
        result: Array = np.sqrt(1.0 + self.s * q - d2_slope**2 / (4.0 * (1.0 - self.s * q)))
        return result

    def losses(self, x: Array) -> Array:
        p, y = x[:, 0], x[:, 1]
        radius = np.sqrt(1.0 - self.s * expit(4.0 * p))
        log_cosh = np.logaddexp(2.0 * p, -2.0 * p) - np.log(2.0)
        first = self.A * p + 0.5 * self.B * log_cosh + 0.5 * self.primitive(np.tanh(2.0 * p))
        h = np.stack([first, radius * np.cos(y), radius * np.sin(y)], axis=1)
        f = (p**2 - 1.0) ** 2 / 4.0 + y**2 / 2.0
        result: Array = f[:, None] + np.sqrt(3.0) * np.stack([h, -h], axis=2).reshape(-1, 6)
        return result

    def gradients(self, x: Array) -> Array:
        p, y = x[:, 0], x[:, 1]
        q = expit(4.0 * p)
        radius = np.sqrt(1.0 - self.s * q)
        slope = -2.0 * self.s * q * (1.0 - q) / radius
        c, sn = np.cos(y), np.sin(y)
        h = np.zeros((x.shape[0], 3, 2))
        h[:, 0, 0] = self._slope(q)
        h[:, 1, 0], h[:, 1, 1] = slope * c, -radius * sn
        h[:, 2, 0], h[:, 2, 1] = slope * sn, radius * c
        f = np.column_stack([p**3 - p, y])
        result: Array = f[:, None, :] + np.sqrt(3.0) * np.stack([h, -h], axis=2).reshape(-1, 6, 2)
        return result

    def drawn(self, x: Array, index: Integers) -> Array:
        return np.take_along_axis(self.gradients(x), index[:, :, None], axis=1)
