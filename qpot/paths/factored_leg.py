"""The action under samples' noise with a floor in many dimensions, in factors that change along the path."""

from __future__ import annotations

from functools import partial

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import SolveError, Status
from qpot.landscape.linear_rates import DENSE
from qpot.problem.floored_motion import KEPT, FlooredMotion
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.paths.factored_hessian import FactoredHessian, strong_basis
from qpot.solvers.paths.large_action import LargeAction
from qpot.solvers.paths.newton_krylov import Linearised
from qpot.solvers.paths.start_search import Eased

# Up to this dimension the preconditioner takes all directions together, and above the strong ones, so many at most.
_WHOLE, _MOST = 320, 256
# Paths are solved under a floor higher by this factor first, and tried from all curves under it.
_EASED = 10.0
# Quadrature points of an element at the degree at which solutions are checked.
_POINTS = 8
# A path has so many elements at least.
_FEWEST = 10


def in_factors(system: System) -> bool:
    """Whether the noise is that of a finite sum's samples with a floor, in more dimensions than matrices are formed in."""
    noise = system.noise
    return isinstance(noise, SampleNoise) and noise.floor > 0.0 and system.dimension > DENSE


def factored_action(total: FiniteSum, floor: float) -> tuple[LargeAction, Linearised]:
    """The action under the samples' covariance plus a floor, and its linearisation."""
    motion = FlooredMotion(total, floor)
    action = LargeAction(motion.drift, motion.transpose_product, motion.solve, None, motion.force, value_first=True)
    return action, FactoredHessian(motion, partial(strong_basis, whole=_WHOLE, most=_MOST))


def eased_in_factors(total: FiniteSum, floor: float) -> Eased:
    """The same under a floor that is higher."""
    return Eased(*factored_action(total, _EASED * floor))


def most_elements(total: FiniteSum) -> int:
    """The number of elements of a path at which the samples' gradients can be kept.

    Raises
    ------
    SolveError
        If it is too small for a path.
    """
    most = KEPT // (_POINTS * total.n_samples * total.dimension)
    if most < _FEWEST:
        raise SolveError(
            f"the gradients of {total.n_samples} samples in {total.dimension} coordinates along a path are more numbers than "
            'are kept; noise="low rank" needs none of them',
            status=Status.NOT_CONVERGED,
        )
    return most


def variances_at(total: FiniteSum, point: Array) -> Array:
    """The variances of one sample's gradient at a point (d,) along its principal directions, (min(N, d),), descending."""
    G = total.gradients_at(point[None])[0]
    G = G - G.mean(axis=0)
    small = G @ G.T if G.shape[0] <= G.shape[1] else G.T @ G
    return np.asarray(np.maximum(np.linalg.eigvalsh(small)[::-1], 0.0) / G.shape[0])
