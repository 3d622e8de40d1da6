"""System: a drift and a noise covariance, and for SGD the loss they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias, Union

from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from qpot._core.arrays import Array, BatchFunction, as_count, as_flag, as_points, as_positive
from qpot.problem.discrete_steps import exact_noise
from qpot.problem.domain import CovarianceWithin, DomainLike, Sides, WithinSides, as_sides, within
from qpot.problem.factored import Structured
from qpot.problem.foreign_noise import ForeignCovariance
from qpot.problem.functions import (
    CheckedFunction,
    DifferencedJacobian,
    Negated,
    NegatedProduct,
    NoLoss,
    OwnFunction,
    PointFunction,
    UncheckedFunctions,
)
from qpot.problem.gaussian_noise import gaussian_noise
from qpot.problem.noise import Noise
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system_functions import CovarianceAt, Moments, checked
from qpot.samples.finite_sum import FiniteSum, check_finite_sum, system_parts
from qpot.samples.loss_checks import HeldAgainstLoss

# A covariance as a user may pass it: a function, a matrix or a number, in factors, by products, or as a linear operator.
CovarianceLike: TypeAlias = Union[BatchFunction, ArrayLike, Structured, "LinearOperator"]


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    r"""A small-noise system :math:`dX = b(X)\,dt + \sqrt{\varepsilon}\,\sigma(X)\,dW`.

    Functions are plain NumPy functions of a batch of points ``(n, d)``. The attributes of the same names call them with
    checks: an error about shape, NaN or infinity names the function and the point.

    Parameters
    ----------
    drift : callable ``(n, d) -> (n, d)``
        The deterministic velocity b.
    covariance : callable ``(n, d) -> (n, d, d)``, array ``(d, d)``, number, `qpot.covariance.factored` or LinearOperator
        The covariance a = sigma sigma^T per unit epsilon, which is never normalised; it is left out where ``noise`` is
        given. A number c stands for c times the identity. In factors, by products (`qpot.covariance.products`) or as a
        `scipy.sparse.linalg.LinearOperator` no d x d matrix is formed in many dimensions.
    dimension : int
        The number d of coordinates.
    loss : callable ``(n, d) -> (n,)``, optional
        A loss for reports and plots; `from_loss` also declares that drift = -grad loss.
    jacobian : callable ``(n, d) -> (n, d, d)``, optional
        The Jacobian ``J[n, i, j] = d b_i / d x_j``. Without it, it is computed by vectorised central differences with the
        step ``6e-6 (1 + |x_j|)``.
    jacobian_transpose_product : callable ``((n, d), (n, d)) -> (n, d)``, optional
        The product J(x)^T p of points x and vectors p, which is used in many dimensions only. For a gradient system it is
        minus the Hessian-vector product; without it such systems use one directional difference of the drift, since their J
        is symmetric.
    noise : Noise, optional
        Another kind of noise instead of a ``covariance``; see `qpot.problem.Noise`.
    finite_sum : FiniteSum, optional
        The samples whose mean gradient is minus the drift; simulated SGD draws from them. `from_finite_sum` sets it.
    gradient_drift : bool
        Whether the drift is minus the gradient of ``loss``; `from_loss` sets it.
    replacement : bool
        Whether the samples of a minibatch are drawn with replacement; it enters `epsilon` only.
    domain : sequence of d pairs (low, high), optional
        Where the coordinates end, with None for an open side: ``[(0, None)]`` for a population, ``[(0, 1)]`` for a share. The
        functions are never called outside, by any search or simulation. ``docs/domains.md`` says what happens at a side.

    Attributes
    ----------
    unchecked : UncheckedFunctions
        The same functions without a check of the points, for solvers.

    Raises
    ------
    ValueError
        If an argument is no function or has a wrong shape, or not exactly one of ``covariance`` and ``noise`` is given. The
        message names the argument, its value and a way out.

    Notes
    -----
    The convention is that of Freidlin and Wentzell: the action is 1/2 int (x' - b)^T a^{-1} (x' - b) dt, without epsilon.
    With a = I and b = -grad L the quasi-potential is 2 (L(x) - L(minimum)).

    Examples
    --------
    >>> import numpy as np, qpot
    >>> ou = qpot.System(drift=lambda x: -x, covariance=np.eye(2), dimension=2)
    >>> ou.drift(np.array([[1.0, 2.0]]))
    array([[-1., -2.]])
    """

    # Tasks in other processes name a system, which is sent to each of them once.
    by_reference: ClassVar[bool] = True

    drift: PointFunction
    covariance: Callable[[ArrayLike], Array]
    dimension: int
    loss: PointFunction | None
    jacobian: PointFunction
    jacobian_transpose_product: Callable[[Array, Array], Array] | None
    noise: Noise = field(init=False)
    gradient_drift: bool
    finite_sum: FiniteSum | None
    replacement: bool
    domain: Sides | None
    unchecked: UncheckedFunctions = field(init=False)

    def __init__(
        self,
        *,
        drift: BatchFunction | PointFunction,
        dimension: int,
        covariance: CovarianceLike | None = None,
        loss: BatchFunction | PointFunction | None = None,
        jacobian: BatchFunction | PointFunction | None = None,
        jacobian_transpose_product: Callable[[Array, Array], Array] | None = None,
        noise: Noise | None = None,
        finite_sum: FiniteSum | None = None,
        gradient_drift: bool = False,
        replacement: bool = True,
        domain: DomainLike = None,
    ) -> None:
        d = as_count(dimension, name="dimension")
        optional = (("loss", loss), ("jacobian", jacobian), ("jacobian_transpose_product", jacobian_transpose_product))
        for name, function in (("drift", drift), *((n, f) for n, f in optional if f is not None)):
            if not callable(function):
                raise ValueError(f"{name} must be a function of a batch of points (n, {d}), got {function!r}")
        if finite_sum is not None:
            check_finite_sum(finite_sum)
        if isinstance(covariance, CovarianceAt) and noise is None:
            # `dataclasses.replace` hands on the covariance of another system.
            noise = covariance.noise
            covariance = None
        if (covariance is None) == (noise is None):
            raise ValueError(
                "pass covariance= (a function, a matrix or a number) or noise= (a qpot.problem.Noise): one of them"
            )
        sides = as_sides(domain, d)
        # A system that is made from another one keeps its noise.
        if sides is not None and (noise is not None or finite_sum is not None) and not isinstance(drift, WithinSides):
            raise ValueError(
                "domain goes with drift= and covariance=; a noise= or a finite sum has no domain of its own"
            )
        if noise is None:
            if sides is not None and callable(covariance):
                covariance = CovarianceWithin(covariance, sides)
            noise = gaussian_noise(covariance, d)
        elif not isinstance(noise, Noise):
            raise ValueError(f"noise must be a qpot.problem.Noise, got {noise!r}")
        held = None if noise._own else ForeignCovariance(noise, d)
        covariance_at = noise.covariance if held is None else held
        checked_drift = checked(drift, d, (d,), "drift")
        checked_loss = None if loss is None else checked(loss, d, (), "loss")
        if sides is not None:
            checked_drift = within(checked_drift, sides, "drift")
            checked_loss = None if checked_loss is None else within(checked_loss, sides, "loss")
        checked_jacobian = (
            DifferencedJacobian(checked_drift, d) if jacobian is None else checked(jacobian, d, (d, d), "jacobian")
        )
        if sides is not None:
            checked_jacobian = within(checked_jacobian, sides, "jacobian")
        fields = {
            "drift": checked_drift,
            "covariance": CovarianceAt(noise, covariance_at, d),
            "dimension": d,
            "loss": checked_loss,
            "jacobian": checked_jacobian,
            "jacobian_transpose_product": jacobian_transpose_product,
            "noise": noise,
            "gradient_drift": as_flag(gradient_drift, name="gradient_drift"),
            "finite_sum": finite_sum,
            "replacement": as_flag(replacement, name="replacement"),
            "domain": sides,
            "unchecked": UncheckedFunctions(
                drift=checked_drift.unchecked,
                jacobian=checked_jacobian.unchecked,
                covariance=covariance_at,
                loss=NoLoss() if checked_loss is None else checked_loss.unchecked,
                moments=noise.moments if finite_sum is None else Moments(noise, checked_drift),
            ),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        if held is not None:
            held.check_lagrangian(self.unchecked)

    @classmethod
    def from_loss(
        cls,
        loss: BatchFunction,
        gradient: BatchFunction,
        covariance: CovarianceLike,
        *,
        dimension: int,
        hessian: BatchFunction | None = None,
        hessian_product: Callable[[Array, Array], Array] | None = None,
        domain: DomainLike = None,
    ) -> System:
        """A gradient system, whose drift is minus the gradient of ``loss``.

        On first use the gradient is compared with differences of the loss.

        Parameters
        ----------
        loss : callable ``(n, d) -> (n,)``
        gradient : callable ``(n, d) -> (n, d)``
        covariance : callable ``(n, d) -> (n, d, d)``, array ``(d, d)``, number, or as for `System`
        dimension : int
        hessian : callable ``(n, d) -> (n, d, d)``, optional
            The Hessian. Without it, it is computed by central differences of ``gradient``.
        hessian_product : callable ``((n, d), (n, d)) -> (n, d)``, optional
            The product of the Hessian with a vector at every point, for many dimensions, where it is faster than
            differences.
        domain : sequence of d pairs (low, high), optional
            As for `System`.

        Raises
        ------
        ValueError
            If an argument is no function or has a wrong shape.

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
        sides = as_sides(domain, d)
        held = gradient if isinstance(gradient, HeldAgainstLoss) else HeldAgainstLoss(gradient, loss, "gradient")
        if sides is not None:
            held.within = sides.inside
        negative_gradient = Negated(CheckedFunction(held, d, (d,), "gradient"))
        negative_hessian = None if hessian is None else Negated(CheckedFunction(hessian, d, (d, d), "hessian"))
        return cls(
            drift=negative_gradient,
            covariance=covariance,
            dimension=d,
            loss=loss,
            jacobian=negative_hessian,
            jacobian_transpose_product=None if hessian_product is None else NegatedProduct(hessian_product),
            gradient_drift=True,
            domain=sides,
        )

    @classmethod
    def from_finite_sum(
        cls,
        finite_sum: FiniteSum,
        *,
        replacement: bool = True,
        noise: str = "gaussian",
        batch_size: int | None = None,
        covariance: CovarianceLike | None = None,
    ) -> System:
        """SGD on a finite sum, with minus the mean gradient as drift and the covariance of one sample's gradient.

        Parameters
        ----------
        finite_sum : FiniteSum
        replacement : bool
            Whether the samples of a minibatch are drawn with replacement; it enters `epsilon` only.
        noise : {"gaussian", "exact"}
            With "gaussian" costs belong to the diffusion approximation of the minibatch noise. With "exact" they come from
            the Hamiltonian of the discrete steps, log mean_i exp(-<p, g_i(x)>), and are infinite where the bounded steps
            cannot overcome the drift; `covariance` stays that of the samples.
        batch_size : int, optional
            The batch size for ``noise="exact"`` without replacement, where costs depend on it beyond epsilon.
        covariance : as for `System`, optional
            An approximation that replaces the covariance of one sample's gradient, such as `qpot.low_rank_covariance` in
            many dimensions; only for ``noise="gaussian"``.

        Raises
        ------
        ValueError
            For arguments of a wrong type, combinations that are excluded above, and batches that leave no noise.

        Notes
        -----
        The covariance is that of ONE sample's gradient, with the divisor N. Epsilon is learning rate / batch size, times
        (N - B)/(N - 1) without replacement. Every step draws a fresh batch: reshuffling once an epoch is outside this
        theory, since its noise cancels within an epoch.

        Examples
        --------
        >>> import qpot
        >>> system = qpot.System.from_finite_sum(qpot.gallery.embedded_double_well(s=0.5).system.finite_sum)
        >>> system.epsilon(learning_rate=0.1, batch_size=2)
        0.05
        """
        check_finite_sum(finite_sum)
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
        as_flag(replacement, name="replacement")
        if covariance is not None and noise == "exact":
            raise ValueError(
                "covariance is an approximation of Gaussian noise; noise='exact' takes the samples themselves"
            )
        loss, gradient = system_parts(finite_sum)
        kind: Noise
        if noise == "exact":
            kind = exact_noise(finite_sum, replacement=bool(replacement), batch_size=batch_size)
        elif covariance is None:
            kind = SampleNoise(finite_sum)
        else:
            kind = gaussian_noise(covariance, finite_sum.dimension)
        d, hessian, product = finite_sum.dimension, finite_sum.hessian, finite_sum.hessian_vector_product
        return cls(
            drift=Negated(OwnFunction(gradient, d, "gradient")),
            noise=kind,
            dimension=d,
            loss=OwnFunction(loss, d, "loss"),
            jacobian=None if hessian is None else Negated(CheckedFunction(hessian, d, (d, d), "hessian")),
            jacobian_transpose_product=None if product is None else NegatedProduct(product),
            finite_sum=finite_sum,
            gradient_drift=True,
            replacement=bool(replacement),
        )

    def epsilon(self, *, learning_rate: float, batch_size: int = 1) -> float:
        """The noise level of SGD on this system, learning rate / batch size.

        Without replacement from N samples it is multiplied by (N - B)/(N - 1), so that it is zero for the full batch.

        Raises
        ------
        ValueError
            If the learning rate is not positive, the batch is larger than the finite sum, or it is not the one to which the
            system's exact costs belong.
        """
        rate = as_positive(learning_rate, name="learning_rate")
        B = as_count(batch_size, name="batch_size")
        if self.noise.batch_size not in (None, B):
            raise ValueError(
                f"batch_size={B}, but this system's exact costs are those of batches of {self.noise.batch_size} "
                "without replacement; build it with that batch_size"
            )
        factor = 1.0
        if self.finite_sum is not None and not self.replacement:
            N = self.finite_sum.n_samples
            if B > N:
                raise ValueError(f"batch_size={B} exceeds the {N} samples; without replacement it is at most {N}")
            factor = (N - B) / (N - 1) if N > 1 else 0.0
        return rate / B * factor

    @property
    def constant_covariance(self) -> Array | None:
        """The covariance as a matrix ``(d, d)`` where it does not depend on the state; None elsewhere."""
        return self.noise.constant

    def moments(self, points: ArrayLike) -> tuple[Array, Array]:
        """Drift ``(n, d)`` and covariance ``(n, d, d)``, which a finite sum computes in one pass over the samples."""
        x = as_points(points, dimension=self.dimension, name="points")
        if self.noise.samples is None:
            return self.drift.unchecked(x), self.unchecked.covariance(x)
        return Moments(self.noise, self.drift)(x)

    def gradient(self, points: ArrayLike) -> Array:
        """The gradient of the loss, ``(n, d)``; ValueError where the drift is not declared as one."""
        if not self.gradient_drift:
            raise ValueError("this system's drift is not declared as a gradient; build it with System.from_loss")
        return -self.drift(points)

    def __repr__(self) -> str:
        kind = "finite sum" if self.finite_sum is not None else "loss" if self.gradient_drift else "drift"
        noise = "state-dependent" if self.noise.state_dependent else "constant"
        kind_of_noise = ", exact discrete noise" if self.noise._own else f", {type(self.noise).__name__}"
        exact = "" if self.noise.gaussian else kind_of_noise
        return f"System({kind}, dimension={self.dimension}, {noise} covariance{exact})"
