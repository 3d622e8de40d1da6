"""The path kernel: a model trained by gradient flow as a weighted sum of its training samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_count, as_point, as_positive, as_rng, format_point
from qpot._core.deprecated import renamed
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible, keeping
from qpot._core.memory import check_memory
from qpot._core.progress import ProgressLike, reporting
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike, SeedLike
from qpot.companions.explanation import Explanation
from qpot.companions.models import OutputLoss, PredictionModel, rows_at_once, sample_pulls, training_data
from qpot.companions.tangents import path_kernel, tangent_kernel
from qpot.solvers.companions.flow_steps import ORDERS, runge_kutta_step, stage_weights

# The memory of a training is said before it begins, where it is more than so many bytes.
_WORTH_SAYING = 1e6
# Steps that are made anew lead to the next checkpoint within this part; a model of PyTorch may round differently.
_AGAIN = 1e-9


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
        Parameters before the first and after every step. With checkpoints: before the first, after every ``keep_every``-th
        and after the last step.
    losses : (steps + 1,) array
        Mean training loss before the first and after every step.
    nodes, node_weights : arrays ``(Q, d)``, ``(Q,)``
        The points at which integrals over time are evaluated, which are the stages of the integrator, and their weights,
        which are times. With checkpoints ``nodes`` is ``(0, d)``: `along` computes them anew.
    sample_weights : (Q, N) array
        The weight of every sample's gradient at every node. It is 1/N in full-batch training; with minibatches it is the
        sample's multiplicity in the batch divided by the batch size.
    order : int
        The order of the integrator.
    keep_every : int
        The number of steps from one kept point to the next; 1 where all are kept.

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
    order: int = 1
    keep_every: int = 1

    def along(self) -> Iterator[tuple[Array, float, Array]]:
        """The nodes (d,) with their weights and the weights of the samples (N,), in the order of time.

        Between checkpoints the steps are made anew, which needs no memory and takes as long as the training.

        Raises
        ------
        SolveError
            If the steps do not lead to the next checkpoint: the model gives other numbers than it did in the training.
        """
        if len(self.nodes) or not len(self.node_weights):
            yield from zip(self.nodes, self.node_weights, self.sample_weights, strict=True)
            return
        share = stage_weights(self.order)
        used = np.flatnonzero(share)
        theta, steps = self.points[0], len(self.node_weights) // used.size
        for k in range(steps):
            first = k * used.size
            shares, h = self.sample_weights[first], self.node_weights[first] / share[used[0]]
            velocity = _velocity(self.model, self.X, self.targets, self.loss, shares)
            moved, stages = runge_kutta_step(velocity, theta, float(h), self.order)
            for n, s in enumerate(used):
                yield stages[s], float(self.node_weights[first + n]), shares
            theta = moved
            if (k + 1) % self.keep_every == 0 or k + 1 == steps:
                kept = self.points[-(-(k + 1) // self.keep_every)]
                if not np.allclose(theta, kept, rtol=_AGAIN, atol=_AGAIN * float(np.abs(kept).max())):
                    raise SolveError(
                        f"made anew, step {k + 1} leads elsewhere than in the training, by {np.abs(theta - kept).max():.2g}: "
                        "the model gives other numbers than before; pass the one that was trained",
                        status=Status.NOT_CONVERGED,
                        partial=None,
                    )
                theta = kept

    @property
    def duration(self) -> float:
        """The duration T of the training, in units of the flow's time."""
        return float(self.node_weights.sum())

    def kernel(self, X: ArrayLike, Z: ArrayLike | None = None) -> Array:
        r"""The path kernel :math:`\int_0^T K_t(x, z)\,dt`, ``(n, m, K, K)``; ``Z`` defaults to ``X``.

        It is a sum of Gram matrices with positive weights, so as an ``(n K, n K)`` matrix it is positive semidefinite.
        """
        inputs, others = self.model.inputs(X), None if Z is None else self.model.inputs(Z, name="Z")
        return path_kernel(self.model, ((theta, weight) for theta, weight, _ in self.along()), inputs, others)

    def gram(self, X: ArrayLike, Z: ArrayLike | None = None) -> Array:
        """The scalar path kernel ``(n, m)``, the trace of `kernel` over outputs; it is positive semidefinite for Z = X.

        ``sklearn.svm.SVC(kernel="precomputed")`` takes it as ``fit(gram(X), y)`` and ``predict(gram(X_test, X))``.
        """
        trace: Array = np.einsum("nmkk->nm", self.kernel(X, Z))
        return trace

    @property
    def coefficients(self) -> Array:
        r"""The coefficients :math:`c_i = \int_0^T \alpha_i(t)\,dt` of the training samples, ``(N, K)``.

        For a model that is linear in its parameters the tangent kernel K does not change, and
        f_T(x) = f_0(x) + sum_i K(x, x_i) c_i: the form of the representer theorem. In a convex problem c tends to its
        coefficients, for the squared error and an invertible kernel to K^-1 (y - f_0); on separable data c, scaled, tends to
        the duals of the support vector machine.
        """
        total = np.zeros((self.X.shape[0], self.model.outputs))
        for theta, weight, shares in self.along():
            used = np.flatnonzero(shares)
            pulls = self.loss.pull(self.model.outputs_at(theta, self.X[used]), self.targets[used])
            total[used] += weight * shares[used, None] * pulls
        return total

    def predict(self, X: ArrayLike) -> Array:
        """The outputs of the trained model, ``(n, K)``."""
        return self.model.outputs_at(self.points[-1], X)

    def explain(self, X: ArrayLike) -> Explanation:
        """The predictions at ``X`` as sums of contributions of the training samples."""
        inputs = self.model.inputs(X)
        n, (N, K), d = len(inputs), self.targets.shape, self.model.dimension
        check_memory(
            8.0 * (n * N * K * (1 + 2 * K) + (2 * min(n + N, 2 * rows_at_once(self.model)) * K + N) * d),
            what=f"the explanation of {n} predictions by {N} samples",
            way_out="explain fewer inputs at a time",
        )
        contributions = np.zeros((inputs.shape[0], self.X.shape[0], self.model.outputs))
        at_once = rows_at_once(self.model)
        for theta, weight, shares in self.along():
            used = np.flatnonzero(shares)
            pulls = sample_pulls(self.model, theta, self.X[used], self.targets[used], self.loss)
            for a in range(0, n, at_once):
                J = self.model.jacobian_at(theta, inputs[a : a + at_once])
                moved = J @ (weight * shares[used, None] * pulls).T
                contributions[a : a + at_once, used] += moved.swapaxes(1, 2)
        return Explanation(
            initial=self.model.outputs_at(self.points[0], inputs),
            contributions=contributions,
            prediction=self.predict(inputs),
            kernel=self.kernel(inputs, self.X),
        )


@interruptible
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
    keep_every: int = 1,
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
    keep_every : int
        Parameters are kept after every so many steps only, as checkpoints; path kernels and explanations make the steps
        between them anew, which takes as long as the training once more. The record is 8 d (steps / keep_every + 1) bytes
        instead of 8 d (steps + 1) and as much for each stage. About the root of ``steps`` is a good choice for large models.
    progress : callable, bool, "auto" or None
        How progress is reported. The first report of a large model says how much memory the record and the
        tangents take.

    Returns
    -------
    TrainingTrajectory

    Raises
    ------
    ValueError
        If an argument is not usable, or the record of the training does not fit into memory; the message says how much it
        takes, before anything is begun.
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

    every = as_count(keep_every, name="keep_every")
    kept = n_steps * (1 + used.size) if every == 1 else -(-n_steps // every)
    record = 8.0 * (model.dimension * (kept + 1) + n_steps * N)
    tangents = 8.0 * model.dimension * (2 * min(N, rows_at_once(model)) * model.outputs + N)
    check_memory(
        record + tangents,
        what=f"the record of {n_steps} steps of {model.dimension} parameters",
        way_out="keep fewer of them by keep_every=, take fewer steps, or larger ones of a higher order",
    )
    points = np.empty((-(-n_steps // every) + 1, model.dimension))
    points[0] = theta
    losses = np.empty(n_steps + 1)
    losses[0] = _mean_loss(model, theta, inputs, Y, kind)
    nodes = np.empty((n_steps if every == 1 else 0, used.size, model.dimension))
    shares = np.empty((n_steps, N))

    def finish(done: int) -> TrainingTrajectory:
        return TrainingTrajectory(
            model=model,
            X=inputs,
            targets=Y,
            loss=kind,
            points=np.concatenate([points[: 1 + done // every], [theta]])
            if done % every
            else points[: 1 + done // every],
            losses=losses[: done + 1],
            nodes=nodes[:done].reshape(-1, model.dimension),
            node_weights=np.tile(h * weights[used], done),
            sample_weights=np.repeat(shares[:done], used.size, axis=0),
            order=order,
            keep_every=every,
        )

    done = 0
    with (
        reporting(progress, "training") as report,
        keeping(lambda: (f"interrupted after {done} of {n_steps} steps", finish(done))),
    ):
        if record + tangents > _WORTH_SAYING:
            report(
                0, n_steps, f"steps; the record takes {record / 1e6:.3g} MB and tangents take {tangents / 1e6:.3g} MB"
            )
        for k in range(n_steps):
            shares[k] = 1.0 / N if schedule is None else np.bincount(schedule[k], minlength=N) / schedule.shape[1]
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    moved, stages = runge_kutta_step(_velocity(model, inputs, Y, kind, shares[k]), theta, h, order)
                    losses[k + 1] = _mean_loss(model, moved, inputs, Y, kind)
            except ValueError as error:
                raise SolveError(
                    f"step {k + 1} of {n_steps} failed, pass a smaller step: {error}",
                    status=Status.NON_FINITE,
                    partial=finish(k),
                ) from error
            if every == 1:
                nodes[k] = stages[used]
            if (k + 1) % every == 0:
                points[(k + 1) // every] = moved
            theta, done = moved, k + 1
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


__all__ = ["TrainingTrajectory", "tangent_kernel", "train_flow"]

__getattr__ = renamed({"TrainingPath": "TrainingTrajectory"}, "qpot.companions.path_kernel", globals())
