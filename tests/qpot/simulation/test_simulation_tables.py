"""Simulations as data frames, labelled arrays and HTML: they hold the numbers of the results."""

from __future__ import annotations

import html
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

import qpot

WELLS = qpot.gallery.double_well().system
MINIMA = np.array([[-1.0], [1.0]])


@pytest.fixture(scope="module")
def ensemble() -> qpot.Ensemble:
    return qpot.simulate_diffusion(
        WELLS, epsilon=0.4, time_step=0.05, steps=200, start=[1.0], replicas=6, minima=MINIMA, rng=1
    )


@pytest.fixture(scope="module")
def times() -> qpot.EscapeTimes:
    return qpot.escape_times(
        WELLS, start=[-1.0], minima=MINIMA, epsilon=0.4, time_step=0.05, steps=500, replicas=20, escape_points=True, rng=1
    )  # fmt: skip


def test_an_ensemble_is_a_long_table(ensemble: qpot.Ensemble) -> None:
    pytest.importorskip("pandas")
    table = ensemble.to_dataframe()
    records, replicas, _ = ensemble.points.shape
    assert len(table) == records * replicas
    last = table[table["step"] == ensemble.steps[-1]]
    np.testing.assert_array_equal(last["x_1"], ensemble.points[-1, :, 0])
    np.testing.assert_array_equal(last["replica"], np.arange(replicas))
    assert ensemble.labels is not None
    np.testing.assert_array_equal(table["basin"].to_numpy().reshape(records, replicas), ensemble.labels)
    assert "basin" not in replace(ensemble, labels=None).to_dataframe()


def test_an_ensemble_is_a_data_set(ensemble: qpot.Ensemble) -> None:
    pytest.importorskip("xarray")
    data = ensemble.to_xarray()
    np.testing.assert_array_equal(data["position"], ensemble.points)
    np.testing.assert_array_equal(data["time"], ensemble.time)
    np.testing.assert_array_equal(data["basin"].isel(step=-1), ensemble.basins()[-1])
    assert data.attrs["epsilon"] == 0.4
    assert "batch_size" not in data.attrs  # There is none in a diffusion, and no file could hold None.


def test_escapes_are_a_row_each(times: qpot.EscapeTimes) -> None:
    pytest.importorskip("pandas")
    table = times.to_dataframe()
    np.testing.assert_array_equal(table["steps"], times.steps)
    np.testing.assert_allclose(table["time"], times.steps * times.time_step, rtol=1e-15)
    np.testing.assert_array_equal(table["escaped"], times.escaped)
    assert times.escape_points is not None
    np.testing.assert_array_equal(table["escape_x_1"], times.escape_points[:, 0])


def test_repetitions_of_a_splitting_are_a_row_each() -> None:
    pytest.importorskip("pandas")
    found = qpot.splitting_times(
        WELLS, start=[-1.0], minima=MINIMA, epsilon=0.15, time_step=0.05, clones=10, repetitions=3
    )
    table = found.to_dataframe()
    np.testing.assert_array_equal(table["probability"], found.probabilities)
    np.testing.assert_array_equal(table["rounds"], found.rounds)


@pytest.mark.parametrize("module", ["pandas", "xarray"])
def test_the_error_says_what_to_install(
    module: str, ensemble: qpot.Ensemble, times: qpot.EscapeTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    asked = (ensemble.to_dataframe, times.to_dataframe) if module == "pandas" else (ensemble.to_xarray,)
    for table in asked:
        with pytest.raises(ImportError, match=rf"needs {module}, .* pip install 'qpot\[data\]'"):
            table()


def test_a_comparison_is_a_page_with_every_number(ensemble: qpot.Ensemble) -> None:
    case = qpot.gallery.double_well()
    prediction = qpot.predict(case.system, case.bounds, second_opinion=False, progress=None)
    measured = [
        qpot.escape_times(
            WELLS, start=[-1.0], minima=prediction.minima, epsilon=e, time_step=0.05, steps=40_000, replicas=30
        )
        for e in (0.4, 0.35, 0.3, 0.25)
    ]
    whole = qpot.compare(prediction, measured, ensemble)
    unknown = replace(prediction, prefactors=None)
    for comparison in (whole, qpot.compare(prediction, measured), qpot.compare(unknown, measured)):
        page = comparison._repr_html_()
        ElementTree.fromstring(page)
        seen = set(re.findall(r"[\d.]+(?:e[-+]?\d+)?", html.unescape(re.sub("<[^>]*>", " ", page))))
        text = re.sub(r"ArrheniusLaw|OccupationCheck|EscapePoints", "", repr(comparison)).replace(":", " ")
        missing = {number.strip(".") for number in re.findall(r"[\d.]+(?:e[-+]?\d+)?", text)}
        assert missing - {number.strip(".") for number in seen} == set()
        assert comparison.sentence in html.unescape(re.sub("<[^>]*>", "", page))
