"""An optimiser from many starts at once: the shares of them that end somewhere, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, NonFiniteError, as_count, as_float_array, as_points, as_positive
from qpot._core.interrupts import interruptible
from qpot._core.progress import ProgressLike, reporting
from qpot.companions.flows import Flow
from qpot.companions.optimiser_steps import rule_of
from qpot.problem.system import System


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of the starts with a Clopper-Pearson interval, which covers the true share at least at its confidence.

    Attributes
    ----------
    count, total : int
    low, high : float
        The ends of the interval.
    confidence : float
    """

    count: int
    total: int
    low: float
    high: float
    confidence: float

    @property
    def value(self) -> float:
        """The share itself, count / total."""
        return self.count / self.total

    def __repr__(self) -> str:
        return (
            f"Share({self.count} of {self.total}: {self.value:.3f}, {self.confidence:.0%} interval {self.low:.3f} to "
            f"{self.high:.3f})"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowEnsemble:
    """An optimiser from many starts.

    Attributes
    ----------
    steps : (m,) int array
        The steps at which the points were kept, the first 0 and the last the end.
    points : (m, n, d) array
        The points of the n starts at these steps. A point that left the finite numbers is NaN from there on.
    step : float
        One step in units of the flow's time.
    """

    steps: Array
    points: Array
    step: float

    @property
    def ends(self) -> Array:
        """The last points, ``(n, d)``."""
        last: Array = self.points[-1]
        return last

    @property
    def spreads(self) -> Array:
        """The largest distance of a point from the median of all of them at each kept step, ``(m,)``.

        Where it grows from the size of rounding to that of the problem, a single trajectory says nothing more.
        """
        centre = np.nanmedian(self.points, axis=1, keepdims=True)
        return np.asarray(np.nanmax(np.linalg.norm(self.points - centre, axis=2), axis=1))

    def share(self, inside: Callable[[Array], ArrayLike], *, confidence: float = 0.95) -> Share:
        """The share of the starts whose end fulfils a condition.

        Parameters
        ----------
        inside : callable ``(n, d) -> (n,)`` bool
            The condition; NaN points are passed on to it and should not fulfil it.
        confidence : float
            The confidence of the interval, between 0 and 1.

        Returns
        -------
        Share

        Raises
        ------
        ValueError
            If ``confidence`` is not between 0 and 1 or ``inside`` does not return one value for each start.

        Notes
        -----
        The interval is about the law that the starts were drawn from: it holds where they were drawn independently.
        """
        if not 0.0 < confidence < 1.0:
            raise ValueError(f"confidence must be a number between 0 and 1, got {confidence!r}")
        from scipy.stats import binomtest  # Its import takes long.

        found = np.asarray(inside(self.ends))
        total = self.ends.shape[0]
        if found.shape != (total,):
            raise ValueError(f"inside returned shape {found.shape}, expected ({total},): one value for each start")
        count = int(found.astype(bool).sum())
        low, high = binomtest(count, total).proportion_ci(confidence, method="exact")
        return Share(count=count, total=total, low=float(low), high=float(high), confidence=confidence)


@interruptible
def flow_ensemble(
    system: System,
    starts: ArrayLike,
    *,
    flow: Flow,
    step: float,
    steps: int,
    record: int = 1,
    progress: ProgressLike = None,
) -> FlowEnsemble:
    """Take the steps of a flow's optimiser from many starts at once.

    Where steps are chaotic, as the bounded Polyak step in a minimum whose loss is not zero, one trajectory is an accident of
    its rounding. What can be said is a share of starts, and this function gives it with an interval.

    Parameters
    ----------
    system : System
        A system built from a loss.
    starts : array (n, d)
        The starts, drawn independently where an interval is wanted.
    flow : Flow
        A flow with an optimiser; every flow of the library has one.
    step : float
        One step in units of the flow's time.
    steps : int
        The number of steps.
    record : int
        Every how many steps the points are kept; start and end always are.
    progress : callable, bool, "auto" or None
        How progress is reported.

    Returns
    -------
    FlowEnsemble

    Raises
    ------
    ValueError
        If the system has no loss, or another argument is not usable.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> wells = qpot.gallery_companions.QuarticWells()
    >>> starts = 4.0 + 1e-10 * np.random.default_rng(0).random((200, 1))
    >>> runs = qpot.flow_ensemble(
    ...     wells.system, starts, flow=qpot.PolyakFlow(bound=1000.0), step=0.01, steps=2500, record=2500)
    >>> share = runs.share(lambda x: x[:, 0] > wells.saddle)  # those that have not left the upper minimum
    >>> bool(share.low < 0.17 < share.high)
    True
    """
    if not isinstance(system, System) or not system.gradient_drift or system.loss is None:
        raise ValueError("system must be a qpot.System with a loss: build it with System.from_loss or from_finite_sum")
    x = as_points(as_float_array(starts, name="starts"), dimension=system.dimension, name="starts").copy()
    h = as_positive(step, name="step")
    n, every = as_count(steps, name="steps"), as_count(record, name="record")
    rule = rule_of(flow, h)
    kept = sorted({*range(0, n + 1, every), n})
    points = np.full((len(kept), *x.shape), np.nan)
    alive = np.arange(x.shape[0])
    losses, gradients = system.unchecked.loss(x), system.unchecked.gradient(x)
    memory = rule.initial_memory(gradients)
    row = 0
    with reporting(progress, type(flow).__name__) as report, np.errstate(over="ignore", invalid="ignore"):
        for k in range(n + 1):
            if k == kept[row]:
                points[row, alive] = x
                row += 1
            if k == n:
                break
            moves, memory = rule.step(k, losses, gradients, memory)
            x = x + moves
            finite = np.isfinite(x).all(axis=1)
            if not finite.all():
                x, memory, alive = x[finite], memory[finite], alive[finite]
            if not alive.size:
                break
            losses, gradients, fine = _evaluated(system, x)
            x, memory, alive = x[fine], memory[fine], alive[fine]
            if k % 100 == 99 or k == n - 1:
                report(k + 1, n, "steps")
    return FlowEnsemble(steps=np.array(kept), points=points, step=h)


def _evaluated(system: System, x: Array) -> tuple[Array, Array, Array]:
    """Losses and gradients at the points where both are finite, and which of the points these are."""
    assert system.loss is not None
    try:
        return system.unchecked.loss(x), system.unchecked.gradient(x), np.ones(x.shape[0], dtype=bool)
    except NonFiniteError:
        losses, gradients = [], []
        finite = np.zeros(x.shape[0], dtype=bool)
        for k, point in enumerate(x):
            try:
                pair = system.unchecked.loss(point[None])[0], system.unchecked.gradient(point[None])[0]
            except NonFiniteError:
                # This start has run away; its points are NaN from here on.
                continue
            finite[k] = True
            losses.append(pair[0])
            gradients.append(pair[1])
        return np.array(losses), np.array(gradients).reshape(-1, x.shape[1]), finite
