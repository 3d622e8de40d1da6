"""The page to play with: its numbers are those of the library, in the file and in a browser."""

from __future__ import annotations

import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array
from qpot.landscape.points import as_minimum
from qpot.plots.explore_page import explore
from qpot.prediction.dearer_legs import summed_prefactors

pytest.importorskip("plotly", reason="needs the extra qpot[explore]")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def data_of(page: Any) -> Any:
    """What the script of a page draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1).replace("<\\/", "</"))


def text_of(page: Any) -> str:
    """What a page says before its scripts."""
    return html.unescape(
        re.sub(r"<[^>]*>", " ", page[page.index("<body>") : page.index('<script type="application/json"')])
    )


@pytest.fixture(scope="module")
def depths() -> qpot.Prediction:
    case = qpot.gallery.two_depths()
    return qpot.predict(case.system, case.bounds, progress=None)


def tilted_wells(d: int) -> qpot.System:
    """Four wells over two coordinates, bent into a third one, and nothing in the others."""

    def loss(x: Array) -> Array:
        rest = x[:, 2] - 0.3 * x[:, 0] * x[:, 1]
        wells = 0.25 * ((x[:, 0] ** 2 - 1) ** 2 + (x[:, 1] ** 2 - 1) ** 2)
        return np.asarray(wells + 0.5 * rest**2 + 0.05 * x[:, 0] + 0.03 * x[:, 1] + 0.5 * (x[:, 3:] ** 2).sum(1))

    def gradient(x: Array) -> Array:
        rest = x[:, 2] - 0.3 * x[:, 0] * x[:, 1]
        first = x[:, 0] * (x[:, 0] ** 2 - 1) - 0.3 * rest * x[:, 1] + 0.05
        second = x[:, 1] * (x[:, 1] ** 2 - 1) - 0.3 * rest * x[:, 0] + 0.03
        return np.column_stack([first, second, rest, x[:, 3:]])

    return qpot.System.from_loss(loss, gradient=gradient, covariance=np.eye(d), dimension=d)


def alone(d: int) -> qpot.Prediction:
    """The prediction for a bowl with one minimum."""
    curvatures = np.arange(1.0, d + 1.0)
    bowl = qpot.System.from_loss(
        lambda x: 0.5 * (curvatures * x**2).sum(axis=1), gradient=lambda x: curvatures * x, covariance=1.0, dimension=d
    )
    nothing = np.zeros((1, 1))
    costs = qpot.TransitionCosts(
        values=nothing, errors=nothing, direct=nothing, paths={}, minima=(as_minimum(bowl, np.zeros(d)),)
    )
    return replace(qpot.prediction_from_costs(costs), system=bowl)


def test_the_table_is_the_librarys_law(depths: qpot.Prediction) -> None:
    rates, steps = [0.5, 1.0, 2.0], [10.0, 1e3, 1e5]
    law = data_of(explore(depths, learning_rates=rates, steps=steps, batch_size=2))["law"]
    assert law["epsilons"] == [0.25, 0.5, 1.0]
    assert depths.prefactors is not None
    for n, rate in enumerate(rates):
        epsilon = depths.epsilon(rate, 2)
        factors = summed_prefactors(depths.prefactors, depths.dearer, epsilon)
        factors[factors == 0.0] = 1.0
        np.testing.assert_allclose(law["longRun"][n], depths.occupation(rate, 2), rtol=1e-7)
        for m, count in enumerate(steps):
            for start in (0, 1):
                expected = qpot.occupation_after(
                    depths.costs.direct, epsilon, epsilon * np.log(count * rate), start, prefactors=factors
                )
                np.testing.assert_allclose(law["table"][n][m][start], expected, rtol=1e-7, atol=1e-15)


def test_after_many_steps_the_law_is_that_of_the_long_run(depths: qpot.Prediction) -> None:
    law = data_of(explore(depths, epsilons=[1.0, 2.0], steps=[1e12]))["law"]
    assert law["inTime"]
    for n in (0, 1):
        np.testing.assert_allclose(law["table"][n][0], [law["longRun"][n]] * 2, rtol=1e-7)


def test_the_epsilon_at_which_another_minimum_leads_is_named(depths: qpot.Prediction) -> None:
    # Rates from 1 to 0 of a much smaller prefactor: minimum 0 has the least W, and 1 the larger share above some epsilon.
    assert depths.prefactors is not None
    factors = depths.prefactors.copy()
    factors[1, 0] *= 1e-3
    changed = replace(depths, prefactors=factors)
    text = text_of(explore(changed, epsilons=np.geomspace(0.2, 3.0, 7), steps=[1.0]))
    found = re.search(r"at epsilon = ([\d.]+) from minimum 0 to minimum 1", text)
    assert found is not None
    # Two states have equal shares where the rates A(i, j) exp(-V(i, j) / epsilon) of both ways are equal.
    direct = changed.costs.direct
    exact = (direct[0, 1] - direct[1, 0]) / np.log(factors[0, 1] / factors[1, 0])
    assert float(found.group(1)) == pytest.approx(exact, rel=1e-2)
    assert "has the largest share at every epsilon from 0.1 to 0.2" in text_of(explore(changed, epsilons=[0.1, 0.2]))


@pytest.mark.parametrize("missing", [None, np.array([[0.0, np.nan], [1.0, 0.0]])])
def test_without_prefactors_only_exponents_are_shown(depths: qpot.Prediction, missing: Any) -> None:
    bare = replace(depths, prefactors=missing)
    rates, steps = [0.5, 1.0], [10.0, 1e3, 1e9]
    page = explore(bare, learning_rates=rates, steps=steps)
    law = data_of(page)["law"]
    assert "exponents only" in text_of(page)
    assert law["known"] == [False, False]
    for n, rate in enumerate(rates):
        for m, count in enumerate(steps):
            for start in (0, 1):
                held = bare.after(count, rate, 1, start)
                assert law["table"][n][m][start] == [(i in held) / len(held) for i in (0, 1)]


def test_a_loaded_prediction_has_no_landscape_until_its_system_is_given(
    depths: qpot.Prediction, tmp_path: pathlib.Path
) -> None:
    depths.save(tmp_path / "prediction.npz")
    loaded = qpot.Prediction.load(tmp_path / "prediction.npz")
    page = explore(loaded, learning_rates=[1.0], steps=[10.0])
    assert data_of(page)["layers"] == []
    assert "pass system=" in text_of(page)
    page = explore(loaded, system=depths.system, learning_rates=[1.0], steps=[10.0])
    names = [layer["name"] for layer in data_of(page)["layers"]]
    assert names == ["loss", "quasi-potential of the whole landscape", "V(0, x)", "V(1, x)"]


def test_the_landscape_is_the_loss_and_the_quasi_potential(depths: qpot.Prediction) -> None:
    layers = data_of(explore(depths, bounds=[(-1.0, 4.0)], learning_rates=[1.0], steps=[10.0]))["layers"]
    loss, whole = layers[:2]
    assert depths.system is not None
    np.testing.assert_allclose(loss["z"], depths.system.loss(np.array(loss["x"])[:, None]), rtol=1e-3)  # type: ignore[misc]
    # At a minimum the quasi-potential of the whole landscape is its W.
    at_minima = np.interp([m.point[0] for m in depths.minima], whole["x"], whole["z"])
    np.testing.assert_allclose(at_minima, depths.stationary_costs, atol=0.01)


def test_one_minimum_has_nothing_to_select() -> None:
    page = explore(alone(5))
    assert data_of(page)["law"] is None
    text = text_of(page)
    assert "there is nothing to select" in text
    assert "no slider moves anything" in text
    assert "two softest modes, of curvatures 1 and 2," in text
    assert "saddle" not in text[text.index("selected as") :]


def test_a_tie_and_infinite_costs(depths: qpot.Prediction) -> None:
    two = np.array([[0.0, 2.0], [2.0, 0.0]])
    costs = replace(depths.costs, values=two, direct=two, paths={}, saddles=())
    tie = qpot.prediction_from_costs(costs, prefactors=np.ones((2, 2)))
    text = text_of(explore(tie, system=depths.system))
    assert "Tie" in text
    assert "the minima 0, 1 have equal shares at every epsilon" in text
    infinite = np.array([[0.0, np.inf], [2.0, 0.0]])
    never = qpot.prediction_from_costs(replace(costs, values=infinite, direct=infinite), prefactors=np.ones((2, 2)))
    law = data_of(explore(never, epsilons=[0.5], steps=[1e3]))["law"]
    left = np.exp(-1e3 * np.exp(-2.0 / 0.5))
    np.testing.assert_allclose(law["table"][0][0], [[1.0, 0.0], [1.0 - left, left]], atol=1e-8)


def test_ways_out_lead_to_an_outside_that_keeps_what_comes(depths: qpot.Prediction) -> None:
    path = depths.costs.paths[1, 0]
    way = qpot.WayOut(minimum=1, saddle=path.via[-1], path=path, leads="far away", prefactor=0.5)
    leaking = replace(depths, costs=replace(depths.costs, ways_out=(way, replace(way, prefactor=1.5))))
    data = data_of(explore(leaking, epsilons=[1.0], steps=[1e2, 1e9], field=False))
    assert data["names"][-1] == "outside"
    assert depths.prefactors is not None
    factors = np.ones((3, 3))
    factors[:2, :2] = np.where(depths.prefactors == 0.0, 1.0, depths.prefactors)
    factors[1, 2] = 2.0  # Rates over both ways add up.
    for m, time in enumerate((1e2, 1e9)):
        expected = qpot.occupation_after(leaking.costs.with_outside(), 1.0, np.log(time), 1, prefactors=factors)
        np.testing.assert_allclose(data["law"]["table"][0][m][1], expected, rtol=1e-7, atol=1e-15)
    assert data["law"]["table"][0][1][1][2] == pytest.approx(1.0, abs=1e-6)
    unknown = replace(leaking, costs=replace(leaking.costs, ways_out=(replace(way, prefactor=np.nan),)))
    assert "exponents only" in text_of(explore(unknown, epsilons=[1.0], steps=[1e2], field=False))


def test_where_a_leg_was_not_solved_the_place_is_not_known_after_long_times(depths: qpot.Prediction) -> None:
    broken = replace(depths.costs.paths[1, 0], action=np.inf, error=np.inf, status=qpot.Status.BUDGET, least=1.0)
    direct = depths.costs.direct.copy()
    direct[1, 0] = np.inf
    costs = replace(
        depths.costs, direct=direct, values=direct, paths={**depths.costs.paths, (1, 0): broken}, parallel={}
    )
    open_ = replace(qpot.prediction_from_costs(costs, prefactors=depths.prefactors), system=depths.system)
    page = explore(open_, epsilons=[0.5], steps=[np.exp(1.0), np.exp(3.0)], field=False)
    law = data_of(page)["law"]
    assert law["table"][0][0][1] == [0.0, 1.0]
    assert law["table"][0][1][1] == [None, None]


def test_above_two_dimensions_the_map_is_a_plane_through_minima() -> None:
    system = tilted_wells(4)
    prediction = qpot.predict(system, [(-2.0, 2.0)] * 4, progress=None, second_opinion=False)
    page = explore(prediction, learning_rates=[0.1], steps=[1e3])
    data, text = data_of(page), text_of(page)
    order = np.argsort(prediction.stationary_costs)[:3]
    assert f"the plane through minima {order[0]}, {order[1]} and {order[2]} in the space of 4 dimensions" in text
    # The distances on the map between the three minima are those in space.
    for i, j in ((0, 1), (0, 2), (1, 2)):
        a, b = (data["states"][order[n]] for n in (i, j))
        apart = np.linalg.norm(prediction.minima[order[i]].point - prediction.minima[order[j]].point)
        assert np.hypot(a["x"] - b["x"], a["y"] - b["y"]) == pytest.approx(apart, rel=1e-9)
        assert f"{apart:.3g} ({order[i]} to {order[j]})" in text
    # The fourth minimum lies off the plane of the other three, by the height of the simplex.
    corners = np.array([prediction.minima[n].point for n in order])
    fourth = next(n for n in range(4) if n not in order)
    offset = prediction.minima[fourth].point - corners[0]
    sides = (corners[1:] - corners[0]).T
    height = np.linalg.norm(offset - sides @ np.linalg.lstsq(sides, offset)[0])
    assert data["states"][fourth]["off"] == pytest.approx(height, rel=1e-6)
    assert all(data["states"][n]["off"] is None for n in order)
    # The loss on the map is that at the points of the plane.
    layer = data["layers"][0]
    row, column = 17, 60
    e1 = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    across = corners[2] - corners[0] - ((corners[2] - corners[0]) @ e1) * e1
    e2 = across / np.linalg.norm(across)
    point = corners[0] + layer["x"][column] * e1 + layer["y"][row] * e2
    assert layer["z"][row][column] == pytest.approx(float(system.loss(point)[0]), rel=1e-3)  # type: ignore[misc]


def test_errors_of_costs_are_on_the_page(depths: qpot.Prediction) -> None:
    path = replace(depths.costs.paths[1, 0], error=0.25)
    uncertain = replace(depths, costs=replace(depths.costs, paths={**depths.costs.paths, (1, 0): path}))
    assert data_of(explore(uncertain, epsilons=[1.0], steps=[1.0], field=False))["error"] == 0.25
    way = qpot.WayOut(minimum=1, saddle=path.via[-1], path=replace(path, error=np.inf), leads="far away", prefactor=0.5)
    unbounded = replace(uncertain, costs=replace(uncertain.costs, ways_out=(way,)))
    assert data_of(explore(unbounded, epsilons=[1.0], steps=[1.0], field=False))["error"] is None


def test_bad_arguments_are_refused(depths: qpot.Prediction) -> None:
    with pytest.raises(ValueError, match="not both"):
        explore(depths, learning_rates=[0.1], epsilons=[0.1])
    with pytest.raises(ValueError, match="learning_rates must be positive"):
        explore(depths, learning_rates=[-0.1])
    with pytest.raises(ValueError, match="start must be one of the minima"):
        explore(depths, start=2)
    with pytest.raises(ValueError, match="system has dimension 4"):
        explore(depths, system=tilted_wells(4))
    with pytest.raises(ValueError, match="bounds="):
        explore(alone(3), bounds=[(-1.0, 1.0)] * 3)


def test_the_page_loads_nothing_and_is_written(depths: qpot.Prediction, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "page.html"
    assert explore(depths, file, learning_rates=[1.0], steps=[10.0]) == file
    page = file.read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", page[: page.index("plotly.js v")])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: chromium is not installed")
def test_in_a_browser_sliders_show_the_librarys_numbers(depths: qpot.Prediction, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "page.html"
    rates, steps = [0.5, 1.0, 2.0], [10.0, 1e3, 1e5]
    explore(depths, file, learning_rates=rates, steps=steps)
    law = data_of(file.read_text(encoding="utf-8"))["law"]
    # A hand on the sliders: what the browser does when one is dragged.
    drag = """<script>for (const [id, value] of [["slider-level", 0], ["slider-duration", 2]]) {
    const slider = document.getElementById(id); slider.value = value; slider.dispatchEvent(new Event("input")); }</script>"""
    moved = tmp_path / "moved.html"
    moved.write_text(file.read_text(encoding="utf-8").replace("</body>", f"{drag}</body>"), encoding="utf-8")
    for page, address, expected in (
        (file, "#learning_rate=1.1&steps=900&start=1", law["table"][1][1][1]),
        (file, "#epsilon=2&steps=inf&layer=1&routes=all", law["longRun"][2]),
        (moved, "#start=0", law["table"][0][2][0]),
    ):
        command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom"]
        ran = subprocess.run(
            [*command, f"{page.as_uri()}{address}"], capture_output=True, text=True, timeout=120, check=True
        )
        assert "CONSOLE" not in ran.stderr, "the script complains"
        shown = [float(p) for p in re.findall(r'<li [^>]*data-probability="([^"]+)"', ran.stdout)]
        np.testing.assert_allclose(shown, expected, rtol=1e-12)
        assert ran.stdout.count('class="main-svg"') >= 4, "both figures are drawn"


def test_without_plotly_the_error_says_how_to_install_it(
    depths: qpot.Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ImportError, match=r"qpot.plots.explore needs plotly.*pip install 'qpot\[explore\]'"):
        explore(depths)
