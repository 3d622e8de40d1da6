"""Machines of the largest margin in other norms than the Euclidean, and how far a predictor is from one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from qpot._core.arrays import Array
from qpot._core.interrupts import interruptible
from qpot._core.status import SolveError, Status
from qpot.companions.margin_losses import signed_samples
from qpot.companions.separation import refuse_contradictions, separate

NORMS = ("l1", "l2", "nuclear")


@dataclass(frozen=True, kw_only=True, eq=False)
class NormMachine:
    r"""The weights w of least norm with y_i <w, x_i> >= 1 for all samples.

    Attributes
    ----------
    weights : (p,) array
        The weights w.
    duals : (N,) array
        Dual variables alpha >= 0 of the constraints; the dual norm of sum alpha_i z_i is at most 1.
    norm : str
        The name of the norm.
    value : float
        The norm of w; the margin in this norm is its reciprocal.
    gap : float
        value minus sum alpha, which bounds how far the value is above the least one.
    """

    weights: Array
    duals: Array
    norm: str
    value: float
    gap: float

    @property
    def direction(self) -> Array:
        """The weights divided by their norm."""
        return self.weights / self.value


@dataclass(frozen=True, kw_only=True)
class MachineBounds:
    """What the margin of a predictor lacks, bounded by duality.

    Attributes
    ----------
    margin : float
        The margin min y <w, x> / norm(w) of the predictor.
    largest : float
        No predictor has a margin above this.
    gap : float
        1 - margin / largest, which is zero only for a machine.
    """

    margin: float
    largest: float

    @property
    def gap(self) -> float:
        """The share of the largest margin that the predictor lacks, at most."""
        return 1.0 - self.margin / self.largest


@interruptible
def norm_machine(X: ArrayLike, y: ArrayLike, *, norm: str = "l1") -> NormMachine:
    """The machine of the largest margin through the origin in the l1 or the l2 norm.

    Parameters
    ----------
    X : (N, p) array
        Samples as rows.
    y : (N,) array
        Labels +1 and -1.
    norm : {"l1", "l2"}
        The norm of the weights; l1 is solved as a linear programme, l2 by `separate`.

    Returns
    -------
    NormMachine

    Raises
    ------
    ValueError
        If the data are not usable or not separable, or the norm is another.
    SolveError
        If the linear programme cannot be solved.

    Examples
    --------
    >>> import qpot
    >>> X = [[2.0, 1.0], [1.5, 3.0], [3.0, 0.2]]
    >>> qpot.norm_machine(X, [1, 1, 1], norm="l1").direction.round(6)
    array([0.8, 0.2])
    >>> w = qpot.norm_machine(X, [1, 1, 1], norm="l2").weights
    >>> (w / w.sum()).round(6)
    array([0.666667, 0.333333])
    """
    if norm not in ("l1", "l2"):
        raise ValueError(
            f'norm must be "l1" or "l2", got {norm!r}; for the nuclear norm use margin_flow and its bounds()'
        )
    euclidean = separate(X, y)
    if norm == "l2":
        w, value = euclidean.normal, float(np.linalg.norm(euclidean.normal))
        duals = euclidean.duals / value
        return NormMachine(weights=w, duals=duals, norm=norm, value=value, gap=value - float(duals.sum()))
    Z = signed_samples(X, y)
    refuse_contradictions(Z)
    scale = float(np.abs(Z).max())
    A = Z / scale
    solution = linprog(np.ones(2 * A.shape[1]), A_ub=np.hstack([-A, A]), b_ub=-np.ones(A.shape[0]), method="highs")
    if solution.status != 0:
        raise SolveError(
            f"the linear programme of the l1 machine was not solved: {solution.message}",
            status=Status.NOT_CONVERGED,
            partial=None,
        )
    p = A.shape[1]
    w = (solution.x[:p] - solution.x[p:]) / scale
    duals = np.maximum(-solution.ineqlin.marginals, 0.0) / scale
    value = float(np.abs(w).sum())
    return NormMachine(weights=w, duals=duals, norm=norm, value=value, gap=value - float(duals.sum()))


def norm_of(w: Array, norm: str, shape: tuple[int, int] | None) -> float:
    """The norm of weights ``(p,)``."""
    if norm == "nuclear":
        assert shape is not None
        return float(np.linalg.svd(w.reshape(shape), compute_uv=False).sum())
    return float(np.abs(w).sum() if norm == "l1" else np.linalg.norm(w))


def dual_norm_of(v: Array, norm: str, shape: tuple[int, int] | None) -> float:
    """The dual norm of ``(p,)``: the largest <w, v> over weights of norm 1."""
    if norm == "nuclear":
        assert shape is not None
        return float(np.linalg.norm(v.reshape(shape), 2))
    return float(np.abs(v).max() if norm == "l1" else np.linalg.norm(v))


def machine_bounds(Z: Array, w: Array, duals: Array, norm: str, shape: tuple[int, int] | None = None) -> MachineBounds:
    """The margin of w on the signed samples Z ``(N, p)``, and the bound on every margin by dual variables >= 0.

    For every w' of norm 1, min_i <w', z_i> sum alpha_i <= <w', sum alpha_i z_i> <= the dual norm of sum alpha_i z_i.
    """
    margin = float((Z @ w).min()) / norm_of(w, norm, shape)
    largest = dual_norm_of(duals @ Z, norm, shape) / float(duals.sum())
    return MachineBounds(margin=margin, largest=largest)
