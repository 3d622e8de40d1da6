"""Where the drift rests: minima, saddles, basins, symmetries, periods.

- `attractor`: Attractors: whether a fixed point attracts, with one error message for each reason why it does not.
- `basins`: Basins: the minimum to which the deterministic flow carries a point.
- `borders`: Borders of basins: trajectories that start on them run into the saddles that separate the basins.
- `by_products`: Minima and saddles in many dimensions: from given starting points, by products with the Jacobian.
- `classified`: Fixed points as saddles: their rates, and where the flow leads from both sides, in few calls.
- `climbs`: Climbs to saddles of a loss: from highest points of rough bands, and out of minima along slow modes.
- `connections`: Connections in many dimensions: strings between nearest images of minima, until passes join them into one
  chain.
- `coverage`: Coverage: the minima of a search together with how often each was hit and how much of the box may hold others.
- `curved_gauges`: Continuous symmetries of a model's layers: rotations between linear layers, and scalings of units.
- `cycle_search`: The search for limit cycles: from trajectories that do not rest, and in the plane from cycle to cycle.
- `cycle_sides`: Where the flow leads beside cycles and saddles, when some of the states are limit cycles.
- `descended`: Descents of a loss from given starts, one task for each, so that they may run side by side and be kept.
- `destinations`: Destinations: the attractors to which the flow leads, in and around a box, found as trajectories reach them.
- `exits_by_noise`: Exits by noise: where a model's noise leaves the basin of a minimum, and over which pass.
- `faces`: Faces of a box: the lowest loss on them, below which nothing leaves the box.
- `fates`: Fates: whether the flow carries a point to one minimum, certainly elsewhere, or is not known to do either.
- `file_fields`: What files hold of the results of this wing, field by field.
- `flatness`: Flat directions: they distinguish manifolds of minima from minima that are merely not quadratic.
- `flow`: Descents: the drift's trajectories, which cost no action, from a point to a fixed point.
- `flow_by_products`: Descents in many dimensions: the drift's trajectories, of which few points are kept.
- `images`: Images: all points that a group of symmetries makes of one, with the neighbourhoods that attract there.
- `index_sums`: Index sums: whether the fixed points found in a box add up to what the drift on its boundary asks for.
- `kinks`: Kinks of a loss: minima at which its gradient jumps, and descents that slide along the bottom of a kink.
- `lifts`: Lifts: where trajectories on a torus or a cylinder end in R^d, as a minimum and the whole periods to its image.
- `limit_cycle`: Limit cycles as objects: closed orbits of the drift, which stand among the minima as states of the chain.
- `linear_rates`: Linear rates at a fixed point in many dimensions, from products with the drift's Jacobian.
- `lowered_passes`: Passes on which a band has not settled, lowered along straight lines: creases of a loss hold its images
  back.
- `minima`: Minima: a multi-start finds them, Newton's method polishes them, and the Jacobian verifies them.
- `orbits`: Orbits of a model's continuous symmetries: minima that are isolated but for them, counted as one each.
- `outside`: What lies outside the box: minima and passes just beyond it are followed, and what stays outside is named.
- `pass_sides`: The two sides of a summit: points below it, and whether a rim hides before them.
- `passes`: Mountain passes of a loss without Newton's method: bands between minima, and water that floods a grid.
- `passes_outside`: Passes around a box: fixed points with one unstable direction, as far as one box length from it.
- `periods`: Periods: the axes on which drift and noise repeat, and the one cell in which points are kept.
- `plateaus`: Degenerate rests that are no minima: from a plateau or a degenerate pass a band leads down to another minimum.
- `points`: Minima and saddles as objects, and the scales on which two of them are one or a direction is flat.
- `quotient_symmetry`: QuotientSymmetry: symmetries of a loss in the coordinates of which gauge directions were divided out.
- `saddle_list`: The saddles that a search has found, together with what its budget left unsearched.
- `saddles`: Saddles between minima: two searches find them, and the flow decides which minima each connects.
- `scaled_loss`: A loss in units of the box, as bands descend on it.
- `search`: The search for minima: descents from starts in rounds, until the basins that no start has hit are small.
- `states`: States that attract: minima together with stable limit cycles, and what lies between them.
- `symmetric_saddles`: Saddles modulo symmetries: one of each class, with its images next to the minima on both sides.
- `symmetry`: Symmetries of a loss: signed permutations of coordinates, and the hidden units of dense layers.
- `training`: Minima of a model from training runs: many descents, counted modulo symmetries, with a bound on what they
  miss.
- `tolerant`: A drift and a loss that are NaN, instead of an error, at points at which a user's function fails.
- `torus_saddles`: The search for saddles on a torus: in R^d, between the minima of one cell and their images around it.
- `unit_symmetries`: Symmetries of a model's units, found in the model itself; points are aligned by assignments of units to
  units.
"""

from qpot.landscape.basins import Neighbourhoods, attracting_neighbourhoods, basin_of
from qpot.landscape.coverage import Coverage, Minima
from qpot.landscape.cycle_search import find_limit_cycles
from qpot.landscape.flatness import FlatDirections, flat_directions
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.minima import find_minima
from qpot.landscape.periods import Periods
from qpot.landscape.points import Minimum, Saddle, SaddleView, as_minimum
from qpot.landscape.quotient_symmetry import QuotientSymmetry
from qpot.landscape.saddle_list import Saddles
from qpot.landscape.saddles import find_saddles
from qpot.landscape.symmetry import DenseLayerSymmetries, SignedPermutations, dense_layer_symmetries
from qpot.landscape.unit_symmetries import UnitSymmetries, symmetries_of

__all__ = [
    "Coverage",
    "DenseLayerSymmetries",
    "FlatDirections",
    "LimitCycle",
    "Minima",
    "Minimum",
    "Neighbourhoods",
    "Periods",
    "QuotientSymmetry",
    "Saddle",
    "SaddleView",
    "Saddles",
    "SignedPermutations",
    "UnitSymmetries",
    "as_minimum",
    "attracting_neighbourhoods",
    "basin_of",
    "dense_layer_symmetries",
    "find_limit_cycles",
    "find_minima",
    "find_saddles",
    "flat_directions",
    "symmetries_of",
]
