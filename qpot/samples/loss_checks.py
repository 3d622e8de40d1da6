"""Gradients that are compared with their losses at first use, so that a wrong one is never silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, BatchFunction, NonFiniteError, call_batch, format_point

# Steps of the differences: short ones are best for exact losses, long ones for rough losses and those in float32.
_STEPS = np.array([1e-5, 1e-4, 1e-3, 1e-2])
# Distance of the random points, relative to 1 + |x_j|.
_NEAR = 0.02
# Relative difference between the gradient and a difference of losses that is allowed.
_TOLERANCE = 1e-4


class HeldAgainstLoss:
    """A gradient that is compared with its loss, at two random points near the first point where it is evaluated.

    Near is relative to ``lengths`` (d,), the sizes of the coordinates; None stands for 1 + |x_j|.
    """

    def __init__(self, gradient: BatchFunction, loss: BatchFunction, name: str, *, checked: bool = False) -> None:
        self.gradient, self.loss, self.name, self.checked = gradient, loss, name, checked
        self.lengths: Array | None = None
        # Which points (n, d) lie inside a domain outside which the functions are not called; None where they always do.
        self.within: Callable[[Array], NDArray[np.bool_]] | None = None

    def __call__(self, points: Any) -> Any:
        values = self.gradient(points)
        if not self.checked and len(points):
            self._check(np.array(points[0], dtype=np.float64))
            self.checked = True
        return values

    def _check(self, centre: Array) -> None:
        """Raise a ValueError if the gradient is not that of the loss."""
        rng, d = np.random.default_rng(0), centre.size
        for _ in range(2):
            x = centre + _NEAR * (1.0 + np.abs(centre) if self.lengths is None else self.lengths) * rng.normal(size=d)
            v = rng.normal(size=d)
            v *= (1.0 + np.abs(x).max() if self.lengths is None else self.lengths) / np.linalg.norm(v)
            sides = np.concatenate([x + _STEPS[:, None] * v, x - _STEPS[:, None] * v])
            if self.within is not None and not self.within(np.concatenate([sides, x[None]])).all():
                continue
            try:
                with np.errstate(all="ignore"):  # The point may lie outside the domain of the user's functions.
                    values = call_batch(self.loss, sides, shape=(), name="loss")
                    along = float(np.ravel(call_batch(self.gradient, x[None], shape=(d,), name=self.name)) @ v)
            except NonFiniteError:
                continue
            n = _STEPS.size
            differences = (values[:n] - values[n:]) / (2.0 * _STEPS)
            spread = np.abs(np.diff(differences))
            k = int(np.argmin(spread))  # The difference that depends least on its step is the best one.
            rounding = 1e-15 * np.abs(values).max() / _STEPS[k]
            size = abs(along) + abs(differences[k])
            # A tabulated loss has its slope at steps longer than those of the table, and another slope, which depends as
            # little on the step, at shorter ones. Agreement at any step is therefore enough.
            alike = np.abs(along - differences) <= _TOLERANCE * (abs(along) + np.abs(differences))
            if not alike.any() and abs(along - differences[k]) > _TOLERANCE * size + 10.0 * (spread[k] + rounding):
                raise ValueError(
                    f"{self.name} is not the gradient of the loss at the random point {format_point(x)}: along a random "
                    f"direction it is {along:.6g}, but the loss changes at the rate {differences[k]:.6g}; every part of "
                    "the loss (weight decay, for example) must be in both"
                )
