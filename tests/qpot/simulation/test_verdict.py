"""check: real SGD against right and wrong predictions, what it refuses, Ctrl-C, and the figure."""

from __future__ import annotations

import pathlib
import time
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest

import qpot
from qpot.simulation import escape_runs, verdict
from qpot.simulation.explanations import explanations
from qpot.simulation.levels import Escapes, Search
from qpot.simulation.process import Pace, Process

matplotlib.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(scope="module")
def prediction() -> qpot.Prediction:
    """Two wells of equal loss under the exact noise of six samples; costs 0.524 and 0.681."""
    system = qpot.System.from_finite_sum(qpot.embedded_double_well_sum(-0.3), noise="exact")
    return qpot.predict(system, [(-2, 2), (-2, 2)])


def scaled(prediction: qpot.Prediction, factor: float) -> qpot.Prediction:
    """A wrong prediction: all costs times a factor."""

    def changed(path: qpot.PathSolution) -> qpot.PathSolution:
        return replace(path, action=factor * path.action, momenta=factor * path.momenta)

    costs = prediction.costs
    wrong = qpot.prediction_from_costs(
        replace(
            costs,
            values=factor * costs.values,
            direct=factor * costs.direct,
            paths={pair: changed(path) for pair, path in costs.paths.items()},
            parallel={pair: tuple(map(changed, paths)) for pair, paths in costs.parallel.items()},
        ),
        prefactors=prediction.prefactors,
    )
    return replace(wrong, system=prediction.system)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million steps a second, whatever the machine does: the plan and all numbers depend on the speed."""
    monkeypatch.setattr(Process, "pace", lambda *_: Pace(call=0.0, each=1e-6))
    monkeypatch.setattr(escape_runs, "rounded", lambda _: 1e-6)


@pytest.mark.parametrize("budget", [0.3, 2.0])
def test_the_budget_is_kept(prediction: qpot.Prediction, budget: float) -> None:
    prediction.check(budget=0.1, progress=None)  # Code is compiled.
    begin = time.thread_time()
    prediction.check(budget=budget, rng=1, progress=None)
    assert time.thread_time() - begin < 1.5 * budget + 2.0


def test_runs_end_with_the_budget(prediction: qpot.Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that take a hundred times as long as they seemed to do not make a check longer."""
    monkeypatch.setattr(Process, "pace", lambda *_: Pace(call=0.0, each=1e-10))
    begin = time.thread_time()
    comparison = prediction.check(budget=0.5, rng=1, progress=None)
    assert time.thread_time() - begin < 0.75 + 2.0
    assert comparison.sentence


@pytest.mark.parametrize("budget", [0.01, 0.05])
def test_where_nothing_is_seen_the_verdict_names_its_budget(prediction: qpot.Prediction, budget: float) -> None:
    comparison = prediction.check(budget=budget, rng=1, progress=None)
    assert comparison.agrees is None
    assert comparison.sentence.startswith("No verdict. Not judged: escapes from minimum ")
    assert comparison.sentence.endswith(f"The budget was {budget:g} s of CPU time.")
    assert comparison.sentence.count("The budget was") == 1


def test_a_right_prediction_agrees(prediction: qpot.Prediction, steady: None) -> None:
    seen: list[str] = []
    comparison = prediction.check(budget=5.0, rng=1, progress=lambda done, total, message: seen.append(message))
    assert comparison.agrees is True
    law = comparison.arrhenius[0]
    assert law.home in prediction.selected
    # Costs of four epsilon and more, below a third of the limit of stability, which is 1.
    assert prediction.costs.direct[1, 0] * law.inverse_epsilon[0] >= 3.0
    assert law.learning_rates.max() <= 0.3
    assert law.slope_error < 0.12 * law.cost
    assert "SGD was run with batches of 1 at learning rates" in comparison.sentence
    assert (
        f"A cost {100 * comparison.visible_shares[law.home]:.0f} % off out of minimum {law.home}" in comparison.sentence
    )
    assert seen[0] == "speed"
    assert seen[-1] == "compared"
    assert "escapes from minimum 1" in seen
    for axes in comparison.plot():
        assert axes.get_title()
    plt.close("all")


@pytest.mark.parametrize("factor", [1.3, pytest.param(0.7, marks=pytest.mark.slow)])
def test_a_wrong_prediction_disagrees_and_the_sign_is_told(
    prediction: qpot.Prediction, factor: float, steady: None
) -> None:
    comparison = scaled(prediction, factor).check(budget=5.0, rng=2, progress=None)
    assert comparison.agrees is False
    size, rarer = ("small", "more slowly") if factor > 1 else ("large", "faster")
    assert f"standard errors too {size}" in comparison.sentence
    assert f"escapes get rarer {rarer} than predicted" in comparison.sentence


def test_gaussian_noise_is_named_where_it_explains_a_disagreement(prediction: qpot.Prediction) -> None:
    total = qpot.embedded_double_well_sum(-0.3)
    costs = qpot.transition_costs(
        qpot.System.from_finite_sum(total), prediction.minima, saddles=list(prediction.saddles)
    )
    gaussian = replace(qpot.prediction_from_costs(costs), system=qpot.System.from_finite_sum(total))
    gaussianity = qpot.check_gaussianity(total, costs.paths[1, 0])
    share = gaussianity.relative_change
    assert costs.direct[1, 0] * (1 + share) == pytest.approx(prediction.costs.direct[1, 0], rel=0.02)
    # A change by less than one percent is not worth a word, until something disagrees.
    assert abs(share) < 0.01
    comparison = gaussian.check(budget=4.0, progress=None)
    assert "Gaussian" not in " ".join(comparison.remarks)
    strict = replace(comparison, threshold=1e-3)
    assert strict.agrees is False
    assert gaussian.system is not None
    process = Process.of(gaussian, gaussian.system, 1)
    measured = [Escapes(home=1, cost=float(costs.direct[1, 0]))]
    times = [
        qpot.EscapeTimes(
            steps=np.full(8, 10), destination=np.zeros(8, dtype=int), home=1,
            time_step=1 / x, epsilon=1 / x, learning_rate=1 / x,
            batch_size=1,
        )
        for x in comparison.arrhenius[0].inverse_epsilon
    ]  # fmt: skip
    measured[0].measurements += times
    remark = explanations(strict, process, measured)[1]
    exact = prediction.costs.direct[1, 0]
    assert f"with the samples' own noise the costs are {exact:.3g} rather than {costs.direct[1, 0]:.3g}" in remark
    assert "explain the" in remark


def test_a_loaded_prediction_asks_for_its_system(prediction: qpot.Prediction, tmp_path: pathlib.Path) -> None:
    prediction.save(tmp_path / "saved.npz")
    loaded = qpot.Prediction.load(tmp_path / "saved.npz")
    assert loaded.system is None
    with pytest.raises(ValueError, match="does not know its system"):
        loaded.check(budget=1.0)
    comparison = loaded.check(budget=0.5, system=prediction.system, progress=None)
    assert comparison.system is prediction.system


def test_what_is_refused(prediction: qpot.Prediction) -> None:
    with pytest.raises(ValueError, match="prediction must be a qpot"):
        qpot.check(None, budget=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="budget must be"):
        prediction.check(budget=0.0)
    with pytest.raises(ValueError, match="batch_size"):
        prediction.check(budget=1.0, batch_size=0)
    case = qpot.gallery.double_well()
    with pytest.raises(ValueError, match="system has dimension 1, the prediction 2"):
        prediction.check(budget=1.0, system=case.system)
    with pytest.raises(ValueError, match="belongs to a finite sum"):
        qpot.predict(case.system, case.bounds).check(budget=1.0, batch_size=2)


def test_costs_that_cannot_be_seen_are_no_verdict(prediction: qpot.Prediction) -> None:
    begin = time.thread_time()
    comparison = scaled(prediction, 40.0).check(budget=50.0, progress=None)
    assert time.thread_time() - begin < 3.0
    assert comparison.agrees is None
    assert "escapes from minimum 1, which cost 91 epsilon at the largest noise that is allowed" in comparison.sentence


def test_learning_rates_keep_away_from_stability(prediction: qpot.Prediction) -> None:
    assert prediction.system is not None
    process = Process.of(prediction, prediction.system, 4)
    assert process.settings(0.05) == {"learning_rate": pytest.approx(0.2), "batch_size": 4}
    # The largest Hessian eigenvalue is 2; epsilon is the learning rate over four.
    assert process.largest_epsilon(prediction) <= 0.3 * 1.0 / 4 + 1e-9


def test_ctrl_c_keeps_what_there_is(prediction: qpot.Prediction, monkeypatch: pytest.MonkeyPatch, steady: None) -> None:
    every = Search.levels

    def stopped(*args: Any, **keywords: Any) -> Any:
        for n, item in enumerate(every(*args, **keywords)):
            if n == stop:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(Search, "levels", stopped)
    stop = 3
    with pytest.raises(qpot.SolveError, match="what they say is in") as caught:
        prediction.check(budget=5.0, progress=None)
    assert caught.value.status is qpot.Status.INTERRUPTED
    comparison = caught.value.partial
    assert len(comparison.arrhenius) == 1
    assert "what the interruption cut off" in comparison.sentence
    stop = 2
    with pytest.raises(qpot.SolveError, match="interrupted with 3 escape times") as caught:
        prediction.check(budget=5.0, progress=None)
    assert caught.value.status is qpot.Status.INTERRUPTED
    assert len(caught.value.partial) == 3


def test_ctrl_c_in_an_explanation_leaves_the_verdict(
    prediction: qpot.Prediction, monkeypatch: pytest.MonkeyPatch, steady: None
) -> None:
    def stopped(*args: Any, **keywords: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(verdict, "explanations", stopped)
    with pytest.raises(qpot.SolveError, match="looked for explanations") as caught:
        prediction.check(budget=5.0, progress=None)
    assert caught.value.status is qpot.Status.INTERRUPTED
    comparison = caught.value.partial
    assert comparison.agrees is not None
    assert "what explains it, which was interrupted" in comparison.sentence


def test_an_executor_changes_nothing(prediction: qpot.Prediction, steady: None) -> None:
    from concurrent.futures import ThreadPoolExecutor

    alone = prediction.check(budget=3.0, rng=3, progress=None)
    with ThreadPoolExecutor(2) as executor:
        together = prediction.check(budget=3.0, rng=3, executor=executor, progress=None)
    assert alone.arrhenius[0].slope == together.arrhenius[0].slope
    assert np.array_equal(alone.arrhenius[0].log_times, together.arrhenius[0].log_times)
