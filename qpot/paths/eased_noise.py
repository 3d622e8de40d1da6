"""Eased noise: a floor under which a path of samples' noise is solved first, since far from it the exact action is steep."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from qpot._core.arrays import Array
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.solvers.paths.large_action import LargeAction
from qpot.solvers.paths.local_preconditioner import linearised
from qpot.solvers.paths.start_search import Eased

# The floor, relative to the largest eigenvalue of the covariance halfway. Under a higher one the different minimisers of the
# exact action merge into one, and the cheapest may be lost.
_FLOOR = 1e-2


def eased_action(system: System, action: LargeAction, start: Array, end: Array) -> Eased | None:
    """The action with a floor of the noise; None where the noise is not that of samples, or has no lower floor itself."""
    noise = system.noise
    if not isinstance(noise, SampleNoise):
        return None
    floor = _FLOOR * float(noise.eigenvalues_at(0.5 * (start + end))[-1])
    if noise.floor >= floor:
        return None
    motion = SampleNoise(noise.total, floor).local_operators()
    easy = replace(action, drift=motion.drift, solve=motion.solve, force=motion.force, value_first=True)
    return Eased(easy, partial(linearised, easy, motion))
