"""Minima as states: costs between them as matrices, and what follows from those alone.

- `certainty`: Selection: which minimum is selected, and how sure that is given the errors of the costs.
- `contraction`: The contraction of the chain: nested sets that W-graphs, stationary costs and cycles are read from.
- `cycles`: Freidlin's hierarchy of cycles, and the minimum in which the chain sits at an exponential time.
- `exact_hitting`: Exponents of hitting times without rounding: the sparse elimination on numbers of several limbs.
- `file_fields`: What files hold of the results of this wing, field by field.
- `graphs`: The chain as a networkx graph and back, and its disconnectivity tree.
- `intervals`: Selection where some costs are known as intervals: what is selected for all values within them, and what
  may be.
- `passage`: Mean first passage times, committors and reactive flux at finite epsilon, and exponents of times.
- `relaxation`: The law of the chain at a finite time and finite epsilon, and its relaxation times.
- `routes`: Routes between minima: the one place where a ``costs`` argument is read and checked.
- `stationary`: The stationary law of the chain of minima at finite epsilon, and the rates behind it.
- `tables`: Tables of costs in the forms in which users hold them: sparse matrices of every kind, tables with labels, masks.
- `training_time`: Training-time diagrams: where SGD is, over a range of learning rates and numbers of steps.
- `w_graphs`: W-graphs and stationary costs: the chain of minima as epsilon -> 0.
"""

from qpot.chain.certainty import Selection, selection
from qpot.chain.cycles import Cycle, cycle_hierarchy, metastable_state
from qpot.chain.graphs import DisconnectivityTree, as_graph, disconnectivity_tree, from_graph, loss_costs
from qpot.chain.passage import ReactiveFlux, committor, hitting_exponents, mean_first_passage_times, reactive_flux
from qpot.chain.relaxation import occupation_after
from qpot.chain.stationary import stationary_distribution
from qpot.chain.training_time import TrainingTimeDiagram, training_time_diagram
from qpot.chain.w_graphs import WGraph, stationary_costs, w_graph

__all__ = [
    "Cycle",
    "DisconnectivityTree",
    "ReactiveFlux",
    "Selection",
    "TrainingTimeDiagram",
    "WGraph",
    "as_graph",
    "committor",
    "cycle_hierarchy",
    "disconnectivity_tree",
    "from_graph",
    "hitting_exponents",
    "loss_costs",
    "mean_first_passage_times",
    "metastable_state",
    "occupation_after",
    "reactive_flux",
    "selection",
    "stationary_costs",
    "stationary_distribution",
    "training_time_diagram",
    "w_graph",
]
