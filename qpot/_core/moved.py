"""Old module names, of the release before, which can be imported for one release more."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from qpot._core.deprecated import warn_renamed

# The modules of the previous release, and the modules that hold their contents now.
MODULES = {
    "arrhenius": "qpot.simulation.arrhenius",
    "basins": "qpot.landscape.basins",
    "boundaries": "qpot.paths.boundaries",
    "broken_paths": "qpot.paths.broken",
    "certainty": "qpot.chain.certainty",
    "chain_graphs": "qpot.chain.graphs",
    "companion_plots": "qpot.plots.companions",
    "contraction": "qpot.chain.contraction",
    "costs": "qpot.prediction",
    "critical_points": "qpot.landscape",
    "crossings": "qpot.paths.multi_leg",
    "cycles": "qpot.chain.cycles",
    "descents": "qpot.landscape.flow",
    "ensemble": "qpot.simulation.ensemble",
    "escapes": "qpot.simulation.escapes",
    "exact_noise": "qpot.problem",
    "excursions": "qpot.simulation.excursions",
    "exit_check": "qpot.simulation.escape_points",
    "exits": "qpot.paths.exits",
    "field": "qpot.fields.solve",
    "field_basins": "qpot.fields.passages",
    "field_checks": "qpot.fields.checks",
    "field_cycles": "qpot.fields.cycles",
    "field_entrances": "qpot.fields.entrances",
    "field_methods": "qpot.fields",
    "field_opinion": "qpot.prediction",
    "field_outliers": "qpot.fields.outliers",
    "field_path": "qpot.fields.walk",
    "field_run": "qpot.fields.run",
    "field_solution": "qpot.fields",
    "field_source": "qpot.fields.sources",
    "field_sweep": "qpot.fields.assembly",
    "finite_rate": "qpot.prediction.finite_rate",
    "finite_sums": "qpot.samples.ready_made",
    "fixed_time": "qpot.paths.fixed_time",
    "flatness": "qpot.landscape.flatness",
    "flow_trajectory": "qpot.companions",
    "flows": "qpot.companions.flows",
    "gaussianity": "qpot.paths.gaussianity",
    "global_field": "qpot.fields.whole",
    "gradient_checks": "qpot.samples.gradient_checks",
    "gradient_covariance": "qpot.problem",
    "grid": "qpot.fields.grid",
    "hypoelliptic": "qpot.paths.degenerate",
    "infinite_costs": "qpot.paths.infinite",
    "initial_curves": "qpot.paths.starts",
    "jax_models": "qpot.samples.jax_models",
    "joined_paths": "qpot.paths.joined",
    "label_noise": "qpot.samples.label_noise",
    "large_critical_points": "qpot.landscape.by_products",
    "large_flow": "qpot.landscape.flow_by_products",
    "large_preconditioner": "qpot.paths.large_preconditioner",
    "large_rates": "qpot.landscape.linear_rates",
    "large_scale": "qpot.paths.large_scale",
    "leg_methods": "qpot.paths.choice",
    "legs": "qpot.paths.uphill",
    "level_costs": "qpot.paths.escape",
    "level_targets": "qpot.paths.escape_targets",
    "line_legs": "qpot.paths.line",
    "loss_checks": "qpot.samples.loss_checks",
    "margin": "qpot.companions.margin",
    "margin_losses": "qpot.companions.margin_losses",
    "methods": "qpot.paths",
    "minimum_action": "qpot.paths.minimum_action",
    "model_sums": "qpot.samples.automatic",
    "network_sums": "qpot.samples.network",
    "noise_plots": "qpot.plots.noise",
    "noise_statistics": "qpot.problem.measured_noise",
    "occupation_check": "qpot.simulation.shares",
    "parallel": "qpot._core.parallel",
    "parameter_layout": "qpot.samples.layout",
    "passage": "qpot.chain.passage",
    "path_kernel": "qpot.companions.path_kernel",
    "path_prefactor": "qpot.prediction.along_paths",
    "plots_chain": "qpot.plots.chain",
    "plots_comparison": "qpot.plots.comparison",
    "plots_field": "qpot.plots.fields",
    "preconditioning": "qpot.problem.preconditioning",
    "prediction_models": "qpot.companions.models",
    "prediction_report": "qpot.prediction.report",
    "prefactors": "qpot.prediction.prefactors",
    "product_covariance": "qpot.problem.operators",
    "progress": "qpot._core.progress",
    "rare_escapes": "qpot.simulation.rare_escapes",
    "rates": "qpot.prediction.kramers",
    "reachable_directions": "qpot.problem.controllable",
    "reaction_coordinates": "qpot.simulation.coordinates",
    "relaxation": "qpot.chain.relaxation",
    "replicas": "qpot.simulation.replicas",
    "routes": "qpot.chain.routes",
    "runs": "qpot.simulation.settings",
    "saddles": "qpot.landscape.saddles",
    "sample_losses": "qpot.samples.formulas",
    "separation": "qpot.companions.separation",
    "sgd": "qpot.samples.finite_sum",
    "sgd_builder": "qpot.problem.sgd",
    "solution": "qpot",
    "splitting": "qpot.simulation.splitting",
    "stability": "qpot.simulation.stability",
    "stationary_law": "qpot.chain.stationary",
    "storage": "qpot.prediction.older_files",
    "strong_directions": "qpot.paths.strong_directions",
    "structured_covariance": "qpot.problem.factored",
    "sum_products": "qpot.problem.sample_noise",
    "symmetric_saddles": "qpot.landscape.symmetric_saddles",
    "symmetry": "qpot.landscape.symmetry",
    "system": "qpot.problem.system",
    "torch_checks": "qpot.samples.torch_checks",
    "torch_models": "qpot.samples.torch_models",
    "training_time": "qpot.chain.training_time",
    "updates": "qpot.simulation.updates",
    "verdict": "qpot.simulation.comparison",
}

# Modules whose short name stays.
KEPT = {"covariance": "qpot.problem.covariance", "gallery_companions": "qpot.companions.known_answers"}


class _Finder(MetaPathFinder, Loader):
    """An import hook that resolves an old module name to the module that holds its contents now."""

    names = MODULES

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        known = package == "qpot" and (name in MODULES or name in KEPT)
        return ModuleSpec(fullname, self) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        name = spec.name.removeprefix("qpot.")
        module = importlib.import_module(KEPT[name]) if name in KEPT else self(name)
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back, which the import system has replaced; it was executed under its new name."""
        if module.__spec__ is not None and module.__spec__.name in self._specs:
            module.__spec__ = self._specs.pop(module.__spec__.name)

    def __call__(self, name: str) -> ModuleType:
        """The module under its new name, with a warning that points at the line that asked for the old one."""
        warn_renamed(f"qpot.{name}", MODULES[name], stacklevel=4)
        return importlib.import_module(MODULES[name])


def install() -> _Finder:
    """Make old module names importable.

    The returned object, called with an old name, gives the module, so that `qpot` can resolve it as an attribute.
    """
    finder = _Finder()
    sys.meta_path.append(finder)
    return finder
