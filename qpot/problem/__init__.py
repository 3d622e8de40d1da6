"""Drift and noise: what is asked about.

- `arguments`: Arguments of public functions, checked by kind before anything is computed, so that a wrong one is named
  at once.
- `charted`: A system's functions in coordinates without sides.
- `charts`: Chart: a system whose coordinates end, solved in coordinates that do not, and how results are read back.
- `checked_system`: The check that an argument is a system.
- `checkpointed`: Public functions that can go on where an earlier run of the same call was stopped.
- `controllable`: The directions that the noise reaches at a fixed point, directly or carried on by the drift.
- `covariance`: Covariances a(x) = sigma(x) sigma(x)^T: constructors, and the checks that every solver relies on.
- `covariance_methods`: CovarianceMethod: what a method of `estimate_covariance` is and returns.
- `diagonal_covariance`: DiagonalCovariance: the variance of every coordinate, from all samples.
- `discrete_steps`: Discrete steps: the exact noise of SGD, for costs beyond the Gaussian approximation.
- `domain`: Sides: where a system's coordinates end, and functions that are never called beyond.
- `estimates`: Estimates of the covariance of one sample's gradient at a point: exact, subsampled, of low rank, or
  diagonal.
- `exact_covariance`: ExactCovariance: the covariance from all samples, as a matrix.
- `factored`: Covariances in factors, of low rank plus a floor, for many dimensions: no d x d matrix is formed.
- `file_fields`: What files hold of the results of this wing, field by field.
- `floored_motion`: The motion of a finite sum's SGD with a floor of the noise, by factors.
- `foreign_noise`: Kinds of noise from outside the library: what their methods return is checked, as a covariance function is.
- `functions`: A user's batch functions: points from outside are checked, those from within the library are not.
- `gaussian_noise`: Gaussian noise whose covariance is a matrix, a function that returns matrices, or known by
  products.
- `given_steps`: Random steps: discrete algorithms other than plain SGD, given by their steps and probabilities.
- `lifted`: Results in reduced coordinates, read back in all coordinates of a system.
- `identity`: What identifies a system on any machine: the values of its functions at fixed points, for want of another
  name.
- `inverse_roots`: Roots of inverse covariances, which tell apart noise that is small in a direction and noise that is none.
- `low_rank`: LowRankCovariance: the leading eigenpairs of the covariance, by products with it.
- `matrix_products`: Products with a covariance that a function returns as matrices, and its derivatives by differences
  along a path.
- `measured_noise`: NoiseStatistics: the gradient noise at a point: its size, ranks, shape, and alignment with the
  Hessian.
- `natural_units`: The choice of units: public functions solve a problem of unusual scale or offset in coordinates of
  ordinary size.
- `noise`: Noise: one object that holds a system's covariance and gives the costs of paths under it.
- `operators`: Covariances that are known by products only, for many dimensions: no d x d matrix is formed.
- `preconditioning`: Preconditioned SGD as a system: drift -P grad L, covariance P C P^T.
- `rescaled`: A system's functions in other coordinates and units.
- `sample_hamiltonian`: The Hamiltonian of a finite sum's minibatch noise, from weighted products.
- `sample_motion`: The motion of a finite sum's SGD along a path: drift, inverse covariance and linearisation, which share
  what they need.
- `sample_noise`: Minibatch noise: the covariance of a finite sum's samples, as matrices and as products.
- `sgd`: SGD with momentum and a preconditioner as a system with an effective epsilon.
- `side_maps`: One coordinate on a part of the line as a smooth function of one on the whole line.
- `subsampled_covariance`: SubsampledCovariance: the covariance from some of the samples, as a matrix with standard
  errors.
- `system`: System: a drift and a noise covariance, and for SGD the loss they come from.
- `system_functions`: A system's functions as it keeps them: the covariance with checks, both moments at once, and
  functions checked once.
- `units`: Units: the coordinates, times and noise in which a problem is solved, and how results are read back.
"""

from qpot.problem.controllable import Controllability, controllability
from qpot.problem.covariance_methods import CovarianceEstimate, CovarianceMethod
from qpot.problem.diagonal_covariance import DiagonalCovariance
from qpot.problem.discrete_steps import DiscreteSteps, exact_noise
from qpot.problem.estimates import estimate_covariance, low_rank_covariance
from qpot.problem.exact_covariance import ExactCovariance
from qpot.problem.factored import FactoredCovariance
from qpot.problem.given_steps import random_steps
from qpot.problem.low_rank import LowRankCovariance
from qpot.problem.measured_noise import DirectionalNoise, NoiseStatistics, measure_noise
from qpot.problem.noise import Noise
from qpot.problem.operators import ProductCovariance
from qpot.problem.preconditioning import preconditioned, rmsprop_like, second_moment, sign_like
from qpot.problem.sgd import SGD
from qpot.problem.subsampled_covariance import SubsampledCovariance
from qpot.problem.system import System

__all__ = [
    "SGD",
    "Controllability",
    "CovarianceEstimate",
    "CovarianceMethod",
    "DiagonalCovariance",
    "DirectionalNoise",
    "DiscreteSteps",
    "ExactCovariance",
    "FactoredCovariance",
    "LowRankCovariance",
    "Noise",
    "NoiseStatistics",
    "ProductCovariance",
    "SubsampledCovariance",
    "System",
    "controllability",
    "estimate_covariance",
    "exact_noise",
    "low_rank_covariance",
    "measure_noise",
    "preconditioned",
    "random_steps",
    "rmsprop_like",
    "second_moment",
    "sign_like",
]
