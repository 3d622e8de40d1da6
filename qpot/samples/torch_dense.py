"""PyTorch models that are chains of dense layers, as formulas that have been compared with PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.dense_activations import Activation, composed, identity
from qpot.samples.dense_chain import DenseChain, Layer
from qpot.samples.dense_sum import DenseSum

# The largest relative difference between the formulas and PyTorch.
_ROUNDING = 1e-9
# Points at which they are compared: the initial one, and others at these distances relative to it.
_NEAR = (0.0, 0.3, 1.5)
# The most samples with which they are compared.
_SAMPLES = 64


def dense_sum(functions: Any) -> tuple[DenseSum | None, tuple[str, ...]]:
    """The formulas of a model, and notes about it; None where it is no chain of dense layers with a known loss.

    Parameters
    ----------
    functions : _TorchFunctions
        The model's functions, by which the formulas are checked.
    """
    import torch

    usual = functions.way == "together" and not functions.quiet
    if not usual or functions.dtype != torch.float64 or functions.device.type != "cpu" or len(functions.data) != 2:
        return None, ()
    found = _written_out(functions)
    if found is None:
        return None, ()
    try:
        gap = _difference(found, functions)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError, IndexError):
        # A loss may not be differentiable in the outputs alone in the way in which the whole model is.
        return None, ()
    if gap <= _ROUNDING:
        return found, ()
    return None, (
        f"evaluated by PyTorch, since formulas for its dense layers differ from it by {gap:.1g} of the largest value",
    )


def _written_out(functions: Any) -> DenseSum | None:
    """The formulas of a chain with a known loss."""
    from qpot.samples.torch_chain import Dense, chain_of
    from qpot.samples.torch_heads import MOST_OUTPUTS, TorchLoss
    from qpot.samples.torch_losses import known_loss

    inputs, targets = functions.samples(slice(0, functions.n_samples))
    if not inputs.is_floating_point():
        return None
    chain = chain_of(functions.model, tuple(inputs.shape[1:]))
    if chain is None:
        return None
    loss = known_loss(functions.loss_fn, chain.tail, targets, chain.shape)
    if loss is None:
        if math.prod(chain.shape) > MOST_OUTPUTS:
            return None
        loss = TorchLoss(functions.loss_fn, chain.tail, targets, chain.shape)
    places = _Places(functions)
    a = np.asarray(inputs.numpy(), dtype=np.float64).reshape(len(inputs), -1)
    layers: list[Layer] = []
    pending: list[Activation] = []
    for step in chain.steps:
        if not isinstance(step, Dense):
            pending.append(step)
            continue
        a = _continued(layers, pending, a)
        weight, bias = places.of(step.weight), None if step.bias is None else places.of(step.bias)
        shape = places.shape(step.weight)
        if isinstance(weight, slice) or isinstance(bias, slice) or layers:
            layers.append(Layer(weight, bias, (shape[0], shape[1]), identity))
        else:  # Layers that are frozen before all others belong to the inputs.
            a = a @ weight.T + (0.0 if bias is None else bias)
        pending = []
    a = _continued(layers, pending, a)
    if not layers or places.repeated:
        return None
    return DenseSum(
        DenseChain(tuple(layers), functions.dimension), loss, a,
        decay=functions.decay, memory=functions.memory,
    )  # fmt: skip


def _continued(layers: list[Layer], pending: list[Activation], a: Array) -> Array:
    """The inputs after functions that follow the last layer, which takes them if there is one."""
    activation = composed(pending)
    if not layers:
        return activation(a, 0)[0]
    last = layers[-1]
    layers[-1] = Layer(last.weight, last.bias, last.shape, activation)
    return a


class _Places:
    """The places of tensors in the vector of parameters, or the values of constants, by their names in the module."""

    def __init__(self, functions: Any) -> None:
        model = functions.model
        self.tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(
            model.named_buffers(remove_duplicate=False)
        )
        self.slices = functions.layout.slices
        self.used: list[slice] = []

    def of(self, name: str) -> slice | Array:
        """A slice, or the value of a tensor that is constant."""
        if name in self.slices:
            self.used.append(self.slices[name])
            return self.used[-1]
        return np.array(self.tensors[name].detach().cpu().numpy(), dtype=np.float64)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(self.tensors[name].shape)

    @property
    def repeated(self) -> bool:
        """Whether a parameter occurs twice."""
        return len({place.start for place in self.used}) < len(self.used)


def _difference(found: DenseSum, functions: Any) -> float:
    """The largest difference between formulas and PyTorch at some points, relative to the largest value of each function."""
    rng = np.random.default_rng(0)
    d, S = functions.dimension, min(functions.n_samples, _SAMPLES)
    size = np.sqrt(np.mean(functions.origin**2)) or 0.1
    x = np.stack([functions.origin + near * size * rng.standard_normal(d) for near in _NEAR])
    v, w = rng.standard_normal(x.shape), rng.standard_normal((len(x), S))
    index = rng.integers(functions.n_samples, size=(len(x), 2))
    rows = slice(0, S)
    compared: list[tuple[str, Any, tuple[Array, ...]]] = [
        ("losses", slice(0, functions.n_samples), (x,)),
        ("weighted_gradient", rows, (x, w)),
        ("drawn_gradients", index, (x,)),
        ("directional_derivatives", rows, (x, v)),
        ("weighted_hessian_product", rows, (x, v, w)),
    ]
    gaps = [0.0]
    for kind, samples, arrays in compared:
        wanted = functions.piece(kind, samples, *arrays)
        gaps.append(_relative(found.piece(kind, samples, *arrays), wanted))
    return max(gaps)


def _relative(found: Array, wanted: Array) -> float:
    """The largest difference of two arrays relative to the largest value of the same point; infinite where one is not."""
    gap = 0.0
    for one, other in zip(found, wanted, strict=True):
        if not np.array_equal(np.isfinite(one), np.isfinite(other)):
            return np.inf
        finite = np.isfinite(other)
        if finite.any():
            scale = float(np.abs(other[finite]).max()) or 1.0
            gap = max(gap, float(np.abs(one[finite] - other[finite]).max()) / scale)
    return gap
