"""Models f_theta(x) with their parameter Jacobian, and the losses of their outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, softmax

from qpot._core.arrays import Array, as_count, as_float_array, as_own_array, as_point, format_point
from qpot._core.interrupts import interruptible
from qpot._core.types import PointLike
from qpot.companions.margin_losses import MarginLoss
from qpot.samples.finite_sum import FiniteSum

# Derivatives of outputs are held for so many inputs at once that they are at most this many numbers.
_NUMBERS = 20_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionModel:
    """A model f_theta(x) with K outputs and d parameters.

    Parameters
    ----------
    predict : callable ``((d,), (n, p)) -> (n, K)``
        Outputs at n inputs for one parameter vector.
    jacobian : callable ``((d,), (n, p)) -> (n, K, d)``
        Derivatives of the outputs with respect to the parameters.
    dimension : int
        The number d of parameters.
    features : int
        The number p of features of an input.
    outputs : int
        The number K of outputs.

    Raises
    ------
    ValueError
        If a function is not callable or a count not positive; on use, if a function returns the wrong shape or a number
        that is not finite.
    """

    predict: Callable[[Array, Array], Array]
    jacobian: Callable[[Array, Array], Array]
    dimension: int
    features: int
    outputs: int = 1

    def __post_init__(self) -> None:
        for name in ("dimension", "features", "outputs"):
            as_count(getattr(self, name), name=name)
        for name in ("predict", "jacobian"):
            if not callable(getattr(self, name)):
                raise ValueError(f"{name} must be a function (parameters, inputs), got {getattr(self, name)!r}")

    def outputs_at(self, parameters: PointLike, X: ArrayLike) -> Array:
        """The outputs ``(n, K)``, checked."""
        theta, inputs = self._arguments(parameters, X)
        return self._checked(self.predict(theta, inputs), (inputs.shape[0], self.outputs), theta, "predict")

    def jacobian_at(self, parameters: PointLike, X: ArrayLike, *, name: str = "X") -> Array:
        """The Jacobian ``(n, K, d)``, checked."""
        theta, inputs = self._arguments(parameters, X, name)
        shape = (inputs.shape[0], self.outputs, self.dimension)
        return self._checked(self.jacobian(theta, inputs), shape, theta, "jacobian")

    def inputs(self, X: ArrayLike, *, name: str = "X") -> Array:
        """The inputs ``(n, p)``, checked; one input ``(p,)`` is a batch of one."""
        inputs = as_own_array(X, name=name)
        inputs = inputs[None] if inputs.ndim == 1 else inputs
        if inputs.ndim != 2 or inputs.shape[1] != self.features or inputs.shape[0] == 0:
            raise ValueError(f"{name} has shape {np.shape(X)}, expected (n, {self.features}): inputs are rows")
        if not np.isfinite(inputs).all():
            row = int(np.flatnonzero(~np.isfinite(inputs).all(axis=1))[0])
            raise ValueError(f"{name} has a NaN or infinite entry in row {row}; pass finite inputs")
        return inputs

    def _arguments(self, parameters: PointLike, X: ArrayLike, name: str = "X") -> tuple[Array, Array]:
        return as_point(parameters, dimension=self.dimension, name="parameters"), self.inputs(X, name=name)

    def _checked(self, values: ArrayLike, shape: tuple[int, ...], theta: Array, name: str) -> Array:
        result = as_float_array(values, name=f"the value of {name}")
        if result.shape != shape:
            raise ValueError(f"{name} returned shape {result.shape}, expected {shape}: (inputs, outputs, ...)")
        if not np.isfinite(result).all():
            raise ValueError(f"{name} returned NaN or infinity at the parameters {format_point(theta)}")
        return result


def linear_model(features: int, *, outputs: int = 1) -> PredictionModel:
    """The linear model f(x) = W x, where theta is W flattened, ``(outputs * features,)``.

    An intercept is a column of ones that is appended to the inputs.
    """
    p, K = as_count(features, name="features"), as_count(outputs, name="outputs")

    def jacobian(theta: Array, X: Array) -> Array:
        J = np.zeros((X.shape[0], K, K, p))
        J[:, np.arange(K), np.arange(K), :] = X[:, None, :]
        return J.reshape(X.shape[0], K, K * p)

    return PredictionModel(
        predict=lambda theta, X: X @ theta.reshape(K, p).T,
        jacobian=jacobian,
        dimension=K * p,
        features=p,
        outputs=K,
    )


def dense_network(features: int, hidden: int, *, outputs: int = 1) -> PredictionModel:
    r"""A network with one hidden layer, :math:`f(x) = W_2 \tanh(W_1 x + b_1) + b_2`.

    The parameters theta are W_1, b_1, W_2 and b_2 flattened, one after the other.

    Parameters
    ----------
    features, hidden, outputs : int
        The numbers of features, hidden units and outputs.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> network = qpot.dense_network(2, 3)
    >>> network.dimension, network.outputs_at(np.zeros(network.dimension), [[1.0, 2.0]])
    (13, array([[0.]]))
    """
    p, H = as_count(features, name="features"), as_count(hidden, name="hidden")
    K = as_count(outputs, name="outputs")
    ends = np.cumsum([H * p, H, K * H, K])

    def layers(theta: Array, X: Array) -> tuple[Array, Array, Array]:
        W1, b1, W2, b2 = np.split(theta, ends[:-1])
        h = np.tanh(X @ W1.reshape(H, p).T + b1)
        return h, W2.reshape(K, H), b2

    def predict(theta: Array, X: Array) -> Array:
        h, W2, b2 = layers(theta, X)
        return h @ W2.T + b2

    def jacobian(theta: Array, X: Array) -> Array:
        h, W2, _ = layers(theta, X)
        n = X.shape[0]
        # This is the derivative of f_k with respect to component j of W_1 x + b_1.
        inner = W2[None] * (1.0 - h**2)[:, None, :]
        J = np.zeros((n, K, int(ends[-1])))
        J[:, :, : ends[0]] = (inner[..., None] * X[:, None, None, :]).reshape(n, K, H * p)
        J[:, :, ends[0] : ends[1]] = inner
        outer = np.zeros((n, K, K, H))
        outer[:, np.arange(K), np.arange(K), :] = h[:, None, :]
        J[:, :, ends[1] : ends[2]] = outer.reshape(n, K, K * H)
        J[:, :, ends[2] :] = np.eye(K)
        return J

    return PredictionModel(predict=predict, jacobian=jacobian, dimension=int(ends[-1]), features=p, outputs=K)


class OutputLoss(Protocol):
    """A loss of a model's outputs F ``(N, K)`` and targets Y."""

    def targets(self, y: ArrayLike, n: int, outputs: int) -> Array:
        """The targets, checked and converted to the form that the other methods take."""
        ...

    def value(self, F: Array, Y: Array) -> Array:
        """The loss of every sample, ``(N,)``."""
        ...

    def pull(self, F: Array, Y: Array) -> Array:
        """Minus the derivative of the loss with respect to the outputs, ``(N, K)``."""
        ...


@dataclass(frozen=True, kw_only=True)
class SquaredError:
    r"""The squared error \|f - y\|^2 / 2, with targets ``(N, K)``, or ``(N,)`` for one output."""

    def targets(self, y: ArrayLike, n: int, outputs: int) -> Array:
        Y = as_own_array(y, name="y")
        Y = Y[:, None] if Y.ndim == 1 and outputs == 1 else Y
        if Y.shape != (n, outputs):
            raise ValueError(f"y has shape {np.shape(y)}, expected ({n}, {outputs}): one row of targets for each input")
        if not np.isfinite(Y).all():
            raise ValueError("y has NaN or infinite entries; pass finite targets")
        return Y

    def value(self, F: Array, Y: Array) -> Array:
        return 0.5 * np.asarray(((F - Y) ** 2).sum(axis=1))

    def pull(self, F: Array, Y: Array) -> Array:
        return Y - F


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """The cross-entropy of the softmax of the outputs, with integer targets 0 ... K - 1, ``(N,)``."""

    def targets(self, y: ArrayLike, n: int, outputs: int) -> Array:
        labels = as_float_array(y, name="y")
        if labels.shape != (n,) or (labels != np.round(labels)).any() or labels.min() < 0 or labels.max() >= outputs:
            raise ValueError(
                f"y must be ({n},) integer classes 0 ... {outputs - 1} for {outputs} outputs, got {y!r:.80}"
            )
        hot: Array = np.eye(outputs)[labels.astype(int)]
        return hot

    def value(self, F: Array, Y: Array) -> Array:
        values: Array = np.asarray(logsumexp(F, axis=1)) - (F * Y).sum(axis=1)
        return values

    def pull(self, F: Array, Y: Array) -> Array:
        residual: Array = Y - softmax(F, axis=1)
        return residual


@dataclass(frozen=True, kw_only=True)
class MarginError:
    """A margin loss l(y f) of a model with one output, with targets +1 and -1, ``(N,)``.

    Parameters
    ----------
    loss : Logistic, Exponential, Hinge, SquaredHinge or HuberisedHinge
    """

    loss: MarginLoss

    def targets(self, y: ArrayLike, n: int, outputs: int) -> Array:
        labels = as_own_array(y, name="y")
        if outputs != 1:
            raise ValueError(f"loss={self!r} is for models with one output, this one has {outputs}; use CrossEntropy()")
        if labels.shape != (n,) or (np.abs(labels) != 1.0).any():
            raise ValueError(f"y must be ({n},) labels +1 and -1, got {y!r:.80}")
        return labels[:, None]

    def value(self, F: Array, Y: Array) -> Array:
        return self.loss.value(F * Y)[:, 0]

    def pull(self, F: Array, Y: Array) -> Array:
        return -self.loss.derivative(F * Y) * Y


@interruptible
def training_sum(model: PredictionModel, X: ArrayLike, y: ArrayLike, *, loss: OutputLoss | None = None) -> FiniteSum:
    r"""The training loss (1/N) sum_i l(f_theta(x_i), y_i) as a finite sum in the parameters.

    Parameters
    ----------
    model : PredictionModel
    X : (N, p) array
    y : array
        Targets, as ``loss`` takes them.
    loss : SquaredError, CrossEntropy or MarginError, optional
        The default is `SquaredError`.

    Returns
    -------
    FiniteSum

    Raises
    ------
    ValueError
        If the model, the inputs, the targets or the loss are not usable or do not fit each other.

    Examples
    --------
    >>> import qpot
    >>> fit = qpot.training_sum(qpot.linear_model(1), [[1.0], [2.0]], [1.0, 2.0])
    >>> fit.loss([[0.0]]), fit.gradient([[0.0]])
    (array([1.25]), array([[-2.5]]))
    """
    inputs, Y, kind = training_data(model, X, y, loss)

    def losses(points: Array) -> Array:
        return np.stack([kind.value(model.outputs_at(theta, inputs), Y) for theta in points])

    def gradients(points: Array) -> Array:
        return np.stack([-sample_pulls(model, theta, inputs, Y, kind) for theta in points])

    def drawn(points: Array, index: NDArray[np.intp]) -> Array:
        return np.stack(
            [-sample_pulls(model, t, inputs[rows], Y[rows], kind) for t, rows in zip(points, index, strict=True)]
        )

    return FiniteSum(
        sample_losses=losses,
        sample_gradients=gradients,
        n_samples=inputs.shape[0],
        dimension=model.dimension,
        drawn_gradients=drawn,
    )


def training_data(
    model: PredictionModel, X: ArrayLike, y: ArrayLike, loss: OutputLoss | None
) -> tuple[Array, Array, OutputLoss]:
    """The inputs, the targets and the loss, checked against each other."""
    if not isinstance(model, PredictionModel):
        raise ValueError(f"model must be a qpot.PredictionModel such as qpot.dense_network(...), got {model!r}")
    kind = SquaredError() if loss is None else loss
    if isinstance(kind, type) or not callable(getattr(kind, "pull", None)):
        raise ValueError(
            f"loss must be qpot.SquaredError(), qpot.CrossEntropy() or qpot.MarginError(loss=...), got {loss!r}"
        )
    inputs = model.inputs(X)
    return inputs, kind.targets(y, inputs.shape[0], model.outputs), kind


def rows_at_once(model: PredictionModel) -> int:
    """For how many inputs the derivatives of the outputs are held at a time."""
    return max(1, _NUMBERS // (model.outputs * model.dimension))


def sample_pulls(model: PredictionModel, theta: Array, inputs: Array, Y: Array, kind: OutputLoss) -> Array:
    """Minus the parameter gradient of every sample's loss, ``(N, d)``."""
    alpha = kind.pull(model.outputs_at(theta, inputs), Y)
    pulls, at_once = np.empty((len(inputs), model.dimension)), rows_at_once(model)
    for a in range(0, len(inputs), at_once):
        rows = slice(a, a + at_once)
        pulls[rows] = np.einsum("nk,nkd->nd", alpha[rows], model.jacobian_at(theta, inputs[rows]))
    return pulls
