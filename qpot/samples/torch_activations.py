"""Elementwise functions of PyTorch, as modules, functions, methods and arithmetic, by the formulas of their derivatives."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from qpot.samples import dense_activations as act
from qpot.samples.dense_activations import Activation


def _gelu(approximate: str = "none") -> Activation | None:
    return {"none": act.gelu, "tanh": act.gelu_tanh}.get(approximate)


def _leaky(negative_slope: float = 0.01, inplace: bool = False) -> Activation:
    return act.LeakyRelu(negative_slope)


def _elu(alpha: float = 1.0, inplace: bool = False) -> Activation:
    return act.Elu(alpha)


def _celu(alpha: float = 1.0, inplace: bool = False) -> Activation | None:
    # PyTorch rounds 1 / alpha to single precision in derivatives, and is left to itself where that makes a difference.
    return act.Elu(alpha, alpha) if float(np.float32(1.0 / alpha)) == 1.0 / alpha else None


def _softplus(beta: float = 1.0, threshold: float = 20.0) -> Activation:
    return act.Softplus(beta, threshold)


def _hardtanh(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Activation:
    return act.Clipped(min_val, max_val)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> Activation | None:
    return None if training and p else act.identity


def _plain(activation: Activation) -> Callable[..., Activation]:
    """A builder of a function without options."""

    def build(inplace: bool = False) -> Activation:
        return activation

    return build


_SELU = act.Elu(1.6732632423543772848170429916717, 1.0, 1.0507009873554804934193349852946)
_PLAIN: dict[str, Activation] = {
    "tanh": act.tanh,
    "sigmoid": act.logistic,
    "relu": act.relu,
    "sin": act.sine,
    "cos": act.cosine,
    "exp": act.exponential,
    "square": act.square,
    "silu": act.silu,
    "mish": act.mish,
    "selu": _SELU,
    "softsign": act.softsign,
    "logsigmoid": act.log_sigmoid,
    "tanhshrink": act.tanhshrink,
}
_WITH_OPTIONS: dict[str, Callable[..., Activation | None]] = {
    "gelu": _gelu,
    "leaky_relu": _leaky,
    "elu": _elu,
    "celu": _celu,
    "softplus": _softplus,
    "hardtanh": _hardtanh,
    "dropout": _dropout,
    "relu6": _plain(act.Clipped(0.0, 6.0)),
}
_BUILDERS = {name: _plain(activation) for name, activation in _PLAIN.items()} | _WITH_OPTIONS
FUNCTIONS: dict[Any, Callable[..., Activation | None]] = {
    getattr(place, name): builder
    for name, builder in _BUILDERS.items()
    for place in (torch, functional)
    if hasattr(place, name)
}
METHODS = {name: _BUILDERS[name] for name in ("tanh", "sigmoid", "relu", "sin", "cos", "exp", "square")}
MODULES: dict[Any, Callable[[Any], Activation | None]] = {
    nn.Identity: lambda m: act.identity,
    nn.Tanh: lambda m: act.tanh,
    nn.Sigmoid: lambda m: act.logistic,
    nn.GELU: lambda m: _gelu(m.approximate),
    nn.SiLU: lambda m: act.silu,
    nn.Mish: lambda m: act.mish,
    nn.Softplus: lambda m: act.Softplus(float(m.beta), float(m.threshold)),
    nn.Softsign: lambda m: act.softsign,
    nn.LogSigmoid: lambda m: act.log_sigmoid,
    nn.Tanhshrink: lambda m: act.tanhshrink,
    nn.ReLU: lambda m: act.relu,
    nn.ReLU6: lambda m: act.Clipped(0.0, 6.0),
    nn.LeakyReLU: lambda m: act.LeakyRelu(m.negative_slope),
    nn.ELU: lambda m: act.Elu(m.alpha),
    nn.CELU: lambda m: _celu(m.alpha),
    nn.SELU: lambda m: _SELU,
    nn.Hardtanh: lambda m: act.Clipped(m.min_val, m.max_val),
    nn.Dropout: lambda m: _dropout(m.p, m.training),
}


def _power(turned: bool, number: float) -> Activation | None:
    return act.square if number == 2.0 and not turned else None


def _quotient(turned: bool, number: float) -> Activation | None:
    return None if turned else act.Affine(1.0 / number)


def _difference(turned: bool, number: float) -> Activation:
    return act.Affine(-1.0, number) if turned else act.Affine(1.0, -number)


def _negative(turned: bool) -> Activation:
    return act.Affine(-1.0)


def _sum(turned: bool, number: float) -> Activation:
    return act.Affine(1.0, number)


def _times(turned: bool, number: float) -> Activation:
    return act.Affine(number)


ARITHMETIC: dict[Any, Callable[..., Activation | None]] = {
    operator.mul: _times,
    torch.mul: _times,
    operator.add: _sum,
    torch.add: _sum,
    operator.sub: _difference,
    torch.sub: _difference,
    operator.truediv: _quotient,
    operator.neg: _negative,
    torch.neg: _negative,
    operator.pow: _power,
    torch.pow: _power,
}
