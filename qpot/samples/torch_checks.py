"""Checks that a PyTorch module, a loss and a data set are what a finite sum needs."""

from __future__ import annotations

from typing import Any

import numpy as np


def refuse_training_mode(torch: Any, model: Any) -> None:
    """Refuse modules whose output in training mode is random, or depends on other samples or on earlier calls."""
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


def check_loss(torch: Any, functions: Any) -> None:
    """Refuse a random model, and a loss of several samples that is neither the mean nor the sum of their own losses."""
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
        return  # The sample is named where all losses are evaluated.
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


def check_vectorised(functions: Any) -> None:
    """Refuse models and losses with an operation that torch.func cannot apply to two samples at once."""
    x = functions.layout.flatten({n: functions.model.get_parameter(n).detach().cpu() for n in functions.layout.names})
    some = slice(0, min(2, functions.n_samples))
    try:
        functions.piece("losses", some, x[None])
        functions.piece("sample_gradients", some, x[None])
    except RuntimeError as error:
        raise ValueError(
            f"model or loss_fn cannot be differentiated sample by sample by torch.func: {str(error).splitlines()[0]} Replace "
            "what it names: recurrent modules by their cell in a loop (nn.LSTMCell), changes in place and .item() by new "
            "tensors, float32 tensors inside loss_fn by a loss module that holds them as buffers"
        ) from error
