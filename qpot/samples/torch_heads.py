"""Any loss of a few outputs: PyTorch differentiates the loss in the outputs, and formulas do the rest of a network."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.func import grad, jacrev, vmap

from qpot._core.arrays import Array
from qpot.samples.dense_losses import OutputLoss, Rows
from qpot.samples.torch_recorded import Recorded

# Second derivatives are formed as matrices of outputs; with more outputs they would take more memory than all layers.
MOST_OUTPUTS = 16


class TorchLoss(OutputLoss):
    """The losses of samples as functions of a network's outputs, by ``torch.func``.

    Parameters
    ----------
    loss_fn : callable ``(outputs, targets) -> number``
    tail : module or None
        What the model does to the outputs before the loss takes them.
    targets : tensor ``(N, ...)``
    shape : tuple of int
        The shape of one sample's outputs.
    """

    def __init__(self, loss_fn: Callable[..., Any], tail: Any, targets: Any, shape: tuple[int, ...]) -> None:
        self.loss_fn, self.tail, self.targets, self.shape = loss_fn, tail, targets, shape
        self._prepare()

    def _prepare(self) -> None:
        """Make what belongs to this process alone."""
        self.lock = threading.RLock()
        self.recorded = Recorded(lambda kind, y: self._of(kind, y, self.targets), torch.tensor, _bytes)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("lock", "recorded")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def losses(self, y: Array, rows: Rows) -> Array:
        return self._value("losses", y, rows)

    def slopes(self, y: Array, rows: Rows) -> Array:
        return self._value("slopes", y, rows)

    def slopes_and_bend(self, y: Array, rows: Rows) -> tuple[Array, Callable[[Array], Array]]:
        both = self._value("both", y, rows)
        matrices = both[:, 1:]

        def bend(d: Array) -> Array:
            if d.ndim == 3:
                return np.asarray((matrices * d[:, None]).sum(axis=2))
            return np.asarray((matrices[:, None] * d[:, :, None]).sum(axis=3))

        return both[:, 0], bend

    def _value(self, kind: str, y: Array, rows: Rows) -> Array:
        with self.lock:
            if isinstance(rows, slice) and rows == slice(0, len(self.targets)):
                return self.recorded(kind, y)
            targets = self.targets[rows if isinstance(rows, slice) else torch.from_numpy(np.array(rows))]
            value = self._of(kind, torch.tensor(y), targets, shared=isinstance(rows, slice))
            return np.asarray(value.detach().numpy(), dtype=np.float64)

    def _of(self, kind: str, y: Any, targets: Any, *, shared: bool = True) -> Any:
        """Losses (n, S), slopes (n, C, S), or slopes and second derivatives together, (n, 1 + C, C, S)."""

        def one(outputs: Any, target: Any) -> Any:
            outputs = outputs.reshape(1, *self.shape)
            if self.tail is not None:
                outputs = self.tail(outputs)
            return self.loss_fn(outputs, target.unsqueeze(0)).reshape(())

        def each(function: Callable[..., Any]) -> Any:
            return vmap(vmap(function), (0, None if shared else 0))(y.transpose(1, 2), targets)

        if kind == "losses":
            return each(one)
        if kind == "slopes":
            return each(grad(one)).transpose(1, 2)

        def both(outputs: Any, target: Any) -> Any:
            slope = grad(one)
            return torch.cat([slope(outputs, target)[None], jacrev(slope)(outputs, target)])

        return each(both).permute(0, 2, 3, 1)


def _bytes(kind: str, *arrays: Array) -> float:
    """The bytes that are on the way for one point."""
    _, C, S = arrays[0].shape
    return float(8 * S * C * {"losses": 4, "slopes": 8, "both": 8 * (1 + C)}[kind])
