"""What a finite time costs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov

from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.tails import lengthened, spread, tail_rate


def test_rate_of_two_tails() -> None:
    assert tail_rate(2.0, 0.0) == 4.0
    assert tail_rate(0.0, 3.0) == 6.0
    assert tail_rate(2.0, 2.0) == pytest.approx(2.0)
    assert tail_rate(0.0, 0.0) == 0.0


def test_spread_is_the_integral_of_the_noise_carried_on() -> None:
    J, a = np.array([[-1.0, -2.0], [1.0, -0.5]]), np.array([[1.0, 0.4], [0.4, 3.0]])
    times, weights = np.polynomial.legendre.leggauss(200)
    times, weights = 15.0 * (times + 1.0), 15.0 * weights
    expected = sum(w * expm(J * t) @ a @ expm(J.T * t) for t, w in zip(times, weights, strict=True))
    np.testing.assert_allclose(spread(J, a), expected, atol=1e-8)
    np.testing.assert_allclose(J @ spread(J, a) + spread(J, a) @ J.T, -a, atol=1e-12)


def test_spread_at_a_saddle_bounds_each_direction_taken_in_its_own_sense_of_time() -> None:
    J, a = np.array([[-1.0, 0.7], [0.0, 2.0]]), np.array([[1.0, 0.4], [0.4, 3.0]])
    values, vectors = np.linalg.eig(J)
    noise = np.linalg.inv(vectors) @ a @ np.linalg.inv(vectors).T
    for k, rate in enumerate(np.abs(values)):
        p = np.linalg.inv(vectors)[k]  # left eigenvector: p.x moves alone
        exact = solve_continuous_lyapunov([[-rate]], [[-noise[k, k]]])[0, 0]
        # never less, and not more than twice as much
        assert exact * (1 - 1e-12) <= p @ spread(J, a) @ p <= 2.0 * exact * (1 + 1e-12)


def straight(span: float) -> ElementPath:
    return ElementPath(np.linspace(0.0, span, 3), np.linspace(0.0, 1.0, 9)[:, None] * np.ones(2), 4)


def span_of(path: ElementPath) -> float:
    return float(path.breaks[-1] - path.breaks[0])


def excess(rate: float, span: float) -> float:
    """What a finite time costs: x' = -rate x with noise 1 reaches 1 at the cost rate / (1 - exp(-2 rate T)), not rate."""
    return float(rate / np.expm1(2.0 * rate * span))


@pytest.mark.parametrize("rate", [0.2, 1.0, 30.0])
@pytest.mark.parametrize(("span", "tolerance"), [(3.0, 1e-6), (4.0, 1e-9), (0.5, 1e-3)])
def test_the_time_that_is_added_makes_the_finite_time_cheap_enough(rate: float, span: float, tolerance: float) -> None:
    path = straight(span / rate)
    longer = lengthened(path, excess(rate, span_of(path)), rate, rate, 0.0, tolerance)
    wanted = 0.1 * tolerance * rate
    # enough, and no more time than the estimate's own uncertainty asks for
    assert 0.3 * wanted <= excess(rate, span_of(longer)) <= wanted


def test_a_time_that_is_far_too_short_grows_in_a_few_rounds() -> None:
    spans, path = [], straight(0.01)
    for _ in range(5):
        spans.append(span_of(path))
        path = lengthened(path, excess(1.0, spans[-1]), 1.0, 1.0, 0.0, 1e-11)
    # a first guess is not trusted with many e-folds at once
    assert 0.0 < np.diff(spans)[0] <= 8.0
    assert excess(1.0, spans[1]) > 1e-12 >= excess(1.0, spans[3])
    assert spans[3] == spans[4] == span_of(path)


@pytest.mark.parametrize(("slow_start", "slow_end"), [(2.0, 0.0), (0.0, 0.7), (2.0, 0.7)])
def test_lengthening_adds_rest_at_fixed_ends_only(slow_start: float, slow_end: float) -> None:
    path = straight(1.0)
    longer = lengthened(path, 1e-3, 1.0, slow_start, slow_end, 1e-8)
    before, after = path.breaks[0] - longer.breaks[0], longer.breaks[-1] - path.breaks[-1]
    assert (before > 0.0, after > 0.0) == (slow_start > 0.0, slow_end > 0.0)
    if slow_start and slow_end:  # both tails end up equally small
        assert before * slow_start == pytest.approx(after * slow_end, rel=1e-12)
    # the cost of the finite time falls at the rate of the tails
    left = 1e-3 * np.exp(-tail_rate(slow_start, slow_end) * (before + after))
    assert 0.3e-9 <= left <= 1e-9
    # at rest in what was added, unchanged in between
    times = longer.node_times()
    np.testing.assert_array_equal(longer.nodes[times < 0.0], 0.0)
    np.testing.assert_array_equal(longer.nodes[times > 1.0], 1.0)
    t = np.linspace(0.0, 1.0, 11)
    np.testing.assert_allclose(longer.at(t)[0], path.at(t)[0], atol=1e-14)


def test_nothing_is_added_where_nothing_is_gained() -> None:
    path = straight(1.0)
    assert lengthened(path, 1e-3, 1.0, 0.0, 0.0, 1e-9) is path
    assert lengthened(path, 1e-12, 1.0, 2.0, 2.0, 1e-9) is path
