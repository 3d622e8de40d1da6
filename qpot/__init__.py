"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?"""

from qpot import gallery, gallery_companions
from qpot.basins import basin_of
from qpot.boundaries import Ball, Box, LossLevel
from qpot.certainty import selection
from qpot.chain import WGraph, stationary_costs, w_graph
from qpot.chain_graphs import as_graph, from_graph
from qpot.costs import TransitionCosts, transition_costs
from qpot.critical_points import Minimum, Saddle, find_minima
from qpot.cycles import Cycle, cycle_hierarchy, metastable_state
from qpot.ensemble import Ensemble, Occupation
from qpot.escapes import ExitTimes, exit_times
from qpot.exact_noise import random_steps
from qpot.exits import ExitSolution, exit_cost
from qpot.field import quasipotential
from qpot.field_methods import CharacteristicJets, OrderedLineIntegral
from qpot.field_opinion import FieldOpinion, with_field_opinion
from qpot.field_solution import FieldSolution
from qpot.finite_sums import (
    embedded_double_well_sum,
    least_squares_sum,
    logistic_sum,
    phase_retrieval_sum,
    quadratic_sum,
    sinusoid_sum,
    welsch_sum,
)
from qpot.flatness import FlatDirections, flat_directions
from qpot.flow_trajectory import EventDriven, FixedStep, FlowTrajectory, integrate_flow
from qpot.flows import GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow
from qpot.gaussianity import Gaussianity, check_gaussianity
from qpot.global_field import GlobalField, global_quasipotential
from qpot.gradient_checks import check_gradients
from qpot.gradient_covariance import (
    CovarianceEstimate,
    DiagonalCovariance,
    ExactCovariance,
    LowRankCovariance,
    SubsampledCovariance,
    estimate_covariance,
    low_rank_covariance,
)
from qpot.grid import Grid
from qpot.jax_models import from_jax
from qpot.label_noise import label_noise_covariance, label_noise_sum
from qpot.level_costs import EscapeSolution, escape_cost
from qpot.margin import MarginFlow, MarginLaws, margin_flow, svc_separation
from qpot.margin_losses import Exponential, Hinge, HuberisedHinge, Logistic, SquaredHinge, margin_sum
from qpot.methods import FixedTimeAction, GeometricAction, LargeScaleAction
from qpot.minimum_action import minimum_action_path
from qpot.model_sums import ModelSum
from qpot.network_sums import network_sum
from qpot.noise_statistics import DirectionalNoise, NoiseStatistics, measure_noise
from qpot.parameter_layout import ParameterLayout
from qpot.passage import committor, hitting_exponents, mean_first_passage_times, reactive_flux
from qpot.path_kernel import Explanation, TrainingPath, tangent_kernel, train_flow
from qpot.preconditioning import preconditioned, rmsprop_like, second_moment, sign_like
from qpot.prediction import Prediction, predict, prediction_from_costs
from qpot.prediction_models import (
    CrossEntropy,
    MarginError,
    PredictionModel,
    SquaredError,
    dense_network,
    linear_model,
    training_sum,
)
from qpot.progress import reporting
from qpot.rare_escapes import SplittingTimes
from qpot.reachable_directions import Controllability, controllability
from qpot.relaxation import occupation_after
from qpot.saddles import find_saddles
from qpot.separation import KKT, HardMargin, separate
from qpot.sgd import FiniteSum
from qpot.sgd_builder import SGD
from qpot.simulation import simulate_diffusion, simulate_sgd
from qpot.solution import PathSolution, SolveError, Status
from qpot.splitting import splitting_times
from qpot.stationary_law import stationary_distribution
from qpot.symmetry import DenseLayerSymmetries, SignedPermutations, dense_layer_symmetries
from qpot.system import System
from qpot.torch_models import from_torch
from qpot.training_time import training_time_diagram
from qpot.verdict import Comparison, compare

__version__ = "0.1.0"

__all__ = [
    "KKT",
    "SGD",
    "Ball",
    "Box",
    "CharacteristicJets",
    "Comparison",
    "Controllability",
    "CovarianceEstimate",
    "CrossEntropy",
    "Cycle",
    "DenseLayerSymmetries",
    "DiagonalCovariance",
    "DirectionalNoise",
    "Ensemble",
    "EscapeSolution",
    "EventDriven",
    "ExactCovariance",
    "ExitSolution",
    "ExitTimes",
    "Explanation",
    "Exponential",
    "FieldOpinion",
    "FieldSolution",
    "FiniteSum",
    "FixedStep",
    "FixedTimeAction",
    "FlatDirections",
    "FlowTrajectory",
    "Gaussianity",
    "GeometricAction",
    "GlobalField",
    "GradientFlow",
    "Grid",
    "HardMargin",
    "Hinge",
    "HuberisedHinge",
    "LargeScaleAction",
    "Logistic",
    "LossLevel",
    "LowRankCovariance",
    "MarginError",
    "MarginFlow",
    "MarginLaws",
    "Minimum",
    "ModelSum",
    "NoiseStatistics",
    "NormalisedFlow",
    "Occupation",
    "OrderedLineIntegral",
    "ParameterLayout",
    "PathSolution",
    "PolyakFlow",
    "Prediction",
    "PredictionModel",
    "RMSpropFlow",
    "Saddle",
    "SignFlow",
    "SignedPermutations",
    "SolveError",
    "SplittingTimes",
    "SquaredError",
    "SquaredHinge",
    "Status",
    "SubsampledCovariance",
    "System",
    "TrainingPath",
    "TransitionCosts",
    "WGraph",
    "as_graph",
    "basin_of",
    "check_gaussianity",
    "check_gradients",
    "committor",
    "compare",
    "controllability",
    "cycle_hierarchy",
    "dense_layer_symmetries",
    "dense_network",
    "embedded_double_well_sum",
    "escape_cost",
    "estimate_covariance",
    "exit_cost",
    "exit_times",
    "find_minima",
    "find_saddles",
    "flat_directions",
    "from_graph",
    "from_jax",
    "from_torch",
    "gallery",
    "gallery_companions",
    "global_quasipotential",
    "hitting_exponents",
    "integrate_flow",
    "label_noise_covariance",
    "label_noise_sum",
    "least_squares_sum",
    "linear_model",
    "logistic_sum",
    "low_rank_covariance",
    "margin_flow",
    "margin_sum",
    "mean_first_passage_times",
    "measure_noise",
    "metastable_state",
    "minimum_action_path",
    "network_sum",
    "occupation_after",
    "phase_retrieval_sum",
    "preconditioned",
    "predict",
    "prediction_from_costs",
    "quadratic_sum",
    "quasipotential",
    "random_steps",
    "reactive_flux",
    "reporting",
    "rmsprop_like",
    "second_moment",
    "selection",
    "separate",
    "sign_like",
    "simulate_diffusion",
    "simulate_sgd",
    "sinusoid_sum",
    "splitting_times",
    "stationary_costs",
    "stationary_distribution",
    "svc_separation",
    "tangent_kernel",
    "train_flow",
    "training_sum",
    "training_time_diagram",
    "transition_costs",
    "w_graph",
    "welsch_sum",
    "with_field_opinion",
]
