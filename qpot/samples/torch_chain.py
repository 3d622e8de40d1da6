"""Chains of dense layers, convolutions and elementwise functions, read from a traced PyTorch module."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from qpot.samples.dense_activations import Activation
from qpot.samples.torch_activations import ARITHMETIC, FUNCTIONS, METHODS, MODULES

# Constant linear maps of images, as modules and as functions.
_LINEAR = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_LINEAR_FUNCTIONS = (functional.avg_pool2d, functional.adaptive_avg_pool2d)
# What changes the shape alone.
_SHAPES = frozenset(["flatten", "squeeze", "view", "reshape", "contiguous"])


@dataclass(frozen=True)
class Dense:
    """A dense layer by the names of its tensors in the module."""

    weight: str
    bias: str | None
    # For a convolution, what makes rows (N, f P) of its inputs of rows (N, m).
    spread: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Mapped:
    """A constant linear map of rows (N, m), such as a mean over places."""

    function: Callable[[Any], Any]


# What a chain consists of: layers, constant linear maps, and functions of every entry.
Step = Dense | Mapped | Activation


@dataclass
class Chain:
    """Steps, the shape of one sample behind the last of them, and a module of what follows that is no step."""

    shape: tuple[int, ...]
    steps: list[Step] = field(default_factory=list)
    tail: Any = None


class NotAChainError(Exception):
    """The module is no chain of known steps."""


def chain_of(model: Any, shape: tuple[int, ...]) -> Chain | None:
    """The steps of a module for samples of a shape, or None if it is no chain of known functions.

    The module is traced, so that what it computes counts and not how it is written. Hooks are no part of a trace, and
    modules that have some are not read.
    """
    for module in model.modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        if any(hooks) or "forward" in module.__dict__:
            return None
    try:
        graph = _Tracer().trace(model)
        return _Reader(model, shape).read(graph)
    except NotAChainError:
        return None
    except Exception:  # Tracing runs the user's code with placeholders for tensors, and may fail in any way.
        return None


class _Tracer(torch.fx.Tracer):  # type: ignore[misc]
    """A tracer that looks into every module but the known ones."""

    def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
        return type(m) in MODULES or type(m) in (nn.Linear, nn.Flatten, nn.Conv2d, *_LINEAR)


class _Reader:
    """A reader of a graph, node by node."""

    def __init__(self, model: Any, shape: tuple[int, ...]) -> None:
        self.model, self.chain = model, Chain(shape)
        # The node of the present value, and sizes by their nodes; the size of the batch is None.
        self.current: Any = None
        self.sizes: dict[Any, Any] = {}

    def read(self, graph: Any) -> Chain:
        """The chain of a graph."""
        for node in graph.nodes:
            if node.op == "placeholder":
                if self.current is not None:
                    raise NotAChainError
                self.current = node
            elif node.op == "output":
                if node.args != (self.current,):
                    raise NotAChainError
            elif node.op != "get_attr" and not self._is_size(node):
                try:
                    self._step(node)
                except (NotAChainError, TypeError, IndexError, KeyError):
                    self.chain.tail = self._tail(graph)
                    return self.chain
                self.current = node
        return self.chain

    def _tail(self, graph: Any) -> Any:
        """A module of all that follows the present value, which must depend on nothing but it and on constants."""
        tail = torch.fx.Graph()
        known: dict[Any, Any] = {self.current: tail.placeholder("outputs")}
        for node in graph.nodes:
            needed = node.all_input_nodes
            if node in known or node.op == "placeholder" or (needed and not any(part in known for part in needed)):
                continue
            if node.op == "get_attr" and _tensor(self.model, str(node.target)).requires_grad:
                continue
            if node.op == "call_module":
                module = self.model.get_submodule(node.target)
                if any(parameter.requires_grad for parameter in module.parameters()):
                    raise NotAChainError
            if any(part not in known for part in needed):
                raise NotAChainError
            known[node] = tail.node_copy(node, known.__getitem__)
        return torch.fx.GraphModule(self.model, tail)

    def _is_size(self, node: Any) -> bool:
        """Whether a node is a size of the present value, which is then kept."""
        whole = (None, *self.chain.shape)
        if node.op == "call_method" and node.target == "size" and node.args[:1] == (self.current,):
            self.sizes[node] = whole[node.args[1]] if len(node.args) > 1 else whole
        elif node.op == "call_function" and node.target is getattr and node.args == (self.current, "shape"):
            self.sizes[node] = whole
        elif node.op == "call_function" and node.target is operator.getitem and node.args[0] in self.sizes:
            self.sizes[node] = self.sizes[node.args[0]][node.args[1]]
        else:
            return False
        return True

    def _step(self, node: Any) -> None:
        """Append the step of a node that turns the present value into the next."""
        args, kwargs, target = list(node.args), dict(node.kwargs), node.target
        first = args[0] if args else None
        if node.op == "call_module":
            if args != [self.current] or kwargs:
                raise NotAChainError
            self._module(node.target)
            return
        if node.op == "call_function" and target in ARITHMETIC:
            self._arithmetic(target, args, kwargs)
            return
        if "input" in kwargs and not args:
            first = kwargs.pop("input")
            args = [first]
        if first is not self.current:
            raise NotAChainError
        name = target if node.op == "call_method" else getattr(target, "__name__", "")
        if node.op == "call_function" and target is functional.linear:
            self._linear(*self._names(args[1:], kwargs))
        elif node.op == "call_function" and target in (functional.conv2d, torch.conv2d):
            given = dict(zip(("weight", "bias", "stride", "padding", "dilation", "groups"), args[1:], strict=False))
            given |= kwargs
            names = self._names([given.pop("weight", None), given.pop("bias", None)], {})
            self._convolution(*names, **given)
        elif node.op == "call_function" and target in _LINEAR_FUNCTIONS:
            if any(isinstance(value, torch.fx.Node) for value in (*args[1:], *kwargs.values())):
                raise NotAChainError
            rest = tuple(args[1:])
            self._map(lambda images: target(images, *rest, **kwargs))
        elif node.op == "call_function" and target is operator.getitem:
            self._chosen(args[1:])
        elif name in _SHAPES and (node.op == "call_method" or target is getattr(torch, name, None)):
            self._shaped(name, args[1:], kwargs)
        else:
            builder = METHODS.get(target) if node.op == "call_method" else FUNCTIONS.get(target)
            self._append(builder, args[1:], kwargs)

    def _module(self, name: str) -> None:
        module = self.model.get_submodule(name)
        if type(module) is nn.Linear:
            self._linear(f"{name}.weight".lstrip("."), None if module.bias is None else f"{name}.bias".lstrip("."))
        elif type(module) is nn.Conv2d:
            bias = None if module.bias is None else f"{name}.bias".lstrip(".")
            plain = module.padding_mode == "zeros"
            options = [module.stride, module.padding if plain else "", module.dilation, module.groups]
            self._convolution(f"{name}.weight".lstrip("."), bias, *options)
        elif type(module) in _LINEAR:
            self._map(module)
        elif type(module) is nn.Flatten:
            self._shaped("flatten", [module.start_dim, module.end_dim], {})
        else:
            self.chain.steps.append(_known(MODULES[type(module)](module)))

    def _names(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[str, str | None]:
        """The names of a weight and a bias that are given as nodes."""
        given = dict(zip(("weight", "bias"), args, strict=False)) | kwargs
        names: list[str | None] = []
        for key in ("weight", "bias"):
            node = given.pop(key, None)
            if node is None:
                names.append(None)
            elif getattr(node, "op", "") == "get_attr":
                names.append(str(node.target))
            else:
                raise NotAChainError
        weight, bias = names
        if given or weight is None:
            raise NotAChainError
        return weight, bias

    def _linear(self, weight: str, bias: str | None) -> None:
        shape = tuple(_tensor(self.model, weight).shape)
        if len(shape) != 2 or self.chain.shape != shape[1:]:
            raise NotAChainError
        if bias is not None and tuple(_tensor(self.model, bias).shape) != shape[:1]:
            raise NotAChainError
        self.chain.steps.append(Dense(weight, bias))
        self.chain.shape = shape[:1]

    def _convolution(
        self, weight: str, bias: str | None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> None:
        shape, inputs = tuple(_tensor(self.model, weight).shape), self.chain.shape
        if groups != 1 or isinstance(padding, str) or len(shape) != 4 or len(inputs) != 3 or inputs[0] != shape[1]:
            raise NotAChainError

        def spread(rows: Any) -> Any:
            images = rows.reshape(-1, *inputs)
            return functional.unfold(images, shape[2:], dilation, padding, stride).flatten(1)

        example = torch.zeros(1, *inputs, dtype=torch.float64)
        kernel = torch.zeros(1, *shape[1:], dtype=torch.float64)
        places = functional.conv2d(example, kernel, None, stride, padding, dilation).shape[2:]
        self.chain.steps.append(Dense(weight, bias, spread))
        self.chain.shape = (shape[0], *places)

    def _map(self, function: Callable[[Any], Any]) -> None:
        """Append a constant linear map of images."""
        inputs = self.chain.shape
        if len(inputs) != 3:
            raise NotAChainError
        after = tuple(function(torch.zeros(1, *inputs, dtype=torch.float64)).shape[1:])
        self.chain.steps.append(Mapped(lambda rows: function(rows.reshape(-1, *inputs)).flatten(1)))
        self.chain.shape = after

    def _append(
        self, builder: Callable[..., Activation | None] | None, args: list[Any], kwargs: dict[str, Any]
    ) -> None:
        if builder is None or any(isinstance(value, torch.fx.Node) for value in (*args, *kwargs.values())):
            raise NotAChainError
        self.chain.steps.append(_known(builder(*args, **kwargs)))

    def _arithmetic(self, target: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Append a sum or product with a number, a negative or a square."""
        if kwargs or sum(part is self.current for part in args) != 1:
            raise NotAChainError
        turned = len(args) == 2 and args[1] is self.current
        numbers = [part for part in args if part is not self.current]
        if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in numbers):
            raise NotAChainError
        self.chain.steps.append(_known(ARITHMETIC[target](turned, *map(float, numbers))))

    def _chosen(self, args: list[Any]) -> None:
        """y[:, 0] of one output."""
        if args != [(slice(None), 0)] or self.chain.shape != (1,):
            raise NotAChainError
        self.chain.shape = ()

    def _shaped(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Change the shape where all entries of a sample stay together in their order."""
        shape = self.chain.shape
        if kwargs.keys() - {"start_dim", "end_dim", "dim"}:
            raise NotAChainError
        if name == "contiguous":
            return
        if name == "squeeze":
            given = [*args, *kwargs.values()]
            whole = (2, *shape)  # The first axis is that of the batch, which must stay.
            if len(given) != 1 or whole[given[0]] != 1:
                raise NotAChainError
            dim = given[0] % len(whole)
            self.chain.shape = (*shape[: dim - 1], *shape[dim:])
        elif name == "flatten":
            ends = dict(zip(("start_dim", "end_dim"), args, strict=False)) | kwargs
            if ends.get("start_dim", 0) != 1 or ends.get("end_dim", -1) not in (-1, len(shape)):
                raise NotAChainError
            self.chain.shape = (math.prod(shape),)
        else:
            self._viewed(args, kwargs)

    def _viewed(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """A view as a row for each sample, or as one number for each."""
        sizes = list(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        sizes = [self.sizes[s] if isinstance(s, torch.fx.Node) else s for s in sizes]
        whole = math.prod(self.chain.shape)
        # The batch is named by its own size or, once, by what is left over.
        fits = len(sizes) in (1, 2) and sizes[0] in (None, -1) and sizes[1:] in ([], [whole], [-1])
        if kwargs or not fits or sizes == [-1, -1] or (len(sizes) == 1 and whole != 1):
            raise NotAChainError
        self.chain.shape = (whole,) if len(sizes) == 2 else ()


def _tensor(model: Any, name: str) -> Any:
    """A parameter or buffer of a module by its name."""
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    if name not in tensors:
        raise NotAChainError
    return tensors[name]


def _known(step: Activation | None) -> Activation:
    if step is None:
        raise NotAChainError
    return step
