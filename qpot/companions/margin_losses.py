"""Margin losses as finite sums: logistic, exponential, hinge, squared hinge and Huberised hinge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from qpot._core.arrays import Array, as_own_array, as_positive
from qpot.samples.finite_sum import FiniteSum


class MarginLoss(Protocol):
    """A loss l(z) of the functional margin z = y <theta, x> of a sample; the functions take an array of any shape.

    A loss may also have an attribute ``compiled``, the name of a compiled kernel that takes the samples, their labels and
    the penalty. A simulation then uses it and does not call Python.
    """

    def value(self, z: Array) -> Array:
        """The loss l(z)."""
        ...

    def derivative(self, z: Array) -> Array:
        """The derivative l'(z)."""
        ...


class ExponentialTail(ABC):
    """A margin loss that falls like exp(-z), as `margin_flow` takes it: with logarithms, which do not underflow.

    Only such a tail sends the minimum on separable data to infinity along the SVM's direction.
    """

    @abstractmethod
    def value(self, z: Array) -> Array:
        """The loss l(z)."""

    @abstractmethod
    def derivative(self, z: Array) -> Array:
        """The derivative l'(z)."""

    @abstractmethod
    def log_value(self, z: Array) -> Array:
        """The logarithm log l(z)."""

    @abstractmethod
    def log_slope(self, z: Array) -> Array:
        """The logarithm log(-l'(z)) of the steepness."""

    @abstractmethod
    def log_slope_rate(self, z: Array) -> Array:
        """The derivative d log(-l'(z)) / dz."""


@dataclass(frozen=True, kw_only=True)
class Logistic(ExponentialTail):
    """The logistic loss l(z) = log(1 + exp(-z)), with the tail exp(-z)."""

    compiled: ClassVar[str] = "logistic"

    def value(self, z: Array) -> Array:
        return np.logaddexp(0.0, -z)

    def derivative(self, z: Array) -> Array:
        return -np.asarray(expit(-z))

    def log_value(self, z: Array) -> Array:
        """The logarithm log l(z), accurate also where l(z) underflows."""
        # log1p(e) = e (1 - e/2 + ...) with e = exp(-z), so that for z > 30 the logarithm is -z to rounding.
        return np.where(z > 30.0, -z, np.log(self.value(np.minimum(z, 31.0))))

    def log_slope(self, z: Array) -> Array:
        """The logarithm log(-l'(z)), accurate also where l'(z) underflows."""
        return -np.logaddexp(0.0, z)

    def log_slope_rate(self, z: Array) -> Array:
        """The derivative d log(-l'(z)) / dz = -1 / (1 + exp(-z))."""
        return -np.exp(self.log_slope(-z))


@dataclass(frozen=True, kw_only=True)
class Exponential(ExponentialTail):
    """The exponential loss l(z) = exp(-z)."""

    def value(self, z: Array) -> Array:
        return np.exp(-z)

    def derivative(self, z: Array) -> Array:
        return -np.exp(-z)

    def log_value(self, z: Array) -> Array:
        """The logarithm log l(z) = -z."""
        return -z

    def log_slope(self, z: Array) -> Array:
        """The logarithm log(-l'(z)) = -z."""
        return -z

    def log_slope_rate(self, z: Array) -> Array:
        """The derivative d log(-l'(z)) / dz = -1."""
        return np.full_like(z, -1.0)


@dataclass(frozen=True, kw_only=True)
class Hinge:
    """The loss l(z) = max(0, 1 - z) of the support vector machine; the subgradient at z = 1 is taken as 0.

    A sum of it has kinks, and its Hessian by differences is zero between them and wrong on them. Where the stationary
    covariance is wanted from the Lyapunov equation, `HuberisedHinge` is the loss to use. Its minima at kinks are found
    nevertheless (`qpot.find_minima`), and `qpot.decreasing_steps_law` has the law of Pegasos there.
    """

    def value(self, z: Array) -> Array:
        return np.maximum(0.0, 1.0 - z)

    def derivative(self, z: Array) -> Array:
        return np.where(z < 1.0, -1.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class SquaredHinge:
    """The squared hinge l(z) = max(0, 1 - z)^2 / 2, whose second derivative jumps at z = 1."""

    def value(self, z: Array) -> Array:
        return 0.5 * np.maximum(0.0, 1.0 - z) ** 2

    def derivative(self, z: Array) -> Array:
        return -np.maximum(0.0, 1.0 - z)


@dataclass(frozen=True, kw_only=True)
class HuberisedHinge:
    r"""The hinge with its kink rounded over a width h (Chapelle 2007).

    It is l(z) = 0 for z >= 1 + h/2, (1 + h/2 - z)^2 / (2 h) for \|1 - z\| < h/2, and 1 - z for z <= 1 - h/2.

    It is convex, and therefore not the "Huber loss" of those texts on support vector machines whose formula is not convex,
    nor Huber's loss of regression applied to 1 - z, which also charges samples far on the right side. A sum of a loss that is
    not convex may have several minima, between which noise chooses; pass any object with ``value`` and ``derivative``.

    Parameters
    ----------
    width : float
        The width h > 0. The difference from the hinge is at most h/8 and vanishes as h -> 0.

    Raises
    ------
    ValueError
        If ``width`` is not a finite number above zero.
    """

    width: float = 0.5

    def __post_init__(self) -> None:
        as_positive(self.width, name="width")

    def value(self, z: Array) -> Array:
        h = self.width
        into = np.clip(1.0 + 0.5 * h - z, 0.0, h)
        return into**2 / (2.0 * h) + np.maximum(0.0, 1.0 - 0.5 * h - z)

    def derivative(self, z: Array) -> Array:
        return -np.clip((1.0 + 0.5 * self.width - z) / self.width, 0.0, 1.0)


def margin_sum(X: ArrayLike, y: ArrayLike, *, loss: MarginLoss | None = None, penalty: float = 0.0) -> FiniteSum:
    r"""A linear classifier's training loss as a finite sum.

    .. math:: L(\theta) = \frac1N \sum_i \Big[ \ell(y_i \langle\theta, x_i\rangle) +
              \frac{\lambda}{2}|\theta|^2 \Big].

    With the hinge, SGD on this sum is Pegasos (Shalev-Shwartz, Singer, Srebro 2007); ``System.from_finite_sum`` gives its
    minibatch covariance.

    Parameters
    ----------
    X : (N, d) array
        Samples as rows. There is no intercept: append a column of ones for one (it is then penalised like the
        rest).
    y : (N,) array
        Labels, +1 or -1.
    loss : Logistic, Exponential, Hinge, SquaredHinge or HuberisedHinge, optional
        Default `Logistic`.
    penalty : float
        The coefficient lambda >= 0 of the penalty, which is part of every sample's loss.

    Returns
    -------
    FiniteSum

    Raises
    ------
    ValueError
        If a label is not +1 or -1, the lengths of X and y differ, or the penalty is negative.

    Examples
    --------
    >>> import qpot
    >>> svm = qpot.margin_sum([[1.0, 0.0], [0.0, -2.0]], [1, -1], loss=qpot.Hinge(), penalty=0.1)
    >>> svm.loss([[0.5, 0.0]]), svm.gradient([[0.5, 0.0]])
    (array([0.7625]), array([[-0.45, -1.  ]]))
    """
    Z = signed_samples(X, y)
    kind: MarginLoss = Logistic() if loss is None else loss
    if not (callable(getattr(kind, "value", None)) and callable(getattr(kind, "derivative", None))) or isinstance(
        kind, type
    ):
        raise ValueError(f"loss must be a margin loss such as qpot.Hinge(), got {loss!r}")
    strength = as_number(penalty)
    if not 0 <= strength < np.inf:
        raise ValueError(f"penalty must be a finite number >= 0, got {penalty!r}")

    functions = _MarginSum(Z, kind, strength)
    # The signed samples contain the labels, so the kernel gets the label +1 for each of them.
    compiled: str | None = getattr(kind, "compiled", None)
    kernel = None if compiled is None else (compiled, (Z, np.ones(Z.shape[0]), strength))
    return FiniteSum(
        sample_losses=functions.losses,
        sample_gradients=functions.gradients,
        n_samples=Z.shape[0],
        dimension=Z.shape[1],
        drawn_gradients=functions.drawn,
        kernel=kernel,
    )


class _MarginSum:
    """The functions of a margin sum; they are methods of a class so that they can be sent to another process."""

    def __init__(self, samples: Array, loss: MarginLoss, penalty: float) -> None:
        self.samples, self.loss, self.penalty = samples, loss, penalty

    def losses(self, x: Array) -> Array:
        values: Array = self.loss.value(x @ self.samples.T)
        ridge: Array = 0.5 * self.penalty * (x**2).sum(axis=1, keepdims=True)
        return values + ridge

    def gradients(self, x: Array) -> Array:
        slopes: Array = self.loss.derivative(x @ self.samples.T)[:, :, None] * self.samples
        return slopes + self.penalty * x[:, None, :]

    def drawn(self, x: Array, index: NDArray[np.intp]) -> Array:
        samples = self.samples[index]
        z = np.einsum("nbd,nd->nb", samples, x)
        slopes: Array = self.loss.derivative(z)[:, :, None] * samples
        return slopes + self.penalty * x[:, None, :]


def margin_sum_parts(total: FiniteSum) -> tuple[Array, MarginLoss, float] | None:
    """The signed samples ``(N, d)``, the loss and the penalty of a sum of linear margins; None for another sum."""
    functions = getattr(total.sample_losses, "__self__", None)
    if isinstance(functions, _MarginSum):
        return functions.samples, functions.loss, functions.penalty
    if total.kernel is not None and total.kernel[0] == "logistic":
        X, y, penalty = total.kernel[1]
        return np.asarray(y)[:, None] * np.asarray(X), Logistic(), float(penalty)
    return None


def signed_samples(X: ArrayLike, y: ArrayLike) -> Array:
    """The signed samples ``y_i x_i`` as rows ``(N, d)``, after a check of X and y."""
    samples = as_own_array(X, name="X")
    labels = as_own_array(y, name="y")
    if samples.ndim != 2 or 0 in samples.shape:
        raise ValueError(f"X has shape {samples.shape}, expected (N, d) with one sample in each row")
    if not np.isfinite(samples).all():
        row = int(np.flatnonzero(~np.isfinite(samples).all(axis=1))[0])
        raise ValueError(f"X has a NaN or infinite entry in row {row}; pass finite samples")
    if labels.shape != (samples.shape[0],):
        raise ValueError(f"y has shape {labels.shape}, expected ({samples.shape[0]},): one label for each row of X")
    bad = np.flatnonzero(np.abs(labels) != 1.0)
    if bad.size:
        raise ValueError(
            f"y must be +1 or -1, but y[{bad[0]}] = {labels[bad[0]]:g} ({bad.size} such labels); "
            "for classes a and b pass numpy.where(labels == a, 1, -1)"
        )
    return labels[:, None] * samples


def as_number(value: Any) -> float:
    """A real number as a float, or NaN if ``value`` is not one; the caller checks the range and names it in its message."""
    if isinstance(value, (bool, str, np.ma.MaskedArray)):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
