"""Figures of the chain: what is drawn, not how it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from qpot.chain.graphs import loss_costs
from qpot.chain.training_time import training_time_diagram
from qpot.plots.chain import (
    plot_chain,
    plot_cycles,
    plot_disconnectivity,
    plot_landscapes,
    plot_training_time,
    state_colours,
)

E1 = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
ABSORBING = [[0, 1, 2], [np.inf, 0, np.inf], [0.5, 3, 0]]


@pytest.fixture
def ax() -> Iterator[Any]:
    figure, axes = plt.subplots()
    yield axes
    figure.canvas.draw()
    plt.close(figure)


def test_chain_has_a_node_for_each_minimum_and_an_arrow_for_each_route(ax: Any) -> None:
    returned: Any = plot_chain(E1, epsilon=0.2, labels=["a", "b", "c"], ax=ax)
    assert returned is ax
    assert len(ax.collections[0].get_offsets()) == 3
    assert len(ax.patches) == 6
    widths = [patch.get_linewidth() for patch in ax.patches]
    # the widest arrow is the fastest route, 2 -> 1, the thinnest 2 -> 0
    assert (int(np.argmax(widths)), int(np.argmin(widths))) == (5, 4)


@pytest.mark.parametrize("costs", [E1, ABSORBING, [[0.0]], [[0, np.inf], [np.inf, 0]]])
def test_cycles_have_a_box_each(ax: Any, costs: Any) -> None:
    import qpot

    plot_cycles(costs, ax=ax)
    assert len(ax.collections) == len(list(qpot.cycle_hierarchy(costs).walk()))


def test_disconnectivity_hangs_minima_at_their_height(ax: Any) -> None:
    plot_disconnectivity(E1, offset=2.0, ax=ax)
    heights = sorted(line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 1)
    assert heights == [2.0, 3.0, 3.0]


def test_landscapes_side_by_side() -> None:
    axes: Any = plot_landscapes(E1, loss_costs([0.0, 0.3, 0.1], [(0, 1, 1.0), (1, 2, 0.6)]), labels=["a", "b", "c"])
    assert [a.get_title() for a in axes] == ["loss", "what SGD sees"]
    heights = [sorted(line.get_ydata()[0] for line in a.lines if len(line.get_ydata()) == 1) for a in axes]
    # losses above the least one, and W above the least one
    np.testing.assert_allclose(heights, [[0.0, 0.1, 0.3], [0.0, 1.0, 1.0]], atol=1e-12)
    axes[0].figure.canvas.draw()
    plt.close(axes[0].figure)


@pytest.mark.parametrize("prefactors", [None, np.ones((3, 3))])
def test_training_time_names_the_states_it_shows(ax: Any, prefactors: Any) -> None:
    diagram = training_time_diagram(
        E1,
        learning_rates=np.geomspace(0.05, 0.2, 4),
        steps=np.geomspace(10, 1e9, 5),
        start=0,
        prefactors=prefactors,
    )
    plot_training_time(diagram, ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1"]


def test_axes_are_made_when_none_are_given() -> None:
    diagram = training_time_diagram(E1, learning_rates=[0.1, 0.2], steps=[1e2, 1e6], start=0)
    draws: list[Callable[[Any], Any]] = [
        lambda ax: plot_chain(E1, epsilon=0.2, ax=ax),
        lambda ax: plot_cycles(E1, ax=ax),
        lambda ax: plot_disconnectivity(E1, ax=ax),
        lambda ax: plot_training_time(diagram, ax=ax),
    ]
    figures = set()
    for draw in draws:
        mine, given = draw(None), plt.subplots()[1]
        assert draw(given) is given
        # the same picture as in axes of one's own
        assert len(mine.get_children()) == len(given.get_children())
        figures |= {mine.figure, given.figure}
    assert len(figures) == 8, "every call without axes has a figure of its own"
    for figure in figures:
        plt.close(figure)


def test_colours_differ() -> None:
    assert len({str(c) for c in state_colours(5)}) == 5
    assert len({str(c) for c in state_colours(12)}) == 12
