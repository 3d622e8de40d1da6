"""PyTorch models that are chains of dense layers and convolutions, as formulas that were compared with PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from qpot._core.arrays import Array
from qpot.samples.dense_activations import Activation, composed, identity
from qpot.samples.dense_chain import DenseChain, Layer
from qpot.samples.dense_losses import CrossEntropy, Elementwise
from qpot.samples.dense_sum import DenseSum

# The largest relative difference between the formulas and PyTorch.
_ROUNDING = 1e-9
# Points at which they are compared: the initial one, and others at these distances relative to it.
_NEAR = (0.0, 0.3, 1.5)
# Linear maps between layers are formed as matrices of so many columns at most.
_MOST_MAPPED = 4096
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
        if not isinstance(found.loss, (CrossEntropy, Elementwise)):
            found.batches = (
                functions  # Its recorded minibatches take less time than a loss that is differentiated anew.
            )
        return found, ()
    return None, (
        f"evaluated by PyTorch, since formulas for its dense layers differ from it by {gap:.1g} of the largest value",
    )


def _written_out(functions: Any) -> DenseSum | None:
    """The formulas of a chain with a known loss."""
    from qpot.samples.torch_chain import chain_of
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
    layers = _Layers(_Places(functions), np.asarray(inputs.numpy(), dtype=np.float64).reshape(len(inputs), -1))
    for step in chain.steps:
        layers.add(step)
    if not layers.complete:
        return None
    made = DenseChain(tuple(layers.made), functions.dimension)
    return DenseSum(made, loss, layers.inputs, decay=functions.decay, memory=functions.memory)


class _Layers:
    """Layers that are made of steps; what comes before the first trained one is applied to the inputs."""

    def __init__(self, places: _Places, inputs: Array) -> None:
        self.places, self.inputs = places, inputs
        self.made: list[Layer] = []
        # Activations behind the last layer, and linear maps behind them.
        self.activations: list[Activation] = []
        self.maps: list[Callable[[Any], Any]] = []
        self.known = True

    def add(self, step: Any) -> None:
        """Add the next step."""
        from qpot.samples.torch_chain import Dense, Mapped

        if isinstance(step, Dense):
            self._layer(step)
        elif isinstance(step, Mapped):
            if self.made:
                self.maps.append(step.function)
            else:
                self.inputs = _applied([step.function], self.inputs)
        elif not self.made:
            self.inputs = step(self.inputs, 0)[0]
        elif self.maps:
            self.known = False  # It acts on means over places, which are not outputs of a layer.
        else:
            self.activations.append(step)
            self.made[-1] = replace(self.made[-1], activation=composed(self.activations))

    @property
    def complete(self) -> bool:
        """Whether the steps are layers with parameters of their own, the last of which gives the outputs."""
        return self.known and bool(self.made) and not self.maps and not self.places.repeated

    def _layer(self, step: Any) -> None:
        """Add a layer with the linear maps before it; one that is frozen before all others belongs to the inputs."""
        weight, bias = self.places.of(step.weight), None if step.bias is None else self.places.of(step.bias)
        full = self.places.shape(step.weight)
        h, f = full[0], math.prod(full[1:])
        weight = weight if isinstance(weight, slice) else weight.reshape(h, f)
        maps = [*self.maps, *([] if step.spread is None else [step.spread])]
        spread: Any = None
        if not self.made:
            self.inputs = _applied(maps, self.inputs)
            places = self.inputs.shape[1] // f
            if not isinstance(weight, slice) and not isinstance(bias, slice):
                columns = weight @ self.inputs.reshape(-1, f, places)
                columns += 0.0 if bias is None else bias[:, None]
                self.inputs = columns.reshape(len(columns), -1)
                return
        else:
            given = self.made[-1].shape[0] * self.made[-1].places
            if maps and given > _MOST_MAPPED:
                self.known, maps = False, []
            # What a linear map does to unit vectors is its matrix.
            spread = csr_array(_applied(maps, np.eye(given)).T) if maps else None
            places = 1 if spread is None else int(spread.shape[0]) // f
        self.made.append(Layer(weight, bias, (h, f), identity, places, spread))
        self.activations, self.maps = [], []


def _applied(maps: list[Callable[[Any], Any]], rows: Array) -> Array:
    """Maps of tensors, one after another, applied to rows (N, m)."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(rows))
    for function in maps:
        tensor = function(tensor)
    return np.asarray(tensor.numpy(), dtype=np.float64)


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
