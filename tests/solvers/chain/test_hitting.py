"""Exponents of hitting times against the same elimination in rational numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import qpot


def rational(costs: Any, targets: set[int]) -> list[float]:
    """The exponents by elimination in the given order, in fractions."""
    k = len(costs)
    free = [i for i in range(k) if i not in targets]
    c = {(i, j): Fraction(costs[i, j]) for i in free for j in range(k) if i != j and np.isfinite(costs[i, j])}
    leave: dict[int, Any] = {
        i: min((v for (a, b), v in c.items() if a == i and b in targets), default=None) for i in free
    }
    inner = {pair: v for pair, v in c.items() if pair[1] in free}
    least, spent = {}, {i: Fraction(0) for i in free}
    for s, i in enumerate(free):
        later = free[s + 1 :]
        out = [v for (a, b), v in inner.items() if a == i and b in later] + [leave[i]] * (leave[i] is not None)
        least[i] = min(out)
        for h in later:
            if (h, i) in inner:
                extra = inner[h, i] - least[i]
                spent[h] = max(spent[h], spent[i] - extra)
                if leave[i] is not None:
                    leave[h] = leave[i] + extra if leave[h] is None else min(leave[h], leave[i] + extra)
                for j in later:
                    if j != h and (i, j) in inner:
                        through = inner[i, j] + extra
                        inner[h, j] = min(inner.get((h, j), through), through)
    exponent: dict[int, Fraction] = {}
    for s in reversed(range(len(free))):
        i = free[s]
        ways = [exponent[j] - (inner[i, j] - least[i]) for j in free[s + 1 :] if (i, j) in inner]
        exponent[i] = max([spent[i] + least[i], *ways])
    return [float(exponent[i]) if i in exponent else -np.inf for i in range(k)]


@pytest.mark.parametrize("seed", range(20))
def test_exponents_are_correctly_rounded_over_27_decades(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 12))
    costs = np.full((k, k), np.inf)
    costs[np.arange(k), (np.arange(k) + 1) % k] = 1.0
    costs = np.where(rng.random((k, k)) < 0.4, 10.0 ** rng.uniform(-12, 15, (k, k)), costs)
    np.fill_diagonal(costs, 0.0)
    targets = {0} if k < 4 else {0, 2}
    assert qpot.hitting_exponents(costs, sorted(targets)).tolist() == rational(costs, targets)


def test_a_sparse_line_of_many_minima() -> None:
    """Downhill all the way with the target at the bottom: a rise must be paid, and depth counts once it is visited."""
    k = 3000
    rng = np.random.default_rng(0)
    up, down = rng.random(k - 1) + 0.5, rng.random(k - 1) + 0.5
    chain = sparse.diags_array([up, down], offsets=[1, -1], shape=(k, k)).tocoo()
    found = qpot.hitting_exponents(chain, 0)
    # On a line the time from i to 0 is a sum over passes j - 1 <- j of the weight of everything beyond: with heights h and
    # passes p, its exponent is max over j <= i of p_j less the lowest h_l with l >= j.
    height = np.concatenate([[0.0], np.cumsum(up - down)])
    lowest = np.minimum.accumulate(height[::-1])[::-1]
    passes = height[1:] + down
    np.testing.assert_allclose(found[1:], np.maximum.accumulate(passes - lowest[1:]), rtol=1e-11)
