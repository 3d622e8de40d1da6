"""The quasi-potential on grids in one to three dimensions.

- `assembly`: What the field methods share: the source's patch, the march, and how a field is put together.
- `characteristic_jets`: CharacteristicJets: the field by rays that carry Taylor polynomials, with an estimate of its
  error.
- `charted`: Fields of systems whose coordinates end: solved in coordinates without sides, and read at the nodes that the user
  wants.
- `checks`: What is checked before a field is solved: memory, regular covariance, smooth coefficients.
- `claims`: Which nodes of a field have no support: nothing carries their value to them, or a path undercuts it.
- `cycles`: Limit cycles as passages in the plane: unstable ones bound a basin, stable ones attract.
- `doors`: Doors: V at saddles on the border of a basin, from the rays inside that basin alone.
- `entrances`: Entrances: the cheapest ray into a saddle, found among the rays that end there, followed backwards.
- `equilibria`: Equilibria of the drift in a grid, by Newton's method from the cells in which the drift may vanish.
- `errors`: Errors of a field: for every node, and the largest.
- `file_fields`: What files hold of the results of this wing, field by field.
- `grid`: Grid: the box of equally spaced nodes on which a field lives.
- `methods`: FieldMethod: what a field method is: its options, which check themselves, and its verb.
- `misfits`: How well values and gradients at neighbouring nodes agree.
- `ordered_line_integral`: OrderedLineIntegral: the field by one pass over the nodes in the order of V, by straight
  pieces.
- `outliers`: Outliers: single nodes that the cubics through their neighbours contradict, and replace.
- `passages`: Passages: the field goes on over every saddle and unstable cycle, and from every attractor, that its
  rays reach.
- `relaunched`: Doubtful nodes get the value of a ray that is followed back from them; those to which none leads are
  marked.
- `run`: FieldRun: what every stage of a field solve needs, and the loop that runs the sweep in slices.
- `solution`: FieldSolution: the quasi-potential of one attractor on a grid, with its gradient and its paths.
- `solve`: quasipotential: V(source, x) on a whole grid, in one to three dimensions.
- `sources`: Source: an equilibrium or a limit cycle, checked, refined, and turned into Taylor polynomials of V.
- `tables`: Fields as labelled arrays.
- `values`: FieldValues: V and its gradient at the nodes of a grid, between them, and the passages.
- `walk`: Paths of a field: followed backwards from a point to the source, over saddles if need be.
- `whole`: GlobalField: the quasi-potential of the whole landscape, the limit of -epsilon log of the stationary
  density.
"""

from qpot.fields.characteristic_jets import CharacteristicJets
from qpot.fields.grid import Grid
from qpot.fields.methods import FieldMethod
from qpot.fields.ordered_line_integral import OrderedLineIntegral
from qpot.fields.solution import FieldSolution
from qpot.fields.solve import quasipotential
from qpot.fields.values import Passage
from qpot.fields.whole import GlobalField, global_quasipotential

__all__ = [
    "CharacteristicJets",
    "FieldMethod",
    "FieldSolution",
    "GlobalField",
    "Grid",
    "OrderedLineIntegral",
    "Passage",
    "global_quasipotential",
    "quasipotential",
]
