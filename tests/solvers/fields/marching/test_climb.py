"""The way of a new ray up to its level, against an integrator of high order and tight tolerance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from field_kernels import Setting, medium_of, setting
from scipy.integrate import solve_ivp
from twins_fields import Array, Polynomials, carried_excess, full, length, parts, rates

from qpot.solvers.fields.marching.climb import DEEP_REST, climb
from qpot.solvers.fields.marching.parts import RECORDS
from qpot.solvers.fields.marching.state import make_state

# Longest step times the fastest rate of neighbours. The third derivative changes three times as fast, and a step of sixth
# order errs by about the seventh power over 7!, 9e-9: a few steps and the projections after them stay below ten times that.
PHASE = 0.08
# The third derivatives, which change fastest, were off by 6e-6 of the largest number of the head at worst; a wrong
# coefficient of a step shows as 1e-3 and more.
ERROR = 1e-4


def climbed(case: Setting, item: int, **reach: float) -> int:
    """The last record of the climb from ``item``."""
    sweep = case.sweep(deep=PHASE, **reach)
    counts = case.state.counts
    return int(climb(item, sweep.medium, sweep.reach, sweep.rays, counts, sweep.work, sweep.scratch))


def upper_level(case: Setting, y: Array) -> float:
    """The level that the patch of a head comes up to."""
    s, near, lead = parts(y, case.dimension), case.state.near, case.state.reach.lead
    return float(s.V + lead * np.linalg.norm(s.p) * near + 2.0 * np.linalg.norm(s.Q) * near**2)


def exact_step(case: Setting, y: Array) -> tuple[Array, Array]:
    """The exact ray one step of the climb further, and the map of offsets over the step is in its state; and the velocity."""

    def flow(t: float, z: Array) -> Array:
        del t
        return rates(case.fields, z)[0]

    d = case.dimension
    before = y.copy()
    before[-d * d :] = np.eye(d).ravel()
    dy, R = rates(case.fields, before)
    dt = min(case.state.reach.stride / length(case.metric(y[:d]), dy[:d]), PHASE / np.abs(R).sum(axis=1).max())
    after = solve_ivp(flow, (0.0, dt), before, method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    return np.asarray(after), dy[:d]


@pytest.mark.parametrize(("d", "varies"), [(2, False), (2, True), (3, False), (3, True)])
def test_heads_are_where_an_exact_ray_is(d: int, varies: bool) -> None:
    case = setting(1, d, varies=varies)
    state = case.state
    item = case.add(case.head(0.3 * case.rng.uniform(-1.0, 1.0, size=d), curved=0.3))
    w = case.rng.normal(size=d)
    state.excess[item] = 0.1 * np.outer(w, w)[np.triu_indices(d)]
    heads, excess = [state.records[item].copy()], [full(state.excess[item], d)]
    for _ in range(5):
        after, velocity = exact_step(case, heads[-1])
        G, G_new = case.metric(heads[-1][:d]), case.metric(after[:d])
        turned = rates(case.fields, after)[0][:d]
        excess.append(carried_excess(excess[-1], G, velocity, parts(after, d).Y, G_new, turned))
        heads.append(after)
    # a level that the patch of the last head comes up to and those of the heads before do not
    levels = [upper_level(case, y) for y in heads]
    last = int(np.argmax(levels))
    assert last > 1
    wake = levels[last] - 0.1 * (levels[last] - max(levels[1:last]))
    state.wake[item] = wake
    assert climbed(case, item) == item + last
    assert state.counts[RECORDS] == item + last + 1
    for k in range(1, last + 1):
        found = state.records[item + k]
        np.testing.assert_allclose(found, heads[k], atol=ERROR * np.abs(heads[k]).max())
        np.testing.assert_allclose(
            full(state.excess[item + k], d), excess[k], atol=100 * ERROR * (1 + np.abs(excess[k]).max())
        )
        assert (state.parents[item + k], state.wake[item + k], state.idle[item + k]) == (item + k - 1, wake, 0.0)


def test_a_ray_that_leaves_the_grid_has_no_last_head() -> None:
    case = setting(0, 2)
    item = case.add(case.head(np.array([0.95, 0.9])))
    case.state.wake[item] = np.inf
    assert climbed(case, item) == -1
    first = case.state.records[item + 1 : case.state.counts[RECORDS], :2]
    assert (np.abs(first) <= 1.0 + case.state.near).all()


def test_a_ray_goes_round_a_periodic_axis() -> None:
    case = setting(0, 2, periodic=True)
    # a drift along the axis, which a ray without momentum follows
    case = replace(case, fields=Polynomials(np.array([[[1.0, 0.0]]]), np.eye(2)[None, None]))
    case = replace(case, state=make_state(medium_of(case.fields, case.box)))
    y = np.concatenate([[0.9, 0.0, 0.0], np.zeros(2 + 4 + 8), np.eye(2).ravel()])
    item = case.add(y)
    case.state.wake[item] = np.inf
    state = case.state
    for name in ("records", "parents", "idle", "wake", "excess"):
        setattr(state, name, np.ascontiguousarray(getattr(state, name)[:40]))
    assert climbed(case, item) == 38
    steps = np.diff(state.records[:39, 0])
    stride = state.reach.stride
    np.testing.assert_allclose(np.where(steps < 0.0, steps + 2.0, steps), stride, rtol=1e-12)
    assert (np.abs(state.records[:39, 0]) <= 1.0).all()
    assert (steps < 0.0).any()


def test_a_ray_that_comes_to_rest_has_no_last_head() -> None:
    """Down to an attractor: slow, and slowing down."""
    case = setting(0, 2)
    b = np.zeros((2, 2, 2))
    b[1, 0, 0] = b[0, 1, 1] = -1.0
    case = replace(case, fields=Polynomials(b, np.eye(2)[None, None]))
    case = replace(case, state=make_state(medium_of(case.fields, case.box)))
    item = case.add(np.concatenate([[0.5, 0.1, 0.0], np.zeros(2 + 4 + 8), np.eye(2).ravel()]))
    case.state.wake[item] = np.inf
    assert climbed(case, item) == -1
    last = case.state.records[case.state.counts[RECORDS] - 1, :2]
    # the next step would begin within so many radii of rest
    assert np.linalg.norm(last) <= DEEP_REST * case.state.near < np.linalg.norm(last) * np.exp(PHASE) * 1.01


def test_a_climb_stops_where_there_is_no_room() -> None:
    case = setting(2, 2)
    item = case.add(case.head(np.array([0.0, 0.1]), curved=0.3))
    case.state.wake[item] = np.inf
    state = case.state
    for name in ("records", "parents", "idle", "wake", "excess"):
        setattr(state, name, np.ascontiguousarray(getattr(state, name)[:4]))
    assert climbed(case, item) == 2
    assert state.counts[RECORDS] == 3
