"""Kinds of noise from outside the library: what their methods return is checked, as a covariance function is."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array, call_batch, format_point
from qpot.problem.covariance import check_semidefinite, check_symmetric
from qpot.problem.functions import UncheckedFunctions
from qpot.problem.noise import Noise

# What solvers ask of a Lagrangian.
_LAGRANGIAN = ("value", "momentum", "metric", "speed", "geometric", "expand", "bounded")
# A covariance at a point and the constant matrix that the noise states beside it may differ by this fraction.
_ROUNDING = 1e-10


class ForeignCovariance:
    """The covariance of a noise that the library does not know, with checks of what it returns.

    Raises
    ------
    ValueError
        At once for a ``constant`` that is no covariance matrix, and for noise that is not Gaussian and has no Lagrangian of
        its own; at a call for a wrong shape, NaN, an asymmetric matrix, and one that differs from ``constant``.
    """

    def __init__(self, noise: Noise, dimension: int) -> None:
        self.noise, self.dimension = noise, dimension
        self.name = f"{type(noise).__name__}.covariance"
        if not noise.gaussian and type(noise).lagrangian is Noise.lagrangian:
            raise ValueError(
                f"noise={noise!r} sets gaussian = False and has no method lagrangian, so that its costs would be those of "
                "Gaussian noise; write lagrangian(functions), or leave gaussian = True"
            )
        if noise.constant is not None:
            constant = np.asarray(noise.constant, dtype=np.float64)
            if constant.shape != (dimension, dimension) or not np.isfinite(constant).all():
                raise ValueError(
                    f"{type(noise).__name__}.constant must be None or a finite matrix ({dimension}, {dimension}), got "
                    f"{noise.constant!r}"
                )
            check_symmetric(constant[None], None, name=f"{type(noise).__name__}.constant")
            check_semidefinite(constant[None], None, name=f"{type(noise).__name__}.constant")

    def __call__(self, x: Array) -> Array:
        d = self.dimension
        a = call_batch(self.noise.covariance, x, shape=(d, d), name=self.name)
        a = check_symmetric(a, x, name=self.name)
        if self.noise.constant is not None:
            gap = np.abs(a - self.noise.constant).max(axis=(1, 2))
            if gap.max(initial=0.0) > _ROUNDING * np.abs(self.noise.constant).max():
                row = int(gap.argmax())
                raise ValueError(
                    f"{self.name} differs from {type(self.noise).__name__}.constant by {gap[row]:.3g} at "
                    f"{format_point(x[row])}; set constant = None where the covariance depends on the state"
                )
        return a

    def check_lagrangian(self, functions: UncheckedFunctions) -> None:
        """Raise ValueError where the noise has a Lagrangian of its own that is none."""
        if type(self.noise).lagrangian is Noise.lagrangian:
            return
        lagrangian = self.noise.lagrangian(functions)
        missing = [name for name in _LAGRANGIAN if not callable(getattr(lagrangian, name, None))]
        if missing:
            raise ValueError(
                f"{type(self.noise).__name__}.lagrangian returned {lagrangian!r}, which lacks {', '.join(missing)}; see "
                "qpot.solvers.problem.lagrangian.Lagrangian"
            )
