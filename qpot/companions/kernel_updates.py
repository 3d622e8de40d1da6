"""New training samples for a trained model, learnt by adding kernel terms to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from qpot._core.arrays import Array, as_count, as_positive
from qpot._core.drawn import Drawn
from qpot._core.optional import needed
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot.companions.models import CrossEntropy, MarginError, OutputLoss
from qpot.companions.path_kernel import TrainingTrajectory, tangent_kernel, train_flow

# The local error of the integration of outputs.
_RTOL, _ATOL = 1e-9, 1e-12

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelUpdate(Drawn, Saved, figure="plot_kernel_update"):
    r"""A trained model and the kernel terms by which new samples change it, f(x) = f_T(x) + sum_i K_T(x, z_i) c_i.

    Attributes
    ----------
    path : TrainingTrajectory
        The training so far; f_T is the model at its end, and K_T the tangent kernel there.
    samples, targets : arrays ``(n, p)``, ``(n, K)``
        The samples z_i, first those that were learnt before, then the new ones.
    coefficients : (n, K) array
        The coefficients c_i, which are integrals of the pulls of the samples over the time of the update.
    duration : float
    """

    path: TrainingTrajectory
    samples: Array
    targets: Array
    coefficients: Array
    duration: float

    @property
    def step(self) -> Array:
        """The change of the parameters ``(d,)`` to which the kernel terms belong, sum_i J(z_i)^T c_i."""
        J = self.path.model.jacobian_at(self.path.points[-1], self.samples)
        return np.asarray(np.einsum("nk,nkd->d", self.coefficients, J))

    def predict(self, X: ArrayLike) -> Array:
        """The outputs of the updated model, ``(m, K)``."""
        kernel = tangent_kernel(self.path.model, self.path.points[-1], X, self.samples)
        return np.asarray(self.path.predict(X) + np.einsum("mnkl,nl->mk", kernel, self.coefficients))

    def contributions(self, X: ArrayLike) -> Array:
        """What each sample adds to each prediction in the update, ``(m, n, K)``."""
        kernel = tangent_kernel(self.path.model, self.path.points[-1], X, self.samples)
        return np.asarray(np.einsum("mnkl,nl->mnk", kernel, self.coefficients))

    def error(self, X: ArrayLike) -> float:
        """An estimate of the error of `predict`, without a training: the largest difference from the model moved by `step`.

        Kernel terms are the model's first order in the step. What its outputs do beyond that along the step is the part that
        they leave out; it is zero for a model that is linear in its parameters.
        """
        moved = self.path.model.outputs_at(self.path.points[-1] + self.step, X)
        return float(np.abs(moved - self.predict(X)).max())

    def retrained(self, *, steps: int = 200, order: int = 4) -> TrainingTrajectory:
        """The same samples learnt by going on with the training for the same time, to which `predict` is an approximation."""
        count = as_count(steps, name="steps")
        kind = self.path.loss
        return train_flow(
            self.path.model, self.samples, _as_given(self.targets, kind), start=self.path.points[-1],
            step=self.duration / count, steps=count, loss=kind, order=order,
        )  # fmt: skip

    def to_dataframe(self) -> DataFrame:
        """One row for each sample: whether it is ``new``, and its coefficients ``c_1``, ..., ``c_K``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = needed("pandas", "KernelUpdate.to_dataframe")
        columns: dict[str, Any] = {"new": np.arange(len(self.samples)) >= len(self.path.X)}
        columns.update({f"c_{k + 1}": column for k, column in enumerate(self.coefficients.T)})
        return pandas.DataFrame(columns)

    def __repr__(self) -> str:
        new = len(self.samples) - len(self.path.X)
        return f"KernelUpdate({new} new samples beside {len(self.path.X)}, |step| = {np.linalg.norm(self.step):.4g})"


def kernel_update(path: TrainingTrajectory, X: ArrayLike, y: ArrayLike, *, duration: float) -> KernelUpdate:
    r"""Learn new samples by kernel terms, without a further training of the parameters.

    The outputs at all samples, old and new, follow the gradient flow of the mean loss with the tangent kernel of the end of
    the training, dF/dt = K_T alpha(F) / n, from F = f_T on. For a model that is linear in its parameters that is the flow
    itself, and in the limit of a long time the answer of the representer theorem: for the squared error and a kernel without
    null space the coefficients are K_T^{-1} (y - f_T).

    Parameters
    ----------
    path : TrainingTrajectory
        The training so far, from `train_flow`.
    X : (m, p) array
        The new samples.
    y : array
        Their targets, as the loss of the training takes them.
    duration : float
        The time of the update in units of the flow's time.

    Returns
    -------
    KernelUpdate
        ``predict`` has the answer, ``error`` estimates what the frozen kernel leaves out, and ``retrained`` trains.

    Raises
    ------
    ValueError
        If an argument is not usable.
    SolveError
        If the outputs cannot be followed (status NON_FINITE).

    Notes
    -----
    P. Domingos, arXiv:2012.00152 (2020); for the linearised training J. Lee et al., NeurIPS 2019.

    Examples
    --------
    >>> import qpot
    >>> path = qpot.train_flow(qpot.linear_model(2), [[1.0, 0.0]], [1.0], start=[0.0, 0.0], step=0.1, steps=200)
    >>> update = qpot.kernel_update(path, [[0.0, 1.0]], [3.0], duration=40.0)
    >>> update.predict([[1.0, 1.0]]).round(4), update.error([[1.0, 1.0]]) < 1e-12
    (array([[4.]]), True)
    """
    if not isinstance(path, TrainingTrajectory):
        raise ValueError(f"path must be a training of qpot.train_flow(...), got {path!r}")
    time = as_positive(duration, name="duration")
    model, kind = path.model, path.loss
    new = model.inputs(X)
    targets = np.concatenate([path.targets, kind.targets(y, new.shape[0], model.outputs)])
    samples = np.concatenate([path.X, new])
    n, K = samples.shape[0], model.outputs
    kernel = tangent_kernel(model, path.points[-1], samples).swapaxes(1, 2).reshape(n * K, n * K)
    begun = path.predict(samples)

    def pulled(_: float, c: Array) -> Array:
        F = begun + (kernel @ c).reshape(n, K)
        return np.asarray(kind.pull(F, targets) / n).reshape(-1)

    with np.errstate(over="ignore", invalid="ignore"):
        run = solve_ivp(pulled, (0.0, time), np.zeros(n * K), method="LSODA", rtol=_RTOL, atol=_ATOL)
    c = run.y[:, -1].reshape(n, K)
    if not run.success or not np.isfinite(c).all():
        raise SolveError(
            f"the outputs could not be followed for duration={time:g}: {run.message}; pass a shorter one",
            status=Status.NON_FINITE,
            partial=None,
        )
    return KernelUpdate(path=path, samples=samples, targets=targets, coefficients=c, duration=time)


def _as_given(targets: Array, kind: OutputLoss) -> Array:
    """The targets in the form in which the loss takes them."""
    if isinstance(kind, CrossEntropy):
        return np.asarray(targets.argmax(axis=1), dtype=np.float64)
    return targets[:, 0] if isinstance(kind, MarginError) else targets
