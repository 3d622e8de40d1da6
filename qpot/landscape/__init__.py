"""Where the drift rests: minima, saddles, basins, symmetries.

- `attractor`: Does a fixed point attract? Asked in one place, and answered with one message for each way of failing.
- `basins`: Basins: which minimum the deterministic flow carries a point to.
- `by_products`: Minima and saddles in many dimensions from given starting points: products, and no search of a box.
- `flatness`: Flat directions: manifolds of minima told from minima that are merely not quadratic, and named.
- `flow`: The free way down: along the drift from a saddle, or from anywhere, to a fixed point.
- `flow_by_products`: The drift's trajectories in many dimensions, few of their points kept, and the initial curves
  made from them.
- `linear_rates`: Linear rates at a fixed point in many dimensions, from products of the drift's Jacobian.
- `minima`: Minima and saddles: found, polished by Newton's method, verified, and told apart.
- `points`: Minima and saddles: the nouns, and the scales on which two of them are one or a direction is flat.
- `saddles`: Saddles between minima: two searches, classification, and the minima that each connects.
- `symmetric_saddles`: Saddles modulo symmetries: each seen from the representative minimum on either side.
- `symmetry`: Symmetries of a loss: signed permutations of coordinates, and the hidden units of dense layers.
- `tolerant`: The drift for searches that must survive points at which a user's function fails.
"""

from qpot.landscape.basins import Neighbourhoods, attracting_neighbourhoods, basin_of
from qpot.landscape.flatness import FlatDirections, flat_directions
from qpot.landscape.minima import find_minima
from qpot.landscape.points import Minimum, Saddle, SaddleView, as_minimum
from qpot.landscape.saddles import find_saddles
from qpot.landscape.symmetry import DenseLayerSymmetries, SignedPermutations, dense_layer_symmetries

__all__ = [
    "DenseLayerSymmetries",
    "FlatDirections",
    "Minimum",
    "Neighbourhoods",
    "Saddle",
    "SaddleView",
    "SignedPermutations",
    "as_minimum",
    "attracting_neighbourhoods",
    "basin_of",
    "dense_layer_symmetries",
    "find_minima",
    "find_saddles",
    "flat_directions",
]
