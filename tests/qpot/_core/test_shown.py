"""Results in notebooks: the text, the attributes and a small figure, whatever they hold."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core.drawn import Drawn
from qpot._core.shown import html_of


@pytest.fixture(scope="module")
def results() -> list[Any]:
    case = qpot.gallery.double_well()
    minima = qpot.find_minima(case.system, case.bounds)
    saddles = qpot.find_saddles(case.system, minima, case.bounds)
    costs = qpot.transition_costs(case.system, minima, saddles=saddles)
    return [minima, minima[0], saddles[0], costs.paths[0, 1], qpot.cycle_hierarchy(costs), qpot.w_graph(costs, 0)]


def test_every_result_shows_its_text_and_a_figure(results: list[Any]) -> None:
    import matplotlib.pyplot as plt

    open_before = plt.get_fignums()
    for result in results:
        shown = result._repr_html_()
        assert type(result).__name__ in shown
        assert "<img" in shown or "<svg" in shown
    assert plt.get_fignums() == open_before


@dataclass(frozen=True)
class _Odd(Drawn, figure="plot_that_is_none"):
    name: str
    values: np.ndarray
    nothing: None = None

    def __repr__(self) -> str:
        return f"<script>{self.name}</script>\nsecond line"


def test_texts_are_escaped_and_a_figure_that_fails_is_left_out() -> None:
    shown = html_of(_Odd(name="<b>&", values=np.array([1.0, np.nan, 3.0])))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "second line" in shown
    assert "<img" not in shown
    assert "nothing" not in shown


def test_a_result_without_a_text_does_not_raise() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    assert "RuntimeError" in html_of(Broken())
