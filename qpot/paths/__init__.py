"""What the noise pays: minimum action paths and their costs.

- `boundaries`: Boundaries of domains that the noise leaves: a ball, a box, a level set of the loss.
- `broken`: Paths that come to rest at another fixed point on their way.
- `choice`: Which path method is taken where none is asked for.
- `degenerate`: Uphill legs under a singular covariance: the noise pushes in some directions, the drift carries it on.
- `downhill`: The free descents that follow a leg: from a saddle to a minimum, along the drift.
- `ends`: The two ends of a path: what kind of points they are, and a user's initial curve between them.
- `escape`: escape_cost: what it costs to leave a minimum, from the minimum itself or from a level of the loss.
- `escape_targets`: Targets of an escape (saddles, points, levels of the loss) and the initial curves towards them.
- `exits`: exit_cost: the cheapest point of a boundary, and what it costs the noise to get there.
- `finish`: The last part of an uphill leg: coarse paths refined until they meet the tolerance, and the cheapest of them.
- `fixed_time`: FixedTimeAction: minimum action in a given time, between two fixed ends.
- `gaussianity`: check_gaussianity: whether Gaussian noise is good enough for the cost of a path.
- `geometric`: GeometricAction: minimum action over all speeds, for systems whose matrices can be formed.
- `infinite`: Infinite costs: where the noise cannot push at all, and the sentence that says why.
- `joined`: Paths put together: pieces that cost nothing, and legs one after the other.
- `large_leg`: One leg in many dimensions, by products instead of matrices.
- `large_preconditioner`: The preconditioner of one leg in many dimensions, chosen by what is known of its system.
- `large_scale`: LargeScaleAction: minimum action in many dimensions, by products only.
- `line`: Uphill legs on a line under bounded noise that can barely hold the drift, found by quadrature.
- `methods`: What a path method is: its options, which check themselves, and its verbs.
- `minimum_action`: minimum_action_path: the cheapest path from an attractor to a point, a saddle or another
  attractor.
- `multi_leg`: Routes of several legs: uphill to saddles, free descents, and through the attractors between them.
- `solution`: PathSolution: a minimum action path with its cost, its error and what lies on its way.
- `starts`: Initial curves for a minimum action path: polylines between two points, bent to many sides.
- `starts_by_products`: Initial curves for a path in many dimensions: a few polylines, made by products only.
- `strong_directions`: The stiff and the noisy directions of a gradient system in many dimensions, found by products.
- `surroundings`: The surroundings of a path's two ends: attractors, and saddles between them.
- `uphill`: One uphill leg: the cheapest path of the noise between two fixed ends, over several initial curves.
"""

from qpot.paths.boundaries import Ball, Box, LossLevel
from qpot.paths.escape import EscapeSolution, escape_cost
from qpot.paths.exits import ExitSolution, exit_cost
from qpot.paths.fixed_time import FixedTimeAction
from qpot.paths.gaussianity import Gaussianity, check_gaussianity
from qpot.paths.geometric import GeometricAction
from qpot.paths.large_scale import LargeScaleAction
from qpot.paths.methods import LegMethod, PathMethod, PathProblem
from qpot.paths.minimum_action import minimum_action_path
from qpot.paths.solution import PathSolution

__all__ = [
    "Ball",
    "Box",
    "EscapeSolution",
    "ExitSolution",
    "FixedTimeAction",
    "Gaussianity",
    "GeometricAction",
    "LargeScaleAction",
    "LegMethod",
    "LossLevel",
    "PathMethod",
    "PathProblem",
    "PathSolution",
    "check_gaussianity",
    "escape_cost",
    "exit_cost",
    "minimum_action_path",
]
