"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?

``qpot.predict(system, bounds)`` answers all of it. Every name below is an attribute of ``qpot``; the wings, modules of one
noun each, are their own pages of reference.

Outcomes, progress, executors, files
    `load`, `process_executor`, `reporting`, `save`, `SolveError`, `Status`

Losses that are means over samples (`qpot.samples`)
    `check_gradients`, `embedded_double_well_sum`, `from_jax`, `from_torch`, `label_noise_covariance`,
    `label_noise_sum`, `least_squares_sum`, `logistic_sum`, `network_sum`, `phase_retrieval_sum`, `quadratic_sum`,
    `sinusoid_sum`, `unit_blocks`, `welsch_sum`, `without_gauges`, `FiniteSum`, `ModelQuotient`, `ModelSum`,
    `ParameterLayout`, `Quotient`, `UnitBlock`

Minima as states (`qpot.chain`)
    `as_graph`, `committor`, `cycle_hierarchy`, `from_graph`, `hitting_exponents`, `mean_first_passage_times`,
    `metastable_state`, `occupation_after`, `reactive_flux`, `selection`, `stationary_costs`,
    `stationary_distribution`, `training_time_diagram`, `w_graph`, `Cycle`, `ReactiveFlux`, `Selection`,
    `TrainingTimeDiagram`, `WGraph`

Drift and noise (`qpot.problem`)
    `controllability`, `estimate_covariance`, `low_rank_covariance`, `measure_noise`, `preconditioned`,
    `random_steps`, `rmsprop_like`, `second_moment`, `sign_like`, `Controllability`, `CovarianceEstimate`,
    `CovarianceMethod`, `DiagonalCovariance`, `DirectionalNoise`, `ExactCovariance`, `FactoredCovariance`,
    `LowRankCovariance`, `Noise`, `NoiseStatistics`, `ProductCovariance`, `SGD`, `SubsampledCovariance`, `System`

Where the drift rests (`qpot.landscape`)
    `basin_of`, `dense_layer_symmetries`, `find_limit_cycles`, `find_minima`, `find_saddles`, `flat_directions`,
    `symmetries_of`, `DenseLayerSymmetries`, `Coverage`, `FlatDirections`, `LimitCycle`, `Minima`, `Minimum`, `Periods`,
    `QuotientSymmetry`, `Saddle`, `Saddles`, `SaddleView`, `SignedPermutations`, `UnitSymmetries`

What the noise pays (`qpot.paths`)
    `check_gaussianity`, `escape_cost`, `minimum_action_path`, `Ball`, `Box`, `Domain`,
    `EscapeSolution`, `ExitCoverage`, `ExitSolution`, `FixedTimeAction`, `Gaussianity`, `GeometricAction`, `HalfSpace`,
    `LargeScaleAction`, `LegMethod`, `LossLevel`, `PathMethod`, `PathSolution`, `Region`

The quasi-potential on grids (`qpot.fields`)
    `global_quasipotential`, `quasipotential`, `CharacteristicJets`, `FieldMethod`, `FieldSolution`, `GlobalField`,
    `Grid`, `OrderedLineIntegral`, `Passage`

Costs, the choice, and times (`qpot.prediction`)
    `audited_costs`, `check_exit`, `exit_cost`, `predict`, `prediction_from_costs`, `transition_costs`, `with_field_opinion`,
    `FieldOpinion`, `Hole`, `Prediction`, `TransitionCosts`, `WayOut`

The algorithm itself, simulated, and the comparison (`qpot.simulation`)
    `check`, `compare`, `escape_times`, `exit_times`, `simulate_diffusion`, `simulate_sgd`, `splitting_times`, `ArrheniusLaw`,
    `Comparison`, `Ensemble`, `EscapePoints`, `EscapeTimes`, `FirstExits`, `Occupation`, `OccupationCheck`, `SplittingTimes`

Exits from domains, and the law around one minimum (`qpot.prediction`)
    `exit_law`, `flow_deviation`, `local_law`, `BoundaryExit`, `ExitLaw`, `FlowDeviation`, `LocalLaw`

One front door (`qpot.answers`)
    `select`, `Answer`

What selects without noise (`qpot.companions`)
    `decreasing_steps_law`, `deep_linear_network`, `dense_network`, `diagonal_network`, `flow_ensemble`, `integrate_flow`,
    `kernel_update`, `linear_model`,
    `margin_flow`, `margin_steps`, `margin_sum`, `matrix_factorisation`, `norm_machine`, `relu_network`,
    `separability`, `separate`, `svc_separation`, `tangent_kernel`, `torch_prediction_model`, `train_flow`,
    `training_sum`, `AdaGradFlow`,
    `AdamFlow`, `CrossEntropy`, `DecreasingStepsLaw`, `EventDriven`, `Explanation`, `Exponential`,
    `ExponentialTail`, `FixedStep`, `Flow`,
    `FlowMethod`, `FlowTrajectory`, `GradientFlow`, `HardMargin`, `HeavyBallFlow`, `Hinge`, `HuberisedHinge`, `KKT`,
    `KernelUpdate`, `Law`, `Logistic`, `MarginError`, `MarginFlow`, `MarginLaws`, `MarginLoss`, `NesterovFlow`,
    `NormalisedFlow`,
    `OptimiserSteps`, `OutputLoss`, `PolyakFlow`, `PredictionModel`, `RMSpropFlow`, `SignFlow`, `SquaredError`,
    `SquaredHinge`, `TrainingTrajectory`

Known answers, figures
    `qpot.gallery`: named systems with known answers; `qpot.gallery_companions`: the same for flows and margins;
    `qpot.plots`: all figures; `qpot.covariance`: ways to write a covariance down.
"""

from importlib import import_module as _import_module
from threading import RLock as _RLock
from typing import TYPE_CHECKING, Any

from qpot._core import SolveError, Status, load, process_executor, reporting, save
from qpot._core.deprecated import warn_renamed as _warn_renamed
from qpot._core.moved import KEPT as _KEPT
from qpot._core.moved import install as _install

# Tools that read types see every name here. A program imports a wing when it first asks for one of its names.
if TYPE_CHECKING:
    # isort: off
    # fmt: off
    from qpot import (
        answers, chain, companions, fields, gallery, landscape, paths, plots, prediction, problem, samples, simulation,
    )
    from qpot.answers import Answer, select
    from qpot.chain import (
        Cycle, ReactiveFlux, Selection, TrainingTimeDiagram, WGraph, as_graph, committor, cycle_hierarchy, from_graph,
        hitting_exponents, mean_first_passage_times, metastable_state, occupation_after, reactive_flux, selection,
        stationary_costs, stationary_distribution, training_time_diagram, w_graph,
    )
    from qpot.companions import (
        KKT, AdaGradFlow, AdamFlow, CrossEntropy, DecreasingStepsLaw, EventDriven, Explanation, Exponential,
        ExponentialTail, FixedStep,
        Flow, FlowMethod, FlowTrajectory, GradientFlow, HardMargin, HeavyBallFlow, Hinge, HuberisedHinge, KernelUpdate, Law,
        Logistic, MarginError, MarginFlow, MarginLaws, MarginLoss, NesterovFlow, NormalisedFlow, OptimiserSteps,
        OutputLoss, PolyakFlow, PredictionModel, RMSpropFlow, SignFlow, SquaredError, SquaredHinge, TrainingTrajectory,
        decreasing_steps_law, deep_linear_network, dense_network, diagonal_network, flow_ensemble, integrate_flow,
        kernel_update, linear_model, margin_flow,
        margin_steps, margin_sum, matrix_factorisation, norm_machine, relu_network, separability, separate,
        svc_separation, tangent_kernel, torch_prediction_model, train_flow, training_sum,
    )
    from qpot.companions import known_answers as gallery_companions
    from qpot.fields import (
        CharacteristicJets,
        FieldMethod,
        FieldSolution,
        GlobalField,
        Grid,
        OrderedLineIntegral,
        Passage,
        global_quasipotential,
        quasipotential,
    )
    from qpot.landscape import (
        Coverage,
        DenseLayerSymmetries,
        FlatDirections,
        LimitCycle,
        Minima,
        Minimum,
        Periods,
        QuotientSymmetry,
        Saddle,
        Saddles,
        SaddleView,
        SignedPermutations,
        UnitSymmetries,
        basin_of,
        dense_layer_symmetries,
        find_limit_cycles,
        find_minima,
        find_saddles,
        flat_directions,
        symmetries_of,
    )
    from qpot.paths import (
        Ball,
        Box,
        Domain,
        EscapeSolution,
        ExitCoverage,
        ExitSolution,
        FixedTimeAction,
        Gaussianity,
        GeometricAction,
        HalfSpace,
        LargeScaleAction,
        LegMethod,
        LossLevel,
        PathMethod,
        PathSolution,
        Region,
        check_gaussianity,
        escape_cost,
        minimum_action_path,
    )
    from qpot.prediction import (
        BoundaryExit,
        ExitLaw,
        FieldOpinion,
        FlowDeviation,
        Hole,
        LocalLaw,
        Prediction,
        TransitionCosts,
        WayOut,
        audited_costs,
        check_exit,
        exit_cost,
        exit_law,
        flow_deviation,
        local_law,
        predict,
        prediction_from_costs,
        transition_costs,
        with_field_opinion,
    )
    from qpot.problem import (
        SGD,
        Controllability,
        CovarianceEstimate,
        CovarianceMethod,
        DiagonalCovariance,
        DirectionalNoise,
        ExactCovariance,
        FactoredCovariance,
        LowRankCovariance,
        Noise,
        NoiseStatistics,
        ProductCovariance,
        SubsampledCovariance,
        System,
        controllability,
        covariance,
        estimate_covariance,
        low_rank_covariance,
        measure_noise,
        preconditioned,
        random_steps,
        rmsprop_like,
        second_moment,
        sign_like,
    )
    from qpot.samples import (
        FiniteSum,
        ModelQuotient,
        ModelSum,
        ParameterLayout,
        Quotient,
        UnitBlock,
        check_gradients,
        embedded_double_well_sum,
        from_jax,
        from_torch,
        label_noise_covariance,
        label_noise_sum,
        least_squares_sum,
        logistic_sum,
        network_sum,
        phase_retrieval_sum,
        quadratic_sum,
        sinusoid_sum,
        unit_blocks,
        welsch_sum,
        without_gauges,
    )
    from qpot.simulation import (
        ArrheniusLaw,
        Comparison,
        Ensemble,
        EscapePoints,
        EscapeTimes,
        FirstExits,
        Occupation,
        OccupationCheck,
        SplittingTimes,
        check,
        compare,
        escape_times,
        exit_times,
        simulate_diffusion,
        simulate_sgd,
        splitting_times,
    )
    # fmt: on
    # isort: on

__version__ = "0.1.0"

# fmt: off
__all__ = [  # noqa: RUF022 (grouped by wing)
    # Outcomes, progress, executors, files
    "load", "process_executor", "reporting", "save", "SolveError", "Status",
    # Losses that are means over samples
    "check_gradients", "embedded_double_well_sum", "FiniteSum", "from_jax", "from_torch", "label_noise_covariance",
    "label_noise_sum", "least_squares_sum", "logistic_sum", "ModelQuotient", "ModelSum", "network_sum",
    "ParameterLayout", "phase_retrieval_sum", "quadratic_sum", "Quotient", "sinusoid_sum", "unit_blocks",
    "UnitBlock", "welsch_sum", "without_gauges",
    # Minima as states
    "as_graph", "committor", "Cycle", "cycle_hierarchy", "from_graph", "hitting_exponents",
    "mean_first_passage_times", "metastable_state", "occupation_after", "reactive_flux", "ReactiveFlux", "Selection",
    "selection", "stationary_costs", "stationary_distribution", "training_time_diagram", "TrainingTimeDiagram",
    "w_graph", "WGraph",
    # Drift and noise
    "Controllability", "controllability", "CovarianceEstimate", "CovarianceMethod", "DiagonalCovariance",
    "DirectionalNoise", "estimate_covariance", "ExactCovariance", "FactoredCovariance", "low_rank_covariance",
    "LowRankCovariance", "measure_noise", "Noise", "NoiseStatistics", "preconditioned", "ProductCovariance",
    "random_steps", "rmsprop_like", "second_moment", "SGD", "sign_like", "SubsampledCovariance", "System",
    # Where the drift rests
    "basin_of", "dense_layer_symmetries", "DenseLayerSymmetries", "find_limit_cycles", "find_minima", "find_saddles",
    "Coverage", "flat_directions", "FlatDirections", "LimitCycle", "Minima", "Minimum", "Periods",
    "QuotientSymmetry", "Saddle", "Saddles", "SaddleView", "SignedPermutations", "symmetries_of", "UnitSymmetries",
    # What the noise pays
    "Ball", "Box", "check_gaussianity", "Domain", "escape_cost", "EscapeSolution", "ExitCoverage",
    "ExitSolution", "FixedTimeAction", "Gaussianity", "GeometricAction", "HalfSpace", "LargeScaleAction", "LegMethod",
    "LossLevel", "minimum_action_path", "PathMethod", "PathSolution", "Region",
    # The quasi-potential on grids
    "CharacteristicJets", "FieldMethod", "FieldSolution", "global_quasipotential", "GlobalField", "Grid",
    "OrderedLineIntegral", "Passage", "quasipotential",
    # Costs, the choice, and times
    "audited_costs", "check_exit", "exit_cost", "FieldOpinion", "Hole", "predict", "Prediction", "prediction_from_costs",
    "transition_costs", "TransitionCosts", "WayOut", "with_field_opinion",
    # Exits from domains, and the law around one minimum
    "BoundaryExit", "exit_law", "ExitLaw", "flow_deviation", "FlowDeviation", "local_law", "LocalLaw",
    # The algorithm itself, simulated, and the comparison
    "ArrheniusLaw", "check", "compare", "Comparison", "Ensemble", "escape_times", "EscapePoints", "EscapeTimes",
    "exit_times", "FirstExits",
    "Occupation", "OccupationCheck", "simulate_diffusion", "simulate_sgd", "splitting_times", "SplittingTimes",
    # What selects without noise
    "AdaGradFlow", "AdamFlow", "CrossEntropy", "decreasing_steps_law", "DecreasingStepsLaw", "deep_linear_network",
    "dense_network", "diagonal_network",
    "EventDriven", "Explanation", "Exponential", "ExponentialTail", "FixedStep", "Flow", "flow_ensemble", "FlowMethod",
    "FlowTrajectory", "GradientFlow", "HardMargin", "HeavyBallFlow", "Hinge", "HuberisedHinge", "integrate_flow",
    "kernel_update", "KernelUpdate", "KKT",
    "Law", "linear_model", "Logistic", "margin_flow", "margin_steps", "margin_sum", "MarginError", "MarginFlow",
    "MarginLaws", "MarginLoss", "matrix_factorisation", "NesterovFlow", "norm_machine", "NormalisedFlow",
    "OptimiserSteps", "OutputLoss", "PolyakFlow", "PredictionModel", "relu_network", "RMSpropFlow", "separability",
    "separate", "SignFlow", "SquaredError", "SquaredHinge", "svc_separation", "tangent_kernel",
    "torch_prediction_model", "train_flow", "training_sum", "TrainingTrajectory",
    # One front door
    "Answer", "select",
    # The wings, known answers and figures
    "answers", "chain", "companions", "covariance", "fields", "gallery", "gallery_companions", "landscape", "paths", "plots",
    "prediction", "problem", "samples", "simulation",
]
# fmt: on

# The wings from the ground up. A wing imports those before it, so that asking them in this order imports nothing twice.
_WINGS = (
    "samples", "chain", "problem", "landscape", "paths", "fields", "prediction", "simulation", "companions", "answers",
    "gallery", "plots",
)  # fmt: skip
# Names of the release before, which will go with the next one.
_RENAMED = {
    "ExitTimes": "EscapeTimes",
    "TrainingPath": "TrainingTrajectory",
}
_moved = _install()
# Two threads that first ask for names at the same time would each find the other's wings half imported.
_loading = _RLock()


def __getattr__(name: str) -> Any:
    """A public name from its wing, or an old name of a function, class or module with a warning that says the new one."""
    if name in _moved.names:
        return _moved(name)
    if name in _RENAMED:
        _warn_renamed(f"qpot.{name}", f"qpot.{_RENAMED[name]}")
        return __getattr__(_RENAMED[name])
    if name not in __all__:
        raise AttributeError(f"module 'qpot' has no attribute {name!r}")
    with _loading:
        wanted = _KEPT.get(name, f"qpot.{name}")
        for wing in _WINGS:
            module = _import_module(f"qpot.{wing}")
            if wanted == module.__name__ or wanted.startswith(f"{module.__name__}."):
                value = _import_module(wanted)
                break
            if name in module.__all__:
                value = getattr(module, name)
                break
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names only."""
    return sorted([*__all__, "__version__"])
