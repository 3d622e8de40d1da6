"""Tangent kernels: products of the derivatives of a model's outputs, at one parameter vector and along a path."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array
from qpot._core.interrupts import interruptible
from qpot._core.types import PointLike
from qpot.companions.models import PredictionModel, rows_at_once


@interruptible
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


def path_kernel(model: PredictionModel, nodes: Iterable[tuple[Array, float]], X: Array, Z: Array | None) -> Array:
    """The sum (n, m, K, K) of tangent kernels at nodes (d,), each times its weight; Z stands for X where it is None.

    Derivatives are held for so many inputs at a time as fit into a fixed memory (`rows_at_once`).
    """
    columns = X if Z is None else Z
    total = np.zeros((X.shape[0], columns.shape[0], model.outputs, model.outputs))
    at_once = rows_at_once(model)
    whole = max(len(X), len(columns)) <= at_once
    for theta, weight in nodes:
        if whole:
            total += weight * tangent_kernel(model, theta, X, Z)
            continue
        for a in range(0, len(X), at_once):
            J = model.jacobian_at(theta, X[a : a + at_once])
            for b in range(0, len(columns), at_once):
                G = model.jacobian_at(theta, columns[b : b + at_once])
                total[a : a + at_once, b : b + at_once] += weight * _products(J, G)
    return total
