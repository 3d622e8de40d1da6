"""ModelSum: a finite sum with derivatives by automatic differentiation, in pieces of bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qpot._core.arrays import Array, as_point, as_points, as_positive
from qpot._core.types import PointLike
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.formulas import Integers
from qpot.samples.layout import ParameterLayout

# Bytes that one piece of a computation may take.
DEFAULT_MEMORY = 256e6
# A generous estimate of how many numbers reverse mode keeps for each number that a model produces on the way.
KEPT = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSum(FiniteSum):
    """The finite sum of a differentiable model's loss over a data set, as `from_torch` and `from_jax` make it.

    Attributes
    ----------
    layout : ParameterLayout
        The places of the named parameters in a point.
    initial_point : array (d,)
        The parameters that the model came with.
    restore : callable ``(d,) -> model``
        The model (a copy of the module, or the tree of parameters) at a point.
    initialise : callable ``seed -> (d,)`` or None
        The model's own initialisation, where it has one.
    some_losses : callable ``((n, d), slice) -> (n, k)``, optional
        The losses of the samples of a slice only.
    notes : tuple of str
        How the model is computed, where that is not the usual way, and why.
    kinks : tuple of str
        Functions in the model or the loss whose derivatives jump, such as ReLU.
    bits : int
        The bits of the numbers in which it is computed: 64, or 32 in single precision.
    """

    differentiated: ClassVar[bool] = True

    layout: ParameterLayout
    initial_point: Array
    restore: Callable[[Array], Any]
    initialise: Callable[[int], Array] | None = None
    some_losses: Callable[[Array, slice], Array] | None = None
    notes: tuple[str, ...] = ()
    kinks: tuple[str, ...] = ()
    bits: int = 64

    def model_at(self, point: PointLike) -> Any:
        """The model with the parameters of a point ``(d,)`` or of a minimum: a module, or a tree of parameters."""
        return self.restore(as_point(point, dimension=self.dimension, name="point"))

    def __repr__(self) -> str:
        return f"ModelSum({self.n_samples} samples, {self.layout!r}{''.join(f'; {note}' for note in self.notes)})"


class Differentiated(ABC):
    """Losses of N samples of a model and their derivatives, put together from pieces of some points and some samples.

    A subclass computes one piece. Shapes are those of the functions of a `FiniteSum`.

    Parameters
    ----------
    n_samples, dimension : int
    memory : float
        Bytes that one piece may take.
    activations : int
        How many numbers the model produces on the way to one sample's loss.
    item_size : int
        Bytes of one number.
    """

    def __init__(self, n_samples: int, dimension: int, memory: float, activations: int, item_size: int) -> None:
        self.n_samples, self.dimension = n_samples, dimension
        self.memory = as_positive(memory, name="memory")
        self.activations, self.item_size = activations, item_size

    @abstractmethod
    def piece(self, kind: str, rows: slice | Integers, *arrays: Array) -> Array:
        """One piece of the function named ``kind``, for the samples ``rows``: a slice, or indices for each point."""

    def losses(self, x: Array) -> Array:
        """Loss of every sample, ``(n, N)``."""
        out = np.empty((x.shape[0], self.n_samples))
        for P, S in self._pieces(x.shape[0], KEPT * self.activations):
            out[P, S] = self.piece("losses", S, x[P])
        return out

    def some_losses(self, x: Array, rows: slice) -> Array:
        """Loss of the samples of a slice, ``(n, k)``."""
        k = len(range(*rows.indices(self.n_samples)))
        out = np.empty((x.shape[0], k))
        for P in self._rows(x.shape[0], k * KEPT * self.activations + 4 * self.dimension):
            out[P] = self.piece("losses", rows, x[P])
        return out

    def sample_gradients(self, x: Array) -> Array:
        """Gradient of every sample's loss, ``(n, N, d)``."""
        out = np.empty((x.shape[0], self.n_samples, self.dimension))
        for P, S in self._pieces(x.shape[0], KEPT * self.activations + 3 * self.dimension):
            out[P, S] = self.piece("sample_gradients", S, x[P])
        return out

    def drawn_gradients(self, x: Array, index: Integers) -> Array:
        """Gradients of the samples ``index (n, B)``, ``(n, B, d)``."""
        out = np.empty((*index.shape, self.dimension))
        cost = index.shape[1] * (KEPT * self.activations + 3 * self.dimension)
        for P in self._rows(x.shape[0], cost):
            out[P] = self.piece("drawn_gradients", index[P], x[P])
        return out

    def batch_gradient(self, x: Array, index: Integers) -> Array:
        """Mean gradient of the samples ``index (n, B)``, ``(n, d)``."""
        out = np.empty_like(x)
        for P in self._rows(x.shape[0], index.shape[1] * KEPT * self.activations + 3 * self.dimension):
            out[P] = self.piece("batch_gradient", index[P], x[P])
        return out

    def mean_gradient(self, x: Array) -> Array:
        """Mean gradient of all samples, ``(n, d)``."""
        return self.weighted_gradient(x, np.full((x.shape[0], self.n_samples), 1.0 / self.n_samples))

    def directional_derivatives(self, x: Array, v: Array) -> Array:
        """Derivative of every sample's loss along v, ``(n, N)``."""
        out = np.empty((x.shape[0], self.n_samples))
        for P, S in self._pieces(x.shape[0], 2 * KEPT * self.activations):
            out[P, S] = self.piece("directional_derivatives", S, x[P], v[P])
        return out

    def weighted_gradient(self, x: Array, w: Array) -> Array:
        """sum_i w_i g_i, ``(n, d)``, for weights ``(n, N)``."""
        out = np.zeros_like(x)
        for P, S in self._pieces(x.shape[0], KEPT * self.activations):
            out[P] += self.piece("weighted_gradient", S, x[P], w[P, S])
        return out

    def weighted_hessian_product(self, x: Array, v: Array, w: Array) -> Array:
        """sum_i w_i H_i v, ``(n, d)``, for weights ``(n, N)``."""
        out = np.zeros_like(x)
        for P, S in self._pieces(x.shape[0], 2 * KEPT * self.activations):
            out[P] += self.piece("weighted_hessian_product", S, x[P], v[P], w[P, S])
        return out

    def hessian_vector_product(self, x: Array, v: Array) -> Array:
        """Hessian of the mean loss times v, ``(n, d)``."""
        x = as_points(x, dimension=self.dimension, name="points")
        v = np.broadcast_to(as_points(v, dimension=self.dimension, name="vectors"), x.shape)
        return self.weighted_hessian_product(x, v, np.full((x.shape[0], self.n_samples), 1.0 / self.n_samples))

    def hessian(self, x: Array) -> Array:
        """Hessian of the mean loss, ``(n, d, d)``, exactly symmetric."""
        x = as_points(x, dimension=self.dimension, name="points")
        return self.weighted_hessian(x, np.full((x.shape[0], self.n_samples), 1.0 / self.n_samples))

    def weighted_hessian(self, x: Array, w: Array) -> Array:
        """sum_i w_i H_i, ``(n, d, d)``, for weights ``(n, N)``, exactly symmetric; from products with the unit vectors."""
        n, d = x.shape
        # As many unit vectors are taken at once as the memory allows for a moderate number of samples.
        some = min(self.n_samples, 256)
        columns = int(np.clip(self.memory / (self.item_size * (2 * KEPT * self.activations * some + 3 * d)), 1, d))
        out = np.zeros((n, d, d))
        eye = np.eye(d)
        for first in range(0, d, columns):
            unit = eye[first : first + columns]
            for P, S in self._pieces(n, 2 * KEPT * self.activations * unit.shape[0], 3 * d * unit.shape[0]):
                rows = np.broadcast_to(unit, (x[P].shape[0], *unit.shape))
                out[P, first : first + columns] += self.piece("hessian_rows", S, x[P], rows, w[P, S])
        return np.asarray(0.5 * (out + np.swapaxes(out, 1, 2)))

    def sum(
        self,
        *,
        layout: ParameterLayout,
        initial_point: Array,
        restore: Callable[[Array], Any],
        initialise: Callable[[int], Array] | None = None,
        notes: tuple[str, ...] = (),
        kinks: tuple[str, ...] = (),
    ) -> ModelSum:
        """The finite sum of these functions."""
        total = ModelSum(
            sample_losses=self.losses,
            sample_gradients=self.sample_gradients,
            n_samples=self.n_samples,
            dimension=self.dimension,
            drawn_gradients=self.drawn_gradients,
            batch_gradient=self.batch_gradient,
            mean_gradient=self.mean_gradient,
            hessian=self.hessian,
            hessian_vector_product=self.hessian_vector_product,
            directional_derivatives=self.directional_derivatives,
            weighted_gradient=self.weighted_gradient,
            weighted_hessian_product=self.weighted_hessian_product,
            weighted_hessian=self.weighted_hessian,
            layout=layout,
            initial_point=initial_point,
            restore=restore,
            initialise=initialise,
            some_losses=self.some_losses,
            notes=notes,
            kinks=kinks,
            bits=8 * self.item_size,
        )
        total.losses_at(initial_point)  # An error now names the sample whose loss is NaN.
        return total

    def _pieces(self, n: int, per_sample: int, per_point: int | None = None) -> Iterator[tuple[slice, slice]]:
        """Slices of points and of samples whose numbers fit into the memory.

        The samples are split only if those of one point do not fit.
        """
        each = 4 * self.dimension if per_point is None else per_point
        budget = self.memory / self.item_size
        samples = int(np.clip((budget - each) / max(per_sample, 1), 1, self.n_samples))
        for P in self._rows(n, samples * per_sample + each):
            for first in range(0, self.n_samples, samples):
                yield P, slice(first, min(first + samples, self.n_samples))

    def _rows(self, n: int, per_point: int) -> Iterator[slice]:
        """Slices of points whose numbers fit into the memory."""
        points = max(1, int(self.memory / self.item_size / max(per_point, 1)))
        for first in range(0, n, points):
            yield slice(first, min(first + points, n))
