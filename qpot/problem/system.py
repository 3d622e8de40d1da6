"""System: a drift and a noise covariance, and for SGD the loss they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from qpot._core.arrays import Array, BatchFunction, as_count, as_float_array, as_points, as_positive, call_batch
from qpot.problem.covariance import check_semidefinite, check_symmetric
from qpot.problem.factored import CheckedStructured, FactoredCovariance, Structured
from qpot.problem.operators import OperatorCovariance, ProductCovariance
from qpot.samples.loss_checks import HeldAgainstLoss
from qpot.solvers.common.differences import central_jacobian

if TYPE_CHECKING:
    from qpot.problem.discrete_steps import ExactNoise
    from qpot.samples.finite_sum import FiniteSum

# Up to this dimension a constant covariance in factors is also kept as a matrix, for the solvers of few dimensions;
# above the other one a number is not turned into a multiple of an identity matrix.
_SMALL, _IDENTITY = 64, 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    r"""A small-noise system :math:`dX = b(X)\,dt + \sqrt{\varepsilon}\,\sigma(X)\,dW`.

    Functions are plain NumPy functions of a batch of points ``(n, d)``. The attributes of the same names call them
    with checks: shape, NaN and infinity are reported with the function's name and the point.

    Parameters
    ----------
    drift : callable ``(n, d) -> (n, d)``
        The deterministic velocity b.
    covariance : callable ``(n, d) -> (n, d, d)``, array ``(d, d)``, number, `qpot.covariance.factored` or LinearOperator
        a = sigma sigma^T per unit epsilon; never normalised. A number c means c times the identity. In factored form, or
        as products (`scipy.sparse.linalg.LinearOperator`), no d x d matrix is formed in many dimensions.
    dimension : int
        d.
    loss : callable ``(n, d) -> (n,)``, optional
        Kept for reports and plots; `from_loss` also declares that drift = -grad loss.
    jacobian : callable ``(n, d) -> (n, d, d)``, optional
        ``J[n, i, j] = d b_i / d x_j``. Without it: central differences, step ``6e-6 (1 + |x_j|)``, vectorised.
    jacobian_transpose_product : callable ``((n, d), (n, d)) -> (n, d)``, optional
        J(x)^T p; only for many dimensions. For a gradient system: the Hessian-vector product with a minus. Without it
        gradient systems use one directional difference of the drift, since their J is symmetric.

    Raises
    ------
    ValueError
        Naming argument, value and way out.

    Notes
    -----
    Convention (Freidlin and Wentzell): action 1/2 int (x' - b)^T a^{-1} (x' - b) dt, no epsilon in it. With a = I and
    b = -grad L the quasi-potential is 2 (L(x) - L(minimum)).

    Examples
    --------
    >>> import numpy as np, qpot
    >>> ou = qpot.System(drift=lambda x: -x, covariance=np.eye(2), dimension=2)
    >>> ou.drift(np.array([[1.0, 2.0]]))
    array([[-1., -2.]])
    """

    drift: Callable[[Any], Array]
    covariance: Callable[[Any], Array]
    dimension: int
    loss: Callable[[Any], Array] | None = None
    jacobian: Callable[[Any], Array]
    constant_covariance: Array | None = field(init=False, default=None)
    gradient_drift: bool = field(init=False, default=False)
    replacement: bool = field(init=False, default=True)
    finite_sum: FiniteSum | None = field(init=False, default=None)
    own_covariance: bool = field(init=False, default=True)  # whether `covariance` is that of `finite_sum`
    exact_noise: ExactNoise | None = field(init=False, default=None)
    structured_covariance: Structured | None = field(init=False, default=None)
    jacobian_transpose_product: Callable[[Any, Any], Array] | None = None

    def __init__(
        self,
        *,
        drift: BatchFunction,
        covariance: BatchFunction | ArrayLike,
        dimension: int,
        loss: BatchFunction | None = None,
        jacobian: BatchFunction | None = None,
        jacobian_transpose_product: Callable[[Array, Array], Array] | None = None,
    ) -> None:
        d = as_count(dimension, name="dimension")
        for name, function in (
            ("drift", drift),
            ("loss", loss),
            ("jacobian", jacobian),
            ("jacobian_transpose_product", jacobian_transpose_product),
        ):
            if function is not None and not callable(function):
                raise ValueError(f"{name} must be a function of a batch of points (n, {d}), got {function!r}")
        structured = _structured(covariance, d)
        if structured is None:
            constant, covariance_function = _covariance_field(covariance, d)
        else:
            covariance_function = CheckedStructured(structured, d)
            small = structured.constant and d <= _SMALL
            constant, covariance_function = (
                _covariance_field(structured(np.zeros((1, d)))[0], d) if small else (None, covariance_function)
            )
        set_field = object.__setattr__
        set_field(self, "dimension", d)
        set_field(self, "drift", _Checked(drift, d, (d,), "drift"))
        set_field(self, "constant_covariance", constant)
        set_field(self, "covariance", covariance_function)
        set_field(self, "structured_covariance", structured)
        set_field(self, "jacobian_transpose_product", jacobian_transpose_product)
        set_field(self, "loss", None if loss is None else _Checked(loss, d, (), "loss"))
        set_field(
            self,
            "jacobian",
            _DifferencedJacobian(self.drift, d) if jacobian is None else _Checked(jacobian, d, (d, d), "jacobian"),
        )
        set_field(self, "gradient_drift", False)
        set_field(self, "replacement", True)
        set_field(self, "finite_sum", None)
        set_field(self, "own_covariance", True)
        set_field(self, "exact_noise", None)

    @classmethod
    def from_loss(
        cls,
        loss: BatchFunction,
        gradient: BatchFunction,
        covariance: BatchFunction | ArrayLike,
        *,
        dimension: int,
        hessian: BatchFunction | None = None,
        hessian_product: Callable[[Array, Array], Array] | None = None,
    ) -> System:
        """A gradient system: drift = -gradient of ``loss``; on first use it is held against differences of the loss.

        Parameters
        ----------
        loss : callable ``(n, d) -> (n,)``
        gradient : callable ``(n, d) -> (n, d)``
        covariance : callable ``(n, d) -> (n, d, d)``, array ``(d, d)`` or number
        dimension : int
        hessian : callable ``(n, d) -> (n, d, d)``, optional
            Without it: central differences of ``gradient``.
        hessian_product : callable ``((n, d), (n, d)) -> (n, d)``, optional
            Hessian times a vector at every point; for many dimensions, where it is faster than differences.

        Examples
        --------
        >>> import qpot
        >>> system = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
        >>> system.drift([[2.0]])
        array([[-6.]])
        """
        d = as_count(dimension, name="dimension")
        optional = (("hessian", hessian), ("hessian_product", hessian_product))
        for name, function in (("loss", loss), ("gradient", gradient), *optional):
            if not callable(function) and not (name.startswith("hessian") and function is None):
                raise ValueError(f"{name} must be a function of a batch of points (n, {d}), got {function!r}")
        held = gradient if isinstance(gradient, HeldAgainstLoss) else HeldAgainstLoss(gradient, loss, "gradient")
        negative_gradient = _Negated(_Checked(held, d, (d,), "gradient"))
        negative_hessian = None if hessian is None else _Negated(_Checked(hessian, d, (d, d), "hessian"))
        system = cls(
            drift=negative_gradient,
            covariance=covariance,
            dimension=d,
            loss=loss,
            jacobian=negative_hessian,
            jacobian_transpose_product=None if hessian_product is None else _NegatedProduct(hessian_product),
        )
        object.__setattr__(system, "gradient_drift", True)
        return system

    @classmethod
    def from_finite_sum(
        cls,
        finite_sum: FiniteSum,
        *,
        replacement: bool = True,
        noise: str = "gaussian",
        batch_size: int | None = None,
        covariance: BatchFunction | ArrayLike | None = None,
    ) -> System:
        """SGD on a finite sum: drift = -mean gradient, covariance of one sample's gradient.

        Parameters
        ----------
        finite_sum : FiniteSum
        replacement : bool
            Whether the samples of a minibatch are drawn with replacement; it enters `epsilon` only.
        noise : {"gaussian", "exact"}
            "gaussian": the diffusion approximation of the minibatch noise. "exact": costs from the Hamiltonian of the
            discrete steps, log mean_i exp(-<p, g_i(x)>); `covariance` stays that of the samples. Bounded noise then has
            infinite costs where the drift cannot be overcome.
        batch_size : int, optional
            For ``noise="exact"`` without replacement only, where costs depend on it beyond epsilon.
        covariance : as for `System`, optional
            An approximation of the covariance of one sample's gradient, used instead of it: in many dimensions
            `qpot.low_rank_covariance`. Only for ``noise="gaussian"``.

        Notes
        -----
        The covariance is that of ONE sample's gradient, divided by N; epsilon = learning rate / batch size, times
        (N - B)/(N - 1) without replacement. Fresh batches every step: epoch reshuffling is outside this theory,
        since its noise cancels within an epoch.

        Examples
        --------
        >>> import qpot
        >>> system = qpot.System.from_finite_sum(qpot.gallery.embedded_double_well(s=0.5).system.finite_sum)
        >>> system.epsilon(learning_rate=0.1, batch_size=2)
        0.05
        """
        from qpot.problem.discrete_steps import exact_noise
        from qpot.samples.finite_sum import FiniteSum, system_parts

        if not isinstance(finite_sum, FiniteSum):
            raise ValueError(f"finite_sum must be a qpot.FiniteSum, got {type(finite_sum).__name__}")
        if noise not in ("gaussian", "exact"):
            raise ValueError(
                f"noise={noise!r} is not available; use noise='gaussian' (the diffusion approximation) or noise='exact' "
                "(the discrete steps)"
            )
        if noise == "gaussian" and batch_size is not None:
            raise ValueError(
                f"batch_size={batch_size!r} belongs to noise='exact' without replacement; with noise='gaussian' it enters "
                "epsilon only: system.epsilon(learning_rate=..., batch_size=...)"
            )
        if not isinstance(replacement, (bool, np.bool_)):
            raise ValueError(f"replacement must be True or False, got {replacement!r}")
        if covariance is not None and noise == "exact":
            raise ValueError(
                "covariance is an approximation of Gaussian noise; noise='exact' takes the samples themselves"
            )
        loss, gradient, own_covariance = system_parts(finite_sum)
        system = cls.from_loss(
            loss,
            gradient,
            own_covariance if covariance is None else covariance,
            dimension=finite_sum.dimension,
            hessian=finite_sum.hessian,
            hessian_product=finite_sum.hessian_vector_product,
        )
        object.__setattr__(system, "own_covariance", covariance is None)
        object.__setattr__(system, "replacement", bool(replacement))
        object.__setattr__(system, "finite_sum", finite_sum)
        if noise == "exact":
            chosen = exact_noise(finite_sum, replacement=bool(replacement), batch_size=batch_size)
            object.__setattr__(system, "exact_noise", chosen)
        return system

    def epsilon(self, *, learning_rate: float, batch_size: int = 1) -> float:
        """Noise level of SGD on this system: learning rate / batch size.

        Without replacement from N samples it is multiplied by (N - B)/(N - 1), and is zero for the full batch.

        Raises
        ------
        ValueError
            If the learning rate is not positive, or the batch is larger than the sum it is drawn from.
        """
        rate = as_positive(learning_rate, name="learning_rate")
        B = as_count(batch_size, name="batch_size")
        if self.exact_noise is not None and self.exact_noise.batch_size not in (None, B):
            raise ValueError(
                f"batch_size={B}, but this system's exact costs are those of batches of {self.exact_noise.batch_size} "
                "without replacement; build it with that batch_size"
            )
        factor = 1.0
        if self.finite_sum is not None and not self.replacement:
            N = self.finite_sum.n_samples
            if B > N:
                raise ValueError(f"batch_size={B} exceeds the {N} samples; without replacement it is at most {N}")
            factor = (N - B) / (N - 1) if N > 1 else 0.0
        return rate / B * factor

    def moments(self, points: Any) -> tuple[Array, Array]:
        """Drift ``(n, d)`` and covariance ``(n, d, d)``; for a finite sum from one pass over the samples."""
        if self.finite_sum is None or not self.own_covariance:
            return self.drift(points), self.covariance(points)
        gradient, covariance = self.finite_sum.moments(points)
        return -gradient, covariance

    def gradient(self, points: Any) -> Array:
        """Gradient of the loss, ``(n, d)``; only for systems built from a loss."""
        if not self.gradient_drift:
            raise ValueError("this system's drift is not declared as a gradient; build it with System.from_loss")
        return -self.drift(points)

    def __repr__(self) -> str:
        kind = "finite sum" if self.finite_sum is not None else "loss" if self.gradient_drift else "drift"
        constant = self.constant_covariance is not None or (
            self.structured_covariance is not None and self.structured_covariance.constant
        )
        noise = "constant" if constant else "state-dependent"
        exact = "" if self.exact_noise is None else ", exact discrete noise"
        return f"System({kind}, dimension={self.dimension}, {noise} covariance{exact})"


class _Checked:
    """A user's batch function with its arguments and values checked (a class, so that it can be sent to a process)."""

    def __init__(self, function: BatchFunction, dimension: int, shape: tuple[int, ...], name: str) -> None:
        self.function, self.dimension, self.shape, self.name = function, dimension, shape, name

    def __call__(self, points: Any) -> Array:
        x = as_points(points, dimension=self.dimension, name=f"the argument of {self.name}")
        return call_batch(self.function, x, shape=self.shape, name=self.name)


class _Negated:
    def __init__(self, function: Callable[[Any], Array]) -> None:
        self.function = function

    def __call__(self, points: Any) -> Array:
        return -self.function(points)


class _NegatedProduct:
    def __init__(self, function: Callable[[Array, Array], Array]) -> None:
        self.function = function

    def __call__(self, points: Array, vectors: Array) -> Array:
        return -self.function(points, vectors)


class _CheckedCovariance(_Checked):
    def __call__(self, points: Any) -> Array:
        x = as_points(points, dimension=self.dimension, name="the argument of covariance")
        a = call_batch(self.function, x, shape=self.shape, name="covariance")
        return check_symmetric(a, x, name="covariance")


class _ConstantCovariance:
    def __init__(self, matrix: Array) -> None:
        self.matrix = matrix

    def __call__(self, points: Any) -> Array:
        x = as_points(points, dimension=self.matrix.shape[0], name="the argument of covariance")
        return np.broadcast_to(self.matrix, (x.shape[0], *self.matrix.shape)).copy()


class _DifferencedJacobian:
    def __init__(self, function: Callable[[Any], Array], dimension: int) -> None:
        self.function, self.dimension = function, dimension

    def __call__(self, points: Any) -> Array:
        x = as_points(points, dimension=self.dimension, name="the argument of jacobian")
        return central_jacobian(self.function, x)


def _structured(covariance: Any, d: int) -> Structured | None:
    """A covariance that is not to be formed as a matrix, or None."""
    if isinstance(covariance, LinearOperator):
        covariance = OperatorCovariance(covariance)
    elif np.isscalar(covariance) and d > _IDENTITY:
        covariance = FactoredCovariance(np.zeros((d, 0)), as_positive(covariance, name="covariance"), None)
    if not isinstance(covariance, (FactoredCovariance, OperatorCovariance, ProductCovariance)):
        return None
    if covariance.dimension not in (None, d):
        raise ValueError(f"covariance has dimension {covariance.dimension}, but the system has dimension {d}")
    return covariance


def _covariance_field(covariance: Any, d: int) -> tuple[Array | None, Callable[[Any], Array]]:
    if callable(covariance):
        return None, _CheckedCovariance(covariance, d, (d, d), "covariance")
    matrix = as_float_array(covariance, name="covariance")
    if matrix.ndim == 0:
        matrix = float(matrix) * np.eye(d)
    if matrix.shape != (d, d):
        raise ValueError(
            f"covariance has shape {matrix.shape}, expected ({d}, {d}), a number, or a function (n, {d}) -> (n, {d}, {d})"
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"covariance has NaN or infinite entries: {matrix.tolist()}")
    matrix = check_symmetric(matrix[None], None, name="covariance")[0]
    check_semidefinite(matrix[None], None, name="covariance")
    matrix.setflags(write=False)
    return matrix, _ConstantCovariance(matrix)
