"""The quadratic model of the action of a path whose ends move on surfaces, and the path after a step of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded

from qpot.solvers.paths.action import FullExpansion
from qpot.solvers.paths.banded_steps import LADDER
from qpot.solvers.paths.elements import ElementPath

Array = NDArray[np.float64]

# The logarithm of the duration changes by no more than this in one step.
_LONGEST = 1.0


class Surface(Protocol):
    """A surface c(x) = 0 with a gradient that does not vanish on it."""

    def normal(self, x: Array) -> Array:
        """Gradient (d,) of c at a point (d,)."""
        ...

    def curvature(self, x: Array) -> Array:
        """Hessian (d, d) of c at a point (d,)."""
        ...

    def projected(self, x: Array) -> Array:
        """The point (d,) of the surface near a point (d,)."""
        ...


@dataclass(frozen=True)
class FreeEnds:
    """Which ends of a path may move.

    Attributes
    ----------
    start, end : Surface or None
        Surface on which the first or the last node may move; None holds it.
    time : bool
        Whether the duration may change.
    level : float
        Where ends slide along a curved family of paths that cost almost the same, the relative decrease of the action that is
        not worth following it for. It counts as part of the decrement.
    """

    start: Surface | None = None
    end: Surface | None = None
    time: bool = False
    level: float = 0.0


@dataclass(frozen=True)
class QuadraticModel:
    """The quadratic model of the action in the admissible directions.

    Attributes
    ----------
    gradient : array (n,)
        First derivatives in the coordinates of the nodes; an end on a surface has coordinates along its frame.
    band : array (bandwidth + 1, n)
        Second derivatives in lower band storage.
    border : array (n,)
        Mixed derivatives in the coordinates and in the logarithm of the time scale.
    slope, curvature : float
        Derivatives in that logarithm.
    frames : tuple of array (d, d) or None
        For each end on a surface, orthonormal columns of which the first is the normal.
    time : bool
        Whether the duration may change.
    """

    gradient: Array
    band: Array
    border: Array
    slope: float
    curvature: float
    frames: tuple[Array | None, Array | None]
    time: bool

    def step(self, mu: float) -> tuple[Array, float] | None:
        """The Newton step with a relative shift ``mu``; None where the shifted Hessian is not positive definite."""
        shifted = self.band.copy()
        shifted[0] += mu * np.maximum(np.abs(self.band[0]), 1e-300)
        try:
            factor = cholesky_banded(shifted, lower=True, overwrite_ab=True, check_finite=False)
        except LinAlgError:
            return None
        nodes = -cho_solve_banded((factor, True), self.gradient, check_finite=False)
        scale = 0.0
        if self.time:
            carried = cho_solve_banded((factor, True), self.border, check_finite=False)
            schur = self.curvature + mu * abs(self.curvature) - float(self.border @ carried)
            if not schur > 0.0:
                return None
            scale = -(self.slope + float(self.border @ nodes)) / schur
            nodes = nodes - scale * carried
        return (nodes, scale) if np.isfinite(nodes).all() and np.isfinite(scale) else None

    def promised(self, step: tuple[Array, float]) -> float:
        """Half the decrease that the step's first-order term promises."""
        return -0.5 * (float(self.gradient @ step[0]) + self.slope * step[1] * self.time)

    def softer(self, target: float) -> tuple[float, list[tuple[Array, float]]]:
        """What a step without a floor promises, and the steps with shifts below the floor that promise more than ``target``.

        See `qpot.solvers.paths.banded_steps.softer_steps`.
        """
        steps, most = [], 0.0
        for shift in LADDER:
            step = self.step(shift)
            if step is None:
                continue
            promised = self.promised(step)
            most = max(most, promised)
            if promised <= target:
                break
            steps.append(step)
        return most, steps


def quadratic_model(e: FullExpansion, path: ElementPath, ends: FreeEnds) -> QuadraticModel:
    d = path.nodes.shape[1]
    n = path.nodes.size
    gradient, border, band = e.gradient.ravel().copy(), e.mixed.ravel().copy(), e.band.copy()
    frames: list[Array | None] = []
    for first, surface, x in ((0, ends.start, path.nodes[0]), (n - d, ends.end, path.nodes[-1])):
        own = slice(first, first + d)
        if surface is None:
            frames.append(None)
            held = range(d)
        else:
            normal = surface.normal(x)
            frame = _frame(normal)
            frames.append(frame)
            multiplier = float(gradient[own] @ normal) / float(normal @ normal)
            _turn(band, first, frame, -multiplier * surface.curvature(x))
            gradient[own], border[own] = frame.T @ gradient[own], frame.T @ border[own]
            held = range(1)
        for k in held:
            _hold(band, first + k)
            gradient[first + k] = border[first + k] = 0.0
    return QuadraticModel(gradient, band, border, e.slope, e.curvature, (frames[0], frames[1]), ends.time)


def _frame(normal: Array) -> Array:
    """Orthonormal columns, the first along the normal."""
    q, _ = np.linalg.qr(np.concatenate([normal[:, None], np.eye(normal.size)], axis=1))
    return np.asarray(q, dtype=np.float64)


def _turn(band: Array, first: int, frame: Array, added: Array) -> None:
    """Turn the coordinates of one node into a frame, in lower band storage, after adding to its diagonal block."""
    d, (width, n) = frame.shape[0], band.shape
    own = np.arange(first, first + d)
    others = np.array(
        [k for k in range(max(0, first + d - width), min(n, first + width)) if not first <= k < first + d]
    )
    for rows, is_own in ((own, True), (others, False)):
        if rows.size == 0:
            continue
        high, low = np.maximum(rows[:, None], own), np.minimum(rows[:, None], own)
        inside = high - low < width
        block = np.where(inside, band[np.where(inside, high - low, 0), low], 0.0)
        block = frame.T @ (block + added) @ frame if is_own else block @ frame
        band[(high - low)[inside], low[inside]] = block[inside]


def _hold(band: Array, k: int) -> None:
    """Decouple one unknown, which stays where it is because its gradient is zero."""
    width, n = band.shape
    band[1 : min(width, n - k), k] = 0.0
    for offset in range(1, min(width, k + 1)):
        band[offset, k - offset] = 0.0
    band[0, k] = 1.0


def moved(
    path: ElementPath, step: tuple[Array, float], frames: tuple[Array | None, Array | None], ends: FreeEnds
) -> ElementPath | None:
    """The path after a step, with ends back on their surfaces; None where that fails or the duration changes too much."""
    change, scale = step
    if abs(scale) > _LONGEST:
        return None
    moves = change.reshape(path.nodes.shape).copy()
    nodes = path.nodes + moves
    for row, frame, surface in ((0, frames[0], ends.start), (-1, frames[1], ends.end)):
        nodes[row] = path.nodes[row]
        if frame is not None and surface is not None and frame.shape[0] > 1:
            try:
                nodes[row] = surface.projected(path.nodes[row] + frame @ moves[row])
            except ValueError:  # A user function is not finite there, so that the step was too long.
                return None
    breaks = path.breaks[0] + np.exp(scale) * (path.breaks - path.breaks[0])
    return replace(path, nodes=nodes, breaks=breaks) if np.isfinite(nodes).all() else None
