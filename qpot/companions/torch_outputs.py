"""The outputs of a PyTorch module and their derivatives, as the path kernel takes them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_count
from qpot._core.optional import needed
from qpot.companions.models import PredictionModel

# Derivatives of outputs are taken for so many inputs at once that they are at most this many numbers.
_NUMBERS = 20_000_000


def torch_prediction_model(module: Any, features: int) -> tuple[PredictionModel, Array]:
    """A PyTorch module as a `PredictionModel`, and its parameters as a start for `qpot.train_flow`.

    Parameters
    ----------
    module : torch.nn.Module
        It takes inputs ``(n, features)`` and returns outputs ``(n, K)`` or ``(n,)``. A copy of it is computed in double
        precision and in evaluation mode; the module itself is left as it is.
    features : int

    Returns
    -------
    PredictionModel, array (d,)
        The parameters are those of ``module.parameters()``, flattened, one after the other.

    Raises
    ------
    ValueError
        If the module is none, has no parameters, or returns another shape.
    ImportError
        Without PyTorch.
    """
    torch = needed("torch", "torch_prediction_model", title="PyTorch", extra="torch")
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"module must be a torch.nn.Module, got {module!r}")
    p = as_count(features, name="features")
    own = copy.deepcopy(module).double().eval()
    named = dict(own.named_parameters())
    if not named:
        raise ValueError("module has no parameters, so that there is nothing to train")
    sizes = {name: value.numel() for name, value in named.items()}
    buffers = dict(own.named_buffers())
    d = sum(sizes.values())

    def outputs(theta: Any, x: Any) -> Any:
        pieces = torch.split(theta, list(sizes.values()))
        given = {name: piece.reshape(named[name].shape) for name, piece in zip(sizes, pieces, strict=True)}
        y = torch.func.functional_call(own, {**given, **buffers}, (x,))
        return y[:, None] if y.ndim == 1 else y

    with torch.no_grad():
        try:
            seen = tuple(outputs(torch.zeros(d, dtype=torch.float64), torch.zeros((2, p), dtype=torch.float64)).shape)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"module does not take inputs (2, {p}), as features={p} says, in double precision: {error}"
            ) from error
        start = torch.cat([value.reshape(-1) for value in named.values()]).numpy().copy()
    if len(seen) != 2 or seen[0] != 2:
        raise ValueError(
            f"module returned shape {seen} for 2 inputs, expected (2, K): one row of outputs for each input"
        )
    K = seen[1]
    one = torch.func.jacrev(lambda theta, x: outputs(theta, x[None])[0])
    every = torch.func.vmap(one, in_dims=(None, 0))
    chunk = max(1, _NUMBERS // (K * d))

    def predict(theta: Array, X: Array) -> Array:
        with torch.no_grad():
            return np.asarray(outputs(torch.from_numpy(theta.copy()), torch.from_numpy(X.copy())).numpy())

    def jacobian(theta: Array, X: Array) -> Array:
        t, parts = torch.from_numpy(theta.copy()), []
        for first in range(0, len(X), chunk):
            parts.append(every(t, torch.from_numpy(X[first : first + chunk].copy())).detach().numpy())
        return np.concatenate(parts)

    return PredictionModel(predict=predict, jacobian=jacobian, dimension=d, features=p, outputs=K), start
