"""Escapes told by descents: for noise whose cloud around a minimum is wider than the ball that tells an arrival.

In many dimensions the samples around a minimum j lie at a distance of about (epsilon tr S_j)^(1/2) from it, S_j the
covariance of the linear motion per epsilon. Where the largest ball that surely belongs to the basin is smaller, a replica
that has escaped stays outside the ball for long, and times come out too large, the more so the larger the noise is. Here
a replica has escaped at the first of several looks, a share of a relaxation time apart, at all of which the flow takes it
to the other minimum.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtr

from qpot._core.arrays import Array
from qpot.landscape.basins import Neighbourhoods, attracting_neighbourhoods, basin_of
from qpot.landscape.images import with_images
from qpot.landscape.symmetry import Symmetry
from qpot.problem.system import System
from qpot.samples.formulas import Integers
from qpot.simulation.ensemble import Ensemble
from qpot.simulation.escapes import EscapeTimes
from qpot.simulation.simulate import simulate_diffusion, simulate_sgd
from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.common.spending import spent

# A replica has escaped if so many looks in a row find it in the basin of one other minimum.
_LOOKS = 3
# The ball that tells an arrival is wide enough if it holds this share of the cloud: a replica is then soon within it.
_WITHIN = 0.1
# At most so many looks at a run, and so many of them before replicas that have escaped are put aside.
_MOST_LOOKS, _AHEAD = 1000, 8


class Surroundings:
    """The minima with their images, their basins, and the size of the cloud around each per root of epsilon."""

    def __init__(self, system: System, minima: Array, group: Symmetry | None) -> None:
        self.system, self.minima = system, minima
        own = attracting_neighbourhoods(system, minima)
        self.radii: Array = own.radii
        self.near: Neighbourhoods = own
        self.classes: Integers = np.arange(len(minima))
        if group is not None:
            self.near, self.classes = with_images(own, group)
        jacobians, noise = system.unchecked.jacobian(minima), system.unchecked.covariance(minima)
        self.spreads = np.array(
            [np.sqrt(np.trace(stationary_covariance(J, a))) for J, a in zip(jacobians, noise, strict=True)]
        )

    def balls_suffice(self, home: int, epsilon: float) -> bool:
        """Whether the balls of all minima but ``home`` hold enough of the clouds around them."""
        # The cloud is taken to be round, which makes the share within a ball a chi-square probability.
        d = self.minima.shape[1]
        wide = chdtr(d, d * self.radii**2 / (epsilon * self.spreads**2)) < _WITHIN
        wide[home] = False
        return not wide.any()

    def labels(self, points: Array, home: int, before: NDArray[np.bool_]) -> Integers:
        """The minimum to which the flow takes each of the points ``(n, replicas, d)`` at successive looks.

        Points that are nearest to ``home`` are taken to be there, unless the look before or after finds the replica nearer
        to another minimum; ``before`` says so of the look before the first.
        """
        flat = points.reshape(-1, points.shape[2])
        nearest = ((self.near.points**2).sum(axis=1) - 2.0 * flat @ self.near.points.T).argmin(axis=1)
        away = (self.classes[nearest] != home).reshape(points.shape[:2])
        asked = away.copy()
        asked[1:] |= away[:-1]
        asked[:-1] |= away[1:]
        asked[0] |= before
        labels = np.full(asked.shape, home)
        if asked.any():
            found = basin_of(self.system, points[asked], self.near.points, neighbourhoods=self.near)
            labels[asked] = np.where(found >= 0, self.classes[found], -1)
        return labels


def settled_escapes(
    around: Surroundings,
    home: int,
    *,
    steps: int,
    replicas: int,
    between: int,
    settings: dict[str, Any],
    rng: np.random.Generator,
    executor: Executor | None = None,
) -> EscapeTimes:
    """Run replicas from the minimum ``home`` for ``steps`` steps, and look at them every ``between`` steps.

    Replicas that are in no basin of a known minimum go on. Those that have begun to be elsewhere when the run ends are
    counted as having stayed. The run ends early when its CPU time is over.
    """
    simulate = simulate_sgd if "learning_rate" in settings else simulate_diffusion
    between = max(between, -(-steps // _MOST_LOOKS))
    looks = max(steps // between, _LOOKS + 1)
    points = np.tile(around.minima[home], (replicas, 1))
    rows = np.arange(replicas)  # Those that are still watched.
    taken = np.full(replicas, looks * between, dtype=np.int64)
    destination = np.full(replicas, -1, dtype=np.int64)
    seen, last = np.zeros(replicas, dtype=np.int64), np.full(replicas, home)
    facts: Ensemble | None = None
    done = 0
    while done < looks and rows.size and not (facts is not None and spent()):
        ahead = int(min(looks - done, _AHEAD))
        facts = simulate(
            around.system, steps=ahead * between, start=points[rows], replicas=rows.size,
            record=(between * np.arange(1, ahead + 1)).tolist(), rng=rng, executor=executor, **settings,
        )  # fmt: skip
        if len(facts.points) < ahead:
            break  # The time was over in the middle of this run.
        points[rows] = facts.points[-1]
        for look, labels in enumerate(around.labels(facts.points, home, seen[rows] > 0), start=done + 1):
            away = (labels != home) & (labels >= 0) & (seen[rows] < _LOOKS)
            settled = seen[rows] >= _LOOKS
            seen[rows] = np.where(settled, _LOOKS, np.where(away, np.where(labels == last[rows], seen[rows] + 1, 1), 0))
            last[rows] = np.where(settled, last[rows], labels)
            arrived = rows[(seen[rows] == _LOOKS) & ~settled]
            taken[arrived], destination[arrived] = (look - _LOOKS + 1) * between, last[arrived]
        rows = rows[seen[rows] < _LOOKS]
        done += ahead
    assert facts is not None  # There is at least one look.
    taken[rows] = np.minimum(taken[rows], max(done, 1) * between)
    return EscapeTimes(
        steps=taken, destination=destination, home=home, time_step=facts.learning_rate, epsilon=facts.epsilon,
        learning_rate=settings.get("learning_rate"), batch_size=settings.get("batch_size"), minima=around.minima,
        system=around.system,
    )  # fmt: skip
