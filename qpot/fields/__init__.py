"""The quasi-potential on grids in one to three dimensions.

- `assembly`: What the methods on grids share: the source's patch, the march of line integrals, and how a field is put
  together.
- `characteristic_jets`: CharacteristicJets: the field by rays that carry Taylor polynomials, other basins over
  saddles, holes, level, error.
- `checks`: What a field is checked for before and after it is solved: memory, regular covariance, smooth
  coefficients.
- `cycles`: Limit cycles that a field meets in the plane: unstable ones bound a basin as saddles do, stable ones end
  free ways down.
- `entrances`: Ways into a saddle: the rays that end there, followed backwards, with the cost of the rest of the way.
- `grid`: Grid: the box of equally spaced nodes on which a field lives.
- `methods`: What a field method is: its options, which check themselves, and its verb.
- `misfits`: How well values and gradients at neighbouring nodes agree.
- `ordered_line_integral`: OrderedLineIntegral: the field by one pass of straight pieces over the nodes, in the order
  of V.
- `outliers`: Single nodes that all of their neighbours contradict: the cubics through the neighbours replace them.
- `passages`: Other basins: the field goes on over every saddle, and from every attractor, that its rays reach.
- `run`: What every stage of a field solve needs, and the loop that runs the rays in slices.
- `solution`: FieldSolution: the quasi-potential of one attractor on a grid, with its gradient and its paths.
- `solve`: quasipotential: V(source, x) on a whole grid, in one to three dimensions.
- `sources`: Sources of fields: equilibria and limit cycles, checked, refined, and turned into Taylor polynomials of
  V.
- `values`: FieldValues: the numbers of a quasi-potential on a grid, and what lies between the nodes.
- `walk`: Walking back from a point to the source along the characteristics of a field, over saddles where it must.
- `whole`: The quasi-potential of the whole landscape: what -epsilon log of the stationary density tends to.
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
