"""Selection: which minimum is selected, and how sure that is given the errors of the costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_float_array
from qpot._core.deprecated import renamed_property
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.types import CostsLike
from qpot.chain.contraction import Contraction, contraction_of
from qpot.chain.cycles import TIE
from qpot.chain.routes import Routes, as_routes, as_state
from qpot.solvers.chain.exact_sums import to_float

# At most this many costs, those of the largest errors, are tried in the search for one whose refinement decides.
_TRIED = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection(Drawn, Saved, figure="plot_selection"):
    """The selected minimum and how sure the selection is.

    Attributes
    ----------
    selected : tuple of int
        The minima with the least W for the given costs; several are a tie, to within 1e-12 of W.
    possible : tuple of int
        The minima that cannot be ruled out within the errors, the selected ones included.
    margin : float
        W of the runner-up less W of the selected minimum; infinite if there is no runner-up, zero for a tie.
    certain_margin : float
        The least value of that difference that the errors allow; negative if the runner-up may be selected instead.
    refine : (int, int) or None
        The cost whose error matters most for the decision; None if the selection is certain.
    decides : bool
        Whether the selection would be certain if that one cost were known exactly.
    certainty : str
        "selected with certainty", "tie within error" or "tie".
    routes : Routes
        The costs with their errors.
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

        The routes that two W-graphs share cancel, so the interval is narrower than the sum of the errors; it need not be
        the narrowest. For the upper bound, W(i) is at most the cost of the present W-graph to i, and that graph is
        compared with the best one when its own costs are at their highest and all others at their lowest. The lower bound
        compares the W-graph to the selected minimum with that to i in the same way.
        """
        state = as_state(i, self.routes.k, name="i")
        home = contraction_of(self.routes)
        if not home.contains(home.the_closed_class("interval"), state):
            return np.inf, np.inf
        low = 0.0 if state in self.selected else float(worst_against(self.routes, self.selected[0])[state])
        return max(low, 0.0), max(0.0, -float(worst_against(self.routes, state).min()))

    def w_interval(self, i: int) -> tuple[float, float]:
        """The exact range of W(i): its values with all costs at their lowest and with all at their highest."""
        state = as_state(i, self.routes.k, name="i")
        ends = []
        for sign in (-1.0, 1.0):
            costs = np.maximum(self.routes.costs + sign * _errors(self.routes), 0.0)
            moved = contraction_of(replace(self.routes, costs=costs))
            if not moved.contains(moved.the_closed_class("w_interval"), state):
                return np.inf, np.inf
            ends.append(float(exact_sum(costs[moved.in_tree(state)])))
        return ends[0], ends[1]

    def __repr__(self) -> str:
        text = f"Selection({', '.join(map(str, self.selected))}: {self.certainty}, margin {self.margin:.6g}"
        if self.refine is not None:
            what = "would decide" if self.decides else "matters most"
            text += f", possible {self.possible}, cost {self.refine[0]}->{self.refine[1]} {what}"
        return text + ")"


@interruptible
def selection(costs: CostsLike | Routes, *, errors: ArrayLike | None = None) -> Selection:
    """Which minimum is selected as epsilon -> 0, and whether the errors of the costs leave a doubt.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`; a TransitionCosts comes with its errors.
    errors : array ``(k, k)`` or number, optional
        Each cost lies within its error of the given value. A number is the error of every cost. By default the errors are
        those of ``costs``, or zero.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If the costs are not such a matrix, if there are several closed classes, or if an error is negative, NaN or
        infinite.

    Notes
    -----
    "Selected with certainty" is a guarantee: a minimum is ruled out only if its W is larger for all costs within the
    errors. W(i) is the minimum over W-graphs of M. I. Freidlin, A. D. Wentzell, Random Perturbations of Dynamical Systems,
    ch. 6.

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
    size = exact_sum(routes.costs[contraction.in_tree(best)])
    gaps = {i: to_float(contraction.depth[best] - contraction.depth[i], contraction.exponent) for i in members}
    selected = tuple(i for i in members if gaps[i] <= TIE * size)
    margin = 0.0 if len(selected) > 1 else min((gaps[i] for i in members if i != best), default=np.inf)
    lowest = worst_against(routes, selected[0], contraction)
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


def _with_errors(routes: Routes, errors: ArrayLike | None) -> Routes:
    """The routes with these errors, or with their own if there are none, checked to be finite and not negative."""
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


def exact_sum(values: Array) -> float:
    """The correctly rounded sum: differences of such sums decide about ties."""
    return math.fsum(values)


def worst_against(
    routes: Routes, i: int, contraction: Contraction | None = None, tree: Sequence[int] | None = None
) -> Array:
    """Lower bounds of W(j) - W(i) for all j and all costs within the errors, ``(k,)``.

    W(i) is at most the cost of the present W-graph g to i, and the routes that g shares with the graph to j cancel; so in
    the worst case the costs on g are at their highest and all others at their lowest.
    """
    g = (contraction_of(routes) if contraction is None else contraction).in_tree(i) if tree is None else tree
    errors = _errors(routes)
    worst = np.maximum(routes.costs - errors, 0.0)
    worst[g] = routes.costs[g] + errors[g]
    moved = contraction_of(replace(routes, costs=worst))
    members = moved.members(moved.the_closed_class("selection"))
    result = np.full(routes.k, np.inf)
    # A depth is a constant less W, exactly. The bound compares W(j) with the cost of g, which may lie above W(i).
    excess = exact_sum(np.concatenate([worst[g], -worst[moved.in_tree(i)]]))
    for j in members:
        result[j] = to_float(moved.depth[i] - moved.depth[j], moved.exponent) - excess
    return result


def _decisive(
    routes: Routes, best: int, rivals: list[int], contraction: Contraction
) -> tuple[tuple[int, int] | None, bool]:
    """The cost to refine, and whether it decides; if no cost does, the one of the largest error is named.

    Only routes matter that are in one of two W-graphs: to the selected minimum and to a rival.
    """
    errors = _errors(routes)
    own = set(contraction.in_tree(best))
    candidates: set[int] = set()
    for rival in rivals[:8]:
        candidates |= own ^ set(contraction.in_tree(rival))
    ranked = sorted((e for e in candidates if errors[e] > 0), key=lambda e: (-errors[e], e))
    for e in ranked[:_TRIED]:
        reduced = errors.copy()
        reduced[e] = 0.0
        lowest = worst_against(replace(routes, errors=reduced), best, contraction, sorted(own))
        if all(lowest[i] > 0 for i in range(routes.k) if i != best):
            return (int(routes.tails[e]), int(routes.heads[e])), True
    if not ranked:
        return None, False
    return (int(routes.tails[ranked[0]]), int(routes.heads[ranked[0]])), False
