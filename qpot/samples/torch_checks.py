"""Checks that a PyTorch module, a loss and a data set are what a finite sum needs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from qpot.samples.held_against_loop import first_line


def original(torch: Any, model: Any) -> Any:
    """The module itself, out of the wrapper of ``torch.compile``."""
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "model is a torch.jit.ScriptModule, whose parameters cannot be replaced; pass the module it was made of"
        )
    return getattr(model, "_orig_mod", model)


def copied(model: Any) -> Any:
    """A copy of the module."""
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"model cannot be copied: {first_line(error)}. torch.nn.utils.weight_norm does that, use "
            "torch.nn.utils.parametrizations.weight_norm; a tensor that was computed from parameters must not be kept"
        ) from error


def refuse_unfit(torch: Any, model: Any) -> None:
    """Refuse modules that cannot have per-sample gradients, or whose gradients are not those of a loss."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
            raise ValueError(
                f"parameter {name!r} has no shape yet: call the model once with a batch of inputs before from_torch"
            )
        if tensor.is_complex():
            raise ValueError(f"{name!r} has type {tensor.dtype}; parameters and buffers must be real numbers")
    _refuse_embeddings(torch, model)
    _refuse_training_mode(torch, model)


def _refuse_embeddings(torch: Any, model: Any) -> None:
    """Refuse embeddings that change their weights when they are called, or whose gradients are changed."""
    for name, module in model.named_modules():
        if not isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag)) or not module.weight.requires_grad:
            continue
        label = f"{name or 'model'} ({type(module).__name__})"
        if module.max_norm is not None:
            raise ValueError(
                f"{label} has max_norm={module.max_norm}: it changes its weights whenever it is called; pass max_norm=None "
                "and use weight_decay"
            )
        if module.sparse:
            raise ValueError(
                f"{label} has sparse=True, but dense gradients are needed; pass False, which means the same"
            )
        if module.scale_grad_by_freq:
            raise ValueError(
                f"{label} has scale_grad_by_freq=True: what it returns is not the gradient of the loss; pass False"
            )
        if module.padding_idx is not None and isinstance(module, torch.nn.Embedding):
            raise ValueError(
                f"{label} has padding_idx={module.padding_idx}: the gradient of that row is set to zero though the loss "
                "depends on it, so that SGD follows no loss; pass padding_idx=None and multiply embedded inputs by a mask, "
                "or freeze the weight with requires_grad_(False)"
            )


def _refuse_training_mode(torch: Any, model: Any) -> None:
    """Refuse modules whose output is random, or depends on other samples or on earlier calls."""
    nn = torch.nn
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"{name or 'model'} ({type(module).__name__}) has no running statistics (track_running_stats=False): it "
                "couples the samples of a batch even after model.eval(); use GroupNorm or LayerNorm"
            )
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
        if type(module).__name__ in ("_SpectralNorm", "SpectralNorm"):
            raise ValueError(f"{label} takes a step of its power iteration whenever it is called; call model.eval()")
        rate = getattr(module, "p", 0.0) if isinstance(module, nn.modules.dropout._DropoutNd) else 0.0
        if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
            rate = module.dropout
        if rate or isinstance(module, nn.RReLU):
            raise ValueError(
                f"{label} is random in training mode, so that the loss is no function of the parameters alone and the noise "
                "is not that of minibatches; call model.eval(), or set its probability to 0"
            )


def as_tensors(torch: Any, dataset: Any) -> tuple[Any, ...]:
    """The data set as tensors with N rows each, of which the last one holds the targets."""
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
