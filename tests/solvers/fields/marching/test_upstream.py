"""The walk upstream to where a new ray begins, against a walk with whole matrices over made-up rays."""

from __future__ import annotations

import numpy as np
import pytest
from field_kernels import Setting, setting
from twins_fields import Array, Chain, full, walk_upstream

from qpot.solvers.fields.marching.upstream import upstream


def made_up_rays(case: Setting, *, growth: float, length: int) -> Chain:
    """A source's head, a ray from it along which offsets grow by ``growth`` a step, and a ray that began beside it."""
    d, rng, state = case.dimension, case.rng, case.state
    parents = [-1, *range(length)]
    half = length // 2
    # the second ray begins beside a head of the first one
    parents += [half, *range(length + 1, 2 * length - half)]
    heads: list[Array] = []
    excess: list[Array] = []
    for record, parent in enumerate(parents):
        y = case.head(rng.uniform(-0.5, 0.5, size=d) if parent < 0 else heads[parent][:d] + 0.05 * rng.normal(size=d))
        begins = parent < 0 or record == length + 1
        Y = np.eye(d) if begins else growth * np.eye(d) + 0.2 * rng.normal(size=(d, d))
        y[-d * d :] = Y.ravel()
        heads.append(y)
        case.add(y, parent)
        w = rng.normal(size=d)
        state.excess[record] = np.outer(w, w)[np.triu_indices(d)]
        excess.append(full(state.excess[record], d))
    return Chain(np.array(heads), parents, excess)


@pytest.mark.parametrize(
    ("d", "varies", "growth"),
    [
        # each pair of values occurs in the quick ones
        (2, False, 1.6),
        (2, True, 0.7),
        (3, False, 0.7),
        (3, True, 1.6),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(2, False, 0.7), (2, True, 1.6), (3, False, 1.6), (3, True, 0.7)]
        ),
    ],
)
def test_the_walk_is_that_of_the_twin(d: int, varies: bool, growth: float) -> None:
    ends: set[str] = set()
    for seed in range(12):
        case = setting(seed, d, varies=varies, periodic=seed % 2 == 0)
        chain = made_up_rays(case, growth=growth, length=8)
        record = int(case.rng.choice([8, len(chain.parents) - 1]))
        near = case.state.near
        offset = case.rng.normal(size=d) * near * float(case.rng.choice([0.3, 1.0, 10.0]))
        expected, shift = walk_upstream(case.fields, chain, record, offset, near, case.box.period)
        sweep, found_shift = case.sweep(), np.zeros(d)
        found = upstream(
            record, offset.copy(), found_shift, sweep.medium, sweep.reach, sweep.rays, sweep.work, sweep.scratch
        )
        assert found == expected
        np.testing.assert_allclose(found_shift, shift, rtol=1e-9, atol=1e-12)
        ends.add("source" if chain.parents[found] < 0 else "start" if found == record else "between")
    # where offsets shrink on the way back the walk gets somewhere
    assert "between" in ends or "source" in ends if growth > 1.0 else "start" in ends
