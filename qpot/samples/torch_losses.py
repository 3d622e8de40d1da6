"""Losses of PyTorch that are known by their formulas, as functions of a network's outputs."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from qpot._core.arrays import Array
from qpot.samples.dense_losses import BinaryCrossEntropy, CrossEntropy, OutputLoss, Squares

# The options of each loss; anything else that is set is not understood.
_CROSS = {"weight": None, "ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0}
_NEGATIVE = {"weight": None, "ignore_index": -100, "reduction": "mean"}
_MEAN = {"reduction": "mean"}
_BINARY = {"weight": None, "reduction": "mean", "pos_weight": None}


def known_loss(loss_fn: Any, tail: Any, targets: Any, shape: tuple[int, ...]) -> OutputLoss | None:
    """The formulas of a loss for outputs of a shape and targets (N, ...), or None if it is not one of those known here.

    It is called with batches of one sample, so that means over a batch are over one sample's outputs. ``tail`` is a traced
    module between outputs and loss, or None.
    """
    if tail is None:
        table: tuple[Any, ...] = (
            (functional.cross_entropy, nn.CrossEntropyLoss, _CROSS, _cross_entropy),
            (functional.mse_loss, nn.MSELoss, _MEAN, _squares),
            (functional.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss, _BINARY, _binary),
        )
    elif _is_log_softmax(tail) and not targets.is_floating_point():
        table = ((functional.nll_loss, nn.NLLLoss, _NEGATIVE, _cross_entropy),)
    else:
        return None
    for function, module, options, make in table:
        given = _options(loss_fn, function, module, options)
        if given is not None:
            found: OutputLoss | None = make(targets, shape, **given)
            return found if given["reduction"] in ("mean", "sum", "none") else None
    return None


def _options(loss_fn: Any, function: Any, module: Any, options: dict[str, Any]) -> dict[str, Any] | None:
    """The options with which a loss is called; None if it is another one, or has further options."""
    if type(loss_fn) is module:
        hooks = (loss_fn._forward_hooks, loss_fn._forward_pre_hooks, "forward" in loss_fn.__dict__)
        return None if any(hooks) else {name: getattr(loss_fn, name) for name in options}
    if loss_fn is function:
        return dict(options)
    if isinstance(loss_fn, functools.partial) and loss_fn.func is function and not loss_fn.args:
        return None if loss_fn.keywords.keys() - options.keys() else options | loss_fn.keywords
    return None


def _is_log_softmax(tail: Any) -> bool:
    """Whether a traced module is the logarithm of the softmax of its outputs, and nothing else."""
    nodes = list(tail.graph.nodes)
    if len(nodes) != 3:
        return False
    start, node, _ = nodes
    if node.op == "call_module" and node.args == (start,) and not node.kwargs:
        module = tail.get_submodule(node.target)
        return type(module) is nn.LogSoftmax and module.dim in (1, -1)
    if node.op == "call_function" and node.target in (functional.log_softmax, torch.log_softmax):
        given = dict(zip(("input", "dim"), node.args, strict=False)) | node.kwargs
        rest = {name: value for name, value in given.items() if value is not None}
        return given.get("dim") in (1, -1) and rest.keys() - {"_stacklevel"} == {"input", "dim"}
    return False


def _numbers(tensor: Any) -> Array:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def _cross_entropy(
    targets: Any,
    shape: tuple[int, ...],
    *,
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: float = 0.0,
) -> OutputLoss | None:
    if len(shape) != 1:
        return None
    (C,) = shape
    weights = np.ones(C) if weight is None else _numbers(weight)
    smooth = label_smoothing / C
    if targets.is_floating_point():
        if tuple(targets.shape[1:]) != shape:
            return None
        return CrossEntropy(weights * ((1.0 - label_smoothing) * _numbers(targets) + smooth))
    labels = targets.cpu().numpy()
    if labels.ndim != 1:
        return None
    ignored = labels == ignore_index
    safe = np.where(ignored, 0, labels)
    if not ((safe >= 0) & (safe < C)).all():
        return None
    q = weights * ((1.0 - label_smoothing) * np.eye(C)[safe] + smooth)
    q[ignored] = 0.0
    if reduction == "mean":
        # The mean is weighted with the sample's own weight, so that of an ignored sample does not exist.
        if ignored.any() or (weights[safe] == 0.0).any():
            return None
        q /= weights[safe][:, None]
    return CrossEntropy(q)


def _per_output(targets: Any, shape: tuple[int, ...]) -> Array | None:
    """Targets (N, C) for outputs of a shape, or None where the two are broadcast to more numbers."""
    own = tuple(targets.shape[1:])
    if not targets.is_floating_point() or (own != shape and (math.prod(own), math.prod(shape)) != (1, 1)):
        return None
    return _numbers(targets).reshape(len(targets), -1)


def _scale(reduction: str, outputs: int) -> float:
    return 1.0 / outputs if reduction == "mean" else 1.0


def _squares(targets: Any, shape: tuple[int, ...], *, reduction: str) -> OutputLoss | None:
    t = _per_output(targets, shape)
    return None if t is None else Squares(t, _scale(reduction, t.shape[1]))


def _binary(targets: Any, shape: tuple[int, ...], *, weight: Any, reduction: str, pos_weight: Any) -> OutputLoss | None:
    t = _per_output(targets, shape)
    if t is None:
        return None
    try:
        scale = np.full((1, *shape), _scale(reduction, t.shape[1]))
        scale = np.reshape(scale if weight is None else scale * _numbers(weight), (1, -1))
        more = np.zeros((1, *shape)) if pos_weight is None else np.broadcast_to(_numbers(pos_weight) - 1.0, (1, *shape))
    except ValueError:  # The weights are those of a whole batch.
        return None
    if scale.shape[1] != t.shape[1]:
        return None
    return BinaryCrossEntropy(scale * (1.0 - t), scale * (1.0 + more.reshape(1, -1) * t))
