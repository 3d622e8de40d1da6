"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?"""

from qpot import gallery
from qpot.basins import basin_of
from qpot.chain import WGraph, stationary_costs, w_graph
from qpot.costs import TransitionCosts, transition_costs
from qpot.critical_points import Minimum, Saddle, find_minima
from qpot.cycles import Cycle, cycle_hierarchy, metastable_state
from qpot.ensemble import Ensemble, Occupation
from qpot.escapes import ExitTimes, exit_times
from qpot.field import quasipotential
from qpot.field_methods import CharacteristicJets, OrderedLineIntegral
from qpot.field_solution import FieldSolution
from qpot.finite_sums import (
    embedded_double_well_sum,
    least_squares_sum,
    logistic_sum,
    phase_retrieval_sum,
    quadratic_sum,
    sinusoid_sum,
)
from qpot.global_field import GlobalField, global_quasipotential
from qpot.grid import Grid
from qpot.methods import GeometricAction
from qpot.minimum_action import minimum_action_path
from qpot.prediction import Prediction, predict, prediction_from_costs
from qpot.progress import reporting
from qpot.saddles import find_saddles
from qpot.sgd import FiniteSum
from qpot.simulation import simulate_diffusion, simulate_sgd
from qpot.solution import PathSolution, SolveError, Status
from qpot.stationary_law import stationary_distribution
from qpot.system import System

__version__ = "0.1.0"

__all__ = [
    "CharacteristicJets",
    "Cycle",
    "Ensemble",
    "ExitTimes",
    "FieldSolution",
    "FiniteSum",
    "GeometricAction",
    "GlobalField",
    "Grid",
    "Minimum",
    "Occupation",
    "OrderedLineIntegral",
    "PathSolution",
    "Prediction",
    "Saddle",
    "SolveError",
    "Status",
    "System",
    "TransitionCosts",
    "WGraph",
    "basin_of",
    "cycle_hierarchy",
    "embedded_double_well_sum",
    "exit_times",
    "find_minima",
    "find_saddles",
    "gallery",
    "global_quasipotential",
    "least_squares_sum",
    "logistic_sum",
    "metastable_state",
    "minimum_action_path",
    "phase_retrieval_sum",
    "predict",
    "prediction_from_costs",
    "quadratic_sum",
    "quasipotential",
    "reporting",
    "simulate_diffusion",
    "simulate_sgd",
    "sinusoid_sum",
    "stationary_costs",
    "stationary_distribution",
    "transition_costs",
    "w_graph",
]
