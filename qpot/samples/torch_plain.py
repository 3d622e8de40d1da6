"""PyTorch models one point at a time by plain automatic differentiation: the loop that all is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from qpot._core.arrays import Array


class PlainLoop:
    """Losses and derivatives of a model, one point and one sample after another.

    Parameters
    ----------
    functions : _TorchFunctions
        It has ``loss_of(theta, *sample)``, ``samples(rows)`` and ``tensor(array)``.
    """

    def __init__(self, functions: Any) -> None:
        self.functions = functions

    def losses(self, x: Array, samples: Sequence[int]) -> Array:
        """Losses of some samples at points (n, d), ``(n, S)``."""
        rows = self._rows(samples)
        with torch.no_grad():
            values = [[float(self.functions.loss_of(theta, *r)) for r in rows] for theta in self.functions.tensor(x)]
        return np.array(values)

    def gradients(self, x: Array, samples: Sequence[int]) -> Array:
        """Gradients of some samples at points (n, d), ``(n, S, d)``."""
        rows = self._rows(samples)
        values = torch.stack(
            [torch.stack([self._gradient(theta, *r) for r in rows]) for theta in self.functions.tensor(x)]
        )
        return np.asarray(values.cpu().numpy(), dtype=np.float64)

    def _rows(self, samples: Sequence[int]) -> list[tuple[Any, ...]]:
        data = self.functions.samples(np.asarray(samples))
        return [tuple(part[k] for part in data) for k in range(len(samples))]

    def _gradient(self, theta: Any, *sample: Any) -> Any:
        theta = theta.detach().requires_grad_()
        return _derivative(self.functions.loss_of(theta, *sample), theta).detach()


def plain_value(loss_of: Callable[..., Any], kind: str, data: tuple[Any, ...], x: Any, *given: Any) -> Any:
    """One piece of the function of that name, ``(n, ...)``, without any batching over points or samples."""
    indexed = kind in ("drawn_gradients", "batch_gradient")
    rows = []
    for n in range(x.shape[0]):
        samples = tuple(part[n] for part in data) if indexed else data
        rows.append(_of_one_point(loss_of, kind, samples, x[n], *(g[n] for g in given)))
    return torch.stack(rows)


def _of_one_point(loss_of: Callable[..., Any], kind: str, data: tuple[Any, ...], x: Any, *given: Any) -> Any:
    """The same at one point (d,)."""
    theta, count = x.detach().requires_grad_(), len(data[0])

    def loss(k: int) -> Any:
        return loss_of(theta, *(part[k] for part in data))

    if kind == "losses":
        with torch.no_grad():
            return torch.stack([loss(k) for k in range(count)])
    if kind in ("sample_gradients", "drawn_gradients"):
        return torch.stack([_derivative(loss(k), theta).detach() for k in range(count)])
    if kind == "batch_gradient":
        return torch.stack([_derivative(loss(k), theta).detach() for k in range(count)]).mean(0)
    if kind == "directional_derivatives":
        return torch.stack([_derivative(loss(k), theta).detach() @ given[0] for k in range(count)])
    if kind == "weighted_gradient":
        return sum(given[0][k] * _derivative(loss(k), theta).detach() for k in range(count))
    # Products of the weighted Hessian with one vector, or with some.
    vectors = given[0] if kind == "hessian_rows" else given[0][None]
    products = torch.zeros_like(vectors)
    for k in range(count):
        gradient = _derivative(loss(k), theta, again=True)
        for j, v in enumerate(vectors):
            products[j] += given[1][k] * _derivative(gradient @ v, theta, keep=True).detach()
    return products if kind == "hessian_rows" else products[0]


def _derivative(value: Any, theta: Any, *, again: bool = False, keep: bool = False) -> Any:
    """The gradient of a number, zero where it does not depend on theta."""
    if not value.requires_grad:
        return torch.zeros_like(theta)
    (found,) = torch.autograd.grad(value, theta, create_graph=again, retain_graph=again or keep, allow_unused=True)
    return torch.zeros_like(theta) if found is None else found
