"""Costs between all minima, the choice, and times.

- `across_basins`: Legs across a basin: paths over a saddle that does not border the basin they start in, and that no
  minimum interrupts.
- `along_paths`: Rate prefactors along a minimum action path (Bouchet and Reygner), for any drift and covariance.
- `around_minimum`: The law around one minimum: the stationary density, and how closely noise follows the flow to it.
- `assembled`: The costs V(i, j) put together from the legs between the states.
- `audit`: The audit of costs: paths between minima that know of no saddle, held against the costs over the saddles.
- `cost_cells`: The matrix of costs in words: what stands in each cell of a table or a figure.
- `costs`: TransitionCosts: V(i, j) between all minima, an error for every entry, and the paths behind them.
- `crossings`: The crossings between given minima, searched for where none are given.
- `cut_corners`: Cut corners: paths cheaper than a sum of climbs because they turn off before they reach a minimum on
  their way.
- `dearer_legs`: Rates over the legs that are dearer than the cheapest between two minima.
- `detailed_balance`: Whether a system is in detailed balance: every W is then a difference of one potential.
- `drawn_curves`: Curves drawn from minima to saddles: where a path across a basin may be cheap, before any action is
  minimised.
- `exit_check`: check_exit: the cheapest exit from a domain held against a quasi-potential field on a grid.
- `exit_roadmaps`: Exits in the plane held against a roadmap: curves on a grid that no start of the search knows of.
- `exit_prefactors`: exit_law: the mean time to leave a domain with its prefactor, by which exits, and where on the boundary.
- `exit_rates`: ExitLaw: times, shares and places of exits from a domain at a noise level.
- `field_answers`: FieldTask: V at the saddles around one minimum, from the rays of its own basin or from whole fields, on
  two grids.
- `exit_fields`: The least quasi-potential over a boundary, read off fields on two grids.
- `exit_rims`: Where a field is read for an exit: on the pieces of a boundary, or at the passes out of a basin.
- `file_fields`: What files hold of the results of this wing, field by field.
- `finite_rate`: Finite learning rate: the first correction of the costs, for every kind of noise.
- `floored_noise`: The samples' own noise of a model with a stated floor.
- `held_exits`: exit_cost: the cheapest exit from a domain, searched for over its boundary and held against a field on a
  grid.
- `kramers`: Rate prefactors from critical points (Eyring and Kramers), and the expected number of steps.
- `leaks`: Leaks: legs over the passes that lead out of the chain of minima.
- `leg_intervals`: What legs may cost, solved or not, as intervals of which some have no upper end.
- `leg_sharing`: What legs share: the free descents from their saddles, and the ways up to the same side of a cycle.
- `linear_ends`: The two ends of a minimum action path, where the flow is that of the linear part at the fixed point.
- `low_rank_noise`: The noise of a model in its leading directions, with a floor.
- `model_choices`: What `predict` chooses by itself for a model, and what it says about it.
- `model_exits`: Exits of a model's noise from all its minima: passes that searches lack, and routes from which legs
  begin.
- `models`: predict for a finite sum: searches, symmetries, noise and tolerances that the library chooses by itself.
- `notebook`: TransitionCosts in a notebook: the matrix as HTML, a figure and a data frame.
- `older_files`: Predictions in files of the releases before the common format of results: what they held, read once
  more.
- `open_report`: What a report says about legs that were not solved: bounds of their costs, what is left out, and how to go
  on.
- `opinion`: The second opinion: costs between minima from quasi-potential fields, compared with those of paths.
- `partial_answer`: The answer where some legs were not solved: what is selected all the same, and what stays possible.
- `passes_beside`: Passes beside a minimum, or beside an image of one, as they are seen from there.
- `path_coefficients`: The coefficients of the equation that carries the Hessian of a quasi-potential along a path.
- `pictures`: Small pictures of a prediction for notebooks, as SVG: levels of W, and a map of minima, passes and legs in the
  plane.
- `pipeline`: predict: from a system to the minimum that SGD selects, in one call.
- `predict_arguments`: The kinds of the arguments of `qpot.predict`, in the order in which they are checked.
- `prefactors`: Rate prefactors of all transitions, from the paths behind their costs.
- `priced_passes`: Which passes between minima are priced: those of one connected chain that are not much higher than the
  lowest way.
- `quartic_passes`: Rate prefactors over passes with one flat direction, along which the loss changes with the fourth power.
- `reduced_model`: A model as it is searched: without the directions that no sample moves, and modulo its symmetries.
- `report`: The report of a prediction: the answer in a sentence, what limits it, and tables as plain text.
- `result`: Prediction: where SGD ends up, how sure that is, by which route and after how long.
- `routes`: Routes: the ways on which noise was seen to lead from one minimum to another, as legs to be priced.
- `side_exits`: Exits through a side at which noise and drift vanish: a population that dies out leaves over a state of rest
  on it.
- `soft_directions`: Directions at minima and passes in which the loss is hardly curved: how its shape along them changes
  rates.
- `soft_rows`: Rows of numbers that say how a rate with a soft direction depends on the noise level.
- `stationary_errors`: Errors of the stationary costs: what lower costs of legs, and paths that cut corners, may change.
- `tables`: Costs, minima and passes as data frames.
- `times`: Rates, times and shares of time at a noise level, which is given by epsilon or by a learning rate and a
  batch size.
- `transitions`: transition_costs: the legs between all minima over their saddles, put together to the costs V(i, j).
- `unfinished`: Legs that stopped short: what they may cost, and whether one of them can decide the selection.
- `uniform_rates`: Rates over passes and out of minima that are nearly degenerate: the shape along a soft direction at a
  noise level.
- `unknown_prefactors`: Prefactors of all legs, and why some are not known, as sentences for the report.
- `views`: A prediction in a notebook: its report as HTML with a small picture, a figure, and data frames.
- `way_out`: WayOut: a way from a minimum out of the chain, to the state "outside" that absorbs.
"""

from qpot.prediction.along_paths import bouchet_reygner
from qpot.prediction.around_minimum import FlowDeviation, LocalLaw, flow_deviation, local_law
from qpot.prediction.audit import audited_costs
from qpot.prediction.costs import FieldOpinion, Hole, TransitionCosts
from qpot.prediction.dearer_legs import dearer_legs
from qpot.prediction.exit_check import check_exit
from qpot.prediction.exit_prefactors import exit_law
from qpot.prediction.exit_rates import BoundaryExit, ExitLaw
from qpot.prediction.finite_rate import corrected_costs, cost_correction
from qpot.prediction.held_exits import exit_cost
from qpot.prediction.kramers import eyring_kramers
from qpot.prediction.opinion import with_field_opinion
from qpot.prediction.pipeline import predict
from qpot.prediction.prefactors import rate_prefactors
from qpot.prediction.result import Prediction, prediction_from_costs
from qpot.prediction.transitions import transition_costs
from qpot.prediction.way_out import WayOut

__all__ = [
    "BoundaryExit",
    "ExitLaw",
    "FieldOpinion",
    "FlowDeviation",
    "Hole",
    "LocalLaw",
    "Prediction",
    "TransitionCosts",
    "WayOut",
    "audited_costs",
    "bouchet_reygner",
    "check_exit",
    "corrected_costs",
    "cost_correction",
    "dearer_legs",
    "exit_cost",
    "exit_law",
    "eyring_kramers",
    "flow_deviation",
    "local_law",
    "predict",
    "prediction_from_costs",
    "rate_prefactors",
    "transition_costs",
    "with_field_opinion",
]
