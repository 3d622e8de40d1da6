"""The method ``plot`` of every result: which figure it draws, what its title concludes, and that it shows the numbers."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from chains import costs_of, leg, unsolved

import qpot
from qpot import plots
from qpot._core.drawn import Drawn
from qpot.chain.graphs import disconnectivity_tree
from qpot.landscape.points import as_minimum

E1 = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Every figure can be drawn to the end, without a warning."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture(scope="module")
def plane() -> qpot.Prediction:
    case = qpot.gallery.mueller_brown()
    return qpot.predict(case.system, case.bounds, second_opinion=False, progress=None)


@pytest.fixture(scope="module")
def line() -> qpot.Prediction:
    case = qpot.gallery.double_well()
    return qpot.predict(case.system, case.bounds, second_opinion=False, progress=None)


@pytest.fixture(scope="module")
def deep() -> qpot.Prediction:
    """A chain whose costs are given, and which knows no system."""
    return qpot.prediction_from_costs(
        costs_of(3, {(i, j): leg((i, j), E1[i, j], 0.01) for i in range(3) for j in range(3) if i != j})
    )


def drawn_classes() -> list[type[Drawn]]:
    for module in pkgutil.walk_packages(qpot.__path__, "qpot."):
        if not re.search(r"solvers|torch|jax|dask", module.name):
            importlib.import_module(module.name)
    found, stack = [], [Drawn]
    while stack:
        kind = stack.pop()
        found.append(kind)
        stack += kind.__subclasses__()
    return [kind for kind in found if kind is not Drawn and kind.__module__.startswith("qpot.")]


def test_every_result_names_a_figure_that_exists() -> None:
    for kind in drawn_classes():
        assert kind._figure in plots.__all__, kind
        assert f"qpot.plots.{kind._figure}" in str(inspect.getdoc(kind.plot)), kind
    wanted = (
        "Prediction PathSolution FieldSolution GlobalField TransitionCosts Cycle Ensemble Comparison FlowTrajectory "
        "MarginFlow TrainingTrajectory EscapeTimes SplittingTimes ExitSolution EscapeSolution LimitCycle WGraph Selection "
        "Occupation TrainingTimeDiagram NoiseStatistics ReactiveFlux Minima Minimum Saddle Explanation HardMargin "
        "Gaussianity Coverage CovarianceEstimate ArrheniusLaw OccupationCheck EscapePoints ExitCoverage "
        "FieldOpinion WayOut Controllability FlatDirections"
    )
    assert [name for name in wanted.split() if not callable(getattr(getattr(qpot, name), "plot", None))] == []


def test_figures_are_found_and_every_one_has_a_line_in_the_documentation() -> None:
    assert "plots" in dir(qpot)
    functions = [name for name in plots.__all__ if name.startswith("plot_")]
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    assert [name for name in functions if f"`{name}`" not in page] == []
    assert [name for name in re.findall(r"`(plot_\w+)`", page) if name not in functions] == []


def test_a_prediction_in_the_plane_is_a_map(plane: qpot.Prediction) -> None:
    ax = plane.plot()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_1$", "$x_2$")
    assert ax.get_title().replace("\n", " ") == plane.answer()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["noise (one standard deviation)", "noise climbs", "free descent"]
    discs = [line for line in ax.lines if line.get_markersize() == 13.0]
    np.testing.assert_allclose([d.get_xydata()[0] for d in discs], [m.point for m in plane.minima])
    given = plt.figure().add_subplot()
    assert plane.plot(given, view="costs") is given


def test_a_descent_under_a_climb_has_no_entry_in_the_legend() -> None:
    case = qpot.gallery.separable_double_well()
    prediction = qpot.predict(case.system, case.bounds, second_opinion=False, progress=None)
    names = [text.get_text() for text in prediction.plot().get_legend().get_texts()]
    assert names == ["noise (one standard deviation)", "noise climbs"]


def test_a_loaded_prediction_has_a_map_without_its_system(plane: qpot.Prediction, tmp_path: pathlib.Path) -> None:
    plane.save(tmp_path / "saved.npz")
    loaded = qpot.Prediction.load(tmp_path / "saved.npz")
    ax = loaded.plot()
    assert loaded.system is None
    assert len(ax.collections) == 0
    assert ax.get_xlabel() == "$x_1$"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["noise climbs", "free descent"]


def test_a_prediction_on_a_line_is_its_quasi_potential(line: qpot.Prediction) -> None:
    ax = line.plot()
    curves = [curve.get_xydata() for curve in ax.lines if len(curve.get_xdata()) > 5]
    # V of the double well with unit noise is twice the loss, 1/2 at the top.
    for curve in curves:
        np.testing.assert_allclose(curve[:, 1], (curve[:, 0] ** 2 - 1) ** 2 / 2, atol=2e-3)
    assert len(curves) == 2
    assert "quasi-potential" in ax.get_ylabel()


def test_levels_show_W_and_rings(deep: qpot.Prediction, plane: qpot.Prediction) -> None:
    for prediction in (deep, plane):
        ax = prediction.plot(view="levels")
        discs = [curve for curve in ax.lines if curve.get_markersize() == 9.0]
        heights = sorted(float(curve.get_ydata()[0]) for curve in discs)
        np.testing.assert_allclose(heights, sorted(prediction.stationary_costs), atol=1e-12)
        assert sum(curve.get_markersize() == 15.0 for curve in ax.lines) == len(prediction.selected)
        assert ax.get_title().replace("\n", " ") == prediction.answer()


def test_views_that_do_not_fit_are_refused(plane: qpot.Prediction, line: qpot.Prediction) -> None:
    with pytest.raises(ValueError, match="view must be one of map, line"):
        plane.plot(view="picture")
    for prediction, view in ((plane, "line"), (line, "map"), (line, "plane")):
        with pytest.raises(ValueError, match=f"view='{view}' does not fit"):
            prediction.plot(view=view)


def test_a_prediction_with_a_leg_that_was_not_solved_shows_costs() -> None:
    legs = {pair: leg(pair, 1.0, 1e-3) for pair in ((0, 1), (1, 0), (1, 2))}
    prediction = qpot.prediction_from_costs(costs_of(3, {**legs, (2, 1): unsolved((2, 1), 0.4)}))
    with pytest.raises(ValueError, match="needs W of all minima"):
        prediction.plot(view="levels")
    ax = prediction.plot(view="costs")
    assert ">= 0.4" in [text.get_text() for text in ax.texts]
    assert ax.get_title().replace("\n", " ") == prediction.answer()
    assert prediction.plot().get_title()


def test_the_plane_of_a_prediction_in_many_dimensions() -> None:
    def loss(x: Any) -> Any:
        return (x[:, 0] ** 2 - 1) ** 2 / 4 + (x[:, 1:] ** 2).sum(axis=1) / 2

    def gradient(x: Any) -> Any:
        return np.concatenate([x[:, :1] ** 3 - x[:, :1], x[:, 1:]], axis=1)

    system = qpot.System.from_loss(loss, gradient, np.eye(4), dimension=4)
    prediction = qpot.predict(system, [(-2, 2)] * 4, audit=False, progress=None)
    assert "W(i)" in prediction.plot().get_ylabel()
    ax = prediction.plot(view="plane")
    assert ax.get_xlabel() == "first principal direction of minima and passes"
    # The straight way is not blown up to a curve by its rounding.
    assert np.ptp(ax.get_ylim()) > 0.1 * np.ptp(ax.get_xlim())
    path = next(iter(prediction.costs.paths.values()))
    assert path.plot().get_xlabel() == "distance along the path"
    assert path.plot(view="plane").get_ylabel() == "distance across"
    assert path.plot(axes=(0, 3)).get_ylabel() == "$x_4$"


def test_paths_show_what_the_noise_pays(plane: qpot.Prediction) -> None:
    path = plane.costs.paths[0, 1]
    ax = path.plot(view="cost")
    paid = ax.lines[0].get_xydata()
    assert paid[-1, 1] == pytest.approx(path.action, rel=1e-12)
    assert (np.diff(paid[:, 1]) >= 0.0).all()
    assert ax.get_title().startswith(f"The noise pays {path.action:.4g} ± ")
    ax = path.plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "noise climbs",
        "free descent",
        "fixed point on the way",
        "start",
        "end",
    ]
    with pytest.raises(ValueError, match='view must be "plane", "cost"'):
        path.plot(view="map")
    lost = leg((0, 1), np.inf, np.inf)
    assert lost.plot(view="cost").get_title() == "No path of finite cost"


def test_costs_are_numbers_in_cells(plane: qpot.Prediction) -> None:
    ax = plane.costs.plot(labels=["a", "b", "c"])
    cells = {text.get_text().split("\n")[0] for text in ax.texts}
    values = plane.costs.values[~np.eye(3, dtype=bool)]
    assert cells == {f"{value:.4g}" for value in values}
    least = f"{plane.costs.values[1, 2]:.4g} ± {plane.costs.errors[1, 2]:.1g}"
    assert ax.get_title() == f"The cheapest step costs {least}, from minimum b to c"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("to minimum", "from minimum")


def test_exits_in_the_plane_and_by_cost() -> None:
    bowl = qpot.System.from_loss(
        lambda x: 0.5 * (x[:, 0] ** 2 + 2 * x[:, 1] ** 2), lambda x: x * [1.0, 2.0], np.eye(2), dimension=2
    )
    found = qpot.exit_cost(bowl, [0.0, 0.0], boundary=qpot.Ball(radius=1.0))
    ax = found.plot()
    assert ax.get_title().replace("\n", " ").startswith(f"The cheapest way out costs {found.cost:.4g}")
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[-2:] == ["start", "exit"]
    ax = found.plot(view="cost")
    assert max(float(curve.get_ydata()[-1]) for curve in ax.lines) == pytest.approx(found.cost, rel=1e-9)
    assert found.coverage is not None
    shares = [bar.get_height() for bar in found.coverage.plot().patches]
    np.testing.assert_allclose(shares[:-1], np.array(found.coverage.hits) / found.coverage.starts)


def test_a_limit_cycle_is_closed_and_directed() -> None:
    def drift(x: Any) -> Any:
        return x * (1 - (x**2).sum(1, keepdims=True)) + np.stack([-x[:, 1], x[:, 0]], 1)

    (cycle,) = qpot.find_limit_cycles(qpot.System(drift=drift, covariance=np.eye(2), dimension=2), [(-2, 2)] * 2)
    ax = cycle.plot()
    curve = ax.lines[0].get_xydata()
    np.testing.assert_array_equal(curve[0], curve[-1])
    assert len(ax.texts) == 3  # the arrows
    assert "period 6.28319, which attracts" in ax.get_title().replace("\n", " ")


def test_fields_say_from_where_and_how_far() -> None:
    system = qpot.System(drift=lambda x: x - x**3, covariance=np.eye(1), dimension=1)
    field = qpot.quasipotential(system, (-1.0,), qpot.Grid(-2, 2, 81))
    ax = field.plot()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), field.values)
    assert ax.get_title().replace("\n", " ").startswith("What it costs the noise to come from (-1): known up to ")
    whole = qpot.global_quasipotential(system, [(-1.0,), (1.0,)], qpot.Grid(-2, 2, 81))
    assert whole.plot().get_title().startswith("SGD is most often near (-1), (1)")


def test_the_chain_and_what_it_decides() -> None:
    ax = qpot.cycle_hierarchy(E1).plot(labels=["a", "b", "c"])
    assert len(ax.collections) == 5
    assert ax.get_title().startswith("In the end: b.")
    inner = next(c for _, c in qpot.cycle_hierarchy(E1).walk() if len(c.members) == 2)
    assert [text.get_text() for text in inner.plot().get_xticklabels()] == [str(i) for i in inner.members]
    graph = qpot.w_graph(E1, 1)
    ax = graph.plot(costs=E1)
    written = sorted(float(text.get_text()) for text in ax.texts if "." in text.get_text() or text.get_text() == "1")
    assert 0.5 in written
    assert ax.get_title().startswith("W(1) = 1.5")
    chosen = qpot.selection(E1, errors=0.4)
    ax = chosen.plot()
    assert ax.get_title() == "Minimum 1: selected with certainty, margin 1"
    bars = [curve.get_xdata() for curve in ax.lines if len(curve.get_xdata()) == 2]
    np.testing.assert_allclose(sorted(map(tuple, bars)), sorted(chosen.interval(i) for i in range(3)))
    flux = qpot.reactive_flux(E1, 0.2, 0, 2)
    ax = flux.plot()
    best = max(s for (_, j), s in zip(flux.edges.tolist(), flux.net_share, strict=True) if j == 2)
    assert ax.get_title().startswith(f"{best:.0%} of the direct transitions arrive from minimum")
    tree = disconnectivity_tree(E1)
    assert tree.plot().get_title().startswith("Minimum 1 is the lowest; minimum ")
    diagram = qpot.training_time_diagram(
        E1, learning_rates=np.geomspace(0.05, 0.3, 4), steps=np.geomspace(10, 1e9, 5), start=0
    )
    assert diagram.plot().get_title().replace("\n", " ").endswith("SGD is at minimum 1")


def test_searches_and_fixed_points(plane: qpot.Prediction) -> None:
    case = qpot.gallery.separable_double_well()
    minima = qpot.find_minima(case.system, case.bounds)
    heights = [bar.get_height() for bar in minima.plot().patches]
    np.testing.assert_allclose(heights[:2], np.array(minima.hits) / minima.coverage.starts)
    assert heights[2] == minima.unseen
    given = qpot.find_minima(case.system, case.bounds, starts=np.array([[-1.0, 0.1], [1.0, 0.1]]))
    assert "not known" in given.plot().get_title()
    assert "is left at the rate" in plane.saddles[0].plot().get_title()
    ax = plane.minima[0].plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.sort(plane.minima[0].rates.real))


def test_flows_margins_and_training() -> None:
    bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    flow = qpot.integrate_flow(bowl, [2.0, -1.0], duration=5.0)
    assert flow.plot().get_title().startswith(f"The loss goes to {flow.losses[-1]:.4g}")
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 2))
    X = X[np.abs(X @ [1, 0.5]) > 0.4]
    y = np.sign(X @ [1, 0.5])
    margin = qpot.margin_flow(X, y)
    assert "of the largest at t = 1e100" in margin.plot().get_title()
    ax = margin.svm.plot()
    assert len(ax.lines[1].get_xdata()) == margin.svm.support.size
    np.testing.assert_allclose(ax.lines[1].get_ydata(), margin.svm.geometric_margin)
    model = qpot.dense_network(2, 4)
    trained = qpot.train_flow(model, X, y[:, None], start=0.5 * rng.normal(size=model.dimension), step=0.1, steps=20)
    ax = trained.plot()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), trained.losses)
    assert ax.lines[0].get_xdata()[-1] == pytest.approx(trained.duration)
    told = trained.explain(X[:1])
    (first, value) = told.ranking()[0]
    assert told.plot().get_title().startswith(f"Sample {first} counts most: {value:+.3g}")


def test_noise() -> None:
    rng = np.random.default_rng(2)
    total = qpot.least_squares_sum(rng.normal(size=(50, 4)), rng.normal(size=50))
    statistics = qpot.measure_noise(total, np.zeros(4))
    assert statistics.plot().get_title().startswith(f"alignment {statistics.alignment:.2f}")
    ax = statistics.covariance.plot()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), statistics.covariance.eigenvalues)
    samples = qpot.embedded_double_well_sum(0.5)
    path = qpot.minimum_action_path(qpot.System.from_finite_sum(samples), [-1, 0], [0, 0])
    check = qpot.check_gaussianity(samples, path)
    assert f"{check.relative_change:+.2%}" in check.plot().get_title().replace("\n", " ")


def test_what_the_noise_reaches_and_where_nothing_is_curved() -> None:
    swing = qpot.System(
        drift=lambda x: np.stack([x[:, 1], -x[:, 0] - x[:, 1]], 1), covariance=np.diag([0.0, 1.0]), dimension=2
    )
    ax = qpot.controllability(swing, [0.0, 0.0]).plot()
    assert ax.get_title() == "Noise reaches all 2 directions; the drift carries it on 1 time"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["noise of its own", "none of its own"]
    product = qpot.System.from_loss(
        lambda x: (x[:, 0] * x[:, 1] - 1) ** 2 / 2, lambda x: (x[:, :1] * x[:, 1:] - 1) * x[:, ::-1], 1.0, dimension=2
    )
    flat = qpot.flat_directions(product, as_minimum(product, np.array([1.0, 1.0])))
    ax = flat.plot()
    np.testing.assert_allclose(ax.images[0].get_array(), np.abs(flat.directions))
    assert ax.get_title() == "1 direction along a manifold of minima"


def test_second_opinions_and_ways_out(line: qpot.Prediction) -> None:
    case = qpot.gallery.double_well()
    opinion = qpot.with_field_opinion(case.system, line.costs, bounds=case.bounds).field
    assert opinion is not None
    ax = opinion.plot()
    assert ax.get_title() == "Fields have an opinion on 2 costs"
    cells = {text.get_text().split("\n")[0] for text in ax.texts}
    assert cells == {f"{opinion.values[0, 1]:.4g}", f"{opinion.values[1, 0]:.4g}"}
    way = qpot.WayOut(minimum=0, saddle=np.zeros(1), path=line.costs.paths[0, 1], leads="to nowhere")
    title = way.plot().get_title().replace("\n", " ")
    assert title.startswith(f"Minimum 0 is left for {way.cost:.4g} ± ")
    assert title.endswith("over (0), which leads to nowhere")
    lost = qpot.WayOut(minimum=0, saddle=np.zeros(1), path=None, leads="to nowhere")
    assert "a cost that is not known" in lost.plot().get_title().replace("\n", " ")
