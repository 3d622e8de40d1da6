"""A method of `estimate_covariance` that the library does not know, added as one class: shrinkage towards the diagonal."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array
from qpot.problem.covariance_methods import CovarianceEstimate, CovarianceMethod, of_matrix


@dataclass(frozen=True, kw_only=True)
class Shrunk(CovarianceMethod):
    """(1 - share) C + share diag(C)."""

    share: float

    def estimate(self, finite_sum: qpot.FiniteSum, point: Array, rng: np.random.Generator) -> CovarianceEstimate:
        C = finite_sum.covariance(point[None])[0]
        C = (1.0 - self.share) * C + self.share * np.diag(np.diag(C))
        return of_matrix(point, finite_sum.gradient(point[None])[0], C, self, None, 0.0)


def total() -> qpot.FiniteSum:
    rng = np.random.default_rng(4)
    return qpot.least_squares_sum(rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=50))


def test_everything_that_takes_a_covariance_method_takes_it() -> None:
    x = np.full(6, 0.2)
    C = total().covariance(x[None])[0]
    estimate = qpot.estimate_covariance(total(), x, method=Shrunk(share=0.25))
    assert estimate.matrix is not None
    np.testing.assert_allclose(estimate.matrix, 0.75 * C + 0.25 * np.diag(np.diag(C)), rtol=1e-12)
    assert repr(estimate).startswith("CovarianceEstimate(Shrunk, ")
    noise = qpot.measure_noise(total(), x, method=Shrunk(share=0.25))
    assert noise.covariance.method == Shrunk(share=0.25)
    assert noise.effective_rank == pytest.approx(np.trace(C) ** 2 / (estimate.matrix**2).sum(), rel=1e-12)


def test_shrunk_to_the_end_it_is_the_diagonal() -> None:
    x = np.full(6, 0.2)
    shrunk = qpot.estimate_covariance(total(), x, method=Shrunk(share=1.0))
    diagonal = qpot.estimate_covariance(total(), x, method=qpot.DiagonalCovariance())
    assert diagonal.diagonal_only
    assert not shrunk.diagonal_only
    y, p = np.random.default_rng(0).normal(size=(2, 3, 6))
    ours, theirs = (estimate.as_covariance(0.1).times(y, p) for estimate in (shrunk, diagonal))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_what_has_no_verb_is_refused() -> None:
    for method in ("exact", qpot.ExactCovariance, qpot.EventDriven()):
        with pytest.raises(ValueError, match="method must be"):
            qpot.estimate_covariance(total(), np.zeros(6), method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "method",
    [
        qpot.ExactCovariance(),
        qpot.SubsampledCovariance(samples=3),
        qpot.LowRankCovariance(rank=4, power_iterations=1),
        qpot.DiagonalCovariance(),
    ],
    ids=repr,
)
def test_methods_are_values_that_can_be_sent(method: CovarianceMethod) -> None:
    copy = pickle.loads(pickle.dumps(method))
    assert copy == method
    assert hash(copy) == hash(method)
    assert repr(copy) == repr(method)
