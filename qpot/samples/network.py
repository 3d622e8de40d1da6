"""A network with one hidden layer as a finite sum with a compiled kernel, without PyTorch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_count, as_own_array, as_positive
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.formulas import Integers, SampleFunctions
from qpot.samples.pages import keep_pages


def network_sum(features: ArrayLike, labels: ArrayLike, *, hidden: int, weight_decay: float) -> FiniteSum:
    """Classification by one layer of tanh units: L_i = -log p_i + w |x|^2 / 2 with the softmax probability p_i of the label.

    The logits are ``W_2 tanh(W_1 X_i + b_1) + b_2``, and zero for the last class: with a logit for every class there would
    be no noise in the directions that shift all of them together. The point x is (W_1, b_1, W_2, b_2) flattened, as
    `dense_layer_symmetries` takes it for the sizes (f, hidden, C - 1). The kernel is
    ``("tanh_network", (X, y, w, hidden, C))``.

    Parameters
    ----------
    features : ``(N, f)``
        The inputs X, which should be standardised.
    labels : ``(N,)``
        The labels y, integers 0 ... C - 1; C is the largest of them plus one.
    hidden : int
        The number of units of the hidden layer.
    weight_decay : float
        w > 0. Without it separable data have no minimum, and units that nothing needs have flat directions.

    Returns
    -------
    FiniteSum
        A sum of dimension hidden (f + 1) + (C - 1) (hidden + 1).

    Raises
    ------
    ValueError
        If shapes do not fit, if an entry is not finite, if labels are not integers from 0 on, if there are fewer than two
        classes, or if the weight decay is not positive.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> total = qpot.network_sum([[0.0, 1.0], [1.0, 1.0]], [0, 1], hidden=3, weight_decay=0.01)
    >>> total.dimension, total.loss(np.zeros((1, 13))).round(6)
    (13, array([0.693147]))
    """
    X, y = as_own_array(features, name="features"), as_own_array(labels, name="labels")
    if X.ndim != 2 or 0 in X.shape or y.shape != X.shape[:1]:
        raise ValueError(f"features has shape {X.shape} and labels {y.shape}, expected (N, f) and (N,), not empty")
    bad = ~np.isfinite(X).all(axis=1) | ~np.isfinite(y)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"features or labels have a NaN or infinite entry in row {row}; remove or repair that sample")
    if (y < 0).any() or (y % 1 != 0).any() or y.max() < 1:
        raise ValueError(
            f"labels must be integers 0 ... C - 1 of at least two classes, got {np.unique(y)[:5]}; recode them with "
            "numpy.unique(labels, return_inverse=True)[1]"
        )
    if np.ndim(weight_decay) == 0 and weight_decay == 0:
        raise ValueError(
            "weight_decay=0: without it the loss of a network that separates its samples falls for ever along growing "
            "weights, and the functions of this class have no minimum there; pass a small weight_decay, as 1e-4, or ask "
            "where such a training goes with qpot.margin_flow"
        )
    decay = as_positive(weight_decay, name="weight_decay")
    functions = TanhNetwork(X, y.astype(np.int64), as_count(hidden, name="hidden"), decay)
    return FiniteSum(
        sample_losses=functions.losses,
        sample_gradients=functions.gradients,
        drawn_gradients=functions.drawn,
        mean_gradient=functions.mean,
        hessian=functions.hessian,
        weighted_hessian=functions.combined_hessian,
        hessian_vector_product=functions.hessian_product,
        directional_derivatives=functions.along,
        weighted_gradient=functions.combined,
        weighted_hessian_product=functions.combined_hessian_product,
        n_samples=functions.n_samples,
        dimension=functions.dimension,
        kernel=("tanh_network", (X, y, decay, float(functions.hidden), float(functions.classes))),
    )


# One array of a block of points holds about this many numbers; blocks that stay in the cache are three times as fast.
_BLOCK = 50_000
# The same for arrays over parameters and samples, of which there are fewer at once.
_WIDE_BLOCK = 100_000


class TanhNetwork(SampleFunctions):
    """Cross entropy of a network with one hidden layer, plus weight decay, in NumPy.

    Arrays over units or classes and samples have the samples last, (n, h, N), so that sums over classes are vectorised over
    samples.
    """

    def __init__(self, X: Array, y: Integers, hidden: int, weight_decay: float) -> None:
        keep_pages()
        self.X, self.hidden, self.weight_decay = X, hidden, weight_decay
        self.n_samples, f = X.shape
        self.classes = int(y.max()) + 1
        outputs = self.classes - 1
        self.one_hot = np.eye(self.classes)[:outputs, y]
        ends = np.cumsum([hidden * f, hidden, outputs * hidden, outputs])
        self.dimension = int(ends[-1])
        place = np.arange(self.dimension)
        self.W1, self.b1, W2, self.b2 = np.split(place, ends[:-1])
        self.W2 = W2.reshape(outputs, hidden)
        # The places of the weights and of the bias that lead into each unit.
        self.into = np.column_stack([self.W1.reshape(hidden, f), self.b1])
        # The places of the weights and of the bias that lead into each logit.
        self.out = np.column_stack([self.W2, self.b2])
        self.inputs = np.column_stack([X, np.ones(self.n_samples)]).T.copy()

    def losses(self, x: Array) -> Array:
        z = self._forward(x, self.inputs)[1]
        largest = np.maximum(z.max(axis=1), 0.0)
        log_total = largest + np.log(np.exp(-largest) + np.exp(z - largest[:, None]).sum(axis=1))
        decay = 0.5 * self.weight_decay * (x**2).sum(axis=1)
        return np.asarray(log_total - (z * self.one_hot).sum(axis=1) + decay[:, None])

    def gradients(self, x: Array) -> Array:
        result = np.empty((x.shape[0], self.n_samples, self.dimension))
        for block in self._blocks(x.shape[0], wide=True):
            result[block] = self._pulled(x[block], self.inputs[None], self.one_hot[None])
        return result

    def drawn(self, x: Array, index: Integers) -> Array:
        inputs, one_hot = (np.moveaxis(table[:, index], 0, 1) for table in (self.inputs, self.one_hot))
        return np.ascontiguousarray(self._pulled(x, inputs, one_hot))

    def _blocks(self, n: int, *, wide: bool = False) -> list[slice]:
        """Slices of points whose arrays over units or classes, or over parameters if they are wide, stay in the cache."""
        widest = self.dimension if wide else max(self.classes, self.hidden)
        size = max(1, (_WIDE_BLOCK if wide else _BLOCK) // (self.n_samples * widest))
        return [slice(k, k + size) for k in range(0, n, size)]

    def mean(self, x: Array) -> Array:
        """Gradient of the mean loss, ``(n, d)``."""
        return self.combined(x, np.full((x.shape[0], self.n_samples), 1.0 / self.n_samples))

    def combined(self, x: Array, w: Array) -> Array:
        """sum_i w_i g_i, ``(n, d)``, for weights ``(n, N)``."""
        result = np.empty_like(x)
        for block in self._blocks(x.shape[0]):
            result[block] = self._combined(x[block], w[block])
        return result

    def _combined(self, x: Array, w: Array) -> Array:
        unit, z, weights = self._forward(x, self.inputs)
        slope = (_softmax(z) - self.one_hot) * w[:, None]
        back = (np.swapaxes(weights, 1, 2) @ slope) * (1.0 - unit**2)
        return np.asarray(self._gathered(back, slope, unit) + self.weight_decay * w.sum(axis=1)[:, None] * x)

    def along(self, x: Array, v: Array) -> Array:
        """<g_i, v> for every sample, ``(n, N)``."""
        result = np.empty((x.shape[0], self.n_samples))
        for block in self._blocks(x.shape[0]):
            result[block] = self._along(x[block], v[block])
        return result

    def _along(self, x: Array, v: Array) -> Array:
        unit, z, weights = self._forward(x, self.inputs)
        dz = self._moved(unit, weights, v)[1]
        decay = self.weight_decay * (x * v).sum(axis=1)
        return np.asarray(((_softmax(z) - self.one_hot) * dz).sum(axis=1) + decay[:, None])

    def hessian_product(self, x: Array, v: Array) -> Array:
        """Hessian of the mean loss times v, ``(n, d)``."""
        return self.combined_hessian_product(x, v, np.full((x.shape[0], self.n_samples), 1.0 / self.n_samples))

    def combined_hessian_product(self, x: Array, v: Array, w: Array) -> Array:
        """sum_i w_i H_i v, ``(n, d)``: the derivative of `combined` along v."""
        result = np.empty_like(x)
        for block in self._blocks(x.shape[0]):
            result[block] = self._combined_hessian_product(x[block], v[block], w[block])
        return result

    def _combined_hessian_product(self, x: Array, v: Array, w: Array) -> Array:
        unit, z, weights = self._forward(x, self.inputs)
        d_unit, dz = self._moved(unit, weights, v)
        p, back = _softmax(z), np.swapaxes(weights, 1, 2)
        slope = (p - self.one_hot) * w[:, None]
        d_slope = p * (dz - (p * dz).sum(axis=1, keepdims=True)) * w[:, None]
        steep = 1.0 - unit**2
        d_back = (back @ d_slope + np.swapaxes(v[:, self.W2], 1, 2) @ slope) * steep
        d_back -= 2.0 * (back @ slope) * unit * d_unit
        result = self._gathered(d_back, d_slope, unit) + self.weight_decay * w.sum(axis=1)[:, None] * v
        result[:, self.W2] += slope @ np.swapaxes(d_unit, 1, 2)
        return np.asarray(result)

    def hessian(self, x: Array) -> Array:
        """Hessian of the mean loss, ``(n, d, d)``."""
        return self.combined_hessian(x, np.full((x.shape[0], self.n_samples), 1.0 / self.n_samples))

    def combined_hessian(self, x: Array, w: Array) -> Array:
        """sum_i w_i H_i, ``(n, d, d)``, for weights ``(n, N)``."""
        result = np.empty((x.shape[0], self.dimension, self.dimension))
        for block in self._blocks(x.shape[0], wide=True):
            result[block] = self._combined_hessian(x[block], w[block])
        return result

    def _combined_hessian(self, x: Array, w: Array) -> Array:
        """The sum of two parts: the softmax's Hessian diag(p) - p p^T between Jacobians of the logits, and their Hessians."""
        unit, z, weights = self._forward(x, self.inputs)
        n, h, _ = unit.shape
        p, steep, a = _softmax(z), 1.0 - unit**2, self.inputs
        slope, back = p - self.one_hot, np.swapaxes(weights, 1, 2)
        units = np.concatenate([unit, np.ones((n, 1, self.n_samples))], axis=1)
        m = np.empty((n, self.dimension, self.n_samples))  # This is p times the Jacobian of the logits.
        m[:, self.into] = ((back @ p) * steep)[:, :, None] * a
        m[:, self.out] = p[:, :, None] * units[:, None]
        H = -(m * w[:, None]) @ np.swapaxes(m, 1, 2)
        # Two units of the hidden layer: the coefficients (h, h) are summed against products of two inputs.
        between = (np.swapaxes(weights[:, :, :, None] * weights[:, :, None], 1, 3) @ p[:, None]).transpose(0, 2, 1, 3)
        between *= (steep * w[:, None])[:, :, None] * steep[:, None]
        k = np.arange(h)
        between[:, k, k] -= 2.0 * w[:, None] * (back @ slope) * unit * steep
        pairs = (a[:, None] * a).reshape(-1, self.n_samples).T
        blocks = (between @ pairs).reshape(n, h, h, a.shape[0], a.shape[0])
        H[:, self.into[:, None, :, None], self.into[None, :, None, :]] += blocks
        # One logit with itself.
        wp = w[:, None] * p
        squares = (units[:, :, None] * units[:, None]).reshape(n, -1, self.n_samples)
        blocks = (wp @ np.swapaxes(squares, 1, 2)).reshape(n, -1, h + 1, h + 1)
        H[:, self.out[:, :, None], self.out[:, None, :]] += blocks
        # A unit and a logit.
        mixed = (wp[:, :, None] * steep[:, None])[:, :, :, None] * units[:, None, None]
        mixed *= weights[:, :, :, None, None]
        mixed[:, :, k, k] += (slope * w[:, None])[:, :, None] * steep[:, None]
        blocks = mixed @ a.T  # The shape is (n, C - 1, h, h + 1, f + 1).
        rows, columns = self.into[None, :, None, :], self.out[:, None, :, None]
        H[:, rows, columns] += blocks
        H[:, columns, rows] += blocks
        place = np.arange(self.dimension)
        H[:, place, place] += self.weight_decay * w.sum(axis=1)[:, None]
        return np.asarray(H)

    def _forward(self, x: Array, inputs: Array) -> tuple[Array, Array, Array]:
        """Units (n, h, N), logits (n, C - 1, N), and the weights between them (n, C - 1, h)."""
        weights = x[:, self.W2]
        unit = np.tanh(x[:, self.into] @ inputs)
        return unit, weights @ unit + x[:, self.b2, None], weights

    def _moved(self, unit: Array, weights: Array, v: Array) -> tuple[Array, Array]:
        """The derivatives of units and logits along v."""
        d_unit = (1.0 - unit**2) * (v[:, self.into] @ self.inputs)
        return d_unit, weights @ d_unit + v[:, self.W2] @ unit + v[:, self.b2, None]

    def _gathered(self, back: Array, slope: Array, unit: Array) -> Array:
        """The parts of a gradient, summed over samples and put in their places, (n, d)."""
        result = np.empty((unit.shape[0], self.dimension))
        result[:, self.into] = back @ self.inputs.T
        result[:, self.W2] = slope @ np.swapaxes(unit, 1, 2)
        result[:, self.b2] = slope.sum(axis=2)
        return result

    def _pulled(self, x: Array, inputs: Array, one_hot: Array) -> Array:
        """Every sample's gradient, (n, B, d), a view with the samples last in memory, from inputs (1 or n, f + 1, B)."""
        unit, z, weights = self._forward(x, inputs)
        slope = _softmax(z) - one_hot
        back = (np.swapaxes(weights, 1, 2) @ slope) * (1.0 - unit**2)
        result = np.empty((x.shape[0], self.dimension, unit.shape[2]))
        result[:, self.into] = back[:, :, None] * inputs[:, None]
        result[:, self.W2] = slope[:, :, None] * unit[:, None]
        result[:, self.b2] = slope
        result += self.weight_decay * x[:, :, None]
        return np.swapaxes(result, 1, 2)


def _softmax(z: Array) -> Array:
    """Probabilities (n, C - 1, N) of all classes but the last, whose logit is zero."""
    largest = np.maximum(z.max(axis=1, keepdims=True), 0.0)
    e = np.exp(z - largest)
    return np.asarray(e / (np.exp(-largest) + e.sum(axis=1, keepdims=True)))
