"""Homogeneous models, f(c theta, x) = c^D f(theta, x), ready-made or one's own, and their margins as a finite sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_count, as_float_array, as_own_array, as_point
from qpot._core.types import PointLike
from qpot.companions.margin_losses import signed_samples
from qpot.companions.models import PredictionModel
from qpot.samples.automatic import ModelSum
from qpot.samples.finite_sum import FiniteSum

# A model counts as homogeneous where Euler's identity <theta, grad f> = D f holds to this share of |theta| |grad f|.
_EULER = 1e-7
# Matrices of the implicit method with more rows than this are refused.
_LARGEST = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class HomogeneousModel(PredictionModel):
    """A homogeneous model with one output that is linear in its inputs, f_theta(x) = <w(theta), x>.

    Parameters
    ----------
    predict, jacobian, dimension, features, outputs
        As for `PredictionModel`.
    predictor : callable ``(d,) -> (p,)``, optional
        The weights w of the linear function that the model is.
    norm : {"l1", "l2", "nuclear"}, optional
        The norm of w that gradient flow minimises at infinity under the constraint of margins >= 1, where it is known.
    shape : tuple of int, optional
        The shape of w as a matrix, for the nuclear norm.
    """

    predictor: Callable[[Array], Array] | None = None
    norm: str | None = None
    shape: tuple[int, int] | None = None


def diagonal_network(features: int, *, depth: int = 2) -> HomogeneousModel:
    r"""The diagonal network :math:`f(x) = \langle u^L - v^L, x\rangle` (powers by components) of depth L.

    The parameters theta are u and v, one after the other. At depth 2 gradient flow from positive parameters tends to the l1
    machine (Gunasekar, Lee, Soudry and Srebro 2018, arXiv:1806.00468; Lyu and Li 2020, arXiv:1906.05890).

    Parameters
    ----------
    features, depth : int
        The number of features and the power L >= 1.

    Examples
    --------
    >>> import qpot
    >>> qpot.diagonal_network(2).outputs_at([1.0, 2.0, 0.5, 1.0], [[1.0, 1.0]])
    array([[3.75]])
    """
    p, L = as_count(features, name="features"), as_count(depth, name="depth")

    def predictor(theta: Array) -> Array:
        return np.asarray(theta[:p] ** L - theta[p:] ** L)

    def jacobian(theta: Array, X: Array) -> Array:
        slopes = L * theta ** (L - 1)
        return np.hstack([X * slopes[:p], -X * slopes[p:]])[:, None, :]

    return HomogeneousModel(
        predict=lambda theta, X: (X @ predictor(theta))[:, None],
        jacobian=jacobian,
        dimension=2 * p,
        features=p,
        predictor=predictor,
        norm={1: "l2", 2: "l1"}.get(L),
    )


def deep_linear_network(features: int, widths: Sequence[int] = (2,)) -> HomogeneousModel:
    r"""The deep linear network :math:`f(x) = W_L \cdots W_1 x` with one output, homogeneous of degree L.

    Gradient flow tends to the l2 machine (Ji and Telgarsky 2019, arXiv:1810.02032).

    Parameters
    ----------
    features : int
        The number of features.
    widths : sequence of int
        The widths of the L - 1 hidden layers.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> network = qpot.deep_linear_network(3, (2,))
    >>> network.dimension, network.predictor(np.ones(network.dimension))
    (8, array([2., 2., 2.]))
    """
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        raise ValueError(f"widths must be integers, one for each hidden layer, such as (2, 2); got {widths!r}")
    sizes = [as_count(features, name="features"), *(as_count(w, name="widths") for w in widths), 1]
    shapes = [(after, before) for before, after in pairwise(sizes)]
    ends = np.cumsum([a * b for a, b in shapes])

    def layers(theta: Array) -> list[Array]:
        return [part.reshape(s) for part, s in zip(np.split(theta, ends[:-1]), shapes, strict=True)]

    def predictor(theta: Array) -> Array:
        product = np.eye(1)
        for W in reversed(layers(theta)):
            product = product @ W
        return np.asarray(product[0])

    def jacobian(theta: Array, X: Array) -> Array:
        weights = layers(theta)
        below = [X]
        for W in weights[:-1]:
            below.append(below[-1] @ W.T)
        above, parts = np.eye(1), []
        for W, h in zip(reversed(weights), reversed(below), strict=True):
            parts.append((above[0][None, :, None] * h[:, None, :]).reshape(X.shape[0], -1))
            above = above @ W
        return np.hstack(parts[::-1])[:, None, :]

    return HomogeneousModel(
        predict=lambda theta, X: (X @ predictor(theta))[:, None],
        jacobian=jacobian,
        dimension=int(ends[-1]),
        features=sizes[0],
        predictor=predictor,
        norm="l2",
    )


def matrix_factorisation(rows: int, columns: int, rank: int) -> HomogeneousModel:
    r"""The factorised matrix :math:`f(X) = \langle U V^T, X\rangle`, with U ``(rows, rank)`` and V ``(columns, rank)``.

    The inputs are matrices X flattened by rows. With a rank that is large enough, gradient flow from a generic start tends
    to the machine of the nuclear norm (Gunasekar et al. 2017, arXiv:1705.09280; Lyu and Li 2020).

    Parameters
    ----------
    rows, columns, rank : int

    Examples
    --------
    >>> import numpy as np, qpot
    >>> qpot.matrix_factorisation(2, 2, 1).predictor(np.array([1.0, 2.0, 3.0, 4.0]))
    array([3., 4., 6., 8.])
    """
    a, b = as_count(rows, name="rows"), as_count(columns, name="columns")
    r = as_count(rank, name="rank")

    def factors(theta: Array) -> tuple[Array, Array]:
        return theta[: a * r].reshape(a, r), theta[a * r :].reshape(b, r)

    def predictor(theta: Array) -> Array:
        U, V = factors(theta)
        return (U @ V.T).ravel()

    def jacobian(theta: Array, X: Array) -> Array:
        U, V = factors(theta)
        matrices = X.reshape(-1, a, b)
        left = (matrices @ V).reshape(X.shape[0], -1)
        right = (matrices.transpose(0, 2, 1) @ U).reshape(X.shape[0], -1)
        return np.hstack([left, right])[:, None, :]

    return HomogeneousModel(
        predict=lambda theta, X: (X @ predictor(theta))[:, None],
        jacobian=jacobian,
        dimension=(a + b) * r,
        features=a * b,
        predictor=predictor,
        norm="nuclear",
        shape=(a, b),
    )


def relu_network(features: int, hidden: int) -> PredictionModel:
    r"""The two-layer network :math:`f(x) = \sum_k a_k \max(0, \langle w_k, x\rangle)` without intercepts, of degree 2.

    The parameters theta are the w_k, one after the other, and then the a_k. Append a column of ones to the inputs for an
    intercept inside the units. Gradient flow tends to a KKT point of the largest margin (Lyu and Li 2020), often one at a
    kink of some unit, along which it slides: `margin_steps` follows it there, the implicit method of `margin_flow` does not.

    Parameters
    ----------
    features, hidden : int
        The numbers of features and units.

    Examples
    --------
    >>> import qpot
    >>> qpot.relu_network(1, 2).outputs_at([1.0, -1.0, 2.0, 3.0], [[2.0], [-1.0]])
    array([[4.],
           [3.]])
    """
    p, H = as_count(features, name="features"), as_count(hidden, name="hidden")

    def split(theta: Array, X: Array) -> tuple[Array, Array]:
        return X @ theta[: H * p].reshape(H, p).T, theta[H * p :]

    def predict(theta: Array, X: Array) -> Array:
        z, a = split(theta, X)
        return (np.maximum(z, 0.0) @ a)[:, None]

    def jacobian(theta: Array, X: Array) -> Array:
        z, a = split(theta, X)
        inner = ((z > 0) * a)[:, :, None] * X[:, None, :]
        return np.hstack([inner.reshape(X.shape[0], -1), np.maximum(z, 0.0)])[:, None, :]

    return PredictionModel(predict=predict, jacobian=jacobian, dimension=H * (p + 1), features=p)


@dataclass(frozen=True, kw_only=True, eq=False)
class Margins:
    """The margins q_i = y_i f_theta(x_i) of a homogeneous model on data.

    Attributes
    ----------
    total : FiniteSum
        A finite sum whose sample losses are the margins.
    start : array (d,) or None
        The parameters that the model came with.
    model : PredictionModel or None
        The model, where it is one of NumPy's.
    """

    total: FiniteSum
    start: Array | None
    model: PredictionModel | None

    def values(self, theta: Array) -> Array:
        """The margins ``(N,)``."""
        values: Array = np.asarray(self.total.sample_losses(theta[None]), dtype=float)
        first: Array = values[0]
        return first

    def gradients(self, theta: Array) -> Array:
        """The gradients of the margins ``(N, d)``."""
        rows: Array = np.asarray(self.total.sample_gradients(theta[None]), dtype=float)
        first: Array = rows[0]
        return first

    def curvature(self, theta: Array, weights: Array) -> Array:
        """The Hessian of sum_i w_i q_i by central differences of its gradient, ``(d, d)``."""
        d = theta.size
        steps = 1e-6 * np.maximum(np.abs(theta), 1e-3 * np.abs(theta).max() + 1e-300)
        shifted = np.concatenate([theta + np.diag(steps), theta - np.diag(steps)])
        slopes = self.total.combined_gradient(shifted, np.broadcast_to(weights, (2 * d, weights.size)))
        H = (slopes[:d] - slopes[d:]) / (2.0 * steps[:, None])
        return np.asarray(0.5 * (H + H.T))

    def degree(self, theta: Array) -> float:
        """The degree D of homogeneity at theta; ValueError if there is none."""
        rng = np.random.default_rng(0)
        points = [theta, *(np.linalg.norm(theta) * rng.normal(size=(3, theta.size)) / np.sqrt(theta.size))]
        products, values, sizes = [], [], []
        for point in points:
            rows = self.gradients(point)
            products.append(rows @ point)
            values.append(self.values(point))
            sizes.append(np.linalg.norm(rows, axis=1) * np.linalg.norm(point))
        euler, q, size = np.concatenate(products), np.concatenate(values), np.concatenate(sizes)
        D = float(euler @ q / (q @ q)) if q.any() else np.nan
        off = np.abs(euler - D * q) > _EULER * np.maximum(size, 1e-300)
        if not D > 0 or off.any():
            raise ValueError(
                f"model is not homogeneous: <theta, grad f> = D f does not hold at {int(off.sum())} of {off.size} samples "
                f"and points (D = {D:.4g} fits best). A direction has a limit for homogeneous models only: leave out the "
                "intercepts of layers (append a column of ones to X instead) and activations that are not homogeneous"
            )
        return D


def as_margins(X: ArrayLike, y: ArrayLike, model: Any) -> Margins:
    """The margins of a model: a `PredictionModel`, a module of PyTorch, or a pair (function, parameters) for JAX."""
    if isinstance(model, Margins):
        return model
    samples = as_float_array(X, name="X")
    signed_samples(samples.reshape(samples.shape[0], -1) if samples.ndim > 1 else samples, y)
    labels = as_float_array(y, name="y")
    if isinstance(model, PredictionModel):
        return Margins(total=_numpy_margins(model, samples, labels), start=None, model=model)
    if isinstance(model, tuple) and len(model) == 2 and callable(model[0]):
        from qpot.samples.jax_models import from_jax

        function, parameters = model
        total = from_jax(lambda p, x, sign: sign * function(p, x).reshape(()), parameters, (samples, labels))
        return _automatic(total)
    if callable(getattr(model, "named_parameters", None)):
        from qpot.samples.torch_models import from_torch

        return _automatic(from_torch(model, _signed_output, (samples, labels)))
    raise ValueError(
        "model must be a qpot.PredictionModel with one output such as qpot.diagonal_network(...), a torch.nn.Module, or a "
        f"pair (function (params, x) -> number, params) for JAX, got {model!r:.80}"
    )


def _signed_output(output: Any, sign: Any) -> Any:
    """The margin of one sample of a module; a function of the module so that it can be sent to another process."""
    return (output.reshape(-1) * sign.reshape(-1)).sum()


def _automatic(total: ModelSum) -> Margins:
    return Margins(total=total, start=np.asarray(total.initial_point, dtype=float), model=None)


def _numpy_margins(model: PredictionModel, X: Array, y: Array) -> FiniteSum:
    if model.outputs != 1:
        raise ValueError(f"model has {model.outputs} outputs; margins need one, with labels +1 and -1")
    inputs = model.inputs(X)
    model.outputs_at(np.ones(model.dimension), inputs)
    model.jacobian_at(np.ones(model.dimension), inputs)

    def losses(points: Array) -> Array:
        return np.stack([y * model.predict(theta, inputs)[:, 0] for theta in points])

    def gradients(points: Array) -> Array:
        return np.stack([y[:, None] * model.jacobian(theta, inputs)[:, 0] for theta in points])

    def combined(points: Array, weights: Array) -> Array:
        return np.stack([(w * y) @ model.jacobian(t, inputs)[:, 0] for t, w in zip(points, weights, strict=True)])

    return FiniteSum(
        sample_losses=losses,
        sample_gradients=gradients,
        n_samples=inputs.shape[0],
        dimension=model.dimension,
        weighted_gradient=combined,
    )


def starting_point(data: Margins, start: PointLike | None) -> Array:
    """The first parameters, checked; a model that stands still there is refused."""
    if start is None and data.start is None:
        raise ValueError(
            "start is needed: a model of NumPy comes without parameters, and at zero the flow stands still"
        )
    d = data.total.dimension
    if d > _LARGEST:
        raise ValueError(
            f"model has {d} parameters; the implicit method solves systems of equations in all of them and takes at most "
            f"{_LARGEST}. For larger models use qpot.margin_steps, which takes gradients only"
        )
    theta = np.array(data.start if start is None else as_point(start, dimension=d, name="start"), dtype=float)
    if not data.gradients(theta).any():
        raise ValueError("start is a point where the model stands still: no margin has a gradient there")
    return theta


def signed_inputs(X: ArrayLike, y: ArrayLike) -> Array:
    """The signed inputs, flattened to rows."""
    samples = as_own_array(X, name="X")
    if samples.ndim < 2 or 0 in samples.shape:
        raise ValueError(f"X has shape {samples.shape}, expected (N, p) with one sample in each row")
    return signed_samples(samples.reshape(samples.shape[0], -1), y)
