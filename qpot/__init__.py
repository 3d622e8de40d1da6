"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?"""

from qpot import gallery
from qpot._core.progress import reporting
from qpot._core.status import SolveError, Status
from qpot.chain.certainty import selection
from qpot.chain.cycles import Cycle, cycle_hierarchy, metastable_state
from qpot.chain.graphs import as_graph, from_graph
from qpot.chain.passage import committor, hitting_exponents, mean_first_passage_times, reactive_flux
from qpot.chain.relaxation import occupation_after
from qpot.chain.stationary import stationary_distribution
from qpot.chain.training_time import training_time_diagram
from qpot.chain.w_graphs import WGraph, stationary_costs, w_graph
from qpot.companions import known_answers as gallery_companions
from qpot.companions.event_driven import EventDriven
from qpot.companions.fixed_step import FixedStep
from qpot.companions.flows import GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow
from qpot.companions.margin import MarginFlow, MarginLaws, margin_flow, svc_separation
from qpot.companions.margin_losses import Exponential, Hinge, HuberisedHinge, Logistic, SquaredHinge, margin_sum
from qpot.companions.models import (
    CrossEntropy,
    MarginError,
    PredictionModel,
    SquaredError,
    dense_network,
    linear_model,
    training_sum,
)
from qpot.companions.path_kernel import Explanation, TrainingPath, tangent_kernel, train_flow
from qpot.companions.separation import KKT, HardMargin, separate
from qpot.companions.trajectory import FlowTrajectory, integrate_flow
from qpot.fields.characteristic_jets import CharacteristicJets
from qpot.fields.grid import Grid
from qpot.fields.ordered_line_integral import OrderedLineIntegral
from qpot.fields.solution import FieldSolution
from qpot.fields.solve import quasipotential
from qpot.fields.whole import GlobalField, global_quasipotential
from qpot.landscape.basins import basin_of
from qpot.landscape.flatness import FlatDirections, flat_directions
from qpot.landscape.minima import find_minima
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddles import find_saddles
from qpot.landscape.symmetry import DenseLayerSymmetries, SignedPermutations, dense_layer_symmetries
from qpot.paths.boundaries import Ball, Box, LossLevel
from qpot.paths.escape import EscapeSolution, escape_cost
from qpot.paths.exits import ExitSolution, exit_cost
from qpot.paths.gaussianity import Gaussianity, check_gaussianity
from qpot.paths.methods import FixedTimeAction, GeometricAction, LargeScaleAction
from qpot.paths.minimum_action import minimum_action_path
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import FieldOpinion, TransitionCosts
from qpot.prediction.opinion import with_field_opinion
from qpot.prediction.pipeline import predict
from qpot.prediction.result import Prediction, prediction_from_costs
from qpot.prediction.transitions import transition_costs
from qpot.problem import covariance
from qpot.problem.controllable import Controllability, controllability
from qpot.problem.covariance_methods import CovarianceEstimate
from qpot.problem.diagonal_covariance import DiagonalCovariance
from qpot.problem.estimates import estimate_covariance, low_rank_covariance
from qpot.problem.exact_covariance import ExactCovariance
from qpot.problem.low_rank_covariance import LowRankCovariance
from qpot.problem.measured_noise import DirectionalNoise, NoiseStatistics, measure_noise
from qpot.problem.preconditioning import preconditioned, rmsprop_like, second_moment, sign_like
from qpot.problem.random_steps import random_steps
from qpot.problem.sgd import SGD
from qpot.problem.subsampled_covariance import SubsampledCovariance
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.gradient_checks import check_gradients
from qpot.samples.jax_models import from_jax
from qpot.samples.label_noise import label_noise_covariance, label_noise_sum
from qpot.samples.layout import ParameterLayout
from qpot.samples.network import network_sum
from qpot.samples.ready_made import (
    embedded_double_well_sum,
    least_squares_sum,
    logistic_sum,
    phase_retrieval_sum,
    quadratic_sum,
    sinusoid_sum,
    welsch_sum,
)
from qpot.samples.torch_models import from_torch
from qpot.simulation.comparison import Comparison, compare
from qpot.simulation.ensemble import Ensemble, Occupation
from qpot.simulation.escape_times import ExitTimes, exit_times
from qpot.simulation.rare_escapes import SplittingTimes
from qpot.simulation.simulate import simulate_diffusion, simulate_sgd
from qpot.simulation.splitting import splitting_times

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
    "covariance",
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
