"""Prediction: selection, ties, time scales, reports, and files."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import numpy as np
import pytest
import reference as ref
from scipy.integrate import cumulative_simpson, simpson

import qpot
from qpot import SolveError, Status
from qpot.chain.w_graphs import w_graph


@pytest.fixture(scope="module")
def isotropic_wins() -> qpot.Prediction:
    case = qpot.gallery.symmetric_minima(s=0.5)
    return qpot.predict(case.system, case.bounds)


@pytest.fixture(scope="module")
def four() -> qpot.Prediction:
    case = qpot.gallery.four_wells()
    return qpot.predict(case.system, case.bounds)


def test_two_wells_by_hand(isotropic_wins: qpot.Prediction) -> None:
    p = isotropic_wins
    left, right = ref.SYMMETRIC_LEFT.value, ref.SYMMETRIC_RIGHT.value
    # W(i) is the cost of the other way: W(left) = V(right -> left)
    assert p.selected == (0,)
    assert p.margin == pytest.approx(left - right, rel=1e-9)
    assert abs(p.margin - (left - right)) <= p.margin_error
    np.testing.assert_allclose(p.stationary_costs, [0.0, left - right], atol=1e-10)
    # The W that is held against the other one has the errors of both.
    np.testing.assert_allclose(p.stationary_errors, [p.costs.errors[1, 0], p.costs.errors.sum()])


def test_four_wells_against_w_graphs(four: qpot.Prediction) -> None:
    W = np.array([w_graph(four.costs.values, i).cost for i in range(4)])
    np.testing.assert_allclose(four.stationary_costs, W - W.min(), atol=1e-12)
    assert four.selected == (int(np.argmin(W)),)
    assert four.margin == pytest.approx(np.sort(W)[1] - np.sort(W)[0], rel=1e-9)
    # separable: W is a sum over the two directions
    c, s = np.cos(0.5), np.sin(0.5)
    u, w = np.sign(np.array([m.point for m in four.minima]) @ np.array([[c, -s], [s, c]])).T
    costs = ref.four_wells_costs(u, w)
    i = int(np.argmin(W))
    for j in range(4):
        # detailed balance of the product: W(j) - W(i) = V(i, j) - V(j, i)
        assert four.stationary_costs[j] == pytest.approx(costs[i, j] - costs[j, i], abs=1e-9)


def test_ties_hold_both_and_say_so() -> None:
    case = qpot.gallery.separable_double_well(noise=(0.5, 2.0))
    p = qpot.predict(case.system, case.bounds)
    assert p.selected == (0, 1)
    assert p.margin <= p.margin_error
    assert "Tie" in repr(p)
    assert "0, 1" in repr(p)
    assert "Tie" in p._repr_html_()


def test_noise_off_the_escape_direction_is_an_exact_tie() -> None:
    base = qpot.gallery.separable_double_well().system
    assert base.loss is not None

    def covariance(x: np.ndarray) -> np.ndarray:
        a = np.tile(np.eye(2), (len(x), 1, 1))
        a[:, 1, 1] = 1 - 0.5 * (1 + np.tanh(2 * x[:, 0])) / 2
        return a

    system = qpot.System.from_loss(base.loss, base.gradient, covariance, dimension=2)
    p = qpot.predict(system, [(-2, 2), (-1.5, 1.5)])
    assert p.selected == (0, 1)


def test_a_gap_beyond_the_error_is_no_tie_however_small() -> None:
    case = qpot.gallery.separable_double_well()
    minima = qpot.find_minima(case.system, case.bounds)
    costs = qpot.transition_costs(case.system, minima)

    def with_values(gap: float, error: float) -> qpot.Prediction:
        changed = qpot.TransitionCosts(
            values=np.array([[0.0, 0.5 + gap], [0.5, 0.0]]),
            errors=np.array([[0.0, error], [error, 0.0]]),
            direct=np.array([[0.0, 0.5 + gap], [0.5, 0.0]]),
            paths=costs.paths,
            minima=costs.minima,
            saddles=costs.saddles,
        )
        return qpot.prediction_from_costs(changed)

    assert with_values(1e-8, 1e-9).selected == (0,)
    assert with_values(-1e-8, 1e-9).selected == (1,)
    assert with_values(1e-8, 1e-8).selected == (0, 1)
    assert with_values(1e-15, 0.0).selected == (0, 1)  # rounding


def test_after_follows_the_exponential_time_scale(isotropic_wins: qpot.Prediction) -> None:
    p = isotropic_wins
    eta = 0.02
    exits = {0: ref.SYMMETRIC_LEFT.value, 1: ref.SYMMETRIC_RIGHT.value}

    def steps(exponent: float) -> float:
        return float(np.exp(exponent / eta) / eta)

    # from the right well: it stays until exp(V(1, 0) / eps), then it is in the left one for good
    assert p.after(steps(0.99 * exits[1]), eta, 1, 1) == (1,)
    assert p.after(steps(1.01 * exits[1]), eta, 1, 1) == (0,)
    assert p.after(steps(10 * exits[0]), eta, 1, p.minima[1]) == (0,)
    assert p.after(1, eta, 1, 1) == (1,)
    assert p.after(steps(10 * exits[0]), eta, 1, 0) == (0,)
    # batch size is noise: with eight samples the same steps are not enough
    assert p.after(steps(1.01 * exits[1]), eta, 8, 1) == (1,)


def passage_time(epsilon: float, side: float) -> float:
    """Mean time from ``side`` to the other well: x moves on its own, with noise D = 1 + (1 + tanh 2x) / 4."""
    x = np.linspace(-2.2, 1.0, 400_001)  # in units of the well that is left: x -> -side x
    noise = 1.0 + (1.0 - side * np.tanh(2 * x)) / 4
    phi = cumulative_simpson(2 * (x**3 - x) / noise, x=x, initial=0.0)
    phi -= phi.min()
    inner = cumulative_simpson(2 / (epsilon * noise) * np.exp(-phi / epsilon), x=x, initial=0.0)
    way = x >= -1.0
    return float(simpson(np.exp(phi[way] / epsilon) * inner[way], x=x[way]))


def test_escape_steps_and_occupation(isotropic_wins: qpot.Prediction) -> None:
    p = isotropic_wins
    eta = 0.04
    exact = [passage_time(eta, side) / eta for side in (-1.0, 1.0)]
    # the prefactor is that of the limit: what is left is of the order of epsilon / V
    np.testing.assert_allclose(p.escape_steps(eta), exact, rtol=0.1)
    bare = p.escape_steps(eta, prefactor=False)
    np.testing.assert_allclose(
        eta * np.log(bare * eta), [ref.SYMMETRIC_LEFT.value, ref.SYMMETRIC_RIGHT.value], rtol=1e-9
    )
    assert np.isinf(p.escape_steps(1e-5)).all()
    occupation = p.occupation(0.05)
    assert occupation.sum() == pytest.approx(1.0)
    assert occupation[0] > 0.5
    cold = p.occupation(0.002)
    assert cold[0] > 1 - 1e-12


def test_epsilon_of_batches_without_replacement() -> None:
    finite_sum = qpot.gallery.embedded_double_well().system.finite_sum
    assert finite_sum is not None
    with_population = qpot.System.from_finite_sum(finite_sum, replacement=False)
    p = qpot.predict(with_population, [(-2, 2), (-1.5, 1.5)])
    assert p.population == 6
    assert p.epsilon(0.1, 2) == pytest.approx(0.1 / 2 * 4 / 5)
    with pytest.raises(ValueError, match=r"batch_size=6 is the whole population of 6"):
        p.epsilon(0.1, 6)


def test_graph_attributes(four: qpot.Prediction) -> None:
    graph = four.graph
    assert sorted(graph.nodes) == [0, 1, 2, 3]
    for i, data in graph.nodes(data=True):
        np.testing.assert_array_equal(data["point"], four.minima[i].point)
        assert data["loss"] == four.minima[i].loss
        assert data["stationary_cost"] == four.stationary_costs[i]
        assert data["selected"] == (i in four.selected)
    assert graph.number_of_edges() == 8
    for i, j, data in graph.edges(data=True):
        assert data["cost"] == four.costs.direct[i, j]
        assert data["error"] == four.costs.paths[i, j].error
        assert min(np.linalg.norm(data["saddle"] - s.point) for s in four.saddles) < 1e-9


def test_reports_hold_the_verdict_and_every_number(four: qpot.Prediction) -> None:
    text, html = repr(four), four._repr_html_()
    for report in (text, html):
        assert f"SGD selects minimum {four.selected[0]} at" in report
        assert f"{four.margin:.4g}" in report
        assert "connects minima" in report
    for i in range(4):
        assert f"{four.costs.values[i, (i + 1) % 4]:.8g}" in text
    # Heads and rows of the tables of four minima, of their four saddles and of costs.
    assert html.count("<tr>") == 15
    assert html.count("<table ") == html.count("</table>") == 3
    assert "<script" not in html


def test_many_minima_are_counted_and_not_listed() -> None:
    case = qpot.gallery.egg_crate()
    p = qpot.predict(case.system, case.bounds)
    assert "costs V(i, j)" not in repr(p)
    assert "Tie" in repr(p)
    assert len(repr(p).splitlines()) < 40


def test_progress_is_silent_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    case = qpot.gallery.double_well()
    qpot.predict(case.system, case.bounds)
    assert capfd.readouterr() == ("", "")


def test_the_same_seed_gives_the_same_prediction() -> None:
    case = qpot.gallery.curved_valley()
    first = qpot.predict(case.system, case.bounds, rng=3)
    second = qpot.predict(case.system, case.bounds, rng=3)
    other = qpot.predict(case.system, case.bounds, rng=np.random.default_rng(77))
    np.testing.assert_array_equal(first.costs.values, second.costs.values)
    np.testing.assert_allclose(first.costs.values, other.costs.values, rtol=1e-8)
    assert first.selected == other.selected


@pytest.mark.parametrize("message", ["saddles", "paths"])
def test_interrupted_predictions_keep_what_was_found(message: str) -> None:
    case = qpot.gallery.double_well()

    def stop(done: int, total: int, now: str) -> None:
        if now == message:
            raise KeyboardInterrupt

    with pytest.raises(SolveError, match="interrupted with 2 minima found") as caught:
        qpot.predict(case.system, case.bounds, progress=stop)
    assert caught.value.status is Status.INTERRUPTED
    np.testing.assert_allclose([m.point[0] for m in caught.value.partial], [-1, 1])


# --- files ---------------------------------------------------------------------------------------------------------


def assert_same_path(a: qpot.PathSolution, b: qpot.PathSolution) -> None:
    for name in ("points", "momenta", "times", "uphill"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in ("action", "error", "status", "residual", "iterations", "method"):
        assert getattr(a, name) == getattr(b, name)
    assert len(a.via) == len(b.via)
    for x, y in zip(a.via, b.via, strict=True):
        np.testing.assert_array_equal(x, y)
    assert len(a.alternatives) == len(b.alternatives)


@pytest.mark.parametrize("kind", ["path", "text", "stream"])
def test_what_is_saved_is_loaded(four: qpot.Prediction, kind: str, tmp_path: pathlib.Path) -> None:
    file: Any = {"path": tmp_path / "p.npz", "text": str(tmp_path / "p.npz"), "stream": io.BytesIO()}[kind]
    four.save(file)
    if kind == "stream":
        file.seek(0)
    again = qpot.Prediction.load(file)
    assert repr(again) == repr(four)
    assert again._repr_html_() == four._repr_html_()
    for name in ("selected", "margin", "margin_error", "population"):
        assert getattr(again, name) == getattr(four, name)
    for name in ("stationary_costs", "stationary_errors"):
        np.testing.assert_array_equal(getattr(again, name), getattr(four, name))
    for name in ("values", "errors", "direct"):
        np.testing.assert_array_equal(getattr(again.costs, name), getattr(four.costs, name))
    for mine, theirs in zip((*four.minima, *four.saddles), (*again.minima, *again.saddles), strict=True):
        assert repr(mine) == repr(theirs)
        for name in ("point", "hessian", "rates"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    assert again.costs.paths.keys() == four.costs.paths.keys()
    for pair, path in four.costs.paths.items():
        assert_same_path(path, again.costs.paths[pair])
    np.testing.assert_array_equal(again.costs.path(0, 3).points, four.costs.path(0, 3).points)
    assert again.after(1e6, 0.1, 1, 0) == four.after(1e6, 0.1, 1, 0)


def test_other_files_are_refused(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match="is no file of a qpot result"):
        qpot.Prediction.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        qpot.Prediction.load(tmp_path / "missing.npz")


def test_two_saddles_and_drifts_without_a_loss_survive_the_file(tmp_path: pathlib.Path) -> None:
    from test_costs import ring_gradient

    system = qpot.System(drift=lambda x: -ring_gradient(x), covariance=1.0, dimension=2)
    p = qpot.predict(system, [(-2, 2), (-2, 2)])
    p.save(tmp_path / "ring.npz")
    again = qpot.Prediction.load(tmp_path / "ring.npz")
    assert again.costs.parallel.keys() == p.costs.parallel.keys() == {(0, 1), (1, 0)}
    assert_same_path(p.costs.parallel[0, 1][1], again.costs.parallel[0, 1][1])
    assert np.isnan(again.minima[0].loss)
    assert again.graph.number_of_edges() == 4
