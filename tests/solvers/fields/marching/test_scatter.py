"""Writing a polynomial onto nodes: every decision against its twin, on random sheets."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from field_kernels import Setting, setting
from twins_fields import Sheets, Written, symmetric, taylor, write_polynomial

from qpot.solvers.fields.marching.parts import HEAP_SIZE, NEWEST, Head
from qpot.solvers.fields.marching.scatter import scatter


def written_both_ways(case: Setting, *, moves: bool) -> Written:
    """Scatter a head over nodes that two others share, compare with the twin, and return what that did."""
    d, rng, state = case.dimension, case.rng, case.state
    box, near, far = case.box, state.near, state.reach.far
    x = rng.uniform(-1.0, 1.0, size=d)
    new = case.head(x, curved=rng.choice([0.3, 1.0, 10.0]))
    # one head of an older sheet and one of the newest, and then the one that is written
    heads = [case.head(x + 0.4 * far * rng.normal(size=d)) for _ in range(2)] + [new]
    for head in heads:
        case.add(head)
    newest = int(rng.integers(0, 2))
    state.counts[NEWEST] = newest
    gap = box.points() - x
    gap = np.where(np.isfinite(box.period), (gap + 1.0) % 2.0 - 1.0, gap)
    own = np.array([taylor(new, dx)[0] for dx in gap])
    change = near * float(np.linalg.norm(new[d + 1 : 2 * d + 1]))
    n = own.size
    state.owner[:] = rng.integers(-1, 2, size=n)
    owned = state.owner >= 0
    state.distance[owned] = rng.uniform(0.0, 1.3 * far, size=n)[owned]
    misfit = change * rng.choice([1e-6, 1e-3, 0.02, 0.2], size=n) * rng.normal(size=n)
    state.value[owned] = (own + misfit)[owned]
    level = new[d] + 0.5 * change * float(rng.normal())
    sweep = case.sweep()
    G, R = case.metric(x), rng.normal(size=(d, d))
    velocity = rng.normal(size=d) if moves else np.zeros(d)
    narrow = rng.normal(size=d)
    M = G + 0.5 * np.outer(narrow, narrow)
    sweep.work.rates[:], sweep.scratch.metric[:], sweep.scratch.narrow[:] = R, G, M
    sweep.scratch.half[:] = np.sqrt(np.diag(np.linalg.inv(G)))
    sheets = Sheets(state.value.copy(), state.distance.copy(), state.owner.copy(), np.array(heads), newest)
    expected = write_polynomial(
        case.fields, box, sheets, new, velocity, R, G, M, record=2, level=level, near=near, far=far
    )
    found = scatter(Head(new, velocity, 2, level), *sweep)
    assert found == (expected.gained, expected.lost, expected.seen)
    np.testing.assert_array_equal(state.owner, expected.owner)
    np.testing.assert_allclose(state.value, expected.value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(state.distance, expected.distance, rtol=1e-6)
    assert state.exits[0] == pytest.approx(expected.exit, rel=1e-12)
    size = int(state.counts[HEAP_SIZE])
    labels = sorted(zip(state.keys[:size].tolist(), state.items[:size].tolist(), strict=True))
    assert len(labels) == len(expected.labels)
    np.testing.assert_allclose(
        np.array(labels).reshape(-1, 2), np.array(sorted(expected.labels)).reshape(-1, 2), rtol=1e-12
    )
    return expected


@pytest.mark.parametrize(
    ("d", "varies"),
    [
        (2, False),
        pytest.param(2, True, marks=pytest.mark.slow),
        pytest.param(3, False, marks=pytest.mark.slow),
        (3, True),
    ],
)
def test_every_decision_is_that_of_the_twin(d: int, varies: bool) -> None:
    reasons: Counter[str] = Counter()
    exits = gained = lost = 0
    for seed in range(60 if d == 2 else 10):
        case = setting(seed, d, varies=varies, periodic=seed % 3 == 0)
        done = written_both_ways(case, moves=seed % 4 != 0)
        reasons += done.reasons
        gained, lost, exits = gained + done.gained, lost + done.lost, exits + int(np.isfinite(done.exit))
    # every rule has had its say
    assert min(reasons[reason] for reason in (
        "far from a good one", "pinched", "turned back", "beyond a separatrix", "more expensive", "higher", "further",
        "lower from afar", "below what is settled", "taken",
    )) > 0, reasons  # fmt: skip
    assert min(gained, lost, exits) > 0


def test_a_head_at_rest_writes_its_polynomial_onto_open_nodes() -> None:
    """No other sheet, no direction: all nodes within the far radius, and none beyond, get the value of the polynomial."""
    case = setting(1, 2)
    state = case.state
    y = case.head(np.array([0.1, -0.2]), curved=0.1)
    y[3:5] = 0.0
    y[5:9] = (2.0 * np.eye(2) + 0.1 * symmetric(case.rng, 2, 2)).ravel()
    case.add(y)
    sweep = case.sweep()
    G = case.metric(y[:2])
    sweep.scratch.narrow[:] = G
    gained, lost, seen = scatter(Head(y, np.zeros(2), 0, y[2]), *sweep)
    gap = case.box.points() - y[:2]
    r = np.sqrt(np.einsum("ni,ij,nj->n", gap, G, gap))
    np.testing.assert_array_equal(state.owner == 0, r <= state.reach.far)
    assert gained == seen == int((r <= state.near).sum())
    assert lost == 0
    inside = state.owner == 0
    np.testing.assert_allclose(state.value[inside], [taylor(y, dx)[0] for dx in gap[inside]], rtol=1e-13)
    assert state.counts[HEAP_SIZE] == int((inside & (r > state.near)).sum())
