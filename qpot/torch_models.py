"""from_torch: a PyTorch module, a loss function and a data set as a finite sum."""

from __future__ import annotations

import copy
import importlib
import threading
from typing import Any

import numpy as np

from qpot._arrays import Array, as_positive
from qpot.model_sums import DEFAULT_MEMORY, Differentiated, ModelSum
from qpot.parameter_layout import ParameterLayout


def from_torch(
    model: Any,
    loss_fn: Any,
    dataset: Any,
    *,
    weight_decay: float = 0.0,
    dtype: Any = None,
    device: Any = None,
    memory: float = DEFAULT_MEMORY,
) -> ModelSum:
    """The training loss of a PyTorch model, (1/N) sum_i loss_fn(model(x_i), y_i), as a finite sum of its parameters.

    Per-sample gradients come from ``torch.func`` (``vmap`` of ``grad``), Hessian- and covariance-vector products from
    differentiating twice; everything is evaluated for many points at once, in pieces of bounded memory.

    Parameters
    ----------
    model : torch.nn.Module
        It is copied, and neither changed nor referred to later. Parameters with ``requires_grad=False`` and buffers are
        constants; tied parameters occur once. Call ``model.eval()`` first if it has dropout or batch normalisation.
    loss_fn : callable ``(outputs, targets) -> number``
        Called with a batch of one sample, for example ``torch.nn.functional.cross_entropy``.
    dataset : (inputs, targets), (inputs, more inputs, ..., targets), or a map-style Dataset of such tuples
        Tensors or arrays with N rows. They may lie on a GPU, or on the CPU and are moved to the GPU in pieces.
    weight_decay : float
        w >= 0: adds w |x|^2 / 2, over all parameters that are not frozen, to every sample's loss. It changes the drift,
        not the covariance.
    dtype : torch.dtype, optional
        Of the computation, ``torch.float64`` by default; results are float64 arrays always.
    device : torch.device or str, optional
        Where it is computed; by default where the model's parameters are.
    memory : float
        Bytes that one piece of a computation may take, approximately.

    Returns
    -------
    ModelSum
        A `FiniteSum` with ``layout`` (names and places of the parameters), ``initial_point``, and ``model_at(point)``.

    Raises
    ------
    ImportError
        Without PyTorch, with the line that installs it.
    ValueError
        For dropout or batch normalisation in training mode, random outputs, a loss that is no mean over samples, an
        empty data set, data with NaN, or a NaN loss (naming the sample).

    Examples
    --------
    >>> import torch, qpot
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> total = qpot.from_torch(model, torch.nn.functional.mse_loss, ([[1.0], [2.0]], [[0.0], [1.0]]))
    >>> total.layout.names, total.loss([[1.0]]), total.gradient([[1.0]]), total.hessian([[1.0]])
    (('weight',), array([1.]), array([[3.]]), array([[[5.]]]))
    """
    torch = require("torch", "PyTorch", "qpot[torch]", "from_torch")
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not callable(loss_fn):
        raise ValueError(f"loss_fn must be a function (outputs, targets) -> number, got {loss_fn!r}")
    decay = as_weight_decay(weight_decay)
    _refuse_training_mode(torch, model)
    number = torch.float64 if dtype is None else dtype
    place = torch.device(device) if device is not None else _device_of(torch, model)
    net = copy.deepcopy(model).to(dtype=number, device=place)
    layout = _layout(net)
    data = _tensors(torch, dataset)
    functions = _TorchFunctions(net, loss_fn, data, layout, decay, number, place, memory)
    _check_loss(torch, functions)
    initial = torch.cat([net.get_parameter(name).detach().reshape(-1) for name in layout.names])
    return functions.sum(
        layout=layout,
        initial_point=np.asarray(initial.cpu().to(torch.float64).numpy(), dtype=np.float64),
        restore=_Restore(model, layout),
    )


def require(module: str, title: str, extra: str, function: str) -> Any:
    """An optional module, or an ImportError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"qpot.{function} needs {title}, which is not installed: pip install '{extra}'") from error


def as_weight_decay(value: Any) -> float:
    """A finite number >= 0."""
    return 0.0 if np.isscalar(value) and value == 0 else as_positive(value, name="weight_decay")


class _TorchFunctions(Differentiated):
    """Pieces of losses and derivatives by torch.func."""

    def __init__(
        self,
        model: Any,
        loss_fn: Any,
        data: tuple[Any, ...],
        layout: ParameterLayout,
        decay: float,
        dtype: Any,
        device: Any,
        memory: Any,
    ) -> None:
        import torch

        self.model, self.loss_fn, self.data, self.layout, self.decay = model, loss_fn, data, layout, decay
        self.dtype, self.device = dtype, device
        self.constants = {name: p.detach() for name, p in model.named_parameters() if name in layout.frozen} | dict(
            model.named_buffers()
        )
        # evaluating with given parameters puts them into the module for a moment: one thread at a time
        self.lock = threading.RLock()
        size = torch.finfo(dtype).bits // 8
        super().__init__(len(data[0]), layout.dimension, memory, _activations(torch, self), size)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.RLock())

    def tensor(self, array: Any) -> Any:
        """An array of points, vectors or weights on the device."""
        import torch

        return torch.tensor(np.ascontiguousarray(array), dtype=self.dtype, device=self.device)

    def samples(self, rows: Any) -> tuple[Any, ...]:
        """The data of some samples on the device; floating-point data in the type of the computation."""
        import torch

        index = None if isinstance(rows, slice) else torch.as_tensor(np.asarray(rows))
        pieces = []
        for tensor in self.data:
            piece = tensor[rows if index is None else index.to(tensor.device)]
            pieces.append(piece.to(self.device, self.dtype if piece.is_floating_point() else piece.dtype))
        return tuple(pieces)

    def loss_of(self, theta: Any, *sample: Any) -> Any:
        """Loss of one sample."""
        import torch

        batch = [part.unsqueeze(0) for part in sample]
        parameters = self.layout.views(theta) | self.constants
        outputs = torch.func.functional_call(self.model, parameters, tuple(batch[:-1]))
        value = self.loss_fn(outputs, batch[-1])
        if value.numel() != 1:
            raise ValueError(
                f"loss_fn returned shape {tuple(value.shape)} for one sample; it must return one number: use "
                "reduction='mean', or reduce over the outputs yourself"
            )
        return value.reshape(()) + (0.5 * self.decay * theta.dot(theta) if self.decay else 0.0)

    def piece(self, kind: str, rows: Any, *arrays: Array) -> Array:
        with self.lock:
            values = self._value(kind, self.samples(rows), *(self.tensor(a) for a in arrays))
            return np.asarray(values.detach().cpu().numpy(), dtype=np.float64)

    def _value(self, kind: str, data: tuple[Any, ...], x: Any, *given: Any) -> Any:
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
            # <g_i, v> is the derivative by w of <sum_i w_i g_i, v>; needs reverse mode only
            zeros = x.new_zeros((x.shape[0], len(data[0])))
            return vmap(lambda theta, v, w: grad(lambda u: pulled(theta, u).dot(v))(w))(x, *given, zeros)

        def curved(theta: Any, v: Any, w: Any) -> Any:
            return grad(lambda t: pulled(t, w).dot(v))(theta)

        if kind == "weighted_hessian_product":
            return vmap(curved)(x, *given)
        if kind == "hessian_rows":
            return vmap(vmap(curved, (None, 0, None)))(x, *given)
        raise AssertionError(kind)


class _Restore:
    """A copy of the user's module with the parameters of a point."""

    def __init__(self, model: Any, layout: ParameterLayout) -> None:
        self.model, self.layout = copy.deepcopy(model), layout

    def __call__(self, point: Array) -> Any:
        import torch

        model = copy.deepcopy(self.model)
        with torch.no_grad():
            for name, value in self.layout.restore(point).items():
                parameter = model.get_parameter(name)
                parameter.copy_(torch.as_tensor(value).to(parameter))
        return model


def _layout(model: Any) -> ParameterLayout:
    """Trainable parameters by their first name; further names are tied ones."""
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
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _refuse_training_mode(torch: Any, model: Any) -> None:
    """Modules whose output in training mode is random, or depends on the other samples or on earlier calls."""
    nn = torch.nn
    for name, module in model.named_modules():
        if not module.training:
            continue
        label = f"{name or 'model'} ({type(module).__name__})"
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"{label} is in training mode: batch normalisation then couples the samples, so that a per-sample gradient "
                "does not exist; call model.eval() for its running statistics, or use GroupNorm or LayerNorm"
            )
        if isinstance(module, nn.modules.instancenorm._InstanceNorm) and module.track_running_stats:
            raise ValueError(f"{label} tracks running statistics in training mode; call model.eval()")
        rate = getattr(module, "p", 0.0) if isinstance(module, nn.modules.dropout._DropoutNd) else 0.0
        if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
            rate = module.dropout
        if rate or isinstance(module, nn.RReLU):
            raise ValueError(
                f"{label} is random in training mode, so that the loss is no function of the parameters alone; call "
                "model.eval(), or set its probability to 0"
            )


def _tensors(torch: Any, dataset: Any) -> tuple[Any, ...]:
    """The data set as tensors with N rows each, the last one the targets."""
    if isinstance(dataset, torch.utils.data.TensorDataset):
        parts: tuple[Any, ...] = tuple(dataset.tensors)
    elif isinstance(dataset, torch.utils.data.Dataset):
        if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
            raise ValueError("dataset is iterable and has no length; a finite sum needs one with a length and an index")
        if len(dataset) == 0:
            raise ValueError("dataset is empty: a finite sum needs at least one sample")
        parts = tuple(torch.utils.data.default_collate([dataset[k] for k in range(len(dataset))]))
    elif isinstance(dataset, (tuple, list)):
        parts = tuple(dataset)
    else:
        raise ValueError(f"dataset must be (inputs, targets) or a torch Dataset, got {type(dataset).__name__}")
    if len(parts) < 2:
        raise ValueError(f"dataset has {len(parts)} part; it takes inputs and targets (a dummy if loss_fn uses none)")
    tensors = tuple(t if torch.is_tensor(t) else torch.as_tensor(np.asarray(t)) for t in parts)
    lengths = [t.shape[0] if t.ndim else 0 for t in tensors]
    if min(lengths) == 0:
        raise ValueError("dataset is empty: a finite sum needs at least one sample")
    if len(set(lengths)) > 1:
        raise ValueError(f"dataset: inputs and targets have {lengths} rows; one target for each sample")
    for k, tensor in enumerate(tensors):
        if tensor.is_complex():
            raise ValueError(f"dataset: part {k} is complex; only real data are taken")
        if tensor.is_floating_point():
            bad = torch.nonzero(~torch.isfinite(tensor.detach().reshape(lengths[0], -1)).all(dim=1))
            if bad.numel():
                what = "targets" if k == len(tensors) - 1 else "inputs"
                raise ValueError(f"dataset: {what} of sample {int(bad[0])} are NaN or infinite; remove or repair it")
    return tuple(t.detach() for t in tensors)


def _activations(torch: Any, functions: _TorchFunctions) -> int:
    """Numbers that the model's modules produce for one sample."""
    count = [0]

    def counting(module: Any, arguments: Any, output: Any) -> None:
        del module, arguments
        count[0] += output.numel() if torch.is_tensor(output) else 0

    hooks = [module.register_forward_hook(counting) for module in functions.model.modules()]
    try:
        with torch.no_grad():
            functions.model(*(part for part in functions.samples(slice(0, 1))[:-1]))
    finally:
        for hook in hooks:
            hook.remove()
    inputs = sum(part[0].numel() for part in functions.data)
    return int(count[0] + inputs + 1)


def _check_loss(torch: Any, functions: _TorchFunctions) -> None:
    """The loss of some samples together must be the mean or the sum of their own losses, twice the same."""
    some = functions.samples(slice(0, 32))
    devices = [functions.device] if functions.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        outputs = functions.model(*some[:-1])
        again = functions.model(*some[:-1])
        if torch.is_tensor(outputs) and not torch.equal(outputs, again) and torch.isfinite(outputs).all():
            raise ValueError(
                "model gives two outputs for the same input: it is random; call model.eval() and remove functional dropout"
            )
        theta = torch.cat([functions.model.get_parameter(n).reshape(-1) for n in functions.layout.names])
        decay = 0.5 * functions.decay * float(theta.dot(theta))
        own = torch.stack([functions.loss_of(theta, *(part[k] for part in some)) for k in range(len(some[0]))]) - decay
        together = functions.loss_fn(outputs, some[-1])
    if not torch.isfinite(own).all():
        return  # named with its index where all losses are evaluated
    scale = 1e-4 * float(own.abs().mean()) + 1e-10
    if together.numel() == 1:
        fits = min(abs(float(together) - float(own.mean())), abs(float(together) - float(own.sum()))) <= scale
    else:
        fits = together.numel() == own.numel() and bool(((together.reshape(-1) - own).abs() <= scale).all())
    if not fits:
        raise ValueError(
            f"loss_fn of {len(own)} samples together is {together.reshape(-1)[:3].tolist()}, but their own mean is "
            f"{float(own.mean()):.6g}: the loss is no mean over samples. Class weights with reduction='mean' do that "
            "(use reduction='sum'), and losses that compare samples with each other"
        )
