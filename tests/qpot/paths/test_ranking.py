"""Which candidate is the answer where some were cut off: no value without an error that holds, and no needless doubt."""

from dataclasses import replace

import numpy as np
import pytest

import qpot
from qpot.paths.escape import _cheapest_escape
from qpot.paths.exits import cheapest_exit
from qpot.paths.finish import answer, cheapest
from qpot.paths.ranking import ranking


def test_all_finished() -> None:
    assert ranking([2.0, 1.0], [1e-9, 1e-9], [True, True]) == (1, 1e-9, False)


def test_a_cheaper_one_that_was_cut_off_is_the_answer() -> None:
    """Its cost is an upper bound; its error reaches up to the finished one where the two overlap."""
    assert ranking([2.0, 1.0], [1e-9, 0.1], [True, False]) == (1, 0.1, False)
    index, error, _ = ranking([2.0, 1.9], [1e-9, 0.15], [True, False])
    assert index == 1
    assert error == pytest.approx(0.15)
    assert ranking([2.0, 1.99], [1e-3, 0.01], [True, False]).error == pytest.approx(0.011)


def test_a_dearer_one_that_was_cut_off_may_be_cheaper() -> None:
    index, error, doubtful = ranking([2.0, 2.1], [1e-9, 0.5], [True, False])
    assert (index, doubtful) == (0, True)
    assert error == pytest.approx(0.4)
    # Of a path much dearer, of which nothing else is known, no doubt comes.
    assert ranking([2.0, 3.0], [1e-9, 3.0], [True, False]) == (0, 1e-9, False)
    assert ranking([2.0, 2.2], [1e-9, 2.2], [True, False]).doubtful


def test_nothing_finished() -> None:
    assert ranking([2.0, 1.0], [0.5, 0.2], [False, False]) == (1, 0.2, False)
    assert ranking([np.inf], [0.0], [True]) == (0, 0.0, False)


def test_random_candidates_are_covered() -> None:
    """Whatever each candidate may still fall to, the least of all lies within the error, or far from any cut-off one."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        n = int(rng.integers(1, 5))
        truth = np.exp(rng.normal(size=n))
        finished = rng.random(n) < 0.5
        costs = np.where(finished, truth, truth * (1 + rng.exponential(0.2, size=n)))
        errors = np.where(finished, 1e-9, (costs - truth) * rng.uniform(1.0, 3.0, size=n))
        errors = np.minimum(errors, 0.89 * costs)
        found = ranking(costs.tolist(), errors.tolist(), finished.tolist())
        known = errors >= costs - truth
        if known.all():
            assert abs(costs[found.chosen] - truth.min()) <= found.error * (1 + 1e-12) + 1e-12


def _bowl_path(status: qpot.Status, action: float, error: float, bend: float) -> qpot.PathSolution:
    bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    path = qpot.minimum_action_path(bowl, [0.0, 0.0], [1.0, 0.0])
    s = np.linspace(0.0, np.pi, len(path.points))
    points = path.points + bend * np.stack([0.0 * s, np.sin(s)], axis=1)
    return replace(path, points=points, action=action, error=error, status=status)


def test_paths_exits_and_escapes_obey_it() -> None:
    done = _bowl_path(qpot.Status.CONVERGED, 2.0, 1e-9, 0.0)
    cut = _bowl_path(qpot.Status.NOT_CONVERGED, 1.9, 0.5, 0.5)
    found = cheapest([done, cut], 0)
    assert (found.action, found.status) == (1.9, qpot.Status.NOT_CONVERGED)
    assert found.action + found.error >= 2.0
    above = replace(cut, action=2.1)
    found = cheapest([done, above], 0)
    assert (found.action, found.status) == (2.0, qpot.Status.NOT_CONVERGED)
    assert found.error >= 2.0 - 1.6
    assert len(found.alternatives) == 1
    # The same curve cut off on its way, and a saddle of the action, are no reason for doubt.
    for other in (
        replace(done, action=2.05, error=0.5, status=qpot.Status.NOT_CONVERGED),
        replace(above, status=qpot.Status.UNSTABLE),
    ):
        assert answer([done, other]).status is qpot.Status.CONVERGED

    def escape(path: qpot.PathSolution) -> qpot.EscapeSolution:
        return qpot.EscapeSolution(
            cost=path.action, error=path.error, start=path.start, end=path.end, path=path, status=path.status
        )

    out = _cheapest_escape([escape(done), escape(cut)])
    assert (out.cost, out.status) == (1.9, qpot.Status.NOT_CONVERGED)
    assert _cheapest_escape([escape(done), escape(above)]).status is qpot.Status.NOT_CONVERGED

    def way_out(path: qpot.PathSolution) -> qpot.ExitSolution:
        return qpot.ExitSolution(cost=path.action, error=path.error, point=path.end, path=path, status=path.status)

    exit_ = cheapest_exit([way_out(done), way_out(cut)])
    assert exit_.cost - exit_.error <= 1.4
    assert not exit_.status.ok
