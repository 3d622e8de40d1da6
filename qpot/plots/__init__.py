"""Figures: every function takes ``ax=`` and returns it; the method ``plot`` of a result calls one of them.

- `answers`: The figure of a prediction: a map in the plane, the quasi-potential on a line, and levels of W in any dimension.
- `axes`: Axes and colours that all figures share.
- `chain`: Figures of the chain: graph, cycles, disconnectivity graphs, learning rate against steps.
- `companions`: Figures of flows, geometric margins and path kernels.
- `comparison`: Figures of prediction against simulation: escape times, prefactors, shares of time, escape points.
- `costs`: Figures of costs: the matrix V(i, j) with its errors.
- `coverage`: Figures of searches: how often each minimum or exit was hit, and what may have been missed; relaxation rates.
- `decisions`: Figures of what the chain decides: selections with their intervals, W-graphs, and the flow of direct
  transitions.
- `ensembles`: Figures of simulations: where replicas are, how long they stay, and rare escapes from repeated splitting.
- `evidence`: Figures of the parts of a comparison: one Arrhenius line, the shares of one ensemble, the routes of one escape.
- `exits`: Figures of exits from domains and of the law around one minimum: times, places, and how far noise strays.
- `explore_html`: The style and the body of the page that `explore` writes.
- `explore_law`: The law of the chain at all positions of that page's sliders.
- `explore_page`: A page to play with, where sliders move the probability between the minima.
- `explore_script`: The script that moves them.
- `explore_view`: What the map of that page shows: the line, the plane, or a plane through minima.
- `fields`: Figures of fields: the quasi-potential as contours and as a surface, alone or beside the loss.
- `landscape`: Figures of landscapes: loss, minimum action paths, critical points, shares of time.
- `limit_cycles`: Limit cycles in figures: closed curves, on a map or alone.
- `noise`: Figures of gradient noise: its ellipses, its spectrum beside that of the Hessian, and whether Gaussian costs hold.
- `paths`: Figures of paths and exits: the way in the plane, and what the noise has paid along it, in any dimension.
- `updates`: Figures of what SGD with falling steps, and samples that are added to a trained model, change.
"""

from qpot.plots.answers import plot_answer
from qpot.plots.axes import OKABE_ITO
from qpot.plots.chain import (
    plot_chain,
    plot_cycles,
    plot_disconnectivity,
    plot_landscapes,
    plot_training_time,
    state_colours,
)
from qpot.plots.companions import (
    plot_explanation,
    plot_flow_loss,
    plot_homogeneous_margin,
    plot_margin_flow,
    plot_separation,
    plot_training,
)
from qpot.plots.comparison import plot_comparison, plot_escape_points, plot_escape_times, plot_prefactors, plot_shares
from qpot.plots.costs import plot_costs, plot_field_opinion
from qpot.plots.coverage import plot_coverage, plot_flat_directions, plot_rates
from qpot.plots.decisions import plot_reactive_flux, plot_selection, plot_w_graph
from qpot.plots.ensembles import plot_ensemble, plot_shares_of_time, plot_splitting, plot_survival
from qpot.plots.evidence import plot_arrhenius, plot_escape_routes, plot_occupation_check
from qpot.plots.exits import plot_exit_law, plot_first_exits, plot_flow_deviation, plot_local_law
from qpot.plots.explore_page import explore
from qpot.plots.fields import plot_field, plot_field_beside_loss, plot_field_surface
from qpot.plots.landscape import (
    plot_critical_points,
    plot_loss,
    plot_occupation,
    plot_path,
    plot_prediction,
)
from qpot.plots.limit_cycles import plot_limit_cycle
from qpot.plots.noise import (
    NOISE,
    plot_controllability,
    plot_covariance,
    plot_gaussianity,
    plot_noise,
    plot_noise_spectrum,
)
from qpot.plots.paths import DOWNHILL, UPHILL, plot_exit, plot_minimum_action_path, plot_way_out
from qpot.plots.updates import plot_decreasing_steps, plot_kernel_update

__all__ = [
    "DOWNHILL",
    "NOISE",
    "OKABE_ITO",
    "UPHILL",
    "explore",
    "plot_answer",
    "plot_arrhenius",
    "plot_chain",
    "plot_comparison",
    "plot_controllability",
    "plot_costs",
    "plot_covariance",
    "plot_coverage",
    "plot_critical_points",
    "plot_cycles",
    "plot_decreasing_steps",
    "plot_disconnectivity",
    "plot_ensemble",
    "plot_escape_points",
    "plot_escape_routes",
    "plot_escape_times",
    "plot_exit",
    "plot_exit_law",
    "plot_explanation",
    "plot_field",
    "plot_field_beside_loss",
    "plot_field_opinion",
    "plot_field_surface",
    "plot_first_exits",
    "plot_flat_directions",
    "plot_flow_deviation",
    "plot_flow_loss",
    "plot_gaussianity",
    "plot_homogeneous_margin",
    "plot_kernel_update",
    "plot_landscapes",
    "plot_limit_cycle",
    "plot_local_law",
    "plot_loss",
    "plot_margin_flow",
    "plot_minimum_action_path",
    "plot_noise",
    "plot_noise_spectrum",
    "plot_occupation",
    "plot_occupation_check",
    "plot_path",
    "plot_prediction",
    "plot_prefactors",
    "plot_rates",
    "plot_reactive_flux",
    "plot_selection",
    "plot_separation",
    "plot_shares",
    "plot_shares_of_time",
    "plot_splitting",
    "plot_survival",
    "plot_training",
    "plot_training_time",
    "plot_w_graph",
    "plot_way_out",
    "state_colours",
]
