"""Trials of a PyTorch model: what its first calls show of chance, memory, coupled samples, kinks, errors."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from qpot.samples.held_against_loop import first_line

# The samples with which a model and a loss are tried.
_SOME = 32
# Of these so many are compared with what the model says about each alone.
_ALONE = 3
# Functions whose derivative jumps somewhere.
_KINKED = frozenset(
    [
        "relu",
        "relu_",
        "relu6",
        "leaky_relu",
        "leaky_relu_",
        "hardtanh",
        "hardtanh_",
        "prelu",
        "rrelu",
        "rrelu_",
        "threshold",
        "threshold_",
        "selu",
        "selu_",
        "hardsigmoid",
        "softshrink",
        "hardshrink",
        "hardswish",
        "abs",
        "absolute",
        "clamp",
        "clamp_min",
        "clamp_max",
        "clip",
        "maximum",
        "minimum",
        "max",
        "min",
        "amax",
        "amin",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "fractional_max_pool2d",
        "fractional_max_pool3d",
        "topk",
        "sort",
        "l1_loss",
        "hinge_embedding_loss",
        "margin_ranking_loss",
        "multi_margin_loss",
        "multilabel_margin_loss",
        "triplet_margin_loss",
        "cosine_embedding_loss",
        "sign",
        "round",
        "floor",
        "ceil",
    ]
)


class Inside:
    """Hooks by which it is known in which module something happens.

    Attributes
    ----------
    random : str
        The innermost module that has drawn a random number.
    """

    def __init__(self, model: Any) -> None:
        self.stack: list[tuple[str, Any]] = []
        self.random = ""
        self.handles: list[Any] = []
        for name, module in model.named_modules():
            self.handles.append(module.register_forward_pre_hook(self._enter(label(name, module))))
            self.handles.append(module.register_forward_hook(self._leave))

    def _enter(self, name: str) -> Any:
        def hook(module: Any, inputs: Any) -> None:
            del module, inputs
            self.stack.append((name, torch.random.get_rng_state()))

        return hook

    def _leave(self, module: Any, inputs: Any, outputs: Any) -> None:
        del module, inputs, outputs
        name, state = self.stack.pop()
        if not self.random and not torch.equal(state, torch.random.get_rng_state()):
            self.random = name

    @property
    def where(self) -> str:
        """The module that was entered last and not left."""
        return f" in {self.stack[-1][0]}" if self.stack else ""

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()


class _Kinks(TorchFunctionMode):  # type: ignore[misc]
    """The functions with kinks that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _KINKED:
            self.names[name.rstrip("_")] = None
        return func(*args, **(kwargs or {}))


def label(name: str, module: Any) -> str:
    """A module by its name and type."""
    return f"{name or 'model'} ({type(module).__name__})"


def try_model(functions: Any) -> tuple[str, ...]:
    """Call model and loss with some samples, refuse what is no function of parameters and sample, and return its kinks.

    Raises
    ------
    ValueError
        If the model fails, is random, changes its own tensors, or couples samples; if the loss fails or is no mean over
        samples. The error names the module where that is known.
    """
    model, some = functions.model, functions.samples(slice(0, _SOME))
    devices = [functions.device] if functions.device.type == "cuda" else []
    inside, kinks = Inside(model), _Kinks()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            before = _state(model)
            with kinks:
                outputs = called(model, some[:-1], inside, functions)
            _refuse_type(outputs, "model returns", functions)
            _refuse_changes(before, _state(model))
            again = called(model, some[:-1], inside, functions)
            if inside.random or not _same(outputs, again, _rounding(functions)):
                raise ValueError(
                    "model gives two outputs for the same input, or draws random numbers, in "
                    f"{inside.random or 'its forward'}: the loss is then no function of the parameters alone, and the noise "
                    "is not that of minibatches. Functional dropout is random even after model.eval(): write "
                    "F.dropout(x, p, training=self.training), and call model.eval()"
                )
            for k in range(min(_ALONE, len(some[0]))):
                alone = called(model, tuple(part[k : k + 1] for part in some[:-1]), inside, functions)
                _refuse_coupling(outputs, alone, k, len(some[0]), functions)
            _try_loss(functions, outputs, some, kinks)
    finally:
        inside.remove()
    return tuple(kinks.names)


def _state(model: Any) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def _refuse_changes(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse a model that changes its own tensors when it is called."""
    for name, tensor in before.items():
        found = after.get(name)
        if found is None or found.shape != tensor.shape or not _same(tensor, found, 0.0):
            raise ValueError(
                f"model changes {name!r} whenever it is called, so that its loss depends on earlier calls; call "
                "model.eval(), or remove the update from forward"
            )


def called(model: Any, inputs: tuple[Any, ...], inside: Inside, functions: Any) -> Any:
    """The model's outputs, or an error that says where it fails."""
    inside.stack.clear()
    try:
        return model(*inputs)
    except Exception as error:  # Any error of the user's model is told by name.
        shapes = ", ".join(f"{tuple(part.shape)} of {part.dtype}" for part in inputs)
        raise ValueError(
            f"model fails{inside.where} for {'one sample' if len(inputs[0]) == 1 else 'samples'} of shape {shapes}: "
            f"{first_line(error)}. {_advice(error, functions) or 'It must take batches of any number of samples'}"
        ) from error


def _advice(error: BaseException, functions: Any) -> str:
    """A way out that is known from what the library said."""
    text = str(error)
    if "dtype" in text or "scalar type" in text or "Double" in text:
        return (
            f"Everything is computed in {functions.dtype}: tensors that model or loss_fn make themselves need that type, for "
            "example weight.to(outputs.dtype), or belong into buffers; class indices are integers; dtype=torch.float32 "
            "computes in single precision"
        )
    return ""


def _refuse_coupling(outputs: Any, alone: Any, k: int, n: int, functions: Any) -> None:
    """Refuse a model whose output for a sample depends on the other samples."""
    if not torch.is_tensor(outputs) or not torch.is_tensor(alone) or outputs.dim() == 0 or outputs.shape[0] != n:
        return
    if alone.shape == outputs[k : k + 1].shape and _same(outputs[k : k + 1], alone, _rounding(functions)):
        return
    suspects = [
        label(name, m)
        for name, m in functions.model.named_modules()
        if isinstance(m, (torch.nn.RNNBase, torch.nn.MultiheadAttention)) and not m.batch_first
    ]
    advice = (
        f"samples lie along the second axis of {', '.join(suspects)}: pass batch_first=True"
        if suspects
        else "statistics of a batch, sums over its first axis and decisions that depend on it do that; compute each sample "
        "by itself"
    )
    raise ValueError(f"model's output for sample {k} depends on the other samples of its batch: {advice}")


def _rounding(functions: Any) -> float:
    """What two ways to compute the same outputs may differ by, relative to the largest of them."""
    return 1e-8 if torch.finfo(functions.dtype).bits >= 64 else 1e-3


def _refuse_type(value: Any, what: str, functions: Any) -> None:
    """Refuse numbers that have been rounded to another type on the way."""
    if torch.is_tensor(value) and value.is_floating_point() and value.dtype != functions.dtype:
        raise ValueError(
            f"{what} {value.dtype} though everything is computed in {functions.dtype}: give tensors that are made on the way "
            f"the type of the inputs, as in torch.zeros(..., dtype=x.dtype), or pass dtype={value.dtype}"
        )


def _same(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two outputs are equal, to rounding; those that are NaN in both count as equal."""
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key], tolerance) for key in a)
    if not torch.is_tensor(a):
        return True
    if not a.is_floating_point():
        return bool(torch.equal(a, b))
    finite = a[torch.isfinite(a)]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return bool(torch.allclose(a, b, rtol=0.0, atol=tolerance * scale, equal_nan=True))


def _try_loss(functions: Any, outputs: Any, some: tuple[Any, ...], kinks: _Kinks) -> None:
    """Refuse a loss of several samples that is neither the mean nor the sum of their own losses."""
    theta = torch.cat([functions.model.get_parameter(n).reshape(-1) for n in functions.layout.names])
    decay = 0.5 * functions.decay * float(theta.dot(theta))
    try:
        with kinks:
            functions.loss_of(theta, *(part[0] for part in some))
        own = torch.stack([functions.loss_of(theta, *(part[k] for part in some)) for k in range(len(some[0]))]) - decay
        random = functions.loss_of(theta, *(part[0] for part in some)) - decay != own[0]
        together = functions.loss_fn(outputs, some[-1])
    except Exception as error:  # Any error of the user's loss is told.
        if isinstance(error, ValueError) and str(error).startswith("loss_fn returned"):
            raise
        kind = tuple(outputs.shape) if torch.is_tensor(outputs) else type(outputs).__name__
        raise ValueError(
            f"loss_fn fails for outputs {kind} and targets {tuple(some[-1].shape)} of {some[-1].dtype}: {first_line(error)}. "
            f"{_advice(error, functions) or _expected(outputs)}"
        ) from error
    _refuse_type(own, "loss_fn returns", functions)
    if bool(random) and bool(torch.isfinite(own[0])):
        raise ValueError("loss_fn gives two losses for the same sample: it is random, or remembers earlier calls")
    if not torch.isfinite(own).all():
        k = int(torch.nonzero(~torch.isfinite(own))[0])
        if torch.is_tensor(together) and bool(torch.isfinite(together).all()):
            raise ValueError(
                f"the loss of sample {k} alone is {float(own[k])}, though that of {len(own)} samples together is finite: a "
                "target that is ignored (ignore_index) has no mean of its own; use reduction='sum', or remove such samples"
            )
        return  # The sample is named where all losses are evaluated.
    scale = 1e-4 * float(own.abs().mean()) + 1e-10
    if not torch.is_tensor(together):
        fits = False
    elif together.numel() == 1:
        fits = min(abs(float(together) - float(own.mean())), abs(float(together) - float(own.sum()))) <= scale
    else:
        fits = together.numel() == own.numel() and bool(((together.reshape(-1) - own).abs() <= scale).all())
    if not fits:
        said = together.reshape(-1)[:3].tolist() if torch.is_tensor(together) else together
        raise ValueError(
            f"loss_fn of {len(own)} samples together is {said}, but their own mean is {float(own.mean()):.6g}: the loss is "
            f"no mean over samples. {_broadcast(outputs, some[-1])}Class weights with reduction='mean' do that (use "
            "reduction='sum'), and losses that compare samples with each other"
        )


def _expected(outputs: Any) -> str:
    if not torch.is_tensor(outputs):
        return "The model returns no tensor; choose the part that loss_fn takes in a module of your own"
    return "Classes are integers of shape (N,); most other targets have the shape of the outputs"


def _broadcast(outputs: Any, targets: Any) -> str:
    """A sentence about outputs and targets of different shapes, empty where they fit."""
    if not torch.is_tensor(outputs) or outputs.shape == targets.shape or not targets.is_floating_point():
        return ""
    return (
        f"Outputs have shape {tuple(outputs.shape)} and targets {tuple(targets.shape)}, which are broadcast against each "
        "other: give targets the shape of the outputs. "
    )
