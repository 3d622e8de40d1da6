"""The algorithm itself, simulated, and the comparison of a prediction with it.

- `arrhenius`: Arrhenius regression: the logarithm of mean escape times against 1 / epsilon, beside the predicted
  cost.
- `comparison`: compare: a prediction against what was simulated, and one sentence about it.
- `coordinates`: Reaction coordinates for splitting: how far an excursion has come, from the loss, a path, a field or
  a function.
- `destinations`: Where an escape begins and where it may end: the home minimum, and balls around the others.
- `dynamics`: What is simulated: stochastic gradient descent or the diffusion, as one value that has checked itself.
- `ensemble`: Ensemble: what was simulated, and how often it sits in which basin.
- `escape_points`: Where escapes go and where they cross, beside the predicted routes and saddles.
- `escapes`: Escape times: when replicas reach another minimum, and their mean in spite of censoring.
- `excursions`: Excursions of clones in the real dynamics: one repetition of splitting, from loops to arrivals.
- `rare_escapes`: Mean escape times by splitting: the result, its error from independent repetitions, and how it is
  put together.
- `replicas`: Running many replicas: blocks with their own generators, slices that report and can be stopped.
- `settings`: A simulation that is checked and ready to run: `Dynamics` and a start in, a `Setting` out.
- `shares`: Measured shares of time beside the predicted law, at the time of measurement and in the long run.
- `simulate`: simulate_sgd and simulate_diffusion: the real algorithm, or its diffusion, over many replicas.
- `splitting`: splitting_times: escapes too rare for plain simulation, by adaptive multilevel splitting of the real
  dynamics.
- `stability`: Where a deterministic step is unstable: refuse a learning rate before the run instead of after it.
- `updates`: Update rules: how one block of replicas takes its steps, compiled or in NumPy.
"""

from qpot.simulation.arrhenius import ArrheniusLaw
from qpot.simulation.comparison import Comparison, compare
from qpot.simulation.ensemble import Ensemble, Occupation
from qpot.simulation.escape_points import EscapePoints
from qpot.simulation.escapes import EscapeTimes, escape_times
from qpot.simulation.rare_escapes import SplittingTimes
from qpot.simulation.shares import OccupationCheck
from qpot.simulation.simulate import simulate_diffusion, simulate_sgd
from qpot.simulation.splitting import splitting_times

__all__ = [
    "ArrheniusLaw",
    "Comparison",
    "Ensemble",
    "EscapePoints",
    "EscapeTimes",
    "Occupation",
    "OccupationCheck",
    "SplittingTimes",
    "compare",
    "escape_times",
    "simulate_diffusion",
    "simulate_sgd",
    "splitting_times",
]
