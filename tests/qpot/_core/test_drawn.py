"""Results that draw themselves, optional packages, and HTML."""

from __future__ import annotations

import inspect

import pytest

from qpot._core import html
from qpot._core.drawn import Drawn
from qpot._core.optional import coordinate_names, needed


def test_help_names_the_figure_of_each_class() -> None:
    class Point(Drawn, figure="plot_rates"):
        """A point."""

    class Curve(Point, figure="plot_limit_cycle"):
        """A point that is a curve."""

    class Same(Point):
        """A point with the same figure."""

    assert "qpot.plots.plot_rates" in str(inspect.getdoc(Point.plot))
    assert "qpot.plots.plot_limit_cycle" in str(inspect.getdoc(Curve.plot))
    assert Same.plot is Point.plot
    assert list(inspect.signature(Point.plot).parameters) == ["self", "ax", "options"]
    assert Curve.plot.__qualname__.endswith("Curve.plot")


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(ImportError, match=r"This needs nothing_at_all, which .*: pip install 'qpot\[data\]'"):
        needed("nothing_at_all", "This")
    assert needed("json", "This").dumps([1]) == "[1]"
    assert coordinate_names(2) == ["x_1", "x_2"]


def test_all_texts_are_escaped() -> None:
    page = html.document(
        [
            html.paragraph("<a>", strong=True),
            html.heading("<a>"),
            html.listed(["<a>"]),
            html.table(["<a>"], [["<a>"], ["b"]], strong=[1]),
            html.folded("<a>", ""),
        ]
    )
    assert page.count("&lt;a&gt;") == 6
    assert "<a>" not in page
    assert "<b>b</b>" in page
