"""A sample of one hundred random problems of known answer, of which none may be answered wrongly without a flag.

benchmarks/landscapes.py solves a thousand with `predict`. Here problems in one dimension are predicted; of those in two the
map, or the minima alone, is scored, which takes a tenth of the time.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from random_problems.kinds import KINDS, draw
from random_problems.problem import Problem
from random_problems.scoring import Score, map_and_score, solve_and_score
from random_problems.truth import flooded, sums_of_climbs

# Kind, dimension, what is asked for, and how many problems.
SAMPLE = (
    ("separable", 1, "prediction", 8),
    ("kinked", 1, "prediction", 8),
    ("degenerate", 1, "prediction", 6),
    ("edges", 1, "prediction", 8),
    ("wells", 2, "map", 3),
    ("separable", 2, "map", 2),
    ("degenerate", 2, "map", 2),
    ("classics", 2, "map", 2),
    ("kinked noise", 2, "prediction", 2),
    ("prescribed", 2, "map", 2),
    ("wells", 2, "minima", 12),
    ("narrow wells", 2, "minima", 8),
    ("separable", 1, "minima", 17),
    ("separable", 2, "minima", 6),
    ("prescribed", 2, "minima", 8),
    ("other units", 2, "minima", 8),
)


def sample(kind: str, dimension: int, count: int, *, outside: bool) -> list[Problem]:
    """The first problems of a kind and a dimension."""
    drawn = (draw(kind, 1, number) for number in itertools.count())
    wanted = (p for p in drawn if p.dimension == dimension and (outside or not p.outside))
    return list(itertools.islice(wanted, count))


# This row takes as long as ten others.
LONG = ("kinked noise", 2, "prediction")


def scored(problem: Problem, asked: str) -> Score:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if asked == "prediction":
            return solve_and_score(problem, second_opinion=False, limit=20.0)
        return map_and_score(problem, saddles=asked == "map")


def test_the_sample_holds_a_hundred_problems() -> None:
    assert sum(count for *_, count in SAMPLE) == 102
    # Limit cycles and rotating wells have tests of their own, test_cycles_in_the_chain.py and test_across_basins.py.
    assert {kind for kind, *_ in SAMPLE} >= set(KINDS) - {"rastrigin", "torus", "tori", "cycles", "rotating", "whirls"}


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "dimension", "asked", "count"),
    [pytest.param(*row, marks=[pytest.mark.slow] if row[:3] == LONG else []) for row in SAMPLE],
    ids=["-".join(map(str, row[:3])) for row in SAMPLE],
)
def test_nothing_is_wrong_without_a_flag(kind: str, dimension: int, asked: str, count: int, half: int) -> None:
    """The first half of every kind is drawn in each run of the tests, the second with the slow ones."""
    problems = sample(kind, dimension, count, outside=asked == "prediction")[half::2]
    answers = [(p.name, scored(p, asked)) for p in problems]
    wrong = [f"{name}: {score.reason}" for name, score in answers if score.verdict == "wrong"]
    assert not wrong, "\n".join(wrong)


def test_a_problem_is_drawn_again_by_its_number() -> None:
    one, two = draw("wells", 3, 5), draw("wells", 3, 5)
    np.testing.assert_array_equal(one.costs, two.costs)
    assert not np.array_equal(one.costs, draw("wells", 4, 5).costs)


def test_sums_of_climbs_by_hand() -> None:
    # 0 at height 0 and 1 at height 1 over a pass at 3, 1 and 2 at height 2 over 2.5, and a way from 0 to 2 that costs more
    costs = sums_of_climbs(np.array([0.0, 1.0, 2.0]), [(0, 1, 3.0), (1, 2, 2.5), (0, 2, 9.0)])
    np.testing.assert_allclose(costs, [[0, 3, 4.5], [2, 0, 1.5], [2.5, 0.5, 0]])


def test_flooding_by_hand() -> None:
    axis = np.linspace(-2, 2, 201)
    levels = flooded(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 + x[:, 1] ** 2, (axis, axis), np.array([[-1.0, 0.0], [1.0, 0.0]])
    )
    assert levels[0, 1] == pytest.approx(1.0)


# Tori may be tilted, and then there is no detailed balance; of wells under rotation only W is known.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("tori", "rotating", "whirls")])
def test_the_truth_obeys_detailed_balance(kind: str) -> None:
    problem = draw(kind, 2, 0)
    W = problem.potential(problem.minima)
    np.testing.assert_allclose(
        problem.costs - problem.costs.T, W[None, :] - W[:, None], atol=1e-8 * problem.costs.max()
    )
