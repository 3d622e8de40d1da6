"""Figures: every function takes ``ax=`` and returns it.

- `axes`: Axes and colours that all figures share.
- `chain`: Figures of the chain: graph, cycles, disconnectivity graphs, learning rate against steps.
- `companions`: Figures of flows, geometric margins and path kernels.
- `comparison`: Figures of prediction against simulation: escape times, prefactors, shares of time, escape points.
- `explore_html`: The style and the body of the page that `explore` writes.
- `explore_law`: The law of the chain at all positions of that page's sliders.
- `explore_page`: A page to play with, where sliders move the probability between the minima.
- `explore_script`: The script that moves them.
- `explore_view`: What the map of that page shows: the line, the plane, or a plane through minima.
- `fields`: Figures of fields: the quasi-potential as contours and as a surface, alone or beside the loss.
- `landscape`: Figures of landscapes: loss, minimum action paths, critical points, shares of time.
- `limit_cycles`: Limit cycles in figures: closed curves.
- `noise`: Figures of gradient noise: its ellipses, its spectrum and that of the Hessian, and how the two are aligned.
"""

from qpot.plots.axes import OKABE_ITO
from qpot.plots.chain import (
    plot_chain,
    plot_cycles,
    plot_disconnectivity,
    plot_landscapes,
    plot_training_time,
    state_colours,
)
from qpot.plots.companions import plot_explanation, plot_flow_loss, plot_margin_flow
from qpot.plots.comparison import plot_comparison, plot_escape_points, plot_escape_times, plot_prefactors, plot_shares
from qpot.plots.explore_page import explore
from qpot.plots.fields import plot_field, plot_field_beside_loss, plot_field_surface
from qpot.plots.landscape import (
    DOWNHILL,
    UPHILL,
    plot_critical_points,
    plot_loss,
    plot_occupation,
    plot_path,
    plot_prediction,
)
from qpot.plots.noise import NOISE, plot_noise, plot_noise_spectrum

__all__ = [
    "DOWNHILL",
    "NOISE",
    "OKABE_ITO",
    "UPHILL",
    "explore",
    "plot_chain",
    "plot_comparison",
    "plot_critical_points",
    "plot_cycles",
    "plot_disconnectivity",
    "plot_escape_points",
    "plot_escape_times",
    "plot_explanation",
    "plot_field",
    "plot_field_beside_loss",
    "plot_field_surface",
    "plot_flow_loss",
    "plot_landscapes",
    "plot_loss",
    "plot_margin_flow",
    "plot_noise",
    "plot_noise_spectrum",
    "plot_occupation",
    "plot_path",
    "plot_prediction",
    "plot_prefactors",
    "plot_shares",
    "plot_training_time",
    "state_colours",
]
