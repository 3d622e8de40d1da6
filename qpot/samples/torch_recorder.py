"""The recorder of tensor operations: what a function did once, as a graph that is run again with other tensors."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Sums of so few products are added up one by one, since a library call for each tiny matrix takes longer.
_SHORT = 8
# The largest matrices of which that is so, in entries.
_TINY = 1024
# Operations whose value or shape depends on numbers in tensors, or on chance, are not the same when they are run again.
_REFUSED = ("data_dependent_output", "dynamic_output_shape", "nondeterministic_seeded")


def recorded(function: Callable[..., Any], given: Sequence[Any], *, faster: bool) -> Callable[..., Any]:
    """The operations of ``function(*given)`` as a function of tensors of the same shapes.

    Parameters
    ----------
    function : callable ``(*tensors) -> tensor``
        It may use ``torch.func``. What it reads besides ``given`` is constant.
    given : sequence of tensors
    faster : bool
        Whether products of many tiny matrices become products of entries, which may change layouts in memory.

    Raises
    ------
    RuntimeError
        If an operation depends on the numbers in a tensor or on chance.
    """
    recorder = _Recorder(given, _FASTER if faster else {})
    with recorder:
        value = function(*given)
    graph = recorder.graph
    graph.output(recorder.node(value.detach() if value.requires_grad else value))
    for node in reversed(list(graph.nodes)):
        if node.op == "call_function" and not node.users and not _has_effect(node.target):
            graph.erase_node(node)
    return torch.fx.GraphModule(recorder.constants, graph)  # type: ignore[no-any-return]


class _Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Operations below ``torch.func`` and automatic differentiation, as nodes of a graph."""

    def __init__(self, given: Sequence[Any], replaced: dict[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self.graph, self.replaced = torch.fx.Graph(), replaced
        self.constants: dict[str, Any] = {}
        # Nodes by the identity of their tensors, which are held so that no other takes their place.
        self.nodes = {id(tensor): self.graph.placeholder(f"x{k}") for k, tensor in enumerate(given)}
        self.held = list(given)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self.replaced:
            with self:
                value = self.replaced[func](*args, **kwargs)
            if value is not NotImplemented:
                return value
        if any(getattr(torch.Tag, tag) in func.tags for tag in _REFUSED):
            raise RuntimeError(f"{func} cannot be recorded")
        value = func(*args, **kwargs)
        node = self.graph.call_function(func, self._given(args), self._given(kwargs))
        if isinstance(value, (tuple, list)):
            for k, part in enumerate(value):
                self._keep(part, self.graph.call_function(operator.getitem, (node, k)))
        else:
            self._keep(value, node)
        return value

    def node(self, tensor: Any) -> Any:
        """The node of a tensor; one that no operation has made is a constant."""
        if id(tensor) not in self.nodes:
            name = f"constant{len(self.constants)}"
            self.constants[name] = tensor
            self._keep(tensor, self.graph.get_attr(name))
        return self.nodes[id(tensor)]

    def _keep(self, tensor: Any, node: Any) -> None:
        self.nodes[id(tensor)] = node
        self.held.append(tensor)

    def _given(self, value: Any) -> Any:
        """Arguments with nodes in place of tensors."""
        if isinstance(value, torch.Tensor):
            return self.node(value)
        if isinstance(value, (tuple, list)):
            return type(value)(self._given(part) for part in value)
        if isinstance(value, dict):
            return {name: self._given(part) for name, part in value.items()}
        return value


def _has_effect(target: Any) -> bool:
    """Whether an operation changes one of its arguments."""
    schema = getattr(target, "_schema", None)
    return bool(schema is not None and schema.is_mutable)


def _products(a: Any, b: Any) -> Any:
    """Products of many matrices (n, j, k) and (n, k, l), without a call for each of them where there is another way."""
    n, j, k = a.shape
    m = b.shape[2]
    if k == 1:
        return a * b
    if a.stride(0) == 0:
        # One left factor for all of them.
        return (b.transpose(1, 2).reshape(n * m, k) @ a[0].t()).reshape(n, m, j).transpose(1, 2)
    if b.stride(0) == 0:
        return (a.reshape(n * j, k) @ b[0]).reshape(n, j, m)
    if k <= _SHORT and j * m <= _TINY:
        # The longer side comes last, so that entries of the result lie next to each other along it.
        left, right = (a, b) if m >= j else (b.transpose(1, 2), a.transpose(1, 2))
        total = left[:, :, :1] * right[:, :1]
        for i in range(1, k):
            total = torch.addcmul(total, left[:, :, i : i + 1], right[:, i : i + 1])
        return total if m >= j else total.transpose(1, 2)
    return NotImplemented


def _means(a: Any, dim: Any, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Means over few entries, added up one by one, since a reduction takes longer for each of them."""
    dims = [k % a.dim() for k in (range(a.dim()) if dim is None else dim)]
    count = math.prod(a.shape[k] for k in dims)
    if not 1 < count <= _SHORT or dtype is not None:
        return NotImplemented
    total = a
    for k in sorted(dims, reverse=True):
        parts = [total.narrow(k, i, 1) for i in range(a.shape[k])]
        total = functools.reduce(operator.add, parts)
        total = total if keepdim else total.squeeze(k)
    return total / count


_FASTER: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.bmm.default: _products,
    torch.ops.aten.mean.dim: _means,
}
