"""predict on finite sums, without bounds: what it finds, what it says, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import qpot
from qpot._core.status import SolveError


def test_a_sum_needs_no_bounds_and_has_the_costs_of_its_system() -> None:
    case = qpot.gallery.embedded_double_well(s=0.5)
    total = case.system.finite_sum
    assert total is not None
    by_itself = qpot.predict(total, progress=None)
    posed = qpot.predict(case.system, case.bounds, progress=None)
    order = [int(np.argmin([np.linalg.norm(m.point - n.point) for n in posed.minima])) for m in by_itself.minima]
    assert sorted(order) == [0, 1]
    assert by_itself.costs.values == pytest.approx(posed.costs.values[np.ix_(order, order)], rel=1e-6)
    assert [order[i] for i in by_itself.selected] == list(posed.selected)


def test_every_choice_is_one_line_with_the_argument_that_overrides_it() -> None:
    total = qpot.gallery.embedded_double_well(s=0.5).system.finite_sum
    assert total is not None
    prediction = qpot.predict(total, progress=None)
    assert prediction.costs.choices
    for line in prediction.costs.choices:
        assert line.count("\n") == 0
        assert line.endswith(")")
    text = repr(prediction)
    assert "chosen by itself" in text
    assert "starts=" in text
    assert "bounds=" in text
    assert "training runs" in text
    assert "Chosen by itself" in prediction._repr_html_()


def test_choices_are_kept_in_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    total = qpot.gallery.embedded_double_well(s=0.5).system.finite_sum
    assert total is not None
    prediction = qpot.predict(total, progress=None)
    prediction.save(tmp_path / "prediction.npz")
    assert qpot.Prediction.load(tmp_path / "prediction.npz").costs.choices == prediction.costs.choices


def two_class_data(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of two overlapping classes in the plane."""
    labels = np.arange(count) % 2
    return rng.normal(size=(count, 2)) + labels[:, None] * np.array([1.5, 0.5]), labels


def test_one_minimum_modulo_symmetries_is_an_answer() -> None:
    total = qpot.network_sum(*two_class_data(np.random.default_rng(1), 60), hidden=1, weight_decay=0.05)
    prediction = qpot.predict(total, starts=24, progress=None)
    assert prediction.selected == (0,)
    assert len(prediction.minima) == 1
    assert "nothing to select" in prediction.answer()
    assert "2 images" in repr(prediction)


def test_directions_without_noise_are_divided_out_and_read_back() -> None:
    """An input that is always zero: its weights stay at zero, and the answer has all parameters."""
    features, labels = two_class_data(np.random.default_rng(2), 60)
    narrow = qpot.network_sum(features, labels, hidden=1, weight_decay=0.05)
    wide = qpot.network_sum(np.column_stack([features, np.zeros(60)]), labels, hidden=1, weight_decay=0.05)
    small, large = (qpot.predict(total, starts=24, progress=None) for total in (narrow, wide))
    (m,), (n,) = small.minima, large.minima
    assert n.point.size == wide.dimension
    assert n.point[2] == 0.0
    assert n.loss == pytest.approx(m.loss, abs=1e-12)
    assert np.linalg.norm(wide.gradient(n.point[None])) < 1e-9
    assert n.hessian[2, 2] == pytest.approx(0.05, abs=1e-10)
    assert "1 of 6 directions" in repr(large)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"max_minima": 0}, "max_minima"),
        ({"budget": -1.0}, "budget"),
        ({"budget": float("nan")}, "budget"),
        ({"starts": 0}, "starts"),
        ({"starts": np.zeros((3, 9))}, "starts"),
        ({"bounds": [(-1, 1)]}, "bounds"),
        ({"periodic": True}, "periodic"),
        ({"symmetries": "all"}, "symmetries"),
        ({"method": "products"}, "method"),
        ({"minima": ["here"]}, "minima"),
        ({"minima": []}, "minima is empty"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], named: str) -> None:
    total = qpot.network_sum(*two_class_data(np.random.default_rng(1), 30), hidden=1, weight_decay=0.05)
    with pytest.raises(ValueError, match=named):
        qpot.predict(total, progress=None, **arguments)  # type: ignore[arg-type]


def test_a_system_needs_bounds() -> None:
    case = qpot.gallery.double_well()
    with pytest.raises(ValueError, match="bounds is needed for a System"):
        qpot.predict(case.system)


def test_no_minimum_is_told() -> None:
    """A loss that falls for ever: two separable samples without weight decay."""
    total = qpot.logistic_sum(np.array([[1.0, 0.5], [-1.0, 0.3]]), np.array([1.0, -1.0]))
    with pytest.raises((SolveError, ValueError)):
        qpot.predict(total, starts=4, progress=None)


def test_a_model_with_kinks_is_told() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    features, labels = two_class_data(np.random.default_rng(3), 20)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    total = qpot.from_torch(model, torch.nn.functional.cross_entropy, (features, labels), weight_decay=0.05)
    try:
        told = qpot.predict(total, starts=6, audit=False, progress=None).costs.coverage
    except SolveError as error:
        told = str(error)
        assert "none of 6 training runs" in told
    assert "kinks of relu" in told or "came to no minimum" not in told


def test_what_is_finished_is_taken_from_the_folder(tmp_path) -> None:  # type: ignore[no-untyped-def]
    total = qpot.gallery.embedded_double_well(s=0.5).system.finite_sum
    assert total is not None
    first = qpot.predict(total, checkpoint=tmp_path / "kept", progress=None)
    records = len(list((tmp_path / "kept").rglob("*.record")))
    again = qpot.predict(total, checkpoint=tmp_path / "kept", progress=None)
    assert records > 2
    assert len(list((tmp_path / "kept").rglob("*.record"))) == records
    np.testing.assert_array_equal(first.costs.values, again.costs.values)
    other = qpot.gallery.embedded_double_well(s=-0.5).system.finite_sum
    assert other is not None
    with pytest.raises(ValueError, match="checkpoint"):
        qpot.predict(other, checkpoint=tmp_path / "kept", progress=None)
