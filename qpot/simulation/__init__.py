"""The algorithm itself, simulated, and the comparison of a prediction with it.

- `arrhenius`: Arrhenius regression of log mean escape times on 1 / epsilon, beside the predicted cost.
- `censored`: Times of rare events of many replicas, of which some were not seen to the end: the mean and its interval.
- `comparison`: The function compare: hold a prediction against simulations, and say in one sentence whether they
  agree.
- `coordinates`: Reaction coordinates for splitting: how far an excursion has come, by a loss, path, field or
  function.
- `destinations`: Where an escape begins and where it may end: the home minimum, and balls around the others.
- `domain_exits`: exit_times: when and where replicas leave a domain, SGD's steps and the diffusion alike.
- `dynamics`: What is simulated: stochastic gradient descent or the diffusion, as one value that has checked itself.
- `ensemble`: Ensembles: the simulated points of many replicas, and the share of time that they spend in each basin.
- `escape_plan`: Which noise level to measure next, and how: what gives the least error of the slope in a given time.
- `escape_points`: Where escapes go and where they cross the basin's boundary, beside the predicted routes and
  saddles.
- `escape_runs`: Plain runs and splittings out of one minimum, within the CPU time that is left, and what they tell of
  the next ones.
- `escapes`: Escape times: when replicas reach another minimum, and the mean time in spite of censoring.
- `excursions`: Excursions of clones in the real dynamics: one repetition of a splitting, from its loops to its
  arrivals.
- `file_fields`: What files hold of the results of this wing, field by field.
- `first_exits`: FirstExits: when and where replicas have left a domain.
- `kept_replicas`: Replicas on disk: the state of a run, written every few seconds, from which the same run goes on.
- `explanations`: What a check says beside its verdict: what was run, and what explains a disagreement, with its sign.
- `levels`: Escapes from one minimum at several noise levels, each chosen by what the one before has shown.
- `notebook`: Comparisons in a notebook: the verdict and the numbers behind it as HTML.
- `older_files`: Ensembles in files of the releases before the common format of results: what they held, read once
  more.
- `own_noise`: What a prediction for Gaussian noise becomes with the samples' own noise, and what a check makes of it.
- `process`: What a check runs: minibatch SGD of a finite sum, or the diffusion of a system without samples, at any
  noise level.
- `purse`: The CPU time that a check may spend: what is left of it, and limits for its parts that long runs keep to.
- `rare_escapes`: Mean escape times by splitting: the result, put together from independent repetitions, and its
  error.
- `replicas`: Runs of many replicas, in blocks with their own generators and in slices that can be stopped.
- `settled_escapes`: Escapes told by descents: for noise whose cloud around a minimum is wider than the ball that tells
  an arrival.
- `settings`: Settings: simulations that are checked and ready to run, made from `Dynamics` and a start.
- `shares`: Measured shares of time beside the predicted law, at the time of measurement and in the long run.
- `sided`: Steps of a diffusion whose coordinates end: what happens to a replica that comes to a side.
- `simulate`: The functions simulate_sgd and simulate_diffusion: the real algorithm, or a diffusion, in many replicas.
- `splitting`: The function splitting_times: rare escapes by adaptive multilevel splitting of the real dynamics.
- `stability`: Stability of the deterministic step: a learning rate that is too large is refused before the run.
- `tables`: Simulations as data frames and labelled arrays.
- `tilted_costs`: Costs under the samples' own noise in many dimensions: the legs of a prediction, solved again by tilted
  sample weights.
- `time_shares`: Shares of time for a check: one ensemble, labelled modulo symmetries, where the run is long enough to
  be worth it.
- `transients`: How long it takes until escapes from a minimum happen at a steady rate, read off the escapes themselves.
- `updates`: Update rules: how one block of replicas takes its steps, compiled or in NumPy.
- `verdict`: The function check: run the real algorithm where it can be seen to escape, and hold the prediction against
  it.
"""

from qpot.simulation.arrhenius import ArrheniusLaw
from qpot.simulation.comparison import Comparison, compare
from qpot.simulation.domain_exits import exit_times
from qpot.simulation.ensemble import Ensemble, Occupation
from qpot.simulation.escape_points import EscapePoints
from qpot.simulation.escapes import EscapeTimes, escape_times
from qpot.simulation.first_exits import FirstExits
from qpot.simulation.rare_escapes import SplittingTimes
from qpot.simulation.shares import OccupationCheck
from qpot.simulation.simulate import simulate_diffusion, simulate_sgd
from qpot.simulation.splitting import splitting_times
from qpot.simulation.verdict import check

__all__ = [
    "ArrheniusLaw",
    "Comparison",
    "Ensemble",
    "EscapePoints",
    "EscapeTimes",
    "FirstExits",
    "Occupation",
    "OccupationCheck",
    "SplittingTimes",
    "check",
    "compare",
    "escape_times",
    "exit_times",
    "simulate_diffusion",
    "simulate_sgd",
    "splitting_times",
]
