"""Exits from domains, simulated: against exact times, the law of exit points, and for SGD against its own law."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

import qpot
from qpot._core.arrays import Array


def bowl(dimension: int = 1) -> qpot.System:
    return qpot.System.from_loss(lambda x: (x**2).sum(axis=1) / 2, lambda x: x, 1.0, dimension=dimension)


def test_mean_time_and_sides_on_a_line() -> None:
    """The exact mean time from (-1, 1.1) at epsilon 0.3 is by quadrature; steps of 0.01 make it shorter by some percent."""
    left = qpot.exit_times(
        bowl(), start=[0.0], domain=qpot.Box(lower=-1.0, upper=1.1), epsilon=0.3, time_step=0.01, steps=20_000,
        replicas=2000, rng=1,
    )  # fmt: skip
    x = np.linspace(-1.0, 1.1, 20_001)
    scale, step = np.exp(x**2 / 0.3), x[1] - x[0]
    S = np.concatenate([[0.0], np.cumsum(0.5 * (scale[1:] + scale[:-1])) * step])
    inner = np.concatenate([[0.0], np.cumsum(0.5 * (1 / scale[1:] + 1 / scale[:-1])) * step])
    lost = np.cumsum(np.concatenate([[0.0], (scale * inner)[1:]])) * step * 2.0 / 0.3
    exact = float(np.interp(0.0, x, lost[-1] * S / S[-1] - lost))
    share = float(np.interp(0.0, x, S / S[-1]))
    assert left.events == 2000
    assert left.mean_time == pytest.approx(exact, rel=0.12)
    shares, intervals = left.shares([[-1.0], [1.1]], confidence=0.999)
    assert intervals[1, 0] < share < intervals[1, 1]
    assert set(np.unique(left.points.round(12))) == {-1.0, 1.1}
    assert shares.sum() == pytest.approx(1.0)


def test_the_bridge_makes_long_steps_as_good_as_short_ones() -> None:
    """Without drift the time to leave (-1, 1) is 1 / epsilon exactly, and steps have no error but that of crossings."""
    free = qpot.System(drift=lambda x: 0.0 * x, covariance=1.0, dimension=1)
    left = qpot.exit_times(
        free,
        start=[0.0],
        domain=qpot.Box(lower=-1.0, upper=1.0),
        epsilon=1.0,
        time_step=0.05,
        steps=4000,
        replicas=4000,
        rng=0,
    )
    # Steps are counted whole, so that an exit is half a step late on average.
    assert left.mean_time - 0.025 == pytest.approx(1.0, abs=0.06)


def test_exit_points_follow_their_law() -> None:
    rng = np.random.default_rng(3)
    B, a = np.array([[-1.0, 0.8], [-0.5, -1.2]]), np.array([[1.0, 0.3], [0.3, 0.7]])
    system = qpot.System(drift=lambda x: x @ B.T, covariance=a, dimension=2)
    domain = qpot.HalfSpace(normal=[1.0, 0.3], offset=0.9)
    law = qpot.exit_law(system, [0.0, 0.0], boundary=domain)
    left = qpot.exit_times(
        system, start=[0.0, 0.0], domain=domain, epsilon=0.2, time_step=0.01, steps=40_000, replicas=600, rng=rng
    )
    assert left.mean_time == pytest.approx(law.mean_time(0.2), rel=0.25)
    along = np.array([-0.3, 1.0]) / np.linalg.norm([0.3, 1.0])
    away = (left.points[left.ended] - law.exits[0].point) @ along
    assert abs(away.mean()) < 0.15
    assert away.std() == pytest.approx(float(np.sqrt(along @ law.spread(0.2)[0] @ along)), rel=0.2)
    assert np.abs(left.points[left.ended] @ [1.0, 0.3] - 0.9).max() < 1e-9


@pytest.mark.parametrize(
    "domain", [qpot.Ball(radius=1.0), qpot.LossLevel(level=0.5), qpot.Region(g=lambda x: (x**2).sum(axis=1) - 1.0)]
)
def test_three_ways_to_say_a_ball_are_one(domain: qpot.Domain) -> None:
    left = qpot.exit_times(
        bowl(2), start=[0.0, 0.0], domain=domain, epsilon=0.5, time_step=0.02, steps=2000, replicas=256, rng=0
    )
    assert np.linalg.norm(left.points[left.ended], axis=1) == pytest.approx(1.0, abs=1e-9)
    exact = quad(lambda r: np.expm1(r**2 / 0.5) / r, 0.0, 1.0)[0]  # The radial backward equation, integrated twice.
    assert left.mean_time == pytest.approx(exact, rel=0.25)


def test_sgd_leaves_by_its_own_steps_and_on_threads_alike() -> None:
    total = qpot.quadratic_sum([[1.0], [1.0]], [[-1.0], [1.0]])
    system = qpot.System.from_finite_sum(total)

    def run(**options: Any) -> qpot.FirstExits:
        return qpot.exit_times(
            system, start=[0.0], domain=qpot.Box(lower=-0.6, upper=0.6), learning_rate=0.2, steps=5000, replicas=300, rng=4,
            **options,
        )  # fmt: skip

    alone = run()
    assert alone.batch_size == 1
    assert alone.events == 300
    with ThreadPoolExecutor(2) as pool:
        threads = run(executor=pool)
    np.testing.assert_array_equal(alone.steps, threads.steps)
    np.testing.assert_array_equal(alone.points, threads.points)


def test_bad_input_and_what_stays_inside() -> None:
    common: dict[str, Any] = {"start": [0.0], "epsilon": 0.01, "time_step": 0.1, "steps": 20, "replicas": 4}
    for domain, said in (
        ("basin", "escape_times"), (3.0, "domain must be"), (None, "domain must be"),
        (qpot.Box(lower=1.0, upper=2.0), "not inside"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            qpot.exit_times(bowl(), domain=domain, **common)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected argument 'radius'"):
        qpot.exit_times(bowl(), domain=qpot.Ball(radius=1.0), radius=1.0, **common)
    inside = qpot.exit_times(bowl(), domain=qpot.Ball(radius=5.0), **common)
    assert inside.events == 0
    assert inside.interval()[1] == np.inf
    assert np.isnan(inside.points).all()
    with pytest.raises(ValueError, match="no replica has left"):
        inside.shares([[1.0]])


def test_the_old_meaning_of_the_name_still_works_and_warns() -> None:
    wells = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
    minima: Array = np.array([[-1.0], [1.0]])
    with pytest.warns(DeprecationWarning, match="escape_times"):
        times = qpot.exit_times(
            wells, start=[-1.0], minima=minima, epsilon=0.5, time_step=0.05, steps=400, replicas=8, rng=0
        )
    assert isinstance(times, qpot.EscapeTimes)
