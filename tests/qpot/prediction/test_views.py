"""Predictions and costs in notebooks: HTML that holds every number of the text, pictures, and data frames."""

from __future__ import annotations

import html
import re
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from chains import costs_of, impossible, leg, unsolved

import qpot

inf = np.inf


@pytest.fixture(scope="module")
def prediction() -> qpot.Prediction:
    case = qpot.gallery.mueller_brown()
    return qpot.predict(case.system, case.bounds, progress=None)


def words(page: str) -> str:
    """What a reader of the page sees."""
    return html.unescape(re.sub("<[^>]*>", " ", page))


def numbers(text: str) -> set[str]:
    return set(re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", text))


def ways(k: int, **changed: Any) -> dict[Any, Any]:
    """Legs between neighbours on a line, all solved but those that are given."""
    pairs = [(i, j) for i in range(k) for j in range(k) if abs(i - j) == 1]
    return {pair: changed.get(f"leg_{pair[0]}{pair[1]}", leg(pair, 1.0 + 0.1 * pair[0], 1e-3)) for pair in pairs}


NO_BOUND = replace(leg((0, 1), 1.0, inf), status=qpot.Status.NOT_CONVERGED)
PARTIAL = {
    "one minimum": costs_of(1, {}),
    "all solved": costs_of(3, ways(3)),
    "nothing known": costs_of(2, {(0, 1): unsolved((0, 1), 0.0), (1, 0): unsolved((1, 0), 0.0)}),
    "one leg lost": costs_of(3, ways(3, leg_21=unsolved((2, 1), 0.4))),
    "no noise at one": costs_of(3, ways(3, leg_21=impossible((2, 1)))),
    "no noise at two": costs_of(3, ways(3, leg_21=impossible((2, 1)), leg_01=impossible((0, 1)))),
    "no bound of an error": costs_of(2, {(0, 1): NO_BOUND, (1, 0): leg((1, 0), 2.0, 0.1)}),
    "thirty": costs_of(30, ways(30)),
}


def test_the_page_holds_every_number_of_the_text(prediction: qpot.Prediction) -> None:
    for result in (prediction, prediction.costs):
        missing = numbers(repr(result)) - numbers(words(result._repr_html_()))
        assert missing == set()
    for line in (prediction.answer(), prediction.second_opinion(), *prediction.cautions()):
        assert line in words(prediction._repr_html_())


@pytest.mark.parametrize("name", PARTIAL)
def test_unfinished_and_infinite_costs_have_a_page_too(name: str) -> None:
    costs = PARTIAL[name]
    known = qpot.prediction_from_costs(costs)
    page = known._repr_html_()
    assert numbers(repr(known)) - numbers(words(page)) == set()
    ElementTree.fromstring(page)  # every element is closed
    ElementTree.fromstring(costs._repr_html_())
    assert known.plot().get_title()
    assert costs.plot().get_title()
    plt.close("all")
    pytest.importorskip("pandas")
    k = len(costs.minima)
    assert len(known.to_dataframe()) == k
    assert len(known.to_dataframe("costs")) == k * (k - 1)


def test_a_page_is_cheap_and_asks_the_system_nothing(prediction: qpot.Prediction) -> None:
    begun = time.process_time()
    page = replace(prediction, system=None)._repr_html_()
    # Three milliseconds were measured; a loss or a figure of matplotlib would take a tenth of a second and more.
    assert time.process_time() - begun < 0.1
    assert page == prediction._repr_html_()


def test_what_is_written_is_escaped() -> None:
    costs = replace(PARTIAL["all solved"], notes=("x < 1 & <script>alert(1)</script>",), choices=("<b>runs</b>",))
    for page in (qpot.prediction_from_costs(costs)._repr_html_(), costs._repr_html_()):
        assert "<script>" not in page
        assert "x < 1 & <script>" in words(page.replace("&lt;script&gt;", "&lt;script>")) or "&lt;script&gt;" in page
    assert "<b>runs" not in qpot.prediction_from_costs(costs)._repr_html_()


def test_pictures_show_all_minima_and_the_selected_one(prediction: qpot.Prediction) -> None:
    page = ElementTree.fromstring(prediction._repr_html_())
    svg = "{http://www.w3.org/2000/svg}"
    levels, plan = page.iter(f"{svg}svg")
    for picture in (levels, plan):
        names = [text.text for text in picture.iter(f"{svg}text") if text.get("font-weight") == "bold"]
        assert sorted(str(name) for name in names) == ["0", "1", "2"]
        rings = [circle for circle in picture.iter(f"{svg}circle") if circle.get("stroke") == "currentColor"]
        assert len(rings) == 1
        width, height = float(str(picture.get("width"))), float(str(picture.get("height")))
        for circle in picture.iter(f"{svg}circle"):
            x, y, r = (float(str(circle.get(name))) for name in ("cx", "cy", "r"))
            assert r <= x <= width - r
            assert r <= y <= height - r
    # Depths are to scale: the discs lie as W does.
    discs = {text.text: float(str(text.get("y"))) for text in levels.iter(f"{svg}text") if text.get("font-weight")}
    heights = np.array([discs[str(i)] for i in range(3)])
    W = prediction.stationary_costs
    np.testing.assert_allclose((heights - heights[0]) / (heights[1] - heights[0]), W / W[1], atol=2e-3)


def test_colours_are_those_of_the_page(prediction: qpot.Prediction) -> None:
    page = re.sub(r"<svg.*?</svg>", "", prediction._repr_html_())
    assert re.findall(r"(?<![-\w])(?:background|background-color|color):(?!inherit)", page) == []


def test_data_frames_of_a_prediction(prediction: qpot.Prediction) -> None:
    pytest.importorskip("pandas")
    minima = prediction.to_dataframe()
    np.testing.assert_array_equal(minima[["x_1", "x_2"]], [m.point for m in prediction.minima])
    np.testing.assert_array_equal(minima["loss"], [m.loss for m in prediction.minima])
    np.testing.assert_array_equal(minima["stationary_cost"], prediction.stationary_costs)
    np.testing.assert_array_equal(minima["stationary_error"], prediction.stationary_errors)
    assert minima.index[minima["selected"]].tolist() == list(prediction.selected)
    saddles = prediction.to_dataframe("saddles")
    np.testing.assert_array_equal(saddles[["x_1", "x_2"]], [s.point for s in prediction.saddles])
    assert [tuple(row) for row in saddles[["first", "second"]].to_numpy()] == [s.connects for s in prediction.saddles]
    costs = prediction.to_dataframe("costs")
    for column, matrix in (
        ("cost", prediction.costs.values),
        ("error", prediction.costs.errors),
        ("direct", prediction.costs.direct),
        ("prefactor", prediction.prefactors),
    ):
        wide = costs.pivot(index="from", columns="to", values=column).to_numpy()
        off = ~np.eye(3, dtype=bool)
        assert matrix is not None
        np.testing.assert_array_equal(wide[off], matrix[off])
    with pytest.raises(ValueError, match="what must be"):
        prediction.to_dataframe("passes")


def test_a_point_of_many_coordinates_is_one_cell() -> None:
    pytest.importorskip("pandas")
    costs = PARTIAL["all solved"]
    wide = tuple(replace(m, point=np.arange(60.0) + i) for i, m in enumerate(costs.minima))
    table = replace(qpot.prediction_from_costs(costs), minima=wide).to_dataframe()
    np.testing.assert_array_equal(table["point"][2], wide[2].point)
    assert "x_1" not in table


def test_a_bound_and_a_lost_side_are_in_the_tables() -> None:
    pytest.importorskip("pandas")
    table = PARTIAL["one leg lost"].to_dataframe()
    row = table[(table["from"] == 2) & (table["to"] == 1)].iloc[0]
    assert (row["cost"], row["least"], row["status"]) == (inf, 0.4, "not_converged")


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    known = qpot.prediction_from_costs(PARTIAL["all solved"])
    message = r"needs pandas, which is not installed: pip install 'qpot\[data\]'"
    for what in ("minima", "saddles", "costs"):
        with pytest.raises(ImportError, match=message):
            known.to_dataframe(what)
    with pytest.raises(ImportError, match=message):
        known.costs.to_dataframe()
