"""Every bad input is refused with its argument, its value and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from refusals import BOX, gradient, loss, refused, well, with_covariance

import qpot
from qpot import FiniteSum, SolveError, Status, System

Array = NDArray[np.float64]

# --- a start that is not a minimum ---------------------------------------------------------------------------------


def test_a_start_on_a_slope() -> None:
    refused(
        lambda: qpot.minimum_action_path(well(), (-0.5, 0.2), (0, 0)),
        "start=(-0.5, 0.2) is not a minimum",
        "the drift there is 0.425",
        "qpot.find_minima",
    )


def test_a_start_on_a_saddle() -> None:
    refused(
        lambda: qpot.minimum_action_path(well(), (0, 0), (1, 0)),
        "start=(0, 0) does not attract",
        "real part 1",
        "qpot.find_minima",
    )


@pytest.mark.parametrize("end", [(3, 0), (1.5, 0.2)])
def test_an_end_that_runs_away_is_named_and_its_saddle_is_the_way_out(end: tuple[float, float]) -> None:
    # L = x^2 / 2 - x^3 / 3 + y^2 / 2: beyond the saddle (1, 0) everything runs away
    system = System.from_loss(
        lambda x: x[:, 0] ** 2 / 2 - x[:, 0] ** 3 / 3 + x[:, 1] ** 2 / 2,
        lambda x: np.stack([x[:, 0] - x[:, 0] ** 2, x[:, 1]], axis=1),
        1.0,
        dimension=2,
    )
    with pytest.raises(ValueError, match=r"lies in the closure of no basin.*end at a saddle"):
        qpot.minimum_action_path(system, (0, 0), end)
    assert qpot.minimum_action_path(system, (0, 0), (1, 0)).action == pytest.approx(1 / 3, abs=1e-8)


def test_a_start_that_is_nearly_the_minimum_is_polished() -> None:
    exact = qpot.minimum_action_path(well(), (-1, 0), (0, 0))
    near = qpot.minimum_action_path(well(), (-1 + 1e-6, -1e-6), (1e-7, 1e-7))
    np.testing.assert_allclose(near.start, [-1, 0], atol=1e-12)
    np.testing.assert_allclose(near.end, [0, 0], atol=1e-12)
    assert near.action == pytest.approx(exact.action, rel=1e-9)


@pytest.mark.parametrize(
    ("points", "pieces"),
    [
        ([(-1, 0), (0, 0)], ("minima[1]=(0, 0)", "does not attract", "qpot.find_minima")),
        ([(-1, 0), (0.5, 0.3)], ("minima[1]=(0.5, 0.3)",)),
    ],
)
def test_minima_that_are_none(points: list[tuple[float, float]], pieces: tuple[str, ...]) -> None:
    minima = qpot.find_minima(well(), BOX)
    import dataclasses

    wrong = [dataclasses.replace(minima[0], point=np.array(p, dtype=float)) for p in points]
    refused(lambda: qpot.find_saddles(well(), wrong, BOX), *pieces)
    refused(lambda: qpot.transition_costs(well(), wrong), *pieces)


# --- NaN and infinite values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["drift", "jacobian", "covariance", "loss"])
def test_non_finite_values_name_the_function_and_the_point(name: str, value: float) -> None:
    def spoilt(shape: tuple[int, ...]) -> Callable[[Array], Array]:
        def function(x: Array) -> Array:
            result = np.broadcast_to(np.eye(2) if shape == (2, 2) else np.zeros(shape), (len(x), *shape)).copy()
            result[x[:, 0] > 1] = value
            return result

        return function

    shapes: dict[str, tuple[int, ...]] = {"drift": (2,), "jacobian": (2, 2), "covariance": (2, 2), "loss": ()}
    functions: dict[str, Any] = {key: spoilt(shape) if key == name else None for key, shape in shapes.items()}
    functions["drift"] = functions["drift"] or (lambda x: -x)
    functions["covariance"] = functions["covariance"] or 1.0
    system = System(**functions, dimension=2)
    evaluate = getattr(system, name)
    evaluate([[0.0, 0.0], [1.0, 3.0]])
    refused(
        lambda: evaluate([[0.0, 0.0], [1.5, 0.25]]),
        f"{name} returned NaN or infinity",
        "(1.5, 0.25)",
        "restrict the bounds or make the function finite there",
    )


def test_nan_everywhere_is_refused_by_the_searches() -> None:
    broken = System(drift=lambda x: np.full_like(x, np.nan), covariance=1.0, dimension=2)
    refused(lambda: qpot.find_minima(broken, BOX), "drift returned NaN or infinity")
    sloped = System.from_loss(loss, lambda x: np.full_like(x, np.nan), 1.0, dimension=2)
    refused(lambda: qpot.find_minima(sloped, BOX), "gradient returned NaN or infinity", "the point (")
    lossy = System.from_loss(lambda x: np.full(len(x), np.inf), gradient, 1.0, dimension=2)
    refused(lambda: qpot.find_minima(lossy, BOX), "loss returned NaN or infinity", "the point (")


def test_nan_on_the_way_names_the_covariance_and_the_point() -> None:
    def covariance(x: Array) -> Array:
        a = np.tile(np.eye(2), (len(x), 1, 1))
        a[(np.abs(x[:, 0]) < 0.6) & (np.abs(x[:, 0]) > 0.4)] = np.nan
        return a

    refused(
        lambda: qpot.minimum_action_path(with_covariance(covariance), (-1, 0), (0, 0)),
        "covariance returned NaN or infinity at the point (",
        "restrict the bounds",
    )


def test_part_of_the_box_may_be_outside_the_domain() -> None:
    def half(x: Array) -> Array:
        return np.where(x[:, :1] > -1.7, gradient(x), np.nan)

    system = System.from_loss(loss, half, 1.0, dimension=2)
    assert len(qpot.find_minima(system, BOX)) == 2


# --- shapes and kinds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda: System(drift=lambda x: x[:, 0], covariance=1.0, dimension=2).drift([[0, 0]]), ("drift", "(1, 2)")),
        (
            lambda: System(drift=lambda x: x, covariance=np.eye(3), dimension=2),
            ("covariance", "(3, 3)", "(2, 2)"),
        ),
        (
            lambda: System(drift=lambda x: x, covariance=lambda x: np.eye(2), dimension=2).covariance([[0, 0]]),
            ("covariance", "(2, 2)", "(1, 2, 2)", "batch"),
        ),
        (lambda: System(drift=lambda x: x, covariance=[[np.nan]], dimension=1), ("covariance", "NaN")),
        (lambda: System(drift=1.0, covariance=1.0, dimension=2), ("drift", "1.0", "function")),  # type: ignore[arg-type]
        (lambda: System(drift=lambda x: x, covariance=1.0, dimension=0), ("dimension", "0")),
        (lambda: System.from_loss(loss, None, 1.0, dimension=2), ("gradient", "None", "function")),  # type: ignore[arg-type]
        (lambda: System.from_finite_sum(lambda x: x), ("finite_sum", "function", "qpot.FiniteSum")),  # type: ignore[arg-type]
        (
            lambda: FiniteSum(sample_losses=loss, sample_gradients=gradient, n_samples=0, dimension=2),
            ("n_samples", "0"),
        ),
        (
            lambda: FiniteSum(sample_losses=loss, sample_gradients=gradient, n_samples=3, dimension=2).gradient(
                [[0.0, 0.0]]
            ),
            ("sample_gradients", "(1, 2)", "(1, 3, 2)"),
        ),
        (lambda: well().drift([[1, 2, 3]]), ("(1, 3)", "(n, 2)", "points are rows")),
        (lambda: well().drift([[np.nan, 0]]), ("NaN", "row 0")),
        (lambda: qpot.minimum_action_path(well(), (-1, 0, 0), (0, 0)), ("start", "(3,)", "(2,)")),
        (lambda: qpot.minimum_action_path(well(), (-1, 0), [(0, 0), (1, 0)]), ("end", "2 points")),
        (lambda: qpot.minimum_action_path(well(), (-1, 0), (np.inf, 0)), ("end", "infinite")),
        (lambda: qpot.minimum_action_path(well(), (-1, 0), (0, 0), method="gmam"), ("method", "'gmam'", "Geometric")),  # type: ignore[arg-type]
        (lambda: qpot.predict(well(), BOX, method="gmam"), ("method", "'gmam'", "Geometric")),  # type: ignore[arg-type]
        (lambda: qpot.minimum_action_path(well(), (-1, 0), (0, 0), initial=[(-1, 0)]), ("initial", "two points")),
        (
            lambda: qpot.minimum_action_path(well(), (-1, 0), (0, 0), initial=[(1, 0), (0, 0)]),
            ("initial", "(1, 0)", "(-1, 0)"),
        ),
        (lambda: qpot.find_minima(well(), BOX, starts=0), ("starts", "0")),
        (lambda: qpot.find_minima(well(), BOX, rng="seed"), ("rng", "'seed'")),  # type: ignore[arg-type]
        (lambda: qpot.predict(well(), BOX, executor="threads"), ("executor", "'threads'")),  # type: ignore[arg-type]
        (lambda: qpot.predict(well(), BOX, progress=3), ("progress", "3")),  # type: ignore[arg-type]
    ],
)
def test_wrong_shapes_and_kinds(call: Callable[[], Any], pieces: tuple[str, ...]) -> None:
    refused(call, *pieces)


@pytest.mark.parametrize(
    ("bounds", "pieces"),
    [
        ([(2, -2), (-1, 1)], ("bounds", "lower must be below upper", "coordinate 0", "(2, -2)")),
        ([(-2, 2), (1, 1)], ("bounds", "lower must be below upper", "coordinate 1", "(1, 1)")),
        ([(-2, np.inf), (-1, 1)], ("bounds", "both finite", "coordinate 0")),
        ([(np.nan, 2), (-1, 1)], ("bounds", "both finite", "coordinate 0")),
        ([(-2, 2)], ("bounds", "(1, 2)", "(2, 2)")),
        ([(-2, 2), (-1, 1), (0, 1)], ("bounds", "(3, 2)", "(2, 2)")),
        ("box", ("bounds", "not an array of real numbers")),
        (None, ("bounds",)),
    ],
)
def test_bounds(bounds: Any, pieces: tuple[str, ...]) -> None:
    refused(lambda: qpot.find_minima(well(), bounds), *pieces)
    refused(lambda: qpot.predict(well(), bounds), *pieces)


# --- too few, too many ---------------------------------------------------------------------------------------------


def test_one_minimum_only() -> None:
    minima = qpot.find_minima(well(), BOX)
    refused(lambda: qpot.transition_costs(well(), minima[:1]), "minima", "one minimum only", "widen the bounds")
    refused(lambda: qpot.transition_costs(well(), minima[0]), "minima", "one minimum only")  # type: ignore[arg-type]
    refused(lambda: qpot.predict(well(), BOX, minima=minima[:1]), "minima holds 1", "at least two")
    with pytest.raises(SolveError, match=r"only one minimum was found within the bounds.*widen bounds") as caught:
        qpot.predict(well(), [(-2, -0.2), (-1, 1)], outside="ignore")
    assert caught.value.status is Status.NO_ROUTE
    assert len(caught.value.partial) == 1


def test_no_minimum_at_all() -> None:
    with pytest.raises(
        SolveError, match=r"no attracting fixed point within the bounds .*widen bounds or raise"
    ) as caught:
        qpot.find_minima(well(), [(0.2, 0.5), (0.1, 1)])
    assert caught.value.status is Status.NO_MINIMUM
    assert caught.value.partial == ()
    refused(lambda: qpot.transition_costs(well(), []), "minima is empty", "qpot.find_minima")
    refused(lambda: qpot.find_saddles(well(), [], BOX), "minima is empty", "qpot.find_minima")


def test_duplicates() -> None:
    minima = qpot.find_minima(well(), BOX)
    twice = (minima[0], minima[1], minima[0])
    for call in (
        lambda: qpot.transition_costs(well(), twice),
        lambda: qpot.find_saddles(well(), twice, BOX),
        lambda: qpot.predict(well(), BOX, minima=twice),
    ):
        refused(call, "minima holds the same point twice", "keep each minimum once")


def test_minima_of_another_kind() -> None:
    refused(lambda: qpot.transition_costs(well(), [(-1, 0), (1, 0)]), "minima", "qpot.Minimum")  # type: ignore[list-item]
    refused(lambda: qpot.predict(well(), BOX, minima=[(-1, 0), (1, 0)]), "minima", "qpot.Minimum")  # type: ignore[list-item]


def test_saddles_that_name_unknown_minima() -> None:
    import dataclasses

    minima = qpot.find_minima(well(), BOX)
    saddles = qpot.find_saddles(well(), minima, BOX)
    wrong = [dataclasses.replace(saddles[0], connects=(0, 2))]
    refused(lambda: qpot.transition_costs(well(), minima, saddles=wrong), "saddles[0]", "minimum 2", "only 2")


def test_a_flat_direction() -> None:
    ring = System.from_loss(
        lambda x: ((x**2).sum(axis=1) - 1) ** 2 / 4, lambda x: x * ((x**2).sum(axis=1) - 1)[:, None], 1.0, dimension=2
    )
    flat = ("has a flat direction", "manifold of minima of dimension 1", "constant along 1 x[1]", "add weight decay")
    refused(lambda: qpot.minimum_action_path(ring, (1, 0), (0, 0)), "start = ", *flat)
    trough = System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4,
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], 0 * x[:, 1]], 1),
        1.0,
        dimension=2,
    )
    refused(lambda: qpot.minimum_action_path(trough, (-1, 0), (0, 0)), "start = ", *flat)


def test_no_route() -> None:
    minima = qpot.find_minima(well(), BOX)
    costs = qpot.transition_costs(well(), minima, saddles=())
    assert np.isinf(costs.values[0, 1])
    assert "no route" in repr(costs)
    with pytest.raises(ValueError, match="there is no path from minimum 0 to 1"):
        costs.path(0, 1)
    with pytest.raises(SolveError, match=r"not connected by the 0 saddles known.*widen bounds") as caught:
        qpot.predict(well(), BOX, minima=minima, saddles=(), audit=False)
    assert caught.value.status is Status.NO_ROUTE
    assert isinstance(caught.value.partial, qpot.TransitionCosts)
    with pytest.raises(ValueError, match=r"j=2 is not a minimum; ids run from 0 to 1"):
        costs.route(0, 2)


# --- arguments of a prediction -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prediction() -> qpot.Prediction:
    return qpot.predict(qpot.gallery.symmetric_minima().system, BOX)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("learning_rate", (10, -0.1, 1, 0)),
        ("learning_rate", (10, np.nan, 1, 0)),
        ("batch_size", (10, 0.1, 0, 0)),
        ("batch_size", (10, 0.1, 1.5, 0)),
        ("steps", (0, 0.1, 1, 0)),
        ("start", (10, 0.1, 1, 2)),
        ("start", (10, 0.1, 1, -1)),
        ("start", (10, 0.1, 1, "left")),
        ("start", (10, 0.1, 1, True)),
    ],
)
def test_after(prediction: qpot.Prediction, name: str, arguments: tuple[Any, ...]) -> None:
    refused(lambda: prediction.after(*arguments), name)


def test_a_minimum_of_another_prediction(prediction: qpot.Prediction) -> None:
    (other,) = qpot.find_minima(qpot.gallery.ornstein_uhlenbeck(np.eye(2), np.eye(2)).system, BOX)
    refused(lambda: prediction.after(10, 0.1, 1, other), "start", "not one of this prediction's minima")


def test_an_end_outside_every_basin_is_named() -> None:
    well = qpot.System(
        drift=lambda x: np.stack([-x[:, 0] + x[:, 0] ** 3, -x[:, 1]], axis=1), covariance=1.0, dimension=2
    )
    with pytest.raises(ValueError, match=r"end=\(2, 0\) lies in the closure of no basin.*saddle on the way") as caught:
        qpot.minimum_action_path(well, (0, 0), (2, 0))
    assert "exit_cost" in str(caught.value)
    # the border of the basin, off the saddle, belongs to its closure
    path = qpot.minimum_action_path(well, (0, 0), (1, 0))
    assert path.action == pytest.approx(0.5, abs=1e-8)
