"""The second opinion: fields against paths, what they catch, and what they say when they cannot tell."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import Any

import numpy as np
import pytest

import qpot
from qpot import SolveError, Status
from qpot.prediction import field_answers


def _costs(case: Any, **options: Any) -> qpot.TransitionCosts:
    minima = qpot.find_minima(case.system, case.bounds)
    return qpot.transition_costs(case.system, minima, bounds=case.bounds, **options)


@pytest.mark.parametrize("name", ["double_well", "symmetric_minima", "separable_double_well", "maier_stein"])
def test_fields_and_paths_agree(name: str) -> None:
    case = getattr(qpot.gallery, name)()
    costs = qpot.with_field_opinion(case.system, _costs(case), bounds=case.bounds)
    assert costs.field is not None
    routes = np.isfinite(costs.direct) & ~np.eye(len(costs.minima), dtype=bool)
    np.testing.assert_array_equal(costs.field.known, routes)
    assert costs.disagreements == ()
    gap = np.abs(costs.field.values - costs.direct)[routes]
    assert (gap <= costs.field.errors[routes]).all()
    assert (gap <= 1e-4 * costs.direct[routes]).all(), gap
    assert (costs.field.errors[routes] <= 2e-2 * costs.direct[routes]).all()


def test_three_dimensions() -> None:
    system = qpot.System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3 + x[:, 1], -2.0 * x[:, 1], -x[:, 2]], axis=1),
        covariance=np.diag([1.0, 0.5, 2.0]),
        dimension=3,
    )
    box = [(-1.8, 1.8), (-1.2, 1.2), (-1.5, 1.5)]
    minima = qpot.find_minima(system, box)
    costs = qpot.with_field_opinion(system, qpot.transition_costs(system, minima, bounds=box), nodes=61)
    assert costs.field is not None
    assert costs.field.known.sum() == 2
    assert costs.disagreements == ()
    gap = np.abs(costs.field.values - costs.direct)[costs.field.known]
    assert (gap <= 1e-3 * costs.direct[costs.field.known]).all()


def test_a_local_minimiser_is_caught() -> None:
    # of two local minimisers (docs/paths.md) the dearer one is offered as if it were the cost
    plain = qpot.gallery.maier_stein(beta=10.0)
    system = qpot.System(drift=plain.system.drift, covariance=_tilted(), dimension=2)
    minima = qpot.find_minima(system, plain.bounds)
    costs = qpot.transition_costs(system, minima, bounds=plain.bounds)
    (i, j), best = min(costs.paths.items(), key=lambda item: item[1].action)
    assert best.alternatives, "the trap is listed"
    trap = best.alternatives[0]
    assert trap.action > 1.2 * best.action
    direct = costs.direct.copy()
    direct[i, j] = trap.action
    wrong = dataclasses.replace(costs, direct=direct, values=direct, paths={**costs.paths, (i, j): trap})
    checked = qpot.with_field_opinion(system, wrong)
    assert (i, j) in checked.disagreements
    assert checked.field is not None
    assert checked.field.values[i, j] == pytest.approx(best.action, rel=1e-2)
    report = repr(qpot.prediction_from_costs(checked))
    assert "DISAGREES" in report
    assert f"V({i}, {j})" in report


def test_too_cheap_a_cost_is_caught() -> None:
    case = qpot.gallery.symmetric_minima(s=0.5)
    costs = _costs(case)
    low = dataclasses.replace(costs.paths[0, 1], action=0.5 * costs.paths[0, 1].action)
    direct = costs.direct.copy()
    direct[0, 1] *= 0.5
    wrong = dataclasses.replace(costs, direct=direct, values=direct, paths={**costs.paths, (0, 1): low})
    checked = qpot.with_field_opinion(case.system, wrong)
    assert checked.field is not None
    assert np.isinf(checked.field.values[0, 1])
    assert checked.disagreements == ((0, 1),)


def test_predict_asks_and_says_so() -> None:
    case = qpot.gallery.symmetric_minima(s=0.5)
    prediction = qpot.predict(case.system, case.bounds)
    assert prediction.costs.field is not None
    assert prediction.costs.field.known.sum() == 2
    assert "agree with 2 of 2 costs" in repr(prediction)
    assert "agree with 2 of 2 costs" in prediction._repr_html_()
    file = io.BytesIO()
    prediction.save(file)
    file.seek(0)
    again = qpot.Prediction.load(file)
    assert again.costs.field is not None
    np.testing.assert_array_equal(again.costs.field.values, prediction.costs.field.values)
    assert repr(again) == repr(prediction)
    without = qpot.predict(case.system, case.bounds, second_opinion=False)
    assert without.costs.field is None
    assert "Second opinion" not in repr(without)
    assert without.selected == prediction.selected


def test_no_opinion_has_a_reason() -> None:
    case = qpot.gallery.embedded_double_well(0.5)
    total = case.system.finite_sum
    assert total is not None
    exact = qpot.System.from_finite_sum(total, noise="exact")
    costs = qpot.with_field_opinion(exact, _costs(case))
    assert costs.field is not None
    assert not costs.field.known.any()
    assert "Gaussian noise" in costs.field.reasons[0, 1]
    assert "exact noise" in repr(qpot.prediction_from_costs(costs))
    box = [(low * 0.55, high * 0.55) for low, high in case.bounds]
    small = qpot.with_field_opinion(case.system, _costs(case), bounds=box)
    assert small.field is not None
    assert not small.field.known.any()
    for pair in ((0, 1), (1, 0)):
        assert re.match(
            r"V leaves the Grid\(.* at level 0\.0.*, before it reaches the saddle$", small.field.reasons[pair]
        )


def test_a_cost_without_an_opinion_is_named_with_its_reason() -> None:
    case = qpot.gallery.double_well()
    costs = _costs(case)
    V = costs.values
    values = np.array([[0.0, np.nan], [V[1, 0], 0.0]])
    field = qpot.FieldOpinion(
        values=values, errors=np.full((2, 2), 1e-2), reasons={(0, 1): "the grid ends below the pass"}
    )
    text = qpot.prediction_from_costs(dataclasses.replace(costs, field=field)).second_opinion()
    assert text == (
        "Second opinion: quasi-potential fields agree with 1 of 2 costs within the errors. None on V(0, 1): the grid ends "
        "below the pass."
    )


def test_no_wider_grid_than_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    case = qpot.gallery.symmetric_minima(s=-0.5)
    costs = _costs(case)
    grids: list[qpot.Grid] = []

    def counted(system: Any, source: Any, grid: qpot.Grid, **options: Any) -> qpot.FieldSolution:
        grids.append(grid)
        return qpot.quasipotential(system, source, grid, **options)

    monkeypatch.setattr(field_answers, "quasipotential", counted)
    box = [(low * 0.55, high * 0.55) for low, high in case.bounds]
    cut = qpot.with_field_opinion(case.system, costs, bounds=box)
    assert cut.field is not None
    assert not cut.field.known.any()
    # V leaves the box: one field tells that no way is cheaper, and neither a coarser nor a wider one would say more.
    assert len(grids) == len(costs.minima)
    grids.clear()
    # A small grid that the box does not end is widened until the saddle is in it.
    monkeypatch.setattr(field_answers, "WIDENINGS", (0.75, 1.2))
    monkeypatch.setattr(field_answers, "_OWN_WIDENINGS", (0.75, 0.76))
    free = qpot.with_field_opinion(case.system, costs)
    assert free.field is not None
    assert free.field.known.sum() == 2
    assert max(len({grid.lower[0] for grid in grids if grid.contains(m.point[None])[0]}) for m in costs.minima) > 1


def test_executors_do_not_matter() -> None:
    from concurrent.futures import ThreadPoolExecutor

    case = qpot.gallery.symmetric_minima(s=-0.5)
    costs = _costs(case)
    serial = qpot.with_field_opinion(case.system, costs)
    with ThreadPoolExecutor(2) as executor:
        threaded = qpot.with_field_opinion(case.system, costs, executor=executor)
    assert serial.field is not None
    assert threaded.field is not None
    np.testing.assert_array_equal(serial.field.values, threaded.field.values)


def test_interruption_keeps_the_costs() -> None:
    case = qpot.gallery.symmetric_minima(s=0.5)
    costs = _costs(case)

    def stop(done: int, total: int, message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SolveError, match="after 1 of 2 fields") as caught:
        qpot.with_field_opinion(case.system, costs, progress=stop)
    assert caught.value.status is Status.INTERRUPTED
    np.testing.assert_array_equal(caught.value.partial.values, costs.values)
    assert caught.value.partial.field.known.sum() == 1


def test_bad_nodes() -> None:
    case = qpot.gallery.double_well()
    with pytest.raises(ValueError, match="nodes must be"):
        qpot.with_field_opinion(case.system, _costs(case), nodes=8)


def _tilted() -> np.ndarray[Any, Any]:
    c, s = np.cos(0.4), np.sin(0.4)
    R = np.array([[c, -s], [s, c]])
    return np.asarray(R @ np.diag([0.5, 2.0]) @ R.T)
