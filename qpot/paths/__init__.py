"""What the noise pays: minimum action paths and their costs.

- `boundaries`: Boundaries of domains that are left: a ball, a box, a level set of the loss.
- `broken`: Paths that come to rest at another fixed point on their way.
- `choice`: Which path method is taken where none is asked for.
- `degenerate`: Uphill legs under a singular covariance: the noise pushes in some directions only and the drift
  carries it on.
- `downhill`: The free descents that follow a leg: from a saddle to a minimum, along the drift.
- `ends`: The two ends of a path: what kind of points they are, and curves between them that a user gives.
- `escape`: escape_cost: what it costs the noise to leave a minimum, from the minimum itself or from a level of the
  loss.
- `escape_targets`: Where an escape goes and the curves that its search starts from: saddles, points and levels of the
  loss.
- `exits`: exit_cost: the cheapest point of a boundary, and what it costs the noise to get there.
- `fixed_time`: Minimum action in a given time: both ends fixed, no tails, the energy H whatever it has to be.
- `gaussianity`: check_gaussianity: whether Gaussian noise is good enough for the cost of a path.
- `geometric`: GeometricAction: minimum action over all speeds, in any number of dimensions in which matrices are at
  hand.
- `infinite`: Where the noise cannot push at all: costs that are infinite, and why.
- `joined`: Paths put together: pieces that cost nothing, and legs one after the other.
- `large_leg`: One leg in many dimensions: products instead of matrices.
- `large_preconditioner`: The preconditioner of one leg in many dimensions, from what is known of its system.
- `large_scale`: LargeScaleAction: minimum action in many dimensions, by products only.
- `line`: Uphill legs on a line under bounded noise that can barely hold the drift: by quadrature, not as a path in
  time.
- `methods`: What a path method is: its options, which check themselves, and its verbs.
- `minimum_action`: minimum_action_path: the cheapest way for the noise from an attractor to a point, a saddle or
  another attractor.
- `multi_leg`: Routes of several legs: uphill to saddles, down for free, and through the attractors between them.
- `solution`: PathSolution: a minimum action path with its cost, its error and what lies on its way.
- `starts`: Where the search for a minimum action path begins: curves between two points, on many sides.
- `starts_by_products`: Where the search for a path in many dimensions begins: a few polylines, made by products only.
- `strong_directions`: The stiff and the noisy directions of a gradient system in many dimensions, found by products.
- `surroundings`: What lies around the two ends of a path: attractors, and saddles between them.
- `uphill`: One leg of a route: uphill between two fixed ends by the noise, or downhill along the drift for free.
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
