"""Losses that are means over samples.

- `automatic`: ModelSum: a finite sum whose derivatives come from automatic differentiation, in chunks of bounded
  memory.
- `finite_sum`: What SGD is as a system: finite sums and the covariance of their minibatch gradients.
- `formulas`: Losses and gradients of samples in NumPy; `qpot.solvers.sample_gradients` has the same formulas
  compiled.
- `gradient_checks`: Whether the parts of a finite sum fit together: gradients against losses, means against samples.
- `jax_models`: from_jax: a loss of one sample, a tree of parameters and data as a finite sum.
- `label_noise`: Label noise: targets that are perturbed afresh whenever a sample is drawn.
- `layout`: ParameterLayout: where each named parameter of a model sits in the flat vector, and back.
- `loss_checks`: A gradient held against its loss without being asked, so that a wrong one is no silent answer.
- `network`: A network with one hidden layer as a finite sum with a compiled kernel: enough for thousands of runs
  without PyTorch.
- `ready_made`: Finite sums with a compiled kernel: quadratics, regressions, a robust one, phase retrieval, a
  sinusoid, two wells.
- `torch_checks`: PyTorch modules, losses and data sets held against what a finite sum needs.
- `torch_models`: from_torch: a PyTorch module, a loss function and a data set as a finite sum.
"""

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

__all__ = [
    "FiniteSum",
    "ModelSum",
    "ParameterLayout",
    "check_gradients",
    "embedded_double_well_sum",
    "from_jax",
    "from_torch",
    "label_noise_covariance",
    "label_noise_sum",
    "least_squares_sum",
    "logistic_sum",
    "network_sum",
    "phase_retrieval_sum",
    "quadratic_sum",
    "sinusoid_sum",
    "welsch_sum",
]
