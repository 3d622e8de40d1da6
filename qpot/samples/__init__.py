"""Losses that are means over samples.

- `automatic`: ModelSum: a finite sum with derivatives by automatic differentiation, in pieces of bounded memory.
- `dense_activations`: Elementwise activations with their first two derivatives, in NumPy.
- `dense_chain`: A chain of dense layers and its derivatives, written out in NumPy for many points and samples at once.
- `dense_hessian`: Hessians of a chain of dense layers.
- `dense_losses`: Losses of a network's outputs with their first two derivatives, in NumPy.
- `dense_sum`: DenseSum: the finite sum of a chain of dense layers, by formulas in NumPy.
- `finite_sum`: FiniteSum: a loss that is a mean over samples, and the covariance of its samples' gradients.
- `formulas`: Losses and gradients of samples in NumPy; the compiled kernels have the same formulas.
- `gauge_axes`: Null spaces of gradients along one axis of a parameter, from random contractions over its other axes.
- `gauge_map`: GaugeMap: the linear map from reduced coordinates to all parameters, by small matrices.
- `gauge_names`: What gauge directions are, in words.
- `gauge_points`: Random points of several scales, and the samples' gradients there.
- `gauge_rates`: Directions without noise in which the drift is a decay of one rate.
- `gauge_search`: The search for gauge directions: along which no sample's gradient ever has a part, at any point.
- `gradient_checks`: check_gradients: whether a finite sum's gradients fit its losses, and its means fit its samples.
- `initial`: Starting points of training runs: the model's own initialisation, or the spread of its parameters.
- `held_against_loop`: Models held against a plain loop over points and samples: batching, gradients and second derivatives.
- `jax_models`: from_jax: a loss of one sample, a tree of parameters and data as a finite sum.
- `label_noise`: Label noise: targets that are perturbed afresh whenever a sample is drawn.
- `layout`: ParameterLayout: the place of each named parameter of a model in a flat vector, and the way back.
- `loss_checks`: Gradients that are compared with their losses at first use, so that a wrong one is never silent.
- `network`: A network with one hidden layer as a finite sum with a compiled kernel, without PyTorch.
- `pages`: Memory that the process keeps when arrays of some megabytes are given back.
- `quotient`: without_gauges: a finite sum in the coordinates along which its samples' gradients have a part at all.
- `quotient_functions`: The functions of a finite sum in reduced coordinates.
- `ready_made`: Finite sums with compiled kernels: quadratics, regressions, phase retrieval, a sinusoid, two wells.
- `reduced_dense`: The chain of dense layers that a model in reduced coordinates is, where inputs and outputs are reduced.
- `subspace`: A finite sum on an affine subspace of its parameters.
- `torch_activations`: Elementwise functions of PyTorch, by the formulas of their derivatives.
- `torch_batches`: Gradients of drawn minibatches of a PyTorch model, replayed as plain tensor operations.
- `torch_chain`: Chains of dense layers, convolutions and elementwise functions, read from a traced PyTorch module.
- `torch_checks`: Checks that a PyTorch module, a loss and a data set are what a finite sum needs.
- `torch_dense`: PyTorch models that are chains of dense layers and convolutions, as formulas that were compared with
  PyTorch.
- `torch_heads`: Any loss of a few outputs: PyTorch differentiates the loss in the outputs, and formulas do the rest.
- `torch_losses`: Losses of PyTorch that are known by their formulas, as functions of a network's outputs.
- `torch_models`: from_torch: a PyTorch module, a loss function and a data set as a finite sum.
- `torch_plain`: PyTorch models one point at a time by plain automatic differentiation: the loop that all is held against.
- `torch_points`: PyTorch modules at points of the flat vector of parameters, and new points as the modules draw them.
- `torch_recorded`: Recorded operations: a function of many points is replayed as plain tensor operations, in pieces of a
  few sizes.
- `torch_recorder`: The recorder of tensor operations: what a function did once, as a graph that is run again with other
  tensors.
- `unit_axes`: Axes of parameters as rows of units: which entries belong to which unit, and what two exchanged units leave
  fixed.
- `unit_search`: The search for units: axes that can be exchanged together only, and blocks of them that no sample's loss
  notices.
- `unit_signs`: Changes of sign of the arrays of a unit, as vectors over the field of two elements.
- `units`: UnitBlock: the units of one layer of a model, and their places in the flat vector of parameters.
- `torch_trials`: Trials of a PyTorch model: what its first calls show of chance, memory, coupled samples, kinks, errors.
- `torch_ways`: The way in which a PyTorch model is computed: samples together, with functions written out, or one by one.
- `torch_written_out`: PyTorch functions whose batching or second derivative is wrong or missing, written out in elementary
  operations.
"""

from qpot.samples.automatic import ModelSum
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.gradient_checks import check_gradients
from qpot.samples.jax_models import from_jax
from qpot.samples.label_noise import label_noise_covariance, label_noise_sum
from qpot.samples.layout import ParameterLayout
from qpot.samples.network import network_sum
from qpot.samples.quotient import ModelQuotient, Quotient, without_gauges
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
from qpot.samples.unit_search import unit_blocks
from qpot.samples.units import UnitBlock

__all__ = [
    "FiniteSum",
    "ModelQuotient",
    "ModelSum",
    "ParameterLayout",
    "Quotient",
    "UnitBlock",
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
    "unit_blocks",
    "welsch_sum",
    "without_gauges",
]
