"""PyTorch functions whose batching or second derivative is wrong or missing, written out in elementary operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class WrittenOut(TorchFunctionMode):  # type: ignore[misc]
    """While it is active, the functions of this file take the place of those of the library.

    ``names`` collects the functions that have been replaced.
    """

    def __init__(self, names: set[str] | None = None) -> None:
        super().__init__()
        self.names: set[str] = set() if names is None else names

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        replacement = _REPLACED.get(name)
        if replacement is not None and func in _functions(name):
            value = replacement(*args, **kwargs)
            if value is not NotImplemented:
                self.names.add(name.strip("_"))
                return value
        return func(*args, **kwargs)


def _functions(name: str) -> tuple[Any, ...]:
    """The library's functions of that name: of functional modules first, else the operation itself."""
    if hasattr(functional, name):
        return (getattr(functional, name),)
    return (getattr(torch._C._VariableFunctions, name, None),)


def _prelu(x: Any, weight: Any) -> Any:
    """PReLU; the library's batching rule is wrong for many points (PyTorch 2.13)."""
    if weight.dim() and weight.shape[0] > 1:
        weight = weight.reshape((-1,) + (1,) * (x.dim() - 2)) if x.dim() > 1 else weight
    return torch.where(x >= 0, x, weight * x)


def _weight_norm(v: Any, g: Any, dim: int = 0) -> Any:
    """Weight normalisation; the library's fused double backward is wrong (PyTorch 2.13)."""
    if dim == -1:
        return v * (g / v.square().sum().sqrt())
    others = [k for k in range(v.dim()) if k != dim % v.dim()]
    return v * (g / v.square().sum(dim=others, keepdim=True).sqrt())


def _hardsigmoid(x: Any, inplace: bool = False) -> Any:
    return functional.relu6(x + 3.0) / 6.0


def _rrelu(
    x: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Any:
    return NotImplemented if training else functional.leaky_relu(x, 0.5 * (lower + upper))


def _embedding(
    index: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """An embedding whose gradient is dense."""
    if padding_idx is not None or max_norm is not None or scale_grad_by_freq:
        return NotImplemented
    return functional.embedding(index, weight)


def _embedding_bag(
    index: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Bags of equal lengths; the library's function has no second derivative."""
    if index.dim() != 2 or max_norm is not None or scale_grad_by_freq or padding_idx is not None:
        return NotImplemented
    rows = functional.embedding(index, weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    return {"mean": lambda: rows.mean(1), "sum": lambda: rows.sum(1), "max": lambda: rows.amax(1)}[mode]()


def _reduced(terms: Any, reduction: str) -> Any:
    if reduction == "batchmean":
        return terms.sum() / terms.shape[0]
    return {"none": lambda: terms, "sum": terms.sum, "mean": terms.mean}[reduction]()


def _kl_div(
    x: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", log_target: bool = False
) -> Any:
    """The Kullback-Leibler loss; the library's has no batching rule, which makes it slow."""
    if size_average is not None or reduce is not None:
        return NotImplemented
    return _reduced(target.exp() * (target - x) if log_target else torch.xlogy(target, target) - target * x, reduction)


def _soft_margin(x: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Any:
    """The logistic loss of signs; the library's has no batching rule."""
    if size_average is not None or reduce is not None:
        return NotImplemented
    return _reduced(-functional.logsigmoid(target * x), reduction)


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attention by its formula; the library's fast ones have no second derivative."""
    if dropout_p or enable_gqa:
        return NotImplemented
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        boolean = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, float("-inf")) if boolean else scores + attn_mask
    return torch.softmax(scores, dim=-1) @ value


def _multi_head(*args: Any, **kwargs: Any) -> Any:
    """The same attention with its weights, which is computed by elementary operations."""
    if kwargs.get("need_weights", True):
        return NotImplemented
    return functional.multi_head_attention_forward(*args, **(kwargs | {"need_weights": True}))[0], None


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    y = x @ weight.t()
    return y if bias is None else y + bias


def _rnn_step(activation: Callable[[Any], Any]) -> Callable[..., Any]:
    def step(x: Any, h: Any, w_x: Any, w_h: Any, b_x: Any = None, b_h: Any = None) -> Any:
        return activation(_linear(x, w_x, b_x) + _linear(h, w_h, b_h))

    return step


def _gru_step(x: Any, h: Any, w_x: Any, w_h: Any, b_x: Any = None, b_h: Any = None) -> Any:
    r_x, z_x, n_x = _linear(x, w_x, b_x).chunk(3, dim=-1)
    r_h, z_h, n_h = _linear(h, w_h, b_h).chunk(3, dim=-1)
    z = torch.sigmoid(z_x + z_h)
    n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
    return n + z * (h - n)


def _lstm_step(x: Any, state: Any, w_x: Any, w_h: Any, b_x: Any = None, b_h: Any = None, projection: Any = None) -> Any:
    h, c = state
    i, f, g, o = (_linear(x, w_x, b_x) + _linear(h, w_h, b_h)).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h if projection is None else h @ projection.t()), c


def _layers(step: Callable[..., Any], *, lstm: bool = False) -> Callable[..., Any]:
    """A recurrent network of such steps; the library's have no batching rule."""

    def run(
        x: Any,
        state: Any,
        weights: Sequence[Any],
        bias: Any,
        layers: int,
        dropout: float,
        training: bool,
        both_ways: bool,
        batch_first: bool = False,
    ) -> Any:
        if torch.is_tensor(weights):  # Sequences of several lengths, packed.
            return NotImplemented
        if dropout and training:
            return NotImplemented
        ways = 2 if both_ways else 1
        each = len(weights) // (layers * ways)
        parts = list(state) if lstm else [state]
        sequence = list((x.transpose(0, 1) if batch_first else x).unbind(0))
        last: list[Any] = []
        for layer in range(layers):
            outputs = []
            for way in range(ways):
                k = layer * ways + way
                w = list(weights[k * each : (k + 1) * each])
                if lstm:
                    projection = w.pop() if each in (3, 5) else None
                    w += [None] * (4 - len(w)) + [projection]
                at: Any = tuple(part[k] for part in parts) if lstm else parts[0][k]
                line = []
                for part in reversed(sequence) if way else sequence:
                    at = step(part, at, *w)
                    line.append(at[0] if lstm else at)
                outputs.append(line[::-1] if way else line)
                last.append(at)
            sequence = [torch.cat(pair, dim=-1) for pair in zip(*outputs, strict=True)] if both_ways else outputs[0]
        y = torch.stack(sequence, dim=1 if batch_first else 0)
        ends = [torch.stack([at[i] for at in last]) for i in range(2)] if lstm else [torch.stack(last)]
        return (y, *ends)

    return run


_REPLACED: dict[str, Callable[..., Any]] = {
    "prelu": _prelu,
    "_weight_norm": _weight_norm,
    "hardsigmoid": _hardsigmoid,
    "rrelu": _rrelu,
    "embedding": _embedding,
    "kl_div": _kl_div,
    "soft_margin_loss": _soft_margin,
    "embedding_bag": _embedding_bag,
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
    "rnn_tanh": _layers(_rnn_step(torch.tanh)),
    "rnn_relu": _layers(_rnn_step(torch.relu)),
    "gru": _layers(_gru_step),
    "lstm": _layers(_lstm_step, lstm=True),
    "rnn_tanh_cell": _rnn_step(torch.tanh),
    "rnn_relu_cell": _rnn_step(torch.relu),
    "gru_cell": _gru_step,
    "lstm_cell": _lstm_step,
}
