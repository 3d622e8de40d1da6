"""Gradient covariances: brute force over all batches, subsamples, low rank, factors for many dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sums_models import jax_sum, numpy_sum, points, torch_sum

import qpot
from qpot.problem.measured_noise import batch_factor, batch_moments

BUILDERS: dict[str, Callable[..., qpot.FiniteSum]] = {"numpy": numpy_sum, "torch": torch_sum, "jax": jax_sum}


def five(seed: int = 0, dimension: int = 3) -> qpot.FiniteSum:
    rng = np.random.default_rng(seed)
    return qpot.logistic_sum(rng.normal(size=(5, dimension)), rng.choice([-1, 1], size=5))


def wide(samples: int = 40, dimension: int = 60, seed: int = 0) -> qpot.FiniteSum:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, dimension)) * 0.8 ** np.arange(dimension)
    return qpot.logistic_sum(X, rng.choice([-1, 1], size=samples), weight_decay=0.1)


def matrix_of(estimate: qpot.CovarianceEstimate) -> Any:
    assert estimate.matrix is not None
    return estimate.matrix


@pytest.mark.parametrize("name", sorted(BUILDERS))
@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("replacement", [True, False])
def test_the_covariance_of_all_batches(name: str, batch_size: int, replacement: bool) -> None:
    """Every batch of the network's first five samples, each once: the covariance of its mean gradient."""
    total = BUILDERS[name]() if name == "numpy" else BUILDERS[name](5)
    x = points(1)
    g = total.gradients_at(x)[0, :5]
    C = np.cov(g.T, bias=True)
    if total.n_samples == 5:
        assert np.allclose(total.covariance(x)[0], C, rtol=0, atol=1e-14)
    batches = (
        itertools.product(range(5), repeat=batch_size) if replacement else itertools.combinations(range(5), batch_size)
    )
    means = np.array([g[list(batch)].mean(axis=0) for batch in batches])
    brute = np.cov(means.T, bias=True)
    assert np.allclose(batch_factor(5, batch_size, replacement) * C, brute, rtol=0, atol=1e-14)


@given(st.integers(0, 10**6), st.integers(1, 4), st.booleans(), st.integers(4, 6))
@settings(max_examples=40, deadline=None)
def test_skewness_and_kurtosis_of_all_batches(seed: int, batch_size: int, replacement: bool, samples: int) -> None:
    values = np.random.default_rng(seed).normal(size=samples) ** 3
    if not replacement and batch_size == samples:
        return
    batches = (
        itertools.product(range(samples), repeat=batch_size)
        if replacement
        else itertools.combinations(range(samples), batch_size)
    )
    means = np.array([values[list(batch)].mean() for batch in batches])
    m = means - means.mean()
    expected = (m**3).mean() / (m**2).mean() ** 1.5, (m**4).mean() / (m**2).mean() ** 2 - 3.0
    assert batch_moments(values, batch_size, replacement) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_subsamples_are_unbiased_over_all_of_them() -> None:
    """The mean of the estimates from every subset of three of five samples is the exact covariance."""
    total, x = five(), np.array([0.3, -0.2, 0.5])
    exact = matrix_of(qpot.estimate_covariance(total, x))

    class Fixed(np.random.Generator):
        """A generator whose permutation begins with a given subset."""

        def __init__(self, subset: tuple[int, ...]) -> None:
            super().__init__(np.random.PCG64(0))
            self.subset = subset

        def permutation(self, x: Any, axis: int = 0) -> Any:
            del axis
            return np.array([*self.subset, *(k for k in range(x) if k not in self.subset)])

    method = qpot.SubsampledCovariance(samples=3)
    estimates = [
        qpot.estimate_covariance(total, x, method=method, rng=Fixed(subset))
        for subset in itertools.combinations(range(5), 3)
    ]
    assert np.allclose(np.mean([matrix_of(e) for e in estimates], axis=0), exact, rtol=0, atol=1e-15)


def test_the_standard_error_of_a_subsample_is_that_of_its_scatter() -> None:
    total = wide(400, 3)
    exact = qpot.estimate_covariance(total, np.zeros(3))
    method = qpot.SubsampledCovariance(samples=100)
    runs = [qpot.estimate_covariance(total, np.zeros(3), method=method, rng=k) for k in range(300)]
    matrices, errors = np.array([r.matrix for r in runs]), np.array([r.errors for r in runs])
    scatter = matrices.std(axis=0)
    # 300 runs: the scatter is known to 1 / sqrt(600) = 4 %, and the error's own mean is biased by O(1 / samples)
    assert np.abs(errors.mean(axis=0) / scatter - 1.0).max() < 0.15
    assert np.abs(matrices.mean(axis=0) - exact.matrix).max() < 4 * scatter.max() / np.sqrt(300)
    traces = np.array([r.trace for r in runs])
    assert np.mean([r.trace_error for r in runs]) == pytest.approx(traces.std(), rel=0.15)
    everything = qpot.estimate_covariance(total, np.zeros(3), method=qpot.SubsampledCovariance(samples=400))
    assert np.allclose(matrix_of(everything), matrix_of(exact), rtol=0, atol=1e-14)
    assert not np.any(everything.errors)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_low_rank_is_the_leading_part(name: str) -> None:
    total, x = BUILDERS[name](), points(1)[0]
    exact = qpot.estimate_covariance(total, x)
    few = qpot.estimate_covariance(total, x, method=qpot.LowRankCovariance(rank=3), rng=1)
    # at most N - 1 = 6 directions: with oversampling the range finder has all of them
    assert few.eigenvalues == pytest.approx(exact.eigenvalues[:3], rel=1e-9, abs=0.0)
    assert few.captured == pytest.approx(exact.eigenvalues[:3].sum() / exact.trace, rel=1e-9)
    assert few.trace == pytest.approx(exact.trace, rel=1e-12)
    assert np.abs((few.eigenvectors * exact.eigenvectors[:, :3]).sum(axis=0)) == pytest.approx(np.ones(3), rel=1e-7)
    diagonal = qpot.estimate_covariance(total, x, method=qpot.DiagonalCovariance())
    assert exact.matrix is not None
    assert diagonal.diagonal == pytest.approx(np.diag(exact.matrix), rel=1e-12)


def test_low_rank_with_little_oversampling_approaches_the_exact_eigenvalues() -> None:
    total = wide(400)
    exact = qpot.estimate_covariance(total, np.zeros(60))
    gaps = []
    for power in (0, 1, 3):
        method = qpot.LowRankCovariance(rank=5, oversampling=2, power_iterations=power)
        few = qpot.estimate_covariance(total, np.zeros(60), method=method)
        gaps.append(np.abs(few.eigenvalues / exact.eigenvalues[:5] - 1.0).max())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3


def test_factors_reproduce_the_covariance() -> None:
    total = wide()
    x = 0.1 * np.random.default_rng(1).normal(size=(3, 60))
    p = np.random.default_rng(2).normal(size=(3, 60))
    full = qpot.low_rank_covariance(total, x[0], rank=39, floor=0.2, state_dependent=True)
    # all N - 1 combinations: exact at every point, not only where they were chosen
    assert np.allclose(full.times(x, p), total.covariance_product(x, p) + 0.2 * p, rtol=0, atol=1e-12)
    some = qpot.low_rank_covariance(total, x[0], rank=5, floor=0.2, state_dependent=True)
    fixed = qpot.low_rank_covariance(total, x[0], rank=5, floor=0.2)
    assert np.allclose(some.times(x[:1], p[:1]), fixed.times(x[:1], p[:1]), rtol=1e-4)
    assert not np.allclose(some.times(x[1:], p[1:]), fixed.times(x[1:], p[1:]), rtol=1e-3)


@pytest.mark.parametrize("build", [wide, torch_sum, jax_sum])
def test_the_gradient_of_a_state_dependent_covariance(build: Callable[[], qpot.FiniteSum]) -> None:
    total = build()
    d, h = total.dimension, 1e-6
    x, p = 0.3 * np.random.default_rng(1).normal(size=(2, 2, d))
    noise = qpot.low_rank_covariance(total, x[0], rank=4, floor=0.2, state_dependent=True)

    def quadratic(y: Any) -> Any:
        return (p * noise.times(y, p)).sum(axis=1)

    differences = np.stack([(quadratic(x + h * e) - quadratic(x - h * e)) / (2 * h) for e in np.eye(d)], axis=1)
    assert noise.gradient is not None
    assert np.abs(noise.gradient(x, p) - differences).max() < 1e-8


def test_a_system_with_an_approximated_covariance() -> None:
    total = wide()
    system = qpot.System.from_finite_sum(
        total, covariance=qpot.low_rank_covariance(total, np.zeros(60), rank=3, floor=0.1)
    )
    x = np.full((1, 60), 0.1)
    drift, a = system.moments(x)
    assert np.array_equal(a, system.covariance(x))
    assert np.allclose(drift, -total.gradient(x))
    assert system.epsilon(learning_rate=0.1, batch_size=5) == pytest.approx(0.02)
    with pytest.raises(ValueError, match="noise='exact' takes the samples themselves"):
        qpot.System.from_finite_sum(total, noise="exact", covariance=1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: qpot.estimate_covariance(five(), np.zeros(3), method=qpot.SubsampledCovariance(samples=6)),
            "exceeds the 5",
        ),
        (lambda: qpot.estimate_covariance(five(), np.zeros(3), method=qpot.LowRankCovariance(rank=4)), "= 3; lower it"),
        (lambda: qpot.estimate_covariance(five(), np.zeros(3), method="exact"), "method must be"),  # type: ignore[arg-type]
        (lambda: qpot.estimate_covariance(five(), np.zeros(2)), "shape"),
        (lambda: qpot.SubsampledCovariance(samples=1), "samples must be an integer >= 2"),
        (lambda: qpot.LowRankCovariance(rank=0), "rank must be"),
        (lambda: batch_factor(5, 6, False), "batch_size=6 exceeds the 5 samples"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def label_sum(s: float) -> qpot.FiniteSum:
    rng = np.random.default_rng(0)
    return qpot.label_noise_sum(qpot.least_squares_sum, rng.normal(size=(20, 3)), rng.normal(size=20), [-s, s])


def test_label_noise_adds_to_the_covariance() -> None:
    """C = C without label noise + s^2 X^T X / N for least squares, and the label part is the second term."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    clean, noisy, x = qpot.least_squares_sum(X, y), label_sum(0.7), rng.normal(size=(2, 3))
    label = 0.49 * X.T @ X / 20
    assert np.allclose(noisy.covariance(x), clean.covariance(x) + label, rtol=0, atol=1e-12)
    assert np.allclose(qpot.label_noise_covariance(noisy, 2)(x), label, rtol=0, atol=1e-12)
    assert np.allclose(noisy.gradient(x), clean.gradient(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("perturbations", "message"),
    [([0.1, 0.2], "have the mean 0.15"), ([0.0], "at least two"), ([np.nan, 1.0], "at least two finite")],
)
def test_label_noise_without_bias(perturbations: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.label_noise_sum(qpot.least_squares_sum, np.ones((2, 1)), np.ones(2), perturbations)
    with pytest.raises(ValueError, match="one row for each sample"):
        qpot.label_noise_sum(qpot.least_squares_sum, np.ones((2, 1)), np.ones(3), [-1, 1])
    with pytest.raises(ValueError, match="levels=3 does not divide"):
        qpot.label_noise_covariance(label_sum(0.1), 3)
    with pytest.raises(ValueError, match="build must return a FiniteSum"):
        qpot.label_noise_sum(lambda X, y: five(), np.ones((2, 1)), np.ones(2), [-1, 1])


def test_a_path_with_a_low_rank_covariance_agrees_with_the_matrices() -> None:
    """Products and factors of the state-dependent covariance against the dense method for the same covariance."""
    total = wide(12, 3)
    system = qpot.System.from_finite_sum(total)
    (minimum,) = qpot.find_minima(system, [(-10, 10)] * 3, starts=4)
    end = minimum.point + np.array([0.6, -0.4, 0.5])
    factors = qpot.low_rank_covariance(total, minimum, rank=3, floor=0.05, state_dependent=True)
    # rank 3 of 11 combinations is not all of the covariance away from the minimum: both take the same approximation
    dense = qpot.System.from_loss(total.loss, total.gradient, lambda x: factors(x), dimension=3)
    products = qpot.System.from_finite_sum(total, covariance=factors)
    expected = qpot.minimum_action_path(dense, minimum, end)
    path = qpot.minimum_action_path(products, minimum, end, method=qpot.LargeScaleAction())
    assert path.action == pytest.approx(expected.action, abs=3 * (path.error + expected.error) + 1e-6 * expected.action)
    bare = qpot.minimum_action_path(system, minimum, end).action
    assert expected.action < bare  # the floor is noise on top
