"""Ensembles against exact laws: stationary covariances, minibatch covariances, shares of two wells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from twins_simulation import stationary_covariance

import qpot
from qpot._core.arrays import Array

WELLS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def assert_covariance(points: Array, expected: Array, *, samples: int) -> None:
    """Second moments of Gaussian-like ``points`` within five standard errors of ``samples`` independent ones."""
    S = np.einsum("nri,nrj->ij", points, points) / (points.shape[0] * points.shape[1])
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / samples)
    assert (np.abs(S - expected) < 5 * error).all(), (S, expected, error)


@pytest.mark.parametrize("kernel", [True, False])
def test_scalar_variance_at_a_large_learning_rate(kernel: bool) -> None:
    # case C8: Var = eta s^2 / (a (2 - eta a)) = 0.5161290322580645 for eta 0.3, a 1.5, s 2
    total = qpot.quadratic_sum(1.5, np.array([4.0, -4.0]) / 3.0)
    if not kernel:
        total = qpot.FiniteSum(
            sample_losses=total.sample_losses,
            sample_gradients=total.sample_gradients,
            n_samples=2,
            dimension=1,
        )
    steps, replicas = (20_000, 64) if kernel else (400, 4000)
    run = qpot.simulate_sgd(
        qpot.System.from_finite_sum(total),
        learning_rate=0.3,
        steps=steps,
        start=[0.0],
        replicas=replicas,
        record=np.arange(40, steps + 1, 20),
    )
    # twenty steps apart the correlation is 0.55^20: independent
    assert_covariance(run.points, np.array([[0.5161290322580645]]), samples=run.points[:, :, 0].size)


@pytest.mark.parametrize(("replacement", "batch_size"), [(True, 1), (True, 3), (False, 3)])
def test_matrix_covariance_of_least_squares(replacement: bool, batch_size: int) -> None:
    # equal Gram terms on the diagonal keep the noise additive: samples <x - c_i, A (x - c_i)> / 2 with one A
    rng = np.random.default_rng(0)
    A, rate = np.diag([2.0, 0.7]), 0.2
    centres = rng.normal(size=(8, 2))
    centres -= centres.mean(axis=0)
    total = qpot.quadratic_sum(np.tile(np.diag(A), (8, 1)), centres)
    system = qpot.System.from_finite_sum(total, replacement=replacement)
    g = centres @ A
    factor = 1.0 / batch_size if replacement else (8 - batch_size) / (batch_size * 7)
    expected = stationary_covariance(A, factor * g.T @ g / 8, rate)
    run = qpot.simulate_sgd(
        system,
        learning_rate=rate,
        batch_size=batch_size,
        steps=20_000,
        start=[0.0, 0.0],
        replicas=40,
        record=np.arange(100, 20_001, 50),
    )
    assert_covariance(run.points, expected, samples=run.points[:, :, 0].size)


def test_heavy_ball_variance() -> None:
    # case D1: eta s^2 (1 + beta) / (a (1 - beta) (2 (1 + beta) - eta a)) = 0.09587066213572239
    rate, beta, a, s = 0.05, 0.9, 1.3, 0.7
    run = qpot.simulate_sgd(
        qpot.System.from_finite_sum(qpot.quadratic_sum(a, np.array([s / a, -s / a]))),
        learning_rate=rate,
        momentum=beta,
        steps=60_000,
        start=[0.0],
        replicas=64,
        record=np.arange(300, 60_001, 150),
    )
    assert run.epsilon == pytest.approx(0.5)
    # the envelope beta^(k / 2) has decayed to 4e-4 after 150 steps
    assert_covariance(run.points, np.array([[0.09587066213572239]]), samples=run.points[:, :, 0].size)


def test_epoch_reshuffling_cancels_the_noise() -> None:
    # case C9: end-of-epoch variance 0.00031406330618929056 against 0.1197 for independent draws
    run = qpot.simulate_sgd(
        qpot.System.from_finite_sum(qpot.quadratic_sum(1.0, [1.0, 2.0, -3.0])),
        learning_rate=0.05,
        steps=30_000,
        start=[0.0],
        replicas=40,
        sampling="epoch reshuffling",
        record=np.arange(300, 30_001, 150),
    )
    assert_covariance(run.points, np.array([[0.00031406330618929056]]), samples=run.points[:, :, 0].size)


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("sampling", ["independent", "without replacement", "epoch reshuffling"])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_minibatches_of_five_samples_against_all_batches(batch_size: int, sampling: str, kernel: bool) -> None:
    # every batch's gradient by brute force; the first step from a fixed point must have exactly that law
    rng = np.random.default_rng(1)
    total = qpot.least_squares_sum(rng.normal(size=(5, 2)), rng.normal(size=5))
    if not kernel:
        total = qpot.FiniteSum(
            sample_losses=total.sample_losses,
            sample_gradients=total.sample_gradients,
            drawn_gradients=total.drawn_gradients,
            n_samples=5,
            dimension=2,
        )
    point = np.array([0.4, -0.3])
    g = total.gradients_at(point)[0]
    independent = sampling == "independent"
    batches = (
        itertools.product(range(5), repeat=batch_size) if independent else itertools.combinations(range(5), batch_size)
    )
    means = np.array([g[list(batch)].mean(axis=0) for batch in batches])
    covariance = np.cov(means.T, bias=True)
    R, rate = 40_000, 0.01
    run = qpot.simulate_sgd(
        qpot.System.from_finite_sum(total),
        learning_rate=rate,
        batch_size=batch_size,
        steps=1,
        start=point,
        replicas=R,
        sampling=sampling,
    )
    step = (run.points[0] - run.points[1]) / rate
    if not independent or batch_size == 1:
        # few batches: each must occur, as often as any other
        nearest = ((step[:, None] - means) ** 2).sum(axis=2)
        assert nearest.min(axis=1).max() < 1e-20
        counts = np.bincount(nearest.argmin(axis=1), minlength=len(means))
        expected = R / len(means)
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    scale = np.sqrt(np.diag(covariance))
    assert np.abs((step.mean(axis=0) - g.mean(axis=0)) / scale).max() < 5 / np.sqrt(R)
    gap = (np.cov(step.T) - covariance) / np.outer(scale, scale)
    assert np.abs(gap).max() < 10 / np.sqrt(R)
    if sampling != "epoch reshuffling":
        # and the library's own numbers: epsilon a = eta Cov g_B
        one = qpot.System.from_finite_sum(total, replacement=independent)
        level = one.epsilon(learning_rate=rate, batch_size=batch_size)
        np.testing.assert_allclose(level * one.covariance(point)[0], rate * covariance, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("s", "learning_rate", "left", "steps"),
    [
        # cases C5 and C5b: shares of the left well from 1.5e8 steps each, so with an error below 0.002
        (0.5, 0.12, 0.763, 400_000),
        (0.5, 0.10, 0.798, 400_000),
        (-0.5, 0.12, 0.0378, 400_000),
    ],
)
def test_share_of_the_left_well(s: float, learning_rate: float, left: float, steps: int) -> None:
    run = qpot.simulate_sgd(
        qpot.System.from_finite_sum(qpot.embedded_double_well_sum(s)),
        learning_rate=learning_rate,
        steps=steps,
        start=WELLS[0 if s > 0 else 1],
        replicas=32,
        record=100,
        minima=WELLS,
        rng=11,
    )
    share = run.occupation(burn_in=0.15, confidence=0.999)
    low, high = share.intervals[0]
    assert low - 0.002 < left < high + 0.002, share
    assert (share.fractions[0] > 0.5) == (s > 0)


def test_ornstein_uhlenbeck_with_rotation() -> None:
    # case B8: A S + S A^T = D; Euler-Maruyama obeys A S + S A^T - h A S A^T = D exactly
    A, D = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.diag([1.0, 4.0])
    h, epsilon = 0.05, 0.2
    eye = np.eye(2)
    operator = np.kron(A, eye) + np.kron(eye, A)
    np.testing.assert_allclose(np.linalg.solve(operator, D.ravel()), [2.5, -1.0, -1.0, 2.0], rtol=1e-12)
    expected = epsilon * np.linalg.solve(operator - h * np.kron(A, A), D.ravel()).reshape(2, 2)
    run = qpot.simulate_diffusion(
        qpot.System(drift=lambda x: -x @ A.T, covariance=D, dimension=2),
        epsilon=epsilon,
        time_step=h,
        steps=2400,
        start=[0.0, 0.0],
        replicas=1500,
        record=np.arange(300, 2401, 150),
    )
    assert_covariance(run.points, np.asarray(expected, dtype=np.float64), samples=run.points[:, :, 0].size)


def test_state_dependent_noise_has_the_ito_density() -> None:
    # case A2: D = 1 + x / 2 breaks the tie; the density is exp(-phi / eps) / D, P(left) 0.8758 at eps 0.2
    epsilon = 0.2
    system = qpot.System.from_loss(
        lambda x: x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2,
        lambda x: x**3 - x,
        lambda x: 1.0 + x[:, :, None] / 2,
        dimension=1,
    )
    h = 0.02
    run = qpot.simulate_diffusion(
        system,
        epsilon=epsilon,
        time_step=h,
        steps=8000,
        start=[-1.0],
        replicas=512,
        minima=WELLS[:, :1],
        record=50,
    )
    share = run.occupation(burn_in=0.25, confidence=0.999)
    # weak error of order h on top of the interval
    assert share.intervals[0, 0] - h < 0.8758132666167968 < share.intervals[0, 1] + h, share


def test_heavy_ball_selects_as_plain_sgd_at_the_effective_learning_rate() -> None:
    # case A2 again, by momentum: eta / (1 - beta) = 0.02, and the covariance is ten times 1 + x / 2, so that epsilon is 0.2
    system = qpot.System.from_loss(
        lambda x: x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2,
        lambda x: x**3 - x,
        lambda x: 10.0 * (1.0 + x[:, :, None] / 2),
        dimension=1,
    )
    run = qpot.simulate_sgd(
        system,
        learning_rate=0.01,
        momentum=0.5,
        steps=8000,
        start=[-1.0],
        replicas=512,
        minima=WELLS[:, :1],
        record=50,
    )
    assert run.epsilon == pytest.approx(0.02)
    assert qpot.SGD(momentum=0.5).epsilon(system, learning_rate=0.01) == pytest.approx(0.02)
    share = run.occupation(burn_in=0.25, confidence=0.999)
    # errors of the order of the effective learning rate on top of the interval
    assert share.intervals[0, 0] - 0.02 < 0.8758132666167968 < share.intervals[0, 1] + 0.02, share


def test_mean_passage_time_of_the_diffusion() -> None:
    # the exact double integral (case A1's formula at a larger epsilon): from -1 to 1, f = x^4 / 4 - x^2 / 2
    epsilon = 0.25

    def f(x: float) -> float:
        return x**4 / 4 - x**2 / 2

    def inner(y: float) -> float:
        return float(quad(lambda z: np.exp(-2 * f(z) / epsilon), -4.0, y, limit=200)[0])

    target = 0.9
    exact = quad(lambda y: 2 / epsilon * np.exp(2 * f(y) / epsilon) * inner(y), -1.0, target, limit=200)[0]
    system = qpot.System.from_loss(lambda x: x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2, lambda x: x**3 - x, 1.0, dimension=1)
    times = qpot.escape_times(
        system,
        epsilon=epsilon,
        time_step=0.01,
        start=[-1.0],
        minima=WELLS[:, :1],
        radius=0.1,
        steps=20_000,
        replicas=400,
    )
    low, high = times.interval(0.999)
    assert times.events > 390
    # discrete observation delays the passage by about 0.58 sqrt(eps h) in position: a few per cent here
    assert 0.97 * low * 0.01 < exact < 1.03 * high * 0.01


@pytest.mark.parametrize(
    ("s", "home", "cost", "replicas"),
    [
        # exact costs of cases C5 and C5b (log-moment generating function, not the diffusion)
        (0.5, 1, 0.35052828682028114, 400),
        pytest.param(0.5, 0, 0.471547343969516, 200, marks=pytest.mark.slow),
        pytest.param(-0.5, 0, 0.5405827588269752, 200, marks=pytest.mark.slow),
    ],
)
def test_escape_times_grow_with_the_cost(s: float, home: int, cost: float, replicas: int) -> None:
    system = qpot.System.from_finite_sum(qpot.embedded_double_well_sum(s))
    rates = np.array([0.1, 0.08, 0.065, 0.055])
    times = [
        qpot.escape_times(
            system,
            learning_rate=rate,
            start=WELLS[home],
            minima=WELLS,
            steps=30_000_000,  # far beyond the mean: nobody is censored
            replicas=replicas,
            radius=0.25,
            rng=5,
        )
        for rate in rates
    ]
    assert all(each.events == replicas for each in times)
    # log mean of k exponentials has standard deviation 1 / sqrt(k)
    x = 1.0 / rates - (1.0 / rates).mean()
    slope = (x * np.log([each.mean_time for each in times])).sum() / (x**2).sum()
    error = 1.0 / np.sqrt(replicas * (x**2).sum())
    assert abs(slope - cost) < 3 * error, (slope, error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("s", "learning_rate", "left"),
    [
        (0.5, 0.12, 0.763),
        (0.5, 0.10, 0.798),
        (0.5, 0.08, 0.839),
        (0.5, 0.065, 0.877),
        (-0.5, 0.12, 0.0378),
        (-0.5, 0.10, 0.0204),
    ],
)
def test_shares_of_the_wells_with_many_steps(s: float, learning_rate: float, left: float) -> None:
    # cases C5 and C5b as they were measured, 1.5e8 steps
    run = qpot.simulate_sgd(
        qpot.System.from_finite_sum(qpot.embedded_double_well_sum(s)),
        learning_rate=learning_rate,
        steps=1_500_000,
        start=np.repeat(WELLS, 50, axis=0) if s > 0 else WELLS[1],
        replicas=100,
        record=1000,
        minima=WELLS,
        rng=12,
    )
    share = run.occupation(burn_in=0.2, confidence=0.99)
    low, high = share.intervals[0]
    # the reference has the same number of steps, hence the same error
    half = np.sqrt(2.0) * (high - low) / 2
    assert abs(share.fractions[0] - left) < half, share
