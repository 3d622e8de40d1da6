"""The hard-margin support vector machine through the origin (`separate`), or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array
from qpot._core.deprecated import renamed_property
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot.companions.margin_losses import signed_samples
from qpot.solvers.companions import max_margin

# Slack <w, z> - 1 below which a sample counts as lying on the margin.
_ON_MARGIN = 1e-6
# The number of samples that an error message names.
_SHOWN = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class HardMargin(Drawn, Saved, figure="plot_separation"):
    r"""The separating hyperplane through the origin with the largest geometric margin.

    Attributes
    ----------
    normal : (d,) array
        The vector w that minimises \|w\|^2 subject to y_i <w, x_i> >= 1.
    duals : (N,) array
        The dual variables alpha_i >= 0, with w = sum alpha_i y_i x_i. They are not unique if the support vectors are
        linearly dependent.
    signed_samples : (N, d) array
        The samples z_i = y_i x_i with their labels absorbed.
    """

    normal: Array
    duals: Array
    signed_samples: Array

    @property
    def geometric_margin(self) -> float:
        r"""The distance gamma = 1/\|w\| of the nearest sample from the hyperplane."""
        return float(1.0 / np.linalg.norm(self.normal))

    margin = renamed_property("HardMargin", "margin", "geometric_margin")

    @property
    def direction(self) -> Array:
        r"""The unit vector w/\|w\|, ``(d,)``."""
        return self.normal / np.linalg.norm(self.normal)

    @property
    def support(self) -> NDArray[np.intp]:
        """Indices of the support vectors, the samples on the margin whose dual is positive."""
        return self.support_within(_ON_MARGIN)

    def support_within(self, slack: float) -> NDArray[np.intp]:
        """Indices of the samples with <w, z> - 1 < ``slack`` and a dual above 1e-8 of the largest."""
        weighty = self.duals > 1e-8 * self.duals.max()
        return np.flatnonzero(weighty & (self.signed_samples @ self.normal < 1.0 + slack))

    def conditions(self) -> KKT:
        """The violations of the optimality conditions."""
        return kkt_conditions(self.signed_samples, self.normal, self.duals)

    def __repr__(self) -> str:
        count = f"{self.support.size} support vectors of {self.duals.size} samples"
        return f"HardMargin(geometric_margin={self.geometric_margin:.6g}, {count})"


@dataclass(frozen=True, kw_only=True)
class KKT:
    r"""Violations of the Karush-Kuhn-Tucker conditions of the hard-margin problem; all are zero at its solution.

    Attributes
    ----------
    stationarity : float
        \|w - sum alpha_i z_i\| / \|w\|.
    primal : float
        max(0, 1 - min_i <w, z_i>).
    dual : float
        max(0, -min_i alpha_i) / sum alpha.
    complementarity : float
        max_i \|alpha_i (<w, z_i> - 1)\| / sum alpha.
    """

    stationarity: float
    primal: float
    dual: float
    complementarity: float

    @property
    def worst(self) -> float:
        """The largest violation."""
        return max(self.stationarity, self.primal, self.dual, self.complementarity)


def kkt_conditions(samples: Array, normal: Array, duals: Array) -> KKT:
    """The violations of the optimality conditions by (w, alpha), for samples with their labels absorbed."""
    slack = samples @ normal - 1.0
    total = float(np.abs(duals).sum())
    return KKT(
        stationarity=float(np.linalg.norm(normal - samples.T @ duals) / np.linalg.norm(normal)),
        primal=max(0.0, -float(slack.min())),
        dual=max(0.0, -float(duals.min())) / total,
        complementarity=float(np.abs(duals * slack).max()) / total,
    )


@interruptible
def separate(X: ArrayLike, y: ArrayLike) -> HardMargin:
    """The hard-margin support vector machine through the origin, by an active-set method and without a penalty.

    Parameters
    ----------
    X : (N, d) array
        Samples as rows; append a column of ones for an intercept.
    y : (N,) array
        Labels +1 and -1.

    Returns
    -------
    HardMargin

    Raises
    ------
    ValueError
        If no hyperplane through the origin separates the data. The message names contradictory pairs of samples; if there
        are none, it names the samples with u_i > 0 in a certificate sum u_i y_i x_i = 0, u >= 0, which shows that no w
        has <w, y_i x_i> > 0 for all of them.
    SolveError
        If what was found violates the optimality conditions (`HardMargin.conditions`) by more than 1e-6. The answer is in
        ``.partial``.

    Notes
    -----
    The dual problem asks for the point of the convex hull of the y_i x_i that is nearest to the origin. It is solved as a
    least-distance problem (Lawson and Hanson, Solving Least Squares Problems, chapter 23). The optimality conditions of the
    answer are checked, and a second method is tried where they do not hold.

    Examples
    --------
    >>> import qpot
    >>> machine = qpot.separate([[2.0, 0.0], [0.0, -1.0], [3.0, 3.0]], [1, -1, 1])
    >>> machine.normal, machine.duals, machine.support
    (array([0.5, 1. ]), array([0.25, 1.  , 0.  ]), array([0, 1]))
    """
    Z = signed_samples(X, y)
    refuse_contradictions(Z)
    normal, duals, status = max_margin.hard_margin(Z)
    machine = HardMargin(normal=normal, duals=duals, signed_samples=Z)
    if status == max_margin.NOT_SOLVED:
        raise SolveError(
            f"the conditions of the hard margin are violated by {machine.conditions().worst:.2g} by the best answer of two "
            "methods; rescale the features of X to one size, or remove samples that nearly contradict each other",
            status=Status.NOT_CONVERGED,
            partial=machine,
        )
    if status == max_margin.NOT_SEPARABLE:
        guilty = np.flatnonzero(duals > 0)
        raise ValueError(
            "X, y are not linearly separable through the origin: no hyperplane has samples "
            f"{_listed(guilty)} on their sides (a positive combination of them vanishes). Remove or relabel "
            "some of them, add features (a column of ones gives an intercept), or use a penalised loss: "
            "qpot.margin_sum(X, y, penalty=...)"
        )
    return machine


def refuse_contradictions(Z: Array) -> None:
    """Raise ValueError if a signed sample is zero or exactly the opposite of another."""
    zero = np.flatnonzero(~Z.any(axis=1))
    if zero.size:
        raise ValueError(
            f"X is zero in rows {_listed(zero)}: no hyperplane through the origin gives them a margin; "
            f"remove them or "
            "append a column of ones"
        )
    seen: dict[bytes, int] = {}
    pairs = []
    # Rows are compared by their bytes, and adding 0.0 turns -0.0 into 0.0.
    for i, row in enumerate(Z + 0.0):
        if (j := seen.get((0.0 - row).tobytes())) is not None:
            pairs.append((j, i))
        seen.setdefault(row.tobytes(), i)
    if pairs:
        raise ValueError(
            "X, y contain contradictory samples, the same point with opposite labels (or mirrored points "
            f"with equal labels): pairs {_listed(pairs)}; no hyperplane through the origin separates them. "
            "Remove or relabel one of each pair"
        )


def merge_duplicates(Z: Array, *, merge: bool) -> tuple[Array, Array]:
    """The distinct rows of ``Z`` in order of appearance, and their counts.

    Raises ValueError if there are repeated rows and ``merge`` is false.
    """
    _, first, inverse, counts = np.unique(Z, axis=0, return_index=True, return_inverse=True, return_counts=True)
    if (counts > 1).any() and not merge:
        groups = [tuple(np.flatnonzero(inverse.ravel() == k).tolist()) for k in np.flatnonzero(counts > 1)]
        raise ValueError(
            f"X, y contain duplicated samples {_listed(sorted(groups))}: their dual variables are not "
            f"unique. "
            'Remove the copies, or pass duplicates="merge" to give each distinct sample its multiplicity'
        )
    order = np.argsort(first)
    return Z[first[order]], counts[order].astype(float)


def _listed(items: NDArray[np.intp] | Sequence[tuple[int, ...]]) -> str:
    """The first few items as text, and the number of the others."""
    shown = [str(tuple(int(k) for k in item)) if isinstance(item, tuple) else str(int(item)) for item in items[:_SHOWN]]
    more = len(items) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
