"""The path kernel: a model trained by gradient flow as a weighted sum of its training samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_count, as_point, as_positive, as_rng, format_point
from qpot._core.deprecated import renamed
from qpot._core.drawn import Drawn
from qpot._core.progress import ProgressLike, reporting
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike, SeedLike
from qpot.companions.models import OutputLoss, PredictionModel, sample_pulls, training_data
from qpot.solvers.companions.flow_steps import ORDERS, runge_kutta_step, stage_weights


def tangent_kernel(model: PredictionModel, parameters: PointLike, X: ArrayLike, Z: ArrayLike | None = None) -> Array:
    r"""The neural tangent kernel :math:`\partial_\theta f(x)\,\partial_\theta f(z)^T` at one parameter vector.

    Parameters
    ----------
    model : PredictionModel
    parameters : (d,) array
    X : (n, p) array
    Z : (m, p) array, optional
        The default is X.

    Returns
    -------
    (n, m, K, K) array

    Raises
    ------
    ValueError
        If the parameters or the inputs do not fit the model.
    """
    if not isinstance(model, PredictionModel):
        raise ValueError(f"model must be a qpot.PredictionModel, got {model!r}")
    J = model.jacobian_at(parameters, X)
    return _products(J, J if Z is None else model.jacobian_at(parameters, Z, name="Z"))


def _products(J: Array, G: Array) -> Array:
    """The matrix J_i G_j^T for every pair of inputs, as one matrix product."""
    n, K, d = J.shape
    product = J.reshape(n * K, d) @ G.reshape(-1, d).T
    return np.ascontiguousarray(product.reshape(n, K, G.shape[0], K).swapaxes(1, 2))


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTrajectory(Drawn, Saved, figure="plot_training"):
    r"""A recorded training run, and the path kernel along it.

    Attributes
    ----------
    model : PredictionModel
    X, targets : arrays ``(N, p)``, ``(N, K)``
        Training samples.
    loss : OutputLoss
    points : (steps + 1, d) array
        Parameters before the first and after every step.
    losses : (steps + 1,) array
        Mean training loss at ``points``.
    nodes, node_weights : arrays ``(Q, d)``, ``(Q,)``
        The points at which integrals over time are evaluated, which are the stages of the integrator, and their weights,
        which are times.
    sample_weights : (Q, N) array
        The weight of every sample's gradient at every node. It is 1/N in full-batch training; with minibatches it is the
        sample's multiplicity in the batch divided by the batch size.

    Notes
    -----
    Let alpha_i(t) be -dl/df at sample i, weighted by ``sample_weights`` since the training loss is a mean. The flow obeys
    f_T(x) = f_0(x) + sum_i int_0^T K_t(x, x_i) alpha_i(t) dt (Domingos 2020). The integrals are summed over the stages of
    the Runge-Kutta steps that moved the parameters, so the sum differs from the trained model by an error of the
    integrator's order. For a model that is linear in theta the sum is exact up to rounding.
    """

    model: PredictionModel
    X: Array
    targets: Array
    loss: OutputLoss
    points: Array
    losses: Array
    nodes: Array
    node_weights: Array
    sample_weights: Array

    @property
    def duration(self) -> float:
        """The duration T of the training, in units of the flow's time."""
        return float(self.node_weights.sum())

    def kernel(self, X: ArrayLike, Z: ArrayLike | None = None) -> Array:
        r"""The path kernel :math:`\int_0^T K_t(x, z)\,dt`, ``(n, m, K, K)``; ``Z`` defaults to ``X``.

        It is a sum of Gram matrices with positive weights, so as an ``(n K, n K)`` matrix it is positive semidefinite.
        """
        inputs, others = self.model.inputs(X), None if Z is None else self.model.inputs(Z, name="Z")
        total = np.zeros((inputs.shape[0], (inputs if others is None else others).shape[0], *2 * (self.model.outputs,)))
        for theta, weight in zip(self.nodes, self.node_weights, strict=True):
            total += weight * tangent_kernel(self.model, theta, inputs, others)
        return total

    def gram(self, X: ArrayLike, Z: ArrayLike | None = None) -> Array:
        """The scalar path kernel ``(n, m)``, the trace of `kernel` over outputs; it is positive semidefinite for Z = X.

        ``sklearn.svm.SVC(kernel="precomputed")`` takes it as ``fit(gram(X), y)`` and ``predict(gram(X_test, X))``.
        """
        trace: Array = np.einsum("nmkk->nm", self.kernel(X, Z))
        return trace

    def predict(self, X: ArrayLike) -> Array:
        """The outputs of the trained model, ``(n, K)``."""
        return self.model.outputs_at(self.points[-1], X)

    def explain(self, X: ArrayLike) -> Explanation:
        """The predictions at ``X`` as sums of contributions of the training samples."""
        inputs = self.model.inputs(X)
        contributions = np.zeros((inputs.shape[0], self.X.shape[0], self.model.outputs))
        for theta, weight, shares in zip(self.nodes, self.node_weights, self.sample_weights, strict=True):
            used = np.flatnonzero(shares)
            pulls = sample_pulls(self.model, theta, self.X[used], self.targets[used], self.loss)
            moved = self.model.jacobian_at(theta, inputs) @ (weight * shares[used, None] * pulls).T
            contributions[:, used] += moved.swapaxes(1, 2)
        return Explanation(
            initial=self.model.outputs_at(self.points[0], inputs),
            contributions=contributions,
            prediction=self.predict(inputs),
            kernel=self.kernel(inputs, self.X),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation(Drawn, Saved, figure="plot_explanation"):
    """Predictions as sums over training samples.

    Attributes
    ----------
    initial : (n, K) array
        The outputs f_0(x) of the untrained model.
    contributions : (n, N, K) array
        The contribution int K_t(x, x_i) alpha_i(t) dt of every training sample.
    prediction : (n, K) array
        The outputs of the trained model.
    kernel : (n, N, K, K) array
        The path kernel between the inputs and the training samples.
    """

    initial: Array
    contributions: Array
    prediction: Array
    kernel: Array

    @property
    def reconstruction(self) -> Array:
        """The sum of f_0(x) and all contributions, ``(n, K)``."""
        total: Array = self.initial + self.contributions.sum(axis=1)
        return total

    @property
    def error(self) -> float:
        """The largest difference between the reconstruction and the prediction."""
        return float(np.abs(self.reconstruction - self.prediction).max())

    @property
    def weights(self) -> Array:
        """The weights alpha_i(x), ``(n, N, K)``, by which the path kernel is multiplied to give the contributions.

        For one output alpha_i(x) is the mean of alpha_i(t) weighted with the tangent kernel. It is NaN where the path
        kernel has no inverse (for one output, where the path kernel is zero), since the mean does not exist there.
        """
        K = self.kernel
        usable = np.linalg.cond(K) < 1e12 if K.shape[-1] > 1 else np.abs(K[..., 0, 0]) > 0.0
        result = np.full(self.contributions.shape, np.nan)
        result[usable] = np.linalg.solve(K[usable], self.contributions[usable][..., None])[..., 0]
        return result

    def ranking(self, row: int = 0, *, output: int = 0, top: int | None = None) -> list[tuple[int, float]]:
        """The training samples and their contributions to one output of one prediction, largest magnitude first.

        Parameters
        ----------
        row : int
            The index of the input that is explained.
        output : int
            The index of the output.
        top : int, optional
            The number of samples; all by default.

        Returns
        -------
        list of (int, float)
            Indices of training samples with their contributions.

        Raises
        ------
        ValueError
            If an index is out of range or ``top`` is not a positive integer.
        """
        n, N, K = self.contributions.shape
        for name, value, limit in (("row", row, n), ("output", output, K)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not -limit <= value < limit:
                raise ValueError(f"{name} must be an index below {limit}, got {value!r}")
        count = N if top is None else as_count(top, name="top")
        values = self.contributions[row, :, output]
        order = np.argsort(-np.abs(values), kind="stable")[:count]
        return [(int(i), float(values[i])) for i in order]

    def __repr__(self) -> str:
        n, N, K = self.contributions.shape
        sizes = f"{n} predictions, {K} outputs, {N} training samples"
        return f"Explanation({sizes}, reconstruction error {self.error:.1e})"


def train_flow(
    model: PredictionModel,
    X: ArrayLike,
    y: ArrayLike,
    *,
    start: PointLike,
    step: float,
    steps: int,
    loss: OutputLoss | None = None,
    order: int = 1,
    batches: ArrayLike | None = None,
    rng: SeedLike = None,
    progress: ProgressLike = None,
) -> TrainingTrajectory:
    r"""Train by gradient flow on the mean loss and record the path.

    Parameters
    ----------
    model : PredictionModel
    X : (N, p) array
    y : array
        Targets, as ``loss`` takes them.
    start : (d,) array
        Initial parameters.
    step : float
        Step size; with ``order=1`` it is the learning rate of gradient descent.
    steps : int
        The number of steps.
    loss : SquaredError, CrossEntropy or MarginError, optional
        The default is `SquaredError`.
    order : {1, 2, 4}
        Euler, midpoint or classical Runge-Kutta; a minibatch is held fixed during a step.
    batches : int or (steps, B) integer array, optional
        A batch size, for minibatches that are drawn anew for every step without replacement, or the sample indices of every
        step. By default every step uses the full batch.
    rng : Generator, seed or None
        The source of the minibatches; None is seed 0.
    progress : callable, bool, "auto" or None
        How progress is reported.

    Returns
    -------
    TrainingTrajectory

    Raises
    ------
    ValueError
        If an argument is not usable.
    SolveError
        If a number stops being finite, or on Ctrl-C; ``.partial`` is the trajectory up to there.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> line = qpot.linear_model(1)
    >>> path = qpot.train_flow(line, [[1.0], [2.0]], [1.0, 2.0], start=[0.0], step=0.1, steps=50)
    >>> path.predict([[3.0]]).round(4), path.explain([[3.0]]).ranking(top=1)[0][0]
    (array([[3.]]), 1)
    """
    inputs, Y, kind = training_data(model, X, y, loss)
    theta = as_point(start, dimension=model.dimension, name="start")
    # A model that does not fit its description fails here, so a later failure means that a number is not finite.
    sample_pulls(model, theta, inputs, Y, kind)
    h, n_steps = as_positive(step, name="step"), as_count(steps, name="steps")
    if isinstance(order, bool) or order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}, got {order!r}")
    N = inputs.shape[0]
    schedule = _batch_schedule(batches, n_steps, N, as_rng(rng))
    weights = stage_weights(order)
    used = np.flatnonzero(weights)

    points = np.empty((n_steps + 1, model.dimension))
    points[0] = theta
    losses = np.empty(n_steps + 1)
    losses[0] = _mean_loss(model, theta, inputs, Y, kind)
    nodes = np.empty((n_steps, used.size, model.dimension))
    shares = np.empty((n_steps, N))

    def finish(done: int) -> TrainingTrajectory:
        return TrainingTrajectory(
            model=model,
            X=inputs,
            targets=Y,
            loss=kind,
            points=points[: done + 1],
            losses=losses[: done + 1],
            nodes=nodes[:done].reshape(-1, model.dimension),
            node_weights=np.tile(h * weights[used], done),
            sample_weights=np.repeat(shares[:done], used.size, axis=0),
        )

    with reporting(progress, "training") as report:
        for k in range(n_steps):
            shares[k] = 1.0 / N if schedule is None else np.bincount(schedule[k], minlength=N) / schedule.shape[1]
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    moved, stages = runge_kutta_step(_velocity(model, inputs, Y, kind, shares[k]), points[k], h, order)
                    losses[k + 1] = _mean_loss(model, moved, inputs, Y, kind)
            except KeyboardInterrupt:
                raise SolveError(
                    f"interrupted after {k} of {n_steps} steps", status=Status.INTERRUPTED, partial=finish(k)
                ) from None
            except ValueError as error:
                raise SolveError(
                    f"step {k + 1} of {n_steps} failed, pass a smaller step: {error}",
                    status=Status.NON_FINITE,
                    partial=finish(k),
                ) from error
            points[k + 1], nodes[k] = moved, stages[used]
            if k % 20 == 19 or k == n_steps - 1:
                report(k + 1, n_steps, "steps")
    return finish(n_steps)


def _mean_loss(model: PredictionModel, theta: Array, inputs: Array, Y: Array, kind: OutputLoss) -> float:
    value = float(kind.value(model.outputs_at(theta, inputs), Y).mean())
    if not np.isfinite(value):
        raise ValueError(f"the training loss is {value} at the parameters {format_point(theta)}")
    return value


def _velocity(
    model: PredictionModel, inputs: Array, Y: Array, kind: OutputLoss, shares: Array
) -> Callable[[Array], Array]:
    """The velocity of the flow whose loss weights the samples with ``shares``."""
    used = np.flatnonzero(shares)
    x, targets, weights = inputs[used], Y[used], shares[used]
    return lambda theta: weights @ sample_pulls(model, theta, x, targets, kind)


def _batch_schedule(
    batches: ArrayLike | None, steps: int, N: int, rng: np.random.Generator
) -> NDArray[np.integer[Any]] | None:
    """The sample indices of every step, ``(steps, B)``; None for the full batch."""
    if batches is None:
        return None
    if np.ndim(batches) == 0:
        B = as_count(batches, name="batches")
        if B > N:
            raise ValueError(f"batches={B} exceeds the {N} samples; a batch size is at most {N}")
        return np.stack([rng.choice(N, size=B, replace=False) for _ in range(steps)])
    schedule = np.asarray(batches)
    if schedule.ndim != 2 or schedule.shape[0] != steps or schedule.shape[1] == 0 or schedule.dtype.kind not in "iu":
        raise ValueError(
            f"batches has shape {schedule.shape} and type {schedule.dtype}, expected ({steps}, B) integers: "
            f"the samples of "
            "every step, or one batch size"
        )
    if schedule.min() < 0 or schedule.max() >= N:
        raise ValueError(f"batches must hold indices 0 ... {N - 1}, got {schedule.min()} ... {schedule.max()}")
    return schedule


__getattr__ = renamed({"TrainingPath": "TrainingTrajectory"}, "qpot.companions.path_kernel", globals())
