"""Curves in pieces between interfaces: the sum of their geometric actions, made small by moving all pieces together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from qpot.solvers.common.polyline import lengths_along
from qpot.solvers.paths.curve_action import BatchFunction, _even, _frames, _midpoint, curve_action
from qpot.solvers.paths.interfaces import Interface, Jump, OneSided, interface_at, jumps_along

Array = NDArray[np.float64]

# Nodes of a whole curve, at least so many on each piece.
_NODES, _LEAST = 40, 6
# Quasi-Newton iterations between two looks at where the curve really crosses.
_ITERATIONS = 40
# The curve is cut anew at most so often.
_ROUNDS = 14
# It has settled where its action falls by less than this part.
_SETTLED = 1e-4
# More interfaces than this are too many for a sum over pieces.
MOST = 12
# Interfaces are this good while the curve still moves, as a part of their patch.
_ROUGH = 1e-4
# A patch reaches at most this part of the curve's length.
_PATCH = 0.25


class PiecedCurve:
    """A polyline in pieces that end on interfaces, and what the covariance is on each piece.

    Attributes
    ----------
    pieces : list of array (n, d)
        Each ends where the next begins.
    interfaces : list of Interface
        One between each two pieces.
    sides : list of callable
        The covariance on each piece, continued beyond its ends.
    action : float
        The sum of the pieces' actions under the true covariance.
    """

    def __init__(self, pieces: list[Array], interfaces: list[Interface], covariance: BatchFunction) -> None:
        self.pieces, self.interfaces = pieces, interfaces
        self.sides = sides(covariance, interfaces)
        self.action = np.inf

    @property
    def whole(self) -> Array:
        """All points (n, d), joints once."""
        return np.concatenate([self.pieces[0], *(piece[1:] for piece in self.pieces[1:])])


def sides(covariance: BatchFunction, interfaces: Sequence[Interface]) -> list[OneSided]:
    """The covariance on each of the pieces between interfaces that a curve crosses one after the other."""
    found = []
    for k in range(len(interfaces) + 1):
        faces = [(interfaces[k - 1], 1)] if k else []
        found.append(OneSided(covariance, faces + ([(interfaces[k], -1)] if k < len(interfaces) else [])))
    return found


def cut(drift: BatchFunction, covariance: BatchFunction, curve: Array, accuracy: float = _ROUGH) -> PiecedCurve | None:
    """A curve cut at the jumps of the covariance; None where there are too many or an interface is no smooth surface."""
    jumps = all_jumps(covariance, curve)
    if len(jumps) > MOST:
        return None
    interfaces = []
    for jump in jumps:
        found = interface_at(covariance, jump, _PATCH * float(lengths_along(curve)[-1]), accuracy)
        if found is None:
            return None
        interfaces.append(found)
    result = PiecedCurve(pieces_of(curve, jumps), interfaces, covariance)
    result.action = sum(curve_action(drift, side, x)[0] for x, side in zip(result.pieces, result.sides, strict=True))
    return result


def all_jumps(covariance: BatchFunction, curve: Array) -> list[Jump]:
    """The jumps along a curve, also several within one of the intervals that are looked at first."""
    found = jumps_along(covariance, curve)
    if not found or len(found) > MOST:
        return found
    more: list[Jump] = []
    begin = 0.0
    for k, piece in enumerate(pieces_of(curve, found)):
        margin = 1e-9 * float(lengths_along(curve)[-1])
        more += [
            Jump(begin + j.place, j.before, j.after, j.direction, j.size)
            for j in jumps_along(covariance, piece)
            if margin < j.place < float(lengths_along(piece)[-1]) - margin
        ]
        begin = found[k].place if k < len(found) else 0.0
    return sorted(found + more, key=lambda j: j.place)


def pieces_of(curve: Array, jumps: Sequence[Jump]) -> list[Array]:
    """A polyline (n, d) cut at its jumps."""
    lengths = lengths_along(curve)
    ends = [curve[0], *(0.5 * (j.before + j.after) for j in jumps), curve[-1]]
    places = [0.0, *(j.place for j in jumps), lengths[-1]]
    tiny = 1e-12 * lengths[-1]
    found = []
    for k in range(len(jumps) + 1):
        inside = (lengths > places[k] + tiny) & (lengths < places[k + 1] - tiny)
        found.append(np.concatenate([ends[k][None], curve[inside], ends[k + 1][None]]))
    return found


def settled(
    drift: BatchFunction, jacobian: BatchFunction, covariance: BatchFunction, curve: Array
) -> PiecedCurve | None:
    """A curve of low action near a given one, in pieces; None where the interfaces on its way are not smooth."""
    best: PiecedCurve | None = None
    for _ in range(_ROUNDS):
        current = cut(drift, covariance, curve)
        if current is None:
            return best
        falls = best is None or current.action < best.action * (1.0 - _SETTLED)
        if best is None or current.action < best.action:
            best = current
        if not falls:
            return best
        curve = np.concatenate(
            [x if not k else x[1:] for k, x in enumerate(moved(drift, jacobian, current, iterations=_ITERATIONS))]
        )
    return best


def moved(drift: BatchFunction, jacobian: BatchFunction, curve: PiecedCurve, *, iterations: int) -> list[Array]:
    """The pieces after quasi-Newton steps of all nodes and joints; the joints stay on their interfaces."""
    lengths = np.array([float(lengths_along(x)[-1]) for x in curve.pieces])
    counts = np.maximum(np.ceil(_NODES * lengths / lengths.sum()).astype(int), _LEAST)
    x = [_even(piece, int(n) + 1) for piece, n in zip(curve.pieces, counts, strict=True)]
    d, m = x[0].shape[1], len(curve.interfaces)
    across = [_frames(piece) for piece in x]
    shares = [np.linspace(0.0, 1.0, len(piece))[:, None] for piece in x]
    sizes = [(len(piece) - 2) * (d - 1) for piece in x]
    bounds = np.cumsum([m * (d - 1), *sizes])

    def placed(q: Array) -> list[Array]:
        t = q[: bounds[0]].reshape(m, d - 1)
        shift = [np.zeros(d), *(i.point(u) - i.origin for i, u in zip(curve.interfaces, t, strict=True)), np.zeros(d)]
        pieces = []
        for k, piece in enumerate(x):
            # A joint takes the piece's nodes with it, so that a step along the interface is a smooth change.
            y = piece + (1.0 - shares[k]) * shift[k] + shares[k] * shift[k + 1]
            own = q[bounds[k] : bounds[k + 1]].reshape(-1, d - 1)
            y[1:-1] += np.einsum("kij,kj->ki", across[k], own)
            pieces.append(y)
        return pieces

    def cost(q: Array) -> tuple[float, Array]:
        t = q[: bounds[0]].reshape(m, d - 1)
        gradient, total = np.zeros(q.size), 0.0
        pulls = np.zeros((m + 2, d))
        for k, piece in enumerate(placed(q)):
            value, slope = _midpoint(drift, jacobian, curve.sides[k], piece)
            total += value
            gradient[bounds[k] : bounds[k + 1]] = np.einsum("kij,ki->kj", across[k], slope[1:-1]).ravel()
            pulls[k] += ((1.0 - shares[k]) * slope).sum(axis=0)
            pulls[k + 1] += (shares[k] * slope).sum(axis=0)
        along = [i.tangents(u).T @ pull for i, u, pull in zip(curve.interfaces, t, pulls[1:-1], strict=True)]
        gradient[: bounds[0]] = np.array(along).ravel()
        return total, gradient

    box = [(-i.radius, i.radius) for i in curve.interfaces for _ in range(d - 1)] + [(None, None)] * sum(sizes)
    options = {"maxiter": iterations, "maxcor": 30, "ftol": 1e-7, "gtol": 0.0}
    found = minimize(cost, np.zeros(bounds[-1]), jac=True, method="L-BFGS-B", bounds=box, options=options).x
    return placed(found if np.isfinite(found).all() else np.zeros(bounds[-1]))
