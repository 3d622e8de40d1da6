"""from_torch: a PyTorch module, a loss function and a data set as a finite sum."""

from __future__ import annotations

import contextlib
import copy
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot._core.interrupts import interruptible
from qpot._core.optional import needed
from qpot.samples.automatic import DEFAULT_MEMORY, KEPT, Differentiated, ModelSum
from qpot.samples.formulas import Integers
from qpot.samples.layout import ParameterLayout
from qpot.samples.torch_batches import RecordedBatches
from qpot.samples.torch_checks import (
    as_tensors,
    copied,
    original,
    refuse_unfit,
)
from qpot.samples.torch_points import Initialise, Restore
from qpot.samples.torch_recorded import Recorded


@interruptible
def from_torch(
    model: Any,
    loss_fn: Callable[..., Any],
    dataset: Any,
    *,
    weight_decay: float = 0.0,
    dtype: Any = None,
    device: Any = None,
    memory: float = DEFAULT_MEMORY,
) -> ModelSum:
    """The training loss of a PyTorch model, (1/N) sum_i loss_fn(model(x_i), y_i), as a finite sum of its parameters.

    Per-sample gradients come from ``torch.func`` (``vmap`` of ``grad``); products of vectors with Hessians and covariances
    come from differentiating twice. Networks of dense layers and convolutions are written out in formulas. Everything is
    evaluated for many points at once, in pieces of bounded memory.

    Parameters
    ----------
    model : torch.nn.Module
        The model. It is copied, and the original is neither changed nor used later. Parameters with
        ``requires_grad=False`` and buffers are constants; tied parameters occur once. A model with dropout or batch
        normalisation must be in the mode of ``model.eval()``.
    loss_fn : callable ``(outputs, targets) -> number``
        The loss, for example ``torch.nn.functional.cross_entropy``; it is called with a batch of one sample, so that
        ``reduction="sum"`` is the sum over one sample's outputs, and the mean over samples is still taken.
    dataset : (inputs, targets), (inputs, more inputs, ..., targets), or a map-style Dataset of such tuples
        Tensors or arrays with N rows. They may lie on the GPU; those on the CPU are moved there in pieces.
    weight_decay : float
        w >= 0 adds w |x|^2 / 2, over all parameters that are not frozen, to every sample's loss. This changes the drift,
        not the covariance.
    dtype : torch.dtype, optional
        The floating-point type of the computation, ``torch.float64`` by default; results are always float64 arrays.
    device : torch.device or str, optional
        The device of the computation; by default that of the model's parameters.
    memory : float
        The number of bytes that one piece of a computation may take, approximately.

    Returns
    -------
    ModelSum
        A `FiniteSum` with ``layout`` (names and places of the parameters), ``initial_point``, and ``model_at(point)``.

    Raises
    ------
    ImportError
        If PyTorch is not installed; the error has the line that installs it.
    ValueError
        If dropout or batch normalisation is in training mode, if outputs are random, if the loss is no mean over samples,
        if the data set is empty, if data are NaN, or if a loss is NaN (the error names the sample); if the model or the loss
        fails, if gradients are not those of the loss (the error names the parameter), or second derivatives are missing.

    Notes
    -----
    The model is held against a plain loop over points and samples when it is built. Functions of PyTorch whose batching or
    second derivative is wrong or missing (PReLU, weight normalisation, recurrent modules, fast attention) are written out in
    elementary operations; what cannot be batched is computed one sample at a time. ``ModelSum.notes`` says which and why.

    Chains of dense layers, convolutions (`torch.nn.Conv2d` without groups), means over places and elementwise activations are
    read from a trace of the module. In double precision on the CPU their losses and derivatives are computed by formulas in
    NumPy, which take a fraction of the time for small networks. Cross entropy, mean squares and binary cross entropy are
    formulas, too; any other loss of at most 16 outputs is differentiated in the outputs by PyTorch. The formulas are compared
    with ``torch.func`` at some points when the sum is built, and are not used where the two differ.

    Examples
    --------
    >>> import torch, qpot
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> total = qpot.from_torch(model, torch.nn.functional.mse_loss, ([[1.0], [2.0]], [[0.0], [1.0]]))
    >>> total.layout.names, total.loss([[1.0]]), total.gradient([[1.0]]), total.hessian([[1.0]])
    (('weight',), array([1.]), array([[3.]]), array([[[5.]]]))
    """
    torch = needed("torch", "qpot.from_torch", title="PyTorch", extra="torch")
    from qpot.samples.torch_dense import dense_sum
    from qpot.samples.torch_trials import try_model
    from qpot.samples.torch_ways import choose_way

    model = original(torch, model)
    if not callable(loss_fn):
        raise ValueError(f"loss_fn must be a function (outputs, targets) -> number, got {loss_fn!r}")
    decay = as_weight_decay(weight_decay)
    refuse_unfit(torch, model)
    number = torch.float64 if dtype is None else dtype
    place = torch.device(device) if device is not None else _device_of(torch, model)
    net = copied(model).to(dtype=number, device=place)
    if isinstance(loss_fn, torch.nn.Module):  # It may hold tensors of its own, such as class weights.
        loss_fn = copy.deepcopy(loss_fn).to(dtype=number, device=place)
    layout = _layout(net)
    data = as_tensors(torch, dataset)
    functions = _TorchFunctions(net, loss_fn, data, layout, decay, number, place, memory)
    start = torch.cat([net.get_parameter(name).detach().reshape(-1) for name in layout.names])
    initial = np.asarray(start.cpu().to(torch.float64).numpy(), dtype=np.float64)
    kinks = try_model(functions)
    notes = choose_way(functions, initial)
    formulas, about = dense_sum(functions)
    return (formulas or functions).sum(
        layout=layout, initial_point=initial, restore=Restore(model, layout), initialise=Initialise(model, layout),
        notes=(*notes, *about), kinks=kinks,
    )  # fmt: skip


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """A context without warnings, which say again and again what a note of the model says once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def as_weight_decay(value: Any) -> float:
    """A weight decay, refused if it is not a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0.0 <= value < np.inf:
        raise ValueError(f"weight_decay must be a finite number >= 0, got {value!r}")
    return float(value)


# The functions that searches call thousands of times, with all samples.
_RECORDED = ("losses", "weighted_gradient", "directional_derivatives", "weighted_hessian_product", "hessian_rows")


class _TorchFunctions(Differentiated):
    """Pieces of losses and derivatives, computed by torch.func."""

    def __init__(
        self,
        model: Any,
        loss_fn: Callable[..., Any],
        data: tuple[Any, ...],
        layout: ParameterLayout,
        decay: float,
        dtype: Any,
        device: Any,
        memory: float,
    ) -> None:
        import torch

        self.model, self.loss_fn, self.data, self.layout, self.decay = model, loss_fn, data, layout, decay
        self.dtype, self.device = dtype, device
        self.origin = np.concatenate(
            [model.get_parameter(name).detach().cpu().numpy().reshape(-1) for name in layout.names]
        ).astype(np.float64)
        # The way in which it is computed (`torch_ways`), and the functions that are written out for it.
        self.way, self.written_out, self.quiet = "together", set[str](), False
        self.constants = {name: p.detach() for name, p in model.named_parameters() if name in layout.frozen} | dict(
            model.named_buffers()
        )
        size = torch.finfo(dtype).bits // 8
        super().__init__(len(data[0]), layout.dimension, memory, _activations(torch, self), size)
        self._prepare()

    def _prepare(self) -> None:
        """Make what belongs to this process alone."""
        # An evaluation puts its parameters into the module for a moment, so only one thread at a time may evaluate.
        self.lock = threading.RLock()
        everything = slice(0, self.n_samples)
        self.recorded = Recorded(
            lambda kind, *tensors: self._value(kind, self.samples(everything), *tensors), self.tensor, self._bytes
        )
        self.batches = RecordedBatches(self)

    def compute(self, way: str) -> None:
        """Compute in this way from now on; operations that were recorded in another are forgotten."""
        self.way = way
        self._prepare()

    def _bytes(self, kind: str, *arrays: Array) -> float:
        """The bytes that the model's values take for one point."""
        rows = arrays[1].shape[1] if kind == "hessian_rows" else 1
        return float(self.item_size * self.n_samples * self.activations * rows)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; lock and recorded operations belong to this one."""
        return {name: value for name, value in self.__dict__.items() if name not in ("lock", "recorded", "batches")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def tensor(self, array: Array) -> Any:
        """An array of points, vectors or weights as a tensor on the device."""
        import torch

        return torch.tensor(np.ascontiguousarray(array), dtype=self.dtype, device=self.device)

    def samples(self, rows: slice | Integers) -> tuple[Any, ...]:
        """The data of some samples on the device; floating-point data in the type of the computation."""
        import torch

        index = None if isinstance(rows, slice) else torch.as_tensor(np.asarray(rows))
        pieces = []
        for tensor in self.data:
            piece = tensor[rows if index is None else index.to(tensor.device)]
            pieces.append(piece.to(self.device, self.dtype if piece.is_floating_point() else piece.dtype))
        return tuple(pieces)

    def loss_of(self, theta: Any, *sample: Any) -> Any:
        """The loss of one sample, weight decay included."""
        import torch

        batch = [part.unsqueeze(0) for part in sample]
        # The vector is split once instead of sliced for each parameter, since the derivative is then one concatenation.
        parts = zip(self.layout.names, self.layout.shapes, theta.split(list(self.layout.sizes)), strict=True)
        parameters = {name: part.reshape(shape) for name, shape, part in parts} | self.constants
        outputs = torch.func.functional_call(self.model, parameters, tuple(batch[:-1]))
        value = self.loss_fn(outputs, batch[-1])
        if not torch.is_tensor(value):
            raise ValueError(
                f"loss_fn returned {type(value).__name__} for one sample; it must return a tensor with one number, which "
                "automatic differentiation follows: no float(), .item() or .numpy()"
            )
        if value.numel() != 1:
            raise ValueError(
                f"loss_fn returned shape {tuple(value.shape)} for one sample; it must return one number: use "
                "reduction='mean', or reduce over the outputs yourself"
            )
        return value.reshape(()) + (0.5 * self.decay * theta.dot(theta) if self.decay else 0.0)

    def piece(self, kind: str, rows: slice | Integers, *arrays: Array) -> Array:
        with self.lock:
            recordable = self.way != "one by one" and self.device.type == "cpu"
            if recordable and kind in _RECORDED and rows == slice(0, self.n_samples):
                return self.recorded(kind, *arrays)
            if recordable and kind == "batch_gradient" and isinstance(rows, np.ndarray):
                found = self.batches(rows, *arrays)
                if found is not None:
                    return found
            values = self._value(kind, self.samples(rows), *(self.tensor(a) for a in arrays))
            return np.asarray(values.detach().cpu().numpy(), dtype=np.float64)

    def batch_gradient_of(self, x: Any, index: Any) -> Any:
        """The mean gradients of the samples ``index`` (n, B) at points (n, d), all of them tensors."""
        # Plain indexing may depend on the numbers in a tensor, and cannot be recorded.
        drawn = (part.index_select(0, index.reshape(-1)).reshape(*index.shape, *part.shape[1:]) for part in self.data)
        data = tuple(part.to(dtype=self.dtype if part.is_floating_point() else part.dtype) for part in drawn)
        return self._value("batch_gradient", data, x)

    def _value(self, kind: str, data: tuple[Any, ...], x: Any, *given: Any) -> Any:
        """One piece of the function of that name, as a tensor."""
        if self.way == "together":
            with quietly() if self.quiet else contextlib.nullcontext():
                return self._together(kind, data, x, *given)
        from qpot.samples.torch_plain import plain_value
        from qpot.samples.torch_written_out import WrittenOut

        with WrittenOut(self.written_out):
            if self.way == "one by one":
                return plain_value(self.loss_of, kind, data, x, *given)
            return self._together(kind, data, x, *given)

    def _together(self, kind: str, data: tuple[Any, ...], x: Any, *given: Any) -> Any:
        """The same for all points and samples together."""
        from torch.func import grad, vmap

        one = self.loss_of
        samples = (0,) * len(data)

        def losses(theta: Any, *rows: Any) -> Any:
            return vmap(one, (None, *samples))(theta, *rows)

        if kind == "drawn_gradients":
            return vmap(vmap(grad(one), (None, *samples)), (0, *samples))(x, *data)
        if kind == "batch_gradient":
            return vmap(grad(lambda theta, *rows: losses(theta, *rows).mean()), (0, *samples))(x, *data)
        if kind == "losses":
            return vmap(lambda theta: losses(theta, *data))(x)
        if kind == "sample_gradients":
            return vmap(lambda theta: vmap(grad(one), (None, *samples))(theta, *data))(x)

        def pulled(theta: Any, w: Any) -> Any:
            return grad(lambda t: (losses(t, *data) * w).sum())(theta)

        if kind == "weighted_gradient":
            return vmap(pulled)(x, *given)
        if kind == "directional_derivatives":
            # <g_i, v> is the derivative in w_i of <sum_i w_i g_i, v>, for which reverse mode is enough.
            zeros = x.new_zeros((x.shape[0], len(data[0])))
            return vmap(lambda theta, v, w: grad(lambda u: pulled(theta, u).dot(v))(w))(x, *given, zeros)

        def curved(theta: Any, v: Any, w: Any) -> Any:
            return grad(lambda t: pulled(t, w).dot(v))(theta)

        if kind == "weighted_hessian_product":
            return vmap(curved)(x, *given)
        if kind == "hessian_rows":
            return vmap(vmap(curved, (None, 0, None)))(x, *given)
        raise AssertionError(kind)


def _layout(model: Any) -> ParameterLayout:
    """The trainable parameters by their first names; further names of the same parameter are tied to it."""
    first: dict[int, str] = {}
    names: list[str] = []
    frozen: list[str] = []
    tied: dict[str, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            if parameter.requires_grad:
                tied[name] = first[id(parameter)]
            continue
        first[id(parameter)] = name
        if not parameter.is_floating_point():
            raise ValueError(f"parameter {name!r} has type {parameter.dtype}; parameters must be real numbers")
        (names if parameter.requires_grad else frozen).append(name)
    if not names:
        raise ValueError("model has no parameter with requires_grad=True: there is nothing that SGD moves")
    shapes = tuple(tuple(model.get_parameter(name).shape) for name in names)
    return ParameterLayout(names=tuple(names), shapes=shapes, frozen=tuple(frozen), tied=tied)


def _device_of(torch: Any, model: Any) -> Any:
    """The device of the model's parameters."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _activations(torch: Any, functions: _TorchFunctions) -> int:
    """How many numbers the model's modules produce for one sample.

    The inputs are held once and not for every operation, so they count less.
    """
    from qpot.samples.torch_trials import Inside, called

    count = [0]

    def counting(module: Any, arguments: Any, output: Any) -> None:
        del module, arguments
        parts = output if isinstance(output, (tuple, list)) else (output,)
        count[0] += sum(part.numel() for part in parts if torch.is_tensor(part))

    hooks = [module.register_forward_hook(counting) for module in functions.model.modules()]
    inside = Inside(functions.model)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            called(functions.model, functions.samples(slice(0, 1))[:-1], inside, functions)
    finally:
        inside.remove()
        for hook in hooks:
            hook.remove()
    inputs = sum(part[0].numel() for part in functions.data)
    return int(count[0] + inputs // KEPT + 1)
