"""Curves in pieces between interfaces: the sum of their geometric actions, made small by moving all pieces together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from qpot.solvers.common.polyline import lengths_along
from qpot.solvers.paths.curve_action import BatchFunction, _even, _frames, _midpoint, curve_action
from qpot.solvers.paths.interfaces import Interface, Jump, OneSided, centred, interface_at, jumps_along

Array = NDArray[np.float64]

# Nodes of a whole curve, at least so many on each piece.
_NODES, _LEAST = 40, 6
# Quasi-Newton iterations between two looks at where the curve really crosses.
_ITERATIONS = 40
# Where the action rises nodes and joints move by this share of what they did, down to the least share.
_SHORTER, _SHORTEST = 0.25, 0.01
# The curve is cut anew at most so often.
_ROUNDS = 20
# It has settled where its action falls by less than this part.
_SETTLED = 1e-4
# A curve along interfaces has so many nodes, one after the other, and so many iterations for each number.
_FINER, _MORE = (40, 80, 160), (200, 300, 500)
# What a polyline of so many nodes costs more than a smooth curve, as a part of the action, at least.
_POLYLINE = 2e-5
# A piece that runs along an interface cuts its bends by less than this part of its length.
_NEAR = 5e-3
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
    final : Interface or None
        The surface on which the curve may end.
    settled : bool
        Whether the curve has come to a minimum.
    """

    def __init__(self, pieces: list[Array], interfaces: list[Interface], covariance: BatchFunction) -> None:
        self.pieces, self.interfaces = pieces, interfaces
        self.sides = sides(covariance, interfaces)
        self.action = np.inf
        self.final: Interface | None = None
        self.settled = False

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


def cut(
    drift: BatchFunction,
    covariance: BatchFunction,
    curve: Array,
    *,
    final: Callable[[Array], Array] | None = None,
) -> PiecedCurve | None:
    """A curve cut at the jumps of the covariance; None where there are too many or an interface is no smooth surface.

    Parameters
    ----------
    final : callable (n, d) -> (n,), optional
        A function that vanishes where the curve may end, and is negative before; None holds the end.
    """
    jumps = all_jumps(covariance, curve)
    if len(jumps) > MOST:
        return None
    interfaces = []
    for jump in jumps:
        found = interface_at(covariance, jump, _PATCH * float(lengths_along(curve)[-1]), _ROUGH)
        if found is None:
            return None
        interfaces.append(found)
    result = PiecedCurve(pieces_of(curve, jumps), interfaces, covariance)
    if final is not None:
        result.final = _final(final, curve)
        if result.final is None:
            return None
    result.action = sum(curve_action(drift, side, x)[0] for x, side in zip(result.pieces, result.sides, strict=True))
    return result


def _final(function: Callable[[Array], Array], curve: Array) -> Interface | None:
    """The patch of a surface around the end of a curve that ends on it."""

    def indicator(x: Array) -> Array:
        return np.where(function(x) < 0.0, 1.0, 2.0)[:, None, None]

    length = float(lengths_along(curve)[-1])
    before = curve[np.flatnonzero(np.linalg.norm(curve - curve[-1], axis=1) > 1e-9 * length)[-1]]
    direction = (curve[-1] - before) / np.linalg.norm(curve[-1] - before)
    for reach in (1e-6, 1e-3):
        ends = curve[-1] + reach * length * np.outer([-1.0, 1.0], direction)
        jumps = jumps_along(indicator, ends)
        if len(jumps) == 1:
            return interface_at(indicator, jumps[0], _PATCH * length, _ROUGH)
    return None


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
            Jump(begin + j.place, j.before, j.after, j.direction, j.values)
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
    drift: BatchFunction,
    jacobian: BatchFunction,
    covariance: BatchFunction,
    curve: Array,
    *,
    final: Callable[[Array], Array] | None = None,
) -> PiecedCurve | None:
    """A curve of low action near a given one, in pieces; None where the interfaces on its way are not smooth.

    ``final`` is as for `cut`.
    """
    best = cut(drift, covariance, curve, final=final)
    if best is None:
        return None
    reach = 1.0
    for _ in range(_ROUNDS):
        pieces, promised = moved(drift, jacobian, best, reach=reach)
        current = cut(drift, covariance, _together(pieces), final=final)
        if current is not None and len(current.interfaces) > 2:
            current = _straightened(drift, covariance, current, final)
        if current is not None and current.action < best.action:
            falls = current.action < best.action * (1.0 - _SETTLED)
            best = current
            best.settled = not falls
            if not falls:
                return best
            reach = min(2.0 * reach, 1.0)
        elif promised > best.action * (1.0 - _SETTLED):
            best.settled = True
            return best
        else:
            # The pieces promise less only beyond their sides, so that a shorter step is tried.
            reach *= _SHORTER
            if reach < _SHORTEST:
                return best
    return best


def _together(pieces: Sequence[Array]) -> Array:
    return np.concatenate([x if not k else x[1:] for k, x in enumerate(pieces)])


def _straightened(
    drift: BatchFunction, covariance: BatchFunction, curve: PiecedCurve, final: Callable[[Array], Array] | None
) -> PiecedCurve:
    """The curve, or one with a chord in the place of pieces between interfaces that need not be crossed, if that is lower."""
    best, m = curve, len(curve.interfaces)
    for first, last in {(0, m - 1), (1, m - 1), (0, m - 2)}:
        before, after = curve.pieces[: first + 1], curve.pieces[last + 1 :]
        chord = np.linspace(before[-1][len(before[-1]) // 2], after[0][len(after[0]) // 2], 9)
        before = [*before[:-1], before[-1][: len(before[-1]) // 2], chord]
        straight = _together([*before, after[0][len(after[0]) // 2 :], *after[1:]])
        shorter = cut(drift, covariance, straight, final=final)
        if shorter is not None and shorter.action < best.action:
            best = shorter
    return best


def moved(
    drift: BatchFunction,
    jacobian: BatchFunction,
    curve: PiecedCurve,
    *,
    reach: float = 1.0,
    nodes: int = _NODES,
    iterations: int = _ITERATIONS,
    held: bool = False,
) -> tuple[list[Array], float]:
    """The pieces after quasi-Newton steps of all nodes and joints, and their action under the covariances of their sides.

    The joints stay on their interfaces; nodes and joints move by at most the share ``reach`` of a patch. If the nodes are
    ``held``, those that would pass an interface stay on it, so that a piece may run along it.
    """
    lengths = np.array([float(lengths_along(x)[-1]) for x in curve.pieces])
    counts = np.maximum(np.ceil(nodes * lengths / lengths.sum()).astype(int), _LEAST)
    x = [_even(piece, int(n) + 1) for piece, n in zip(curve.pieces, counts, strict=True)]
    joints = [*curve.interfaces, *([] if curve.final is None else [curve.final])]
    d, m = x[0].shape[1], len(joints)
    across = [_frames(piece) for piece in x]
    shares = [np.linspace(0.0, 1.0, len(piece))[:, None] for piece in x]
    sizes = [(len(piece) - 2) * (d - 1) for piece in x]
    bounds = np.cumsum([m * (d - 1), *sizes])

    def placed(q: Array) -> list[Array]:
        t = q[: bounds[0]].reshape(m, d - 1)
        shift = [np.zeros(d), *(i.point(u) - i.origin for i, u in zip(joints, t, strict=True)), np.zeros(d)]
        pieces = []
        for k, piece in enumerate(x):
            # A joint takes the piece's nodes with it, so that a step along the interface is a smooth change.
            y = piece + (1.0 - shares[k]) * shift[k] + shares[k] * shift[k + 1]
            own = q[bounds[k] : bounds[k + 1]].reshape(-1, d - 1)
            y[1:-1] += np.einsum("kij,kj->ki", across[k], own)
            pieces.append(y)
        return pieces

    def kept(pieces: list[Array]) -> list[Array]:
        if not held:
            return pieces
        return [
            np.concatenate([y[:1], side.kept(y[1:-1]), y[-1:]]) for side, y in zip(curve.sides, pieces, strict=True)
        ]

    def cost(q: Array) -> tuple[float, Array]:
        t = q[: bounds[0]].reshape(m, d - 1)
        gradient, total = np.zeros(q.size), 0.0
        pulls = np.zeros((len(x) + 1, d))
        free = placed(q)
        for k, piece in enumerate(kept(free)):
            value, slope = _midpoint(drift, jacobian, curve.sides[k], piece)
            total += value
            if held:
                slope[1:-1] = curve.sides[k].pulled(free[k][1:-1], slope[1:-1])
            gradient[bounds[k] : bounds[k + 1]] = np.einsum("kij,ki->kj", across[k], slope[1:-1]).ravel()
            pulls[k] += ((1.0 - shares[k]) * slope).sum(axis=0)
            pulls[k + 1] += (shares[k] * slope).sum(axis=0)
        along = [i.tangents(u).T @ pull for i, u, pull in zip(joints, t, pulls[1 : m + 1], strict=True)]
        gradient[: bounds[0]] = np.array(along).ravel()
        return total, gradient

    limit = _PATCH * reach * float(lengths.sum())
    box = [(-reach * i.radius, reach * i.radius) for i in joints for _ in range(d - 1)] + [(-limit, limit)] * sum(sizes)
    options = {"maxiter": iterations, "maxcor": 30, "ftol": 1e-9 if held else 1e-7, "gtol": 0.0}
    found = minimize(cost, np.zeros(bounds[-1]), jac=True, method="L-BFGS-B", bounds=box, options=options)
    if not np.isfinite(found.x).all() or not np.isfinite(found.fun):
        return x, curve.action
    return kept(placed(found.x)), float(found.fun)


def along_interfaces(
    drift: BatchFunction,
    jacobian: BatchFunction,
    covariance: BatchFunction,
    curve: PiecedCurve,
    *,
    final: Callable[[Array], Array] | None = None,
) -> tuple[PiecedCurve, float] | None:
    """A curve of low action whose pieces may run along the interfaces, and how much its action changed with the nodes.

    Every piece stays on its side and has that side's covariance where it runs along an interface. None is returned where a
    piece leaves the patches along which its side is known. ``final`` is as for `cut`.
    """
    found: list[float] = []
    error = np.inf
    for n, iterations in zip(_FINER, _MORE, strict=True):
        reach = 1.0 if not found else 0.3
        pieces, _ = moved(drift, jacobian, curve, reach=reach, nodes=n, iterations=iterations, held=True)
        joints = [i.local(x[-1:])[0][0] for i, x in zip(curve.interfaces, pieces, strict=False)]
        interfaces = centred(covariance, curve.interfaces, joints, _ROUGH)
        if interfaces is None:
            return None
        curve = PiecedCurve(pieces, interfaces, covariance)
        if final is not None:
            curve.final = _final(final, curve.whole)
            if curve.final is None:
                return None
        values = [curve_action(drift, side, x) for x, side in zip(pieces, curve.sides, strict=True)]
        curve.action, error = sum(v for v, _ in values), sum(e for _, e in values)
        found.append(curve.action)
    if not all(_on_its_side(side, x) for side, x in zip(curve.sides, curve.pieces, strict=True)):
        return None
    # The nodes are twice as many each time, and the rule is of second order where the curve is smooth.
    return curve, error + 4.0 * abs(found[-1] - found[-2]) + _POLYLINE * abs(found[-1])


def _on_its_side(side: OneSided, curve: Array) -> bool:
    """Whether a piece leaves its side nowhere but at the interfaces that bound it."""
    away = np.linalg.norm(side.kept(curve) - curve, axis=1).max()
    near = _NEAR * float(lengths_along(curve)[-1])
    if away > near:
        return False
    return all(
        any(float(np.abs(i.local(jump.before[None])[1][0])) <= near for i, _ in side.faces)
        for jump in jumps_along(side.covariance, curve)
    )
