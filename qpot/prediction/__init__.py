"""Costs between all minima, the choice, and times.

- `along_paths`: Rate prefactors along a minimum action path (Bouchet-Reygner), for any drift and covariance.
- `costs`: Transition costs between all minima: V(i, j) with an error for every entry, and the paths behind them.
- `finite_rate`: Finite learning rate: the first correction of the costs, for every kind of noise.
- `kramers`: Rate prefactors from critical points (Eyring-Kramers), and expected steps.
- `opinion`: The second opinion: the costs between minima read off quasi-potential fields, held against those of the
  paths.
- `pipeline`: predict: from a system to the minimum that SGD selects, in one call.
- `prefactors`: Rate prefactors of all transitions, from the paths behind their costs.
- `report`: A prediction as text and as HTML.
- `result`: Prediction: where SGD ends up, how sure that is, by which route and after how long.
- `storage`: Predictions on disk: one ``.npz`` of plain arrays and a JSON text, no pickle.
- `transitions`: transition_costs: every leg between minima over their saddles, side by side, put together to V(i, j).
"""

from qpot.prediction.along_paths import bouchet_reygner
from qpot.prediction.costs import FieldOpinion, TransitionCosts
from qpot.prediction.finite_rate import corrected_costs, cost_correction
from qpot.prediction.kramers import eyring_kramers
from qpot.prediction.opinion import with_field_opinion
from qpot.prediction.pipeline import predict
from qpot.prediction.prefactors import rate_prefactors
from qpot.prediction.result import Prediction, prediction_from_costs
from qpot.prediction.transitions import transition_costs

__all__ = [
    "FieldOpinion",
    "Prediction",
    "TransitionCosts",
    "bouchet_reygner",
    "corrected_costs",
    "cost_correction",
    "eyring_kramers",
    "predict",
    "prediction_from_costs",
    "rate_prefactors",
    "transition_costs",
    "with_field_opinion",
]
