"""What the noise pays: minimum action paths and their costs.

- `boundaries`: Domains that the noise leaves: balls, boxes, half-spaces, level sets of the loss, and any smooth region.
- `boundary_basin`: The basin of a minimum at the boundary of a domain: what lies in it, certainly elsewhere, or is not
  known to do either.
- `boundary_descent`: Exits by paths with fixed ends, where a path with a free end is not to be had: the end is moved along
  the boundary.
- `boundary_exits`: Exits through a boundary: the local minimisers that the global search finds, refined as far as they
  matter.
- `boundary_fixed_ends`: Exits by paths with fixed ends, where none with a free end can be followed: ranked by the law of
  the linear flow.
- `boundary_samples`: Samples of a whole boundary: where rays from the minimum, and from points that they passed, leave the
  domain.
- `boundary_search`: The global search over a boundary: cheapest paths with a free end, from many starts that cover it.
- `boundary_surfaces`: The smooth pieces that boundaries are made of: spheres, planes, levels of a loss and zeros of any
  smooth function.
- `broken`: Paths that come to rest at another fixed point on their way.
- `choice`: Which path method is taken where none is asked for.
- `control_refinement`: The cheapest controls in the space of samples on finer and finer steps in time, and the error of
  their cost.
- `cycle_ends`: The ends of legs that touch limit cycles: starts of shots, what is left to pay, and surfaces.
- `cycle_exit`: Exits from a basin in the plane that an unstable limit cycle bounds.
- `cycle_guesses`: Initial paths of legs that touch limit cycles: extremals that come close to the target.
- `cycle_legs`: Legs that start on a limit cycle, or cross one: the phases are free, the infinitely many
  turns are cut at tubes.
- `cycle_routes`: Routes with limit cycles: up from a state to a crossing, and down its other side to another state.
- `cycle_target`: Paths to points on or beyond an unstable limit cycle in the plane, which bounds the basin of the start.
- `degenerate`: Uphill legs under a singular covariance: the noise pushes in some directions, the drift carries it on.
- `degenerate_pass`: Legs over degenerate passes, which no path reaches along an unstable direction at a finite rate.
- `downhill`: The free descents that follow a leg: from a saddle to a minimum, along the drift.
- `eased_noise`: Eased noise: a floor under which a path of samples' noise is solved first.
- `ends`: The two ends of a path: what kind of points they are, and a user's initial curve between them.
- `escape`: escape_cost: what it costs to leave a minimum, from the minimum itself or from a level of the loss.
- `escape_targets`: Targets of an escape (saddles, points, levels of the loss) and the initial curves towards them.
- `exit_line`: Exits in one dimension: the cost is an integral, and no path has to be searched for.
- `exit_solution`: ExitSolution: the cheapest way out of a domain, with what the search for it has covered.
- `exits`: boundary_exit: the search for the cheapest point of a boundary, and what it costs the noise to get there.
- `factored_leg`: The action under samples' noise with a floor in many dimensions, in factors.
- `file_fields`: What files hold of the results of this wing, field by field.
- `finish`: The last part of an uphill leg: coarse paths refined until they meet the tolerance, and the cheapest of them.
- `first_controls`: First controls that lead past a saddle under the noise of samples: from noise with a floor, which is
  withdrawn.
- `fixed_time`: FixedTimeAction: minimum action in a given time, between two fixed ends.
- `free_passage`: Passes at which the noise vanishes: legs that cross the stable manifold of a saddle elsewhere, and run
  down it.
- `from_floored_path`: Legs under the exact noise of samples, from a path that was found under noise with a floor.
- `gaussianity`: check_gaussianity: whether Gaussian noise is good enough for the cost of a path.
- `geometric`: GeometricAction: minimum action over all speeds, for systems whose matrices can be formed.
- `gradient_climb`: Climbs against a gradient under noise that is the same everywhere and in all directions: the free
  descent in reverse.
- `infinite`: Infinite costs: where the noise cannot push at all, and the sentence that says why.
- `invariant_subspace`: Subspaces that neither drift nor noise leaves, such as that on which two units of a network are equal.
- `joined`: Paths put together: pieces that cost nothing, and legs one after the other.
- `jump_joints`: The joints of a path that crosses interfaces, moved along them until the sum of the pieces' actions is
  stationary.
- `jumps`: Legs under a covariance that jumps: stationary sums over pieces between interfaces, as in refraction.
- `large_leg`: One leg in many dimensions, by products instead of matrices.
- `large_preconditioner`: The preconditioner of one leg in many dimensions, chosen by what is known of its system.
- `large_scale`: LargeScaleAction: minimum action in many dimensions, by products only.
- `level_noise`: Noise f(loss) times the identity, under which the cost of a climb is an integral over levels.
- `line`: Uphill legs on a line under bounded noise that can barely hold the drift, found by quadrature.
- `lower_floor`: Legs of samples' noise under a lower floor, from the path under a higher one.
- `methods`: What a path method is: its options, which check themselves, and its verbs.
- `minimum_action`: minimum_action_path: the cheapest path from an attractor to a point, a saddle or another
  attractor.
- `multi_leg`: Routes of several legs: uphill to saddles, free descents, and through the attractors between them.
- `overlooked_passes`: Passes inside a domain that reaches beyond the basin: whether the noise leaves the basin before it
  leaves the domain.
- `ranking`: Which of several candidates for a cheapest path is the answer, where some of them were cut off short.
- `ray_starts`: Initial curves in systems that wind: rays of Hamilton's equations that pass close to the end of a path.
- `sample_controls`: Legs under the minibatch noise of a finite sum in many dimensions: the cheapest controls in the space of
  its samples.
- `solution`: PathSolution: a minimum action path with its cost, its error and what lies on its way.
- `shared_descents`: Shared descents: the free descents into one minimum from all the saddles around it, followed
  together.
- `starts`: Initial curves for a minimum action path: polylines between two points, bent to many sides.
- `starts_by_products`: Initial curves for a path in many dimensions: a few polylines, made by products only.
- `strong_directions`: The stiff and the noisy directions of a gradient system in many dimensions, found by products.
- `surroundings`: The surroundings of a path's two ends: attractors, and saddles between them.
- `thin_noise`: Legs under minibatch noise of fewer samples than parameters: the cost between a bound from below and one
  from above.
- `uphill`: One uphill leg: the cheapest path of the noise between two fixed ends, over several initial curves.
- `vanishing_ridge`: Passes on a ridge that no noise crosses: where it vanishes on the ridge to second order, the cost is
  infinite.
- `vanishing_wall`: Walls that no noise crosses: surfaces before a pass on which the noise vanishes and the drift points
  back.
- `weak_noise`: Weak noise on the way: what strips between the points of a path, or a singularity of 2 |b| / a, add to its
  action.
"""

from qpot.paths.boundaries import Ball, Box, Domain, HalfSpace, LossLevel, Region
from qpot.paths.escape import EscapeSolution, escape_cost
from qpot.paths.exit_solution import ExitCoverage, ExitSolution
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
    "Domain",
    "EscapeSolution",
    "ExitCoverage",
    "ExitSolution",
    "FixedTimeAction",
    "Gaussianity",
    "GeometricAction",
    "HalfSpace",
    "LargeScaleAction",
    "LegMethod",
    "LossLevel",
    "PathMethod",
    "PathProblem",
    "PathSolution",
    "Region",
    "check_gaussianity",
    "escape_cost",
    "minimum_action_path",
]
