"""Random networks of dense layers in PyTorch, with losses and data, and modules that only look like such chains."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qpot

torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
nn: Any = torch.nn
functional: Any = torch.nn.functional

MODULES: tuple[Callable[[], Any], ...] = (
    nn.Tanh, nn.Sigmoid, nn.GELU, lambda: nn.GELU("tanh"), nn.SiLU, nn.Mish, nn.Softplus, lambda: nn.Softplus(2.0, 3.0),
    nn.Softsign, nn.LogSigmoid, nn.Tanhshrink, nn.ReLU, nn.ReLU6, lambda: nn.LeakyReLU(0.2), lambda: nn.ELU(0.7),
    lambda: nn.CELU(0.5), nn.SELU, lambda: nn.Hardtanh(-0.5, 2.0), nn.Identity, lambda: nn.Dropout(0.4).eval(),
    lambda: nn.Sequential(nn.Tanh(), nn.GELU()), nn.Sequential,
)  # fmt: skip
FUNCTIONS: tuple[Callable[[Any], Any], ...] = (
    torch.tanh,
    functional.gelu,
    lambda x: functional.gelu(x, approximate="tanh"),
    lambda x: functional.softplus(x, beta=1.5),
    lambda x: torch.sin(3 * x + 1),
    lambda x: x.sigmoid(),
    lambda x: functional.leaky_relu(x, 0.1),
    lambda x: functional.elu(x, alpha=1.3),
    lambda x: 1 - x / 2,
    lambda x: -x,
    lambda x: torch.exp(-(x**2)),
    lambda x: torch.cos(x),
    lambda x: functional.dropout(x, 0.3, training=False),
    lambda x: x.view(x.size(0), -1),
    lambda x: x.reshape(x.shape[0], -1),
    lambda x: torch.flatten(x, 1),
)
# What is no elementwise function that is known, or no chain.
OTHERS: tuple[Callable[[Any], Any], ...] = (
    lambda x: torch.softmax(x, 1),
    lambda x: x * torch.sigmoid(2 * x),
    lambda x: torch.tanh(x) + x,
    lambda x: functional.layer_norm(x, x.shape[1:]),
    lambda x: x - x.mean(1, keepdim=True),
    lambda x: 2 / (x**2 + 1),
    lambda x: x.flip(1),
    lambda x: x**3,
)


class Applied(nn.Module):  # type: ignore[misc]
    """A function as a module."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


class Own(nn.Module):  # type: ignore[misc]
    """A dense layer that is not called one."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(outputs, inputs))
        self.bias = nn.Parameter(0.1 * torch.randn(outputs)) if bias else None

    def forward(self, x: Any) -> Any:
        return functional.linear(x, self.weight, self.bias)


class Shifted(nn.Linear):  # type: ignore[misc]
    """A subclass of a dense layer that does more."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) + 1.0


def layer(rng: Any, inputs: int, outputs: int) -> Any:
    """A dense layer, perhaps without bias or with frozen parts."""
    kind, bias = rng.integers(8), bool(rng.integers(4))
    if kind == 0:
        return Shifted(inputs, outputs)
    if kind == 1:
        return Own(inputs, outputs, bias)
    made = nn.Linear(inputs, outputs, bias=bias)
    made.weight.requires_grad_(bool(rng.integers(6)))
    if bias:
        made.bias.requires_grad_(bool(rng.integers(6)))
    return made


def network(rng: Any, inputs: int, outputs: int, others: bool) -> list[Any]:
    """Up to four hidden layers with activations."""
    depth = int(rng.integers(5))
    sizes = [inputs, *(int(rng.integers(1, 7)) for _ in range(depth)), outputs]
    modules = [MODULES[rng.integers(len(MODULES))]()] if rng.integers(8) == 0 else []
    for k, (one, other) in enumerate(itertools.pairwise(sizes)):
        modules.append(layer(rng, one, other))
        if k < depth or rng.integers(6) == 0:
            modules.append(MODULES[rng.integers(len(MODULES))]())
            if rng.integers(3) == 0:
                functions = OTHERS if others and rng.integers(2) else FUNCTIONS
                modules.append(Applied(functions[rng.integers(len(functions))]))
    return modules


def problem(seed: int, *, others: bool = False) -> tuple[Any, Any, Any, float, Any]:
    """A module, a loss, a data set, a weight decay, and the generator that goes on."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    inputs, samples, kind = int(rng.integers(1, 6)), int(rng.integers(3, 12)), int(rng.integers(8))
    C = int(rng.integers(2, 5)) if kind in (0, 1, 2, 3, 4) else int(rng.integers(1, 4))
    image = rng.integers(4) == 0
    modules = network(rng, 2 * inputs if image else inputs, C, others)
    if image:
        modules.insert(0, nn.Flatten())
    if not any(parameter.requires_grad for module in modules for parameter in module.parameters()):
        modules = [module.requires_grad_(True) for module in modules]
    X = torch.tensor(rng.normal(size=(samples, inputs, 2) if image else (samples, inputs)))
    labels, numbers = torch.tensor(rng.integers(C, size=samples)), torch.tensor(rng.normal(size=(samples, C)))
    weights = torch.rand(C, dtype=torch.float64) + 0.1
    if kind == 4:
        modules.append([nn.LogSoftmax(1), Applied(lambda x: functional.log_softmax(x, dim=-1))][rng.integers(2)])
    if kind == 7:
        numbers = numbers[:, 0]
        ends = (nn.Flatten(0), Applied(lambda x: x.squeeze(-1)), Applied(lambda x: x[:, 0]))
        modules += [Own(C, 1, True), ends[rng.integers(3)]]
    losses: dict[int, tuple[tuple[Any, ...], Any]] = {
        0: ((functional.cross_entropy, nn.CrossEntropyLoss(label_smoothing=0.1)), labels),
        1: (
            (
                nn.CrossEntropyLoss(weight=weights, reduction="sum"),
                functools.partial(functional.cross_entropy, weight=weights, label_smoothing=0.2, reduction="sum"),
                nn.CrossEntropyLoss(ignore_index=0, reduction="sum"),
                nn.CrossEntropyLoss(reduction="none"),
            ),
            labels,
        ),
        2: ((nn.CrossEntropyLoss(weight=weights), functional.cross_entropy), torch.softmax(numbers, -1)),
        # These are known to PyTorch alone.
        3: (
            (
                lambda outputs, targets: 2.0 * functional.cross_entropy(outputs, targets),
                lambda outputs, targets: ((outputs.softmax(1) - functional.one_hot(targets, C)) ** 2).sum(1).mean(),
            ),
            labels,
        ),
        4: ((nn.NLLLoss(), functional.nll_loss), labels),
        5: ((functional.mse_loss, nn.MSELoss(reduction="sum"), functional.huber_loss), numbers),
        6: (
            (
                functional.binary_cross_entropy_with_logits,
                nn.BCEWithLogitsLoss(pos_weight=weights, reduction="sum"),
                nn.BCEWithLogitsLoss(weight=weights),
            ),
            torch.sigmoid(numbers),
        ),
        7: ((functional.mse_loss,), numbers),
    }
    choices, targets = losses[kind]
    loss = choices[rng.integers(len(choices))]
    return nn.Sequential(*modules), loss, (X, targets), float(rng.choice([0.0, 0.03])), rng


def convolutional(seed: int) -> tuple[Any, Any, Any, float, Any]:
    """The same with one or two convolutions before the last layer, and means over places behind some."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    C, size, samples, classes = int(rng.integers(1, 3)), int(rng.integers(12, 15)), int(rng.integers(3, 9)), 3
    X = torch.tensor(rng.normal(size=(samples, C, size, size)))
    modules: list[Any] = [nn.AvgPool2d(2, 1)] if rng.integers(5) == 0 else []
    both = bool(rng.integers(2))
    for last in (False, True) if both else (True,):
        outputs, kernel = int(rng.integers(1, 4)), (int(rng.integers(1, 4)), int(rng.integers(1, 3)))
        options: dict[str, Any] = {"padding": int(rng.integers(2)), "bias": bool(rng.integers(3))}
        options |= (
            {"stride": int(rng.integers(1, 3)), "dilation": int(rng.integers(1, 3))} if rng.integers(3) == 0 else {}
        )
        modules.append(nn.Conv2d(C, outputs, kernel, **options))
        modules[-1].weight.requires_grad_(bool(rng.integers(5)))
        modules.append(MODULES[rng.integers(len(MODULES))]())
        pools: tuple[Callable[[], Any], ...] = (
            nn.Identity,
            lambda: nn.AvgPool2d(2, padding=1, count_include_pad=False),
            lambda: Applied(lambda x: functional.avg_pool2d(x, 2, stride=1)),
            lambda: nn.AdaptiveAvgPool2d((2, 1)),
        )
        modules.append(pools[rng.integers(len(pools) if last else len(pools) - 1)]())
        C = outputs
    modules.append(nn.Flatten())
    width = int(nn.Sequential(*modules).double()(X).shape[1])
    modules += [nn.Linear(width, 2), nn.Tanh()] if rng.integers(2) else []
    modules.append(nn.Linear(2 if len(modules) and isinstance(modules[-1], nn.Tanh) else width, classes))
    labels = torch.tensor(rng.integers(classes, size=samples))
    return nn.Sequential(*modules), functional.cross_entropy, (X, labels), float(rng.choice([0.0, 0.03])), rng


def evaluated(total: qpot.ModelSum, rng: Any) -> dict[str, Any]:
    """All functions of a sum at three random points."""
    n, d, N = 3, total.dimension, total.n_samples
    x, v = rng.normal(size=(n, d)) * rng.choice([0.3, 1.0, 2.0]), rng.normal(size=(n, d))
    w, index = rng.normal(size=(n, N)), rng.integers(0, N, size=(n, 2))
    given: dict[str, tuple[Any, ...]] = {
        "sample_losses": (x,),
        "some_losses": (x, slice(1, 3)),
        "sample_gradients": (x,),
        "drawn_gradients": (x, index),
        "batch_gradient": (x, index),
        "mean_gradient": (x,),
        "directional_derivatives": (x, v),
        "weighted_gradient": (x, w),
        "hessian_vector_product": (x, v),
        "weighted_hessian_product": (x, v, w),
        "hessian": (x,),
        "weighted_hessian": (x, w),
    }
    return {name: np.asarray(getattr(total, name)(*arrays)) for name, arrays in given.items()}
