"""Minima as states: costs between them as matrices, and what follows from those alone.

- `certainty`: How sure the selection is: errors of the costs carried through to W and to the selected minimum.
- `contraction`: The contraction of the chain: what W-graphs, stationary costs and cycles are read from.
- `cycles`: Freidlin's hierarchy of cycles, and the state the chain sits in at an exponential time.
- `graphs`: The chain as a networkx graph and back, and its disconnectivity tree.
- `passage`: Passage at finite epsilon: mean first passage times, committors, reactive flux; and their exponents.
- `relaxation`: The chain at a finite time and finite epsilon, and the times on which it relaxes.
- `routes`: Routes between minima: the one place where a ``costs`` argument is read and checked.
- `stationary`: The chain of minima at finite epsilon: rates, and the stationary law.
- `training_time`: Where SGD is after a number of steps, over a range of learning rates and training times.
- `w_graphs`: The chain of minima as epsilon -> 0: W-graphs and stationary costs.
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
