"""How sure the selection is: errors of the costs carried through to W and to the selected minimum."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_float_array
from qpot._core.deprecated import renamed_property
from qpot.chain.contraction import Contraction, contraction_of
from qpot.chain.cycles import TIE
from qpot.chain.routes import Routes, as_routes, as_state
from qpot.solvers.chain.exact_sums import to_float

# candidates tried when looking for the one cost whose refinement decides
_TRIED = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The selected minimum and how sure it is.

    Attributes
    ----------
    selected : tuple of int
        Minima with the least W for the given costs; several tie to 1e-12 of W.
    possible : tuple of int
        Minima that cannot be ruled out within the errors (the selected ones included).
    margin : float
        W of the runner-up less W of the selected minimum; infinite without one, zero for a tie.
    certain_margin : float
        Least value of that difference that the errors leave; negative if the runner-up may win.
    refine : (int, int) or None
        The cost whose error matters most for the decision; None if it is certain.
    decides : bool
        Whether knowing that one cost exactly would make the selection certain.
    certainty : str
        "selected with certainty", "tie within error" or "tie".
    """

    selected: tuple[int, ...]
    possible: tuple[int, ...]
    margin: float
    certain_margin: float
    refine: tuple[int, int] | None
    decides: bool
    routes: Routes

    @property
    def certainty(self) -> str:
        if len(self.possible) == 1:
            return "selected with certainty"
        return "tie" if len(self.selected) > 1 and set(self.selected) == set(self.possible) else "tie within error"

    verdict = renamed_property("Selection", "verdict", "certainty")

    def interval(self, i: int) -> tuple[float, float]:
        """Lower and upper bound of W(i) - min W for all costs within the errors.

        What two W-graphs share cancels, so that the interval is narrower than the sum of the errors; it need
        not be the narrowest. Upper bound: no W-graph to i costs more than the present one, compared with the
        best one when the costs on it are highest and all others lowest. Lower bound: the same for the
        selected minimum against i.
        """
        state = as_state(i, self.routes.k, name="i")
        home = contraction_of(self.routes)
        if not home.contains(home.the_closed_class("interval"), state):
            return np.inf, np.inf
        low = 0.0 if state in self.selected else float(_against(self.routes, self.selected[0])[state])
        return max(low, 0.0), max(0.0, -float(_against(self.routes, state).min()))

    def w_interval(self, i: int) -> tuple[float, float]:
        """W(i) with all costs at their lowest and at their highest: the exact range of W(i)."""
        state = as_state(i, self.routes.k, name="i")
        ends = []
        for sign in (-1.0, 1.0):
            costs = np.maximum(self.routes.costs + sign * _errors(self.routes), 0.0)
            moved = contraction_of(replace(self.routes, costs=costs))
            if not moved.contains(moved.the_closed_class("w_interval"), state):
                return np.inf, np.inf
            ends.append(float(_exact_sum(costs[moved.in_tree(state)])))
        return ends[0], ends[1]

    def __repr__(self) -> str:
        text = f"Selection({', '.join(map(str, self.selected))}: {self.certainty}, margin {self.margin:.6g}"
        if self.refine is not None:
            what = "would decide" if self.decides else "matters most"
            text += f", possible {self.possible}, cost {self.refine[0]}->{self.refine[1]} {what}"
        return text + ")"


def selection(costs: Any, *, errors: Any = None) -> Selection:
    """Which minimum is selected as epsilon -> 0, and whether the errors of the costs leave a doubt.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`; a TransitionCosts brings its errors along.
    errors : array ``(k, k)`` or number, optional
        Each cost lies within its error of the given value. A number is used for every cost. Default: those of
        ``costs``, else zero.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If the costs are not such a matrix, there are several closed classes, or an error is negative, NaN or
        infinite.

    Notes
    -----
    "Selected with certainty" is a guarantee: a minimum is ruled out only if its W is larger for all costs
    within the errors.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.certainty import selection
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> selection(costs, errors=0.1)
    Selection(1: selected with certainty, margin 1)
    >>> errors = np.array([[0, 0.3, 0], [0.9, 0, 0.1], [0, 0.1, 0]])
    >>> selection(costs, errors=errors)
    Selection(1: tie within error, margin 1, possible (0, 1), cost 1->0 would decide)
    """
    routes = _with_errors(as_routes(costs), errors)
    contraction = contraction_of(routes)
    home = contraction.the_closed_class("selection")
    members = contraction.members(home)
    best = max(members, key=lambda i: contraction.depth[i])
    size = _exact_sum(routes.costs[contraction.in_tree(best)])
    gaps = {i: to_float(contraction.depth[best] - contraction.depth[i], contraction.exponent) for i in members}
    selected = tuple(i for i in members if gaps[i] <= TIE * size)
    margin = 0.0 if len(selected) > 1 else min((gaps[i] for i in members if i != best), default=np.inf)
    lowest = _against(routes, selected[0], contraction)
    rivals = [i for i in members if i != selected[0] and (lowest[i] <= 0 or i in selected)]
    certain = float(min((lowest[i] for i in members if i != selected[0]), default=np.inf))
    refine, decides = (None, False) if not rivals else _decisive(routes, selected[0], rivals, contraction)
    return Selection(
        selected=selected,
        possible=tuple(sorted({*selected, *rivals})),
        margin=margin,
        certain_margin=certain,
        refine=refine,
        decides=decides,
        routes=routes,
    )


def _with_errors(routes: Routes, errors: Any) -> Routes:
    if errors is None:
        picked = _errors(routes)
    elif np.ndim(errors) == 0:
        picked = np.full(routes.costs.size, as_float_array(errors, name="errors"))
    else:
        matrix = as_float_array(errors, name="errors")
        if matrix.shape != (routes.k, routes.k):
            raise ValueError(f"errors has shape {matrix.shape}, expected ({routes.k}, {routes.k}) or a number")
        picked = matrix[routes.tails, routes.heads]
    bad = ~((picked >= 0) & (picked < np.inf))
    if bad.any():
        e = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"errors[{routes.tails[e]}, {routes.heads[e]}] = {picked[e]} must be a finite number >= 0, since "
            "there is a "
            "route; set the cost to infinity if the route is not known to exist"
        )
    return replace(routes, errors=np.ascontiguousarray(picked, dtype=float))


def _errors(routes: Routes) -> Array:
    return np.zeros(routes.costs.size) if routes.errors is None else routes.errors


def _exact_sum(values: Array) -> float:
    return math.fsum(values)


def _against(routes: Routes, i: int, contraction: Contraction | None = None, tree: Any = None) -> Array:
    """Lower bounds of W(j) - W(i) for all j and all costs within the errors, ``(k,)``.

    W(i) is at most the cost of the present W-graph g to i; what g shares with the graph to j cancels, so the
    worst case has the costs on g at their highest and all others at their lowest.
    """
    g = (contraction_of(routes) if contraction is None else contraction).in_tree(i) if tree is None else tree
    errors = _errors(routes)
    worst = np.maximum(routes.costs - errors, 0.0)
    worst[g] = routes.costs[g] + errors[g]
    moved = contraction_of(replace(routes, costs=worst))
    members = moved.members(moved.the_closed_class("selection"))
    result = np.full(routes.k, np.inf)
    # the depth is constant less W, exactly; the cost of g itself is compared through W(i)
    excess = _exact_sum(np.concatenate([worst[g], -worst[moved.in_tree(i)]]))
    for j in members:
        result[j] = to_float(moved.depth[i] - moved.depth[j], moved.exponent) - excess
    return result


def _decisive(
    routes: Routes, best: int, rivals: list[int], contraction: Contraction
) -> tuple[tuple[int, int] | None, bool]:
    """The cost to refine: one that decides if there is one, else the largest error on the two W-graphs in "
    "question."""
    errors = _errors(routes)
    own = set(contraction.in_tree(best))
    candidates: set[int] = set()
    for rival in rivals[:8]:
        candidates |= own ^ set(contraction.in_tree(rival))
    ranked = sorted((e for e in candidates if errors[e] > 0), key=lambda e: (-errors[e], e))
    for e in ranked[:_TRIED]:
        reduced = errors.copy()
        reduced[e] = 0.0
        lowest = _against(replace(routes, errors=reduced), best, contraction, sorted(own))
        if all(lowest[i] > 0 for i in range(routes.k) if i != best):
            return (int(routes.tails[e]), int(routes.heads[e])), True
    if not ranked:
        return None, False
    return (int(routes.tails[ranked[0]]), int(routes.heads[ranked[0]])), False
