"""Units: the coordinates, times and noise in which a problem is solved, and how results are read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.interrupts import Interruption
from qpot._core.status import SolveError
from qpot.problem.system import System


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Coordinates y with x = centre + lengths y, and units of time, noise and loss.

    A system in these units has the drift ``time b / lengths`` and the covariance ``noise time a / (lengths lengths^T)``. Its
    costs times ``noise`` are those of the system in x. All units are powers of two, so that no translation rounds where the
    centre is zero.

    Attributes
    ----------
    system : System
        The system to whose coordinates the methods lead.
    centre, lengths : array (d,)
    time, noise, loss : float
        ``loss`` is the loss's unit: the loss in the user's units is that here times it.
    note : str
        A sentence on the units, for messages that name points; empty on the way into them.
    """

    system: System
    centre: Array
    lengths: Array
    time: float
    noise: float
    loss: float
    note: str = ""

    # Whether vectors at different positions are multiplied by different factors, as in a `Chart`.
    bent: ClassVar[bool] = False

    def points(self, y: Array) -> Array:
        """Positions ``(..., d)``."""
        return np.asarray(self.centre + self.lengths * y, dtype=np.float64)

    def corners(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """The corners of a box."""
        return self.points(lower), self.points(upper)

    def faces(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """The corners of a box, where infinite entries stand for faces that are not there."""
        return self.points(lower), self.points(upper)

    def positions(self, x: Array) -> Array:
        """The positions that have these coordinates here."""
        raise NotImplementedError(f"{type(self).__name__} is linear: its positions are those of its inverse")

    def directions(self, v: Array, at: Array | None = None) -> Array:
        """Unit vectors along the directions ``(..., d)`` at positions ``(..., d)``, which are given in y."""
        moved = self.lengths * v
        # Entries are divided by the largest first, since their squares may be beyond the range of floats.
        moved = moved / np.abs(moved).max(axis=-1, keepdims=True)
        return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True), dtype=np.float64)

    def momenta(self, p: Array, at: Array | None = None) -> Array:
        """Momenta ``(..., d)``, which are gradients of costs, at positions ``(..., d)``."""
        return np.asarray(self.noise * p / self.lengths, dtype=np.float64)

    def matrices(self, matrix: Array, at: Array | None = None) -> Array:
        """Minus the Jacobian of the drift ``(d, d)`` at a position ``(d,)``; that of a gradient is exactly symmetric."""
        moved = matrix * self.lengths[:, None] / self.lengths / self.time
        if self.system.gradient_drift:
            moved = 0.5 * (moved + np.swapaxes(moved, -1, -2))
        return np.asarray(moved, dtype=np.float64)

    def rates(self, rates: NDArray[Any], matrix: Array) -> NDArray[Any]:
        """The relaxation rates ``(n,)``, the eigenvalues of a ``matrix`` that is given in the new coordinates."""
        return np.asarray(rates / self.time)

    def residual(self, point: Array) -> float:
        """The norm of the drift at a point ``(d,)`` that is given in these coordinates."""
        return float(np.linalg.norm(self.system.unchecked.drift(point[None])[0]))

    def read(self, value: Any) -> Any:
        """A result in the coordinates to which these units lead; whatever has no coordinates is returned as it is."""
        if hasattr(value, "in_units"):
            return value.in_units(self)
        if isinstance(value, (tuple, list)):
            return type(value)(self.read(item) for item in value)
        if isinstance(value, Mapping):
            return {key: self.read(item) for key, item in value.items()}
        return value

    def remark(self, text: str) -> str:
        """A sentence that may name points, which keep their coordinates; it then says which these are."""
        return f"{text} [{self.note}]" if self.note and "(" in text else text

    def error(self, error: ValueError | SolveError | Interruption) -> ValueError | SolveError | Interruption:
        """An error with its point or its partial result in these coordinates, and a message that says which it names."""
        # The message of a user's function, which the rescaled one passes on, names the point as the user knows it.
        known = isinstance(error.__cause__, NonFiniteError)
        text = f"{error} [{self.note}]" if self.note and not known else str(error)
        if isinstance(error, NonFiniteError):
            return NonFiniteError(text, self.points(error.point))
        if isinstance(error, Interruption):
            return Interruption(text, self.read(error.partial))
        if isinstance(error, SolveError):
            return SolveError(text, status=error.status, partial=self.read(error.partial))
        return ValueError(text) if type(error) is ValueError else error
