"""Cut corners: paths cheaper than a sum of climbs because they turn off before they reach a minimum on their way.

A path from i to j that crosses the basin of k need not come to k: it may turn off on its way down, towards the next ridge,
and save a part of the climb from k. Then V(i, j) as the cheapest sum of climbs is above the infimum over all paths, although
no pass is missing. Such a path is named in a note where no stationary cost depends on it. `qpot.prediction.across_basins`
says when one may, and solves those.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.classified import Labels
from qpot.landscape.flow import descents
from qpot.landscape.lifts import LiftedLabels
from qpot.paths.gradient_climb import isotropic_strength
from qpot.prediction.across_basins import weights_differ
from qpot.prediction.costs import Hole, TransitionCosts
from qpot.problem.system import System
from qpot.solvers.paths.curve_action import curve_action, shortened, smooth

# More points than this part of a path at which the flow leads to none of the minima mean that it crosses an unknown basin.
_UNKNOWN = 0.1
# In every basin so many points of a path are joined to its minimum.
_JOINTS = 5
# Points on each piece of a path at which its highest loss is looked for.
_BETWEEN = 8
# A path that falls short of a known climb by this part only, between two of its points, does not show a missing pass; nor do
# stationary costs count as changed that change by it only.
_SHORT = 1e-3
# Nodes of a curve whose action is minimised, and the iterations.
_NODES, _ITERATIONS = 25, 40


def cuts_corners(
    system: System, costs: TransitionCosts, path: Hole, label: Labels | LiftedLabels, points: Array
) -> bool:
    """Whether a path is cheaper than the sum of the climbs only because it turns off before a minimum on its way.

    For each basin that the path crosses, curves from its minimum to the point where the path leaves it are drawn, along the
    descents from points of the path. None of them may cost less than V of that crossing: one that does shows a missing pass.

    Parameters
    ----------
    label : callable
        The ids of the minima to which points (n, d) flow, with -1 for none.
    points : array (k, d)
        The minima.
    """
    ids = np.asarray(label(path.path))
    if (ids < 0).mean() > _UNKNOWN:
        return False
    rows = np.flatnonzero(ids >= 0)
    seen = ids[rows]
    borders = np.flatnonzero(np.diff(seen)) + 1
    parts = [rows[a:b] for a, b in pairwise([0, *borders.tolist(), len(rows)])]
    basins = [int(ids[part[0]]) for part in parts]
    if len(set(basins)) < 3 or basins[0] != path.start or basins[-1] != path.end:
        return False
    for n, (home, away) in enumerate(pairwise(basins)):
        piece = path.path[parts[n][0] : parts[n + 1][0] + 1]
        known = (1.0 - _SHORT) * float(costs.values[home, away] - costs.errors[home, away])
        at = points[home]
        if isinstance(label, LiftedLabels):
            at = at + label.lifted(piece[:1])[1][0]
        if not _climb(system, at, piece, whole=n == 0) >= known:
            return False
    return True


def weightless(costs: TransitionCosts, corners: Sequence[Hole]) -> list[Hole]:
    """Those of the paths that cut corners without which, and with which, all stationary costs are the same."""

    def changed(some: Sequence[Hole]) -> bool:
        direct = costs.direct.copy()
        for path in some:
            direct[path.start, path.end] = min(direct[path.start, path.end], path.value + path.error)
        return weights_differ(costs.direct, direct, _SHORT)

    return list(corners) if not changed(corners) else [path for path in corners if not changed([path])]


def _climb(system: System, minimum: Array, piece: Array, *, whole: bool) -> float:
    """The least that a curve costs from a minimum to the last point of a piece (n, d) of a path, as far as is seen.

    ``whole`` says that the piece itself begins at the minimum. NaN where no point of it is seen to flow there.
    """
    f = system.unchecked
    strength = isotropic_strength(system)
    if system.gradient_drift and system.loss is not None and strength is not None:
        # No curve from the minimum over the highest point of the piece costs less.
        s = np.linspace(0.0, 1.0, _BETWEEN, endpoint=False)[:, None, None]
        between = (piece[:-1] + s * np.diff(piece, axis=0)).reshape(-1, piece.shape[1])
        return 2.0 * float(f.loss(between).max() - f.loss(minimum[None])[0]) / strength
    curves = [piece] if whole else []
    joints = np.unique(np.linspace(0, len(piece) - 2, _JOINTS).astype(int))
    for k, way in zip(joints, descents(system, piece[joints], towards=minimum), strict=True):
        if way is not None:
            curves.append(np.concatenate([minimum[None], way[1][::-1], piece[k + 1 :]]))
    best = np.nan
    for curve in curves:
        shorter = shortened(f.drift, f.jacobian, f.covariance, curve, _NODES, iterations=_ITERATIONS)
        for drawn in (curve, smooth(shorter, 4)):
            action, error = curve_action(f.drift, f.covariance, drawn)
            if np.isfinite(action):
                best = np.fmin(best, action + error)
    return float(best)
