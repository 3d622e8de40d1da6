"""Gradients of drawn minibatches of a PyTorch model, replayed as plain tensor operations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.formulas import Integers
from qpot.samples.torch_recorded import agree

# The numbers of points and samples for which operations are kept; a simulation needs one, and its last block another.
_KEPT = 16
# The numbers that a model produces for recorded operations take at most so many bytes.
_BYTES = 64e6
# After so many calls traced operations have found the way in which they are run from then on.
_WARM = 4


class RecordedBatches:
    """The mean gradients of drawn samples, as operations that are recorded for each number of points and samples.

    Operations are recorded when they are first asked for, at points and samples that depend on nothing else: a simulation
    must have the same rounding in every process, whatever was computed there before.

    Parameters
    ----------
    functions : object with ``batch_gradient_of``, ``tensor`` and ``layout``
        The model's functions. Row k of the gradients belongs to point k and to row k of the samples.
    """

    def __init__(self, functions: Any) -> None:
        self.functions = functions
        # None stands for operations that cannot be recorded.
        self.known: dict[tuple[int, int], Callable[..., Any] | None] = {}

    def __call__(self, index: Integers, x: Array) -> Array | None:
        """The gradients (n, d) for samples (n, B) and points (n, d); None where they cannot be had in this way."""
        import torch

        n, B = index.shape
        functions = self.functions
        if n == 0 or n * B * functions.activations * functions.item_size > _BYTES:
            return None
        if (n, B) not in self.known:
            if len(self.known) >= _KEPT:
                return None
            self.known[n, B] = self._record(n, B)
        function = self.known[n, B]
        if function is None:
            return None
        with torch.no_grad():
            value = function(functions.tensor(x), torch.from_numpy(np.ascontiguousarray(index)))
        return np.asarray(value.numpy(), dtype=np.float64)

    def _record(self, n: int, B: int) -> Callable[..., Any] | None:
        """The recorded operations, or None where they cannot be recorded or give other values elsewhere."""
        import torch

        from qpot.samples.torch_recorder import recorded

        functions = self.functions
        rng = np.random.default_rng(0)

        def given() -> tuple[Any, Any]:
            points = functions.origin + 0.3 * rng.normal(size=(n, functions.dimension))
            return functions.tensor(points), torch.from_numpy(rng.integers(0, functions.n_samples, size=(n, B)))

        first, second = given(), given()
        wanted = functions.batch_gradient_of(*second).detach()
        try:
            function = recorded(functions.batch_gradient_of, first, faster=False)
            with torch.no_grad():
                found = function(*second)
        except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError, IndexError):
            # A model may do what cannot be recorded, and is evaluated directly then.
            return None
        return _without_python(function, first, second) if agree(found, wanted) else None


def _without_python(function: Callable[..., Any], first: Any, second: Any) -> Callable[..., Any]:
    """The same operations, run without Python between them where that gives the same numbers."""
    import torch

    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Newer versions of PyTorch announce that tracing will be replaced.
            warnings.simplefilter("ignore", DeprecationWarning)
            traced = torch.jit.trace(function, first, check_trace=False)
            faster: Callable[..., Any] = torch.jit.freeze(traced.eval())
            # The first calls choose how operations are run; all must give the same, as a simulation does not count its calls.
            values = [faster(*second) for _ in range(_WARM)]
            same = all(torch.equal(value, function(*second)) for value in values)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError):
        return function
    return faster if same else function
