r"""Preconditioned SGD as a system: drift -P grad L, covariance P C P^T."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import (
    Array,
    BatchFunction,
    as_count,
    as_float_array,
    as_own_array,
    as_point,
    as_points,
    as_positive,
)
from qpot._core.types import PointLike
from qpot.problem.checked_system import check_system
from qpot.problem.gaussian_noise import MatrixNoise, gaussian_noise
from qpot.problem.noise import Noise
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum


def preconditioned(system: System, preconditioner: BatchFunction | ArrayLike) -> System:
    r"""The system that preconditioned SGD follows.

    Preconditioned SGD, :math:`x \leftarrow x - \eta\,P(x)\,g_B(x)`, has the drift :math:`P b = -P\nabla L` and the
    covariance :math:`P C P^T`, at the same epsilon as plain SGD.

    Parameters
    ----------
    system : System
        Plain SGD, or any small-noise system.
    preconditioner : number, array ``(d,)`` (diagonal) or ``(d, d)``, or function of a batch ``(n, d)``
        The preconditioner P; a function returns ``(n, d)`` (diagonal) or ``(n, d, d)``. Since it must be positive definite,
        the minima stay where they are.

    Returns
    -------
    System
        The system keeps the loss, but its drift is no longer declared as a gradient. Where ``system`` has a finite sum,
        that of the result holds the preconditioned per-sample gradients P g_i. Their mean is minus the new drift and their
        covariance the new covariance, so that simulated SGD on it is preconditioned SGD on the samples.

    Raises
    ------
    ValueError
        If P has a wrong shape, is not finite, or its symmetric part is not positive definite.

    Notes
    -----
    P is taken in the Ito sense: it is evaluated before the step, as optimisers do. The quasi-potential is that of W. Hu, Z.
    Zhu, H. Xiong and J. Huan (2019, arXiv:1901.06054) with b and a replaced. If :math:`P^{-T}C^{-1}\nabla L` is a gradient,
    it is :math:`2\int P^{-T}C^{-1}\nabla L\cdot dx`.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> noise = np.diag([1.0, 4.0])
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, noise, dimension=2)
    >>> whitened = qpot.preconditioned(bowl, np.array([1.0, 0.5]))
    >>> whitened.drift([[2.0, 2.0]]), whitened.covariance([[0.0, 0.0]])[0]
    (array([[-2., -1.]]), array([[1., 0.],
           [0., 1.]]))
    """
    check_system(system)
    P = _Preconditioner(preconditioner, system.dimension)
    functions = _Transformed(system, P)
    matrix, constant = P.constant, system.noise.constant
    total = None if system.finite_sum is None else _preconditioned_sum(system.finite_sum, P)
    noise: Noise
    if matrix is not None and constant is not None:
        noise = gaussian_noise(matrix @ constant @ matrix.T, system.dimension)
    else:
        samples = None if system.noise.samples is None else total
        noise = MatrixNoise(functions.covariance, system.dimension, samples=samples)
    return System(
        drift=functions.drift,
        noise=noise,
        dimension=system.dimension,
        loss=system.loss,
        jacobian=functions.jacobian if matrix is not None else None,
        finite_sum=total,
        replacement=system.replacement,
    )


def second_moment(system: System, points: ArrayLike, *, batch_size: int = 1) -> Array:
    r"""The second moment :math:`E\,g_j^2 = (\nabla L)_j^2 + C_{jj}/B` of minibatch gradients.

    The moving average of RMSprop and Adam converges to it while x stands still.

    Parameters
    ----------
    system : System
        Plain SGD, whose covariance C is that of one sample's gradient.
    points : array (n, d) or (d,)
    batch_size : int
        The number B of samples in a minibatch.

    Returns
    -------
    array (n, d)

    Raises
    ------
    ValueError
        For points of a wrong shape, or a batch size that is not a positive integer.
    """
    check_system(system)
    B = as_count(batch_size, name="batch_size")
    x = as_points(points, dimension=system.dimension, name="points")
    noise: Array = np.einsum("njj->nj", system.covariance(x)) / B
    return system.drift(x) ** 2 + noise


def rmsprop_like(
    system: System, *, frozen_at: PointLike | None = None, batch_size: int = 1, floor: float = 1e-8
) -> System:
    r"""The system of RMSprop or Adam with averaged statistics: P = diag(1 / (sqrt(v) + floor)), v = E g^2.

    Parameters
    ----------
    system : System
        Plain SGD.
    frozen_at : array (d,) or Minimum, optional
        The point at which v is taken, which makes P constant, as after a long stay there. By default v(x) follows x. This
        is the adiabatic limit, in which the moving average is long against one step and short against the motion: the decay
        tends to 1 more slowly than the learning rate to 0.
    batch_size : int
        The number B of samples in the minibatch gradients whose squares are averaged.
    floor : float
        The number that is added to the root; optimisers call it epsilon.

    Returns
    -------
    System

    Raises
    ------
    ValueError
        If the batch size or the floor is not positive.

    Notes
    -----
    Adam's average of the first moment with a fixed decay beta does not change the costs: its step is eta (1 - beta) times
    the sum of beta^j g, so that epsilon stays eta / B. This is therefore the system of Adam as well. In one dimension, with
    v = C + L'^2 (B = 1) and floor -> 0, the quasi-potential phi has phi' = 2 L' sqrt(C + L'^2) / C.

    Examples
    --------
    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: x[:, 0] ** 2 / 2, lambda x: x, 0.5, dimension=1)
    >>> adaptive = qpot.rmsprop_like(bowl)
    >>> (2 * -adaptive.drift([[1.0]]) / adaptive.covariance([[1.0]])[0]).round(6)  # 2 L' sqrt(C + L'^2) / C
    array([[4.89898]])
    """
    check_system(system)
    scale = _RootMeanSquare(system, as_count(batch_size, name="batch_size"), as_positive(floor, name="floor"))
    if frozen_at is None:
        return preconditioned(system, scale)
    return preconditioned(system, scale(as_point(frozen_at, dimension=system.dimension, name="frozen_at")[None])[0])


def sign_like(system: System, *, frozen_at: PointLike | None = None, batch_size: int = 1) -> System:
    r"""The system of sign SGD where noise dominates: with P = diag(1 / sqrt(C_jj / B)) every coordinate has unit noise.

    The sign of a Gaussian gradient with mean m and variance C has mean erf(m / sqrt(2 C)), which for m well
    below sqrt(C) is sqrt(2 / pi) m / sqrt(C), and variance 1. With this P the drift lacks the factor
    sqrt(2 / pi), so all costs are those of sign SGD times sqrt(pi / 2), and the selected minimum is the same.
    Where gradients are not small against the noise, sign SGD is another system.

    Parameters
    ----------
    system : System
        Plain SGD; the diagonal of its covariance must not vanish where it is used.
    frozen_at : array (d,) or Minimum, optional
        The point at which C is taken, which makes P constant. By default C(x) follows x.
    batch_size : int
        The number B of samples in a minibatch.

    Returns
    -------
    System

    Raises
    ------
    ValueError
        If the batch size is not a positive integer, or where a coordinate has no noise.
    """
    check_system(system)
    scale = _NoiseScale(system, as_count(batch_size, name="batch_size"))
    if frozen_at is None:
        return preconditioned(system, scale)
    return preconditioned(system, scale(as_point(frozen_at, dimension=system.dimension, name="frozen_at")[None])[0])


class _RootMeanSquare:
    """The function 1 / (sqrt(E g^2) + floor), ``(n, d) -> (n, d)``."""

    def __init__(self, system: System, batch_size: int, floor: float) -> None:
        self.system, self.batch_size, self.floor = system, batch_size, floor

    def __call__(self, x: Array) -> Array:
        inverse: Array = 1.0 / (np.sqrt(second_moment(self.system, x, batch_size=self.batch_size)) + self.floor)
        return inverse


class _NoiseScale:
    """The function 1 / sqrt(C_jj / B), ``(n, d) -> (n, d)``."""

    def __init__(self, system: System, batch_size: int) -> None:
        self.system, self.batch_size = system, batch_size

    def __call__(self, x: Array) -> Array:
        variance: Array = np.einsum("njj->nj", self.system.covariance(x)) / self.batch_size
        if (variance <= 0).any():
            n, j = np.argwhere(variance <= 0)[0]
            raise ValueError(
                f"sign_like: coordinate {j} has no noise at the point {x[n].tolist()}: its sign is certain; "
                "use rmsprop_like with a floor"
            )
        inverse: Array = 1.0 / np.sqrt(variance)
        return inverse


class _Transformed:
    """Drift, covariance and Jacobian of the new system; they are in a class so that they can be sent to another process."""

    def __init__(self, system: System, P: _Preconditioner) -> None:
        self.system, self.P = system, P

    def drift(self, x: Array) -> Array:
        return self.P.apply(x, self.system.drift(x)[:, None, :])[:, 0, :]

    def covariance(self, x: Array) -> Array:
        return self.P.congruence(x, self.system.covariance(x))

    def jacobian(self, x: Array) -> Array:
        product: Array = self.P(x) @ self.system.jacobian(x)
        return product


class _TransformedSum:
    """The preconditioned per-sample gradients P g_i."""

    def __init__(self, finite_sum: FiniteSum, P: _Preconditioner) -> None:
        self.finite_sum, self.P = finite_sum, P

    def gradients(self, x: Array) -> Array:
        return self.P.apply(x, np.asarray(self.finite_sum.sample_gradients(x), dtype=float))

    def drawn(self, x: Array, index: NDArray[np.int64]) -> Array:
        assert self.finite_sum.drawn_gradients is not None
        return self.P.apply(x, self.finite_sum.drawn_gradients(x, index))


class _Preconditioner:
    """The preconditioner P as a function of a batch, diagonal or full, with checks of its values."""

    def __init__(self, preconditioner: Any, d: int) -> None:
        self.d, self.function = d, preconditioner
        self.constant: Array | None = None
        if not callable(preconditioner):
            matrix = as_own_array(preconditioner, name="preconditioner")
            if matrix.ndim == 0:
                matrix = np.full(d, float(matrix))
            if matrix.shape not in ((d,), (d, d)):
                raise ValueError(
                    f"preconditioner has shape {matrix.shape}, expected a number, ({d},), ({d}, {d}) "
                    f"or a function of (n, {d})"
                )
            self._check(matrix[None], None)
            self.constant = np.diag(matrix) if matrix.ndim == 1 else matrix

    def __call__(self, x: Array) -> Array:
        if self.constant is not None:
            return np.broadcast_to(self.constant, (x.shape[0], self.d, self.d))
        values = as_float_array(self.function(x), name="the value of preconditioner")
        n = x.shape[0]
        if values.shape not in ((n, self.d), (n, self.d, self.d)):
            raise ValueError(
                f"preconditioner returned shape {values.shape} for {n} points, expected "
                f"({n}, {self.d}) for a diagonal "
                f"or ({n}, {self.d}, {self.d})"
            )
        self._check(values, x)
        return values[:, :, None] * np.eye(self.d) if values.ndim == 2 else values

    def apply(self, x: Array, vectors: Array) -> Array:
        """The products P v, ``(n, k, d)``, of k vectors at each point."""
        product: Array = np.einsum("nij,nkj->nki", self(x), vectors)
        return product

    def congruence(self, x: Array, a: Array) -> Array:
        """The matrices P a P^T, ``(n, d, d)``."""
        P = self(x)
        product: Array = P @ a @ np.swapaxes(P, 1, 2)
        return 0.5 * (product + np.swapaxes(product, 1, 2))

    @staticmethod
    def _check(values: Array, x: Array | None) -> None:
        """Raise ValueError, with the point, where a preconditioner is not finite and positive definite."""
        n = values.shape[0]
        finite = np.isfinite(values.reshape(n, -1)).all(axis=1)
        symmetric = values if values.ndim == 2 else 0.5 * (values + np.swapaxes(values, 1, 2))
        smallest = np.full(n, np.nan)
        if finite.any():
            good = symmetric[finite]
            smallest[finite] = good.min(axis=1) if values.ndim == 2 else np.linalg.eigvalsh(good)[:, 0]
        bad = ~finite | ~(smallest > 0)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            where = "" if x is None else f" at the point {x[row].tolist()}"
            raise ValueError(
                f"preconditioner must be finite and positive definite (symmetric part){where}, got "
                f"{values[row].tolist()}"
            )


def _preconditioned_sum(finite_sum: FiniteSum, P: _Preconditioner) -> FiniteSum:
    """The finite sum with the gradients P g_i and the losses of the given one."""
    functions = _TransformedSum(finite_sum, P)
    return FiniteSum(
        sample_losses=finite_sum.sample_losses,
        sample_gradients=functions.gradients,
        n_samples=finite_sum.n_samples,
        dimension=finite_sum.dimension,
        drawn_gradients=None if finite_sum.drawn_gradients is None else functions.drawn,
    )
