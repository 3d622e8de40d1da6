"""compare: the regression, the verdict on both sides, what is outside the theory, bad input, the figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LEVELS = (0.12, 0.1, 0.085, 0.07, 0.06)


@pytest.fixture(scope="module")
def prediction() -> qpot.Prediction:
    case = qpot.gallery.symmetric_minima(s=0.5)
    return qpot.predict(case.system, case.bounds)


def drawn(
    prediction: qpot.Prediction,
    *,
    home: int = 0,
    cost: float | None = None,
    factor: float = 1.0,
    replicas: int = 400,
    rng: int = 0,
    **changes: Any,
) -> list[qpot.EscapeTimes]:
    """Escape times that are exponential with the predicted mean, or with another cost or prefactor."""
    generator = np.random.default_rng(rng)
    V = prediction.costs.direct[home, 1 - home] if cost is None else cost
    assert prediction.prefactors is not None
    result = []
    for epsilon in LEVELS:
        mean = factor * np.exp(V / epsilon) / prediction.prefactors[home, 1 - home] / 0.01
        result.append(
            qpot.EscapeTimes(
                steps=np.ceil(generator.exponential(mean, replicas)).astype(np.int64),
                destination=np.full(replicas, 1 - home),
                home=home,
                time_step=0.01,
                epsilon=epsilon,
                **changes,
            )
        )
    return result


def test_the_fit_is_least_squares_without_allowance(prediction: qpot.Prediction) -> None:
    times = drawn(prediction)
    law = qpot.compare(prediction, times, allowance=0.0, finite_rate=False).arrhenius[0]
    x, y = 1.0 / np.array(LEVELS), law.log_times[np.argsort(law.inverse_epsilon)]
    slope, intercept = np.polyfit(x, y, 1)  # all errors are the same
    assert law.slope == pytest.approx(slope, rel=1e-10)
    assert law.intercept == pytest.approx(intercept, rel=1e-10)
    # one log mean of 400 exponentials has the variance trigamma(400) = 1 / 399.5
    expected = 1.0 / np.sqrt(399.5 * ((x - x.mean()) ** 2).sum())
    assert law.slope_error == pytest.approx(expected, rel=1e-3)
    assert law.slope_allowance == 0.0
    assert law.predicted_slope == pytest.approx(prediction.costs.direct[0, 1], rel=1e-9)
    assert prediction.prefactors is not None
    assert law.predicted_intercept == pytest.approx(-np.log(prediction.prefactors[0, 1]), rel=1e-9)
    assert law.slope_deviation == pytest.approx((slope - law.cost) / expected, rel=1e-3)
    low, high = law.slope_interval(0.95)
    assert (high - low) / 2 == pytest.approx(1.959964 * law.slope_error, rel=1e-6)


def test_slope_intervals_cover_the_cost(prediction: qpot.Prediction) -> None:
    deviations = []
    for seed in range(200):
        comparison = qpot.compare(
            prediction, drawn(prediction, replicas=12, rng=seed), allowance=0.0, finite_rate=False
        )
        deviations.append(list(comparison.deviations.values())[:2])
    z = np.array(deviations)
    # means of Gamma variables: nearly standard normal, without bias
    assert np.abs(z.mean(axis=0)).max() < 4 / np.sqrt(200)
    assert 0.9 < z.std(axis=0).min() < z.std(axis=0).max() < 1.1


def test_a_wrong_cost_or_prefactor_is_told(prediction: qpot.Prediction) -> None:
    V = prediction.costs.direct[0, 1]
    right = qpot.compare(prediction, drawn(prediction))
    assert right.agrees
    assert right.sentence.startswith("The simulation agrees")
    steep = qpot.compare(prediction, drawn(prediction, cost=1.3 * V))
    assert steep.agrees is False
    assert "cost out of minimum 0 is" in steep.sentence
    assert "too large" in steep.sentence
    slow = qpot.compare(prediction, drawn(prediction, factor=8.0, replicas=4000))
    assert slow.agrees is False
    assert "prefactor out of minimum 0" in slow.sentence
    law = slow.arrhenius[0]
    assert law.intercept - law.predicted_intercept == pytest.approx(np.log(8.0), abs=3 * law.intercept_error)
    assert abs(law.slope_deviation) < 3


def test_the_times_tell_a_wrong_cost_that_the_slope_does_not(prediction: qpot.Prediction) -> None:
    V = prediction.costs.direct[0, 1]
    wrong = qpot.compare(prediction, drawn(prediction, cost=1.2 * V, replicas=8))
    law = wrong.arrhenius[0]
    assert abs(law.slope_deviation) < 3.0
    assert wrong.agrees is False
    assert "the time to leave minimum 0 is" in wrong.sentence
    offset, x, error = law.time_offset
    # All log times are 0.2 V / epsilon too large, and the average of 1 / epsilon has the weights of the offset.
    assert offset == pytest.approx(0.2 * V * x, abs=4 * error)
    assert law.time_deviation == pytest.approx(offset / error)
    assert law.visible_share(3.0) == pytest.approx(4.645 * error / (x * V), rel=1e-3)


def test_offsets_of_the_times_have_the_error_that_they_tell(prediction: qpot.Prediction) -> None:
    z = [
        qpot.compare(prediction, drawn(prediction, replicas=12, rng=seed), allowance=0.0, finite_rate=False)
        .arrhenius[0]
        .time_deviation
        for seed in range(200)
    ]
    assert abs(np.mean(z)) < 4 / np.sqrt(200)
    assert 0.9 < np.std(z) < 1.1


def test_prefactors_of_minibatch_steps_are_told_and_not_judged(prediction: qpot.Prediction) -> None:
    comparison = qpot.compare(
        prediction, drawn(prediction, factor=8.0, replicas=4000, learning_rate=0.01, batch_size=1), finite_rate=False
    )
    assert list(comparison.deviations) == ["cost out of minimum 0"]
    assert comparison.agrees
    law = comparison.arrhenius[0]
    assert law.factor == pytest.approx((8.0, 8.0), rel=0.1)
    assert np.isnan(law.time_deviation)
    assert "of the predicted ones, as minibatch steps have other prefactors" in comparison.sentence


def test_the_allowance_covers_the_next_term(prediction: qpot.Prediction) -> None:
    V = prediction.costs.direct[0, 1]
    times = [
        replace(t, steps=np.ceil(t.steps * np.exp(t.epsilon / V)).astype(np.int64))
        for t in drawn(prediction, replicas=100_000)
    ]
    trusted = qpot.compare(prediction, times, allowance=0.0)
    assert trusted.agrees is False
    allowed = qpot.compare(prediction, times)
    assert allowed.agrees
    # precise data: the fit rather lets the next term go than believe it in the slope
    assert allowed.arrhenius[0].slope_error > 2 * trusted.arrhenius[0].slope_error
    assert abs(allowed.arrhenius[0].slope - V) < abs(trusted.arrhenius[0].slope - V)
    assert "allowance" in repr(allowed.arrhenius[0])


def test_a_curve_is_no_straight_line(prediction: qpot.Prediction) -> None:
    times = drawn(prediction, replicas=20_000)
    straight = qpot.compare(prediction, times).arrhenius[0]
    assert straight.residual_probability > 0.001
    bent = [replace(t, steps=t.steps * (3 if n == 2 else 1)) for n, t in enumerate(times)]
    assert qpot.compare(prediction, bent).arrhenius[0].residual_probability < 1e-6


def test_a_slope_that_comes_towards_the_cost_is_told(prediction: qpot.Prediction) -> None:
    """Times with a second-order term in epsilon: wrong at these levels, less so at the smaller ones."""
    exact = drawn(prediction, replicas=20_000)
    bent = [replace(t, steps=np.ceil(t.steps * np.exp(-300.0 * t.epsilon**2)).astype(np.int64)) for t in exact]
    comparison = qpot.compare(prediction, bent, allowance=0.0, finite_rate=False)
    assert comparison.agrees is False
    law = comparison.arrhenius[0]
    assert law.approaches is not None
    early, late = law.approaches
    assert abs(late - law.cost) < abs(early - law.cost)
    assert "comes towards the predicted" in comparison.sentence
    wrong = drawn(prediction, cost=1.2 * law.cost, replicas=20_000)
    plain = qpot.compare(prediction, wrong, allowance=0.0, finite_rate=False)
    assert plain.agrees is False
    assert plain.arrhenius[0].approaches is None
    assert "comes towards" not in plain.sentence


class Vague:
    """A measurement whose mean time is known to within many decades only, as from a splitting with a poor coordinate."""

    def __init__(self, times: qpot.EscapeTimes, error: float) -> None:
        self._times, self._error = times, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._times, name)

    @property
    def log_mean_time(self) -> tuple[float, float]:
        return self._times.log_mean_time[0], self._error


def test_what_is_not_determined_is_named_and_not_judged(prediction: qpot.Prediction) -> None:
    times = drawn(prediction)
    comparison = qpot.compare(prediction, Vague(times[0], 60.0), times[1:])
    assert comparison.agrees is True
    assert comparison.arrhenius[0].inverse_epsilon.size == len(LEVELS) - 1
    assert "only known to a factor of 1e26" in comparison.sentence
    assert "more clones or repetitions" in comparison.sentence
    with pytest.raises(
        ValueError, match=r"at least 4 learning rates: the time to leave .* only known to a factor of 7.4"
    ):
        qpot.compare(prediction, [Vague(t, 2.0) for t in times[:2]], times[2:])


def test_unknown_prefactors_leave_the_slope(prediction: qpot.Prediction) -> None:
    unknown = replace(prediction, prefactors=np.full((2, 2), np.nan))
    comparison = qpot.compare(unknown, drawn(prediction, factor=8.0))
    assert np.isnan(comparison.arrhenius[0].predicted_intercept)
    assert comparison.agrees
    assert list(comparison.deviations) == ["cost out of minimum 0"]


def test_epoch_reshuffling_is_named_and_not_judged(prediction: qpot.Prediction) -> None:
    case = qpot.gallery.embedded_double_well(s=0.5)
    run = qpot.simulate_sgd(
        case.system,
        learning_rate=0.1,
        steps=60,
        start=[-1.0, 0.0],
        replicas=4,
        sampling="epoch reshuffling",
        minima=case.minima,
    )
    comparison = qpot.compare(prediction, run)
    assert comparison.agrees is None
    assert comparison.sentence.startswith("No verdict.")
    assert "outside the theory" in comparison.sentence
    wrong = [replace(t, sampling="epoch reshuffling", epsilon=np.nan) for t in drawn(prediction, factor=100.0)]
    both = qpot.compare(prediction, drawn(prediction), wrong)
    assert both.agrees
    assert len(both.outside) == 1
    assert "Not judged: epoch reshuffling" in both.sentence


def test_a_schedule_has_no_stationary_law(prediction: qpot.Prediction) -> None:
    case = qpot.gallery.embedded_double_well(s=0.5)
    run = qpot.simulate_sgd(
        case.system,
        learning_rate=np.linspace(0.1, 0.05, 60),
        steps=60,
        start=[-1.0, 0.0],
        replicas=4,
        minima=case.minima,
    )
    assert "schedule" in qpot.compare(prediction, run).sentence


def telegraph(prediction: qpot.Prediction, learning_rate: float, steps: int, record: int = 1000) -> qpot.Ensemble:
    """An ensemble that jumps between the minima with the predicted rates."""
    rng = np.random.default_rng(3)
    assert prediction.prefactors is not None
    p = prediction.prefactors * np.exp(-prediction.costs.direct / learning_rate) * learning_rate * record
    labels = np.zeros((steps // record + 1, 40), dtype=np.int64)
    for n in range(1, labels.shape[0]):
        jump = rng.random(40) < p[labels[n - 1], 1 - labels[n - 1]]
        labels[n] = np.where(jump, 1 - labels[n - 1], labels[n - 1])
    points = np.array([m.point for m in prediction.minima])
    taken = np.arange(0, steps + 1, record)
    return qpot.Ensemble(
        points=points[labels],
        steps=taken,
        time=np.asarray(taken * learning_rate, dtype=np.float64),
        learning_rate=learning_rate,
        epsilon=learning_rate,
        batch_size=1,
        minima=points,
        labels=labels,
    )


def test_occupation_of_the_chain_itself(prediction: qpot.Prediction) -> None:
    check = qpot.compare(prediction, telegraph(prediction, 0.06, 4_000_000), finite_rate=False).occupations[0]
    assert check.relaxed
    assert np.abs(check.deviations).max() < 3
    np.testing.assert_allclose(check.stationary, prediction.occupation(0.06), rtol=1e-9)
    np.testing.assert_allclose(check.fractions, check.stationary, atol=0.1)
    # a run shorter than the relaxation time is held against the law at its own time
    short = qpot.compare(prediction, telegraph(prediction, 0.06, 20_000, 100), finite_rate=False).occupations[0]
    assert not short.relaxed
    assert np.abs(short.deviations).max() < 3
    assert "not stationary yet" in repr(short)


def test_occupation_on_the_wrong_side_disagrees(prediction: qpot.Prediction) -> None:
    run = telegraph(prediction, 0.06, 4_000_000)
    assert run.labels is not None
    swapped = replace(run, labels=1 - run.labels)
    assert qpot.compare(prediction, swapped).agrees is False


def test_destinations_against_rates() -> None:
    case = qpot.gallery.four_wells()
    prediction = qpot.predict(case.system, case.bounds)
    assert prediction.prefactors is not None
    rates = prediction.prefactors[0] * np.exp(-prediction.costs.direct[0] / 0.2)
    rates[0] = 0.0
    share = rates / rates.sum()
    rng = np.random.default_rng(0)

    def times(p: Array) -> list[qpot.EscapeTimes]:
        return [
            qpot.EscapeTimes(
                steps=np.ceil(rng.exponential(1.0 / (0.01 * np.exp(-(1 / 0.2 - 1 / e))), 500)).astype(np.int64),
                destination=rng.choice(4, 500, p=p),
                home=0,
                time_step=0.01,
                epsilon=e,
            )
            for e in (0.2, 0.2000001, 0.1999999, 0.2000002)
        ]

    good = qpot.compare(prediction, times(share)).escape_points[0]
    np.testing.assert_allclose(good.predicted, share, atol=0.02)
    assert np.abs(good.deviations).max() < 3
    other = np.array([0.0, share[2], share[1], share[3]])
    swapped = qpot.compare(prediction, times(other), allowance=0.1, finite_rate=False).escape_points[0]
    assert np.abs(swapped.deviations).max() > 3


@pytest.mark.parametrize(("stretch", "near"), [(1.0, 0.9973), (10.0, 0.2358)])
def test_exits_near_saddles_are_those_of_a_gaussian_law(
    prediction: qpot.Prediction, stretch: float, near: float
) -> None:
    """Along the boundary x = 0 the exits have the variance eps a_yy / 2, and a_yy is 3/4 there; or ten times the spread."""
    system, rng = qpot.gallery.symmetric_minima(s=0.5).system, np.random.default_rng(0)
    times = []
    for t in drawn(prediction):
        y = stretch * np.sqrt(t.epsilon * 0.75 / 2) * rng.normal(size=400)
        times.append(replace(t, escape_points=np.stack([np.zeros(400), y], axis=1), system=system))
    shares = [check.share_near_saddles for check in qpot.compare(prediction, times).escape_points]
    assert len(shares) == len(LEVELS)
    assert np.mean(shares) == pytest.approx(near, abs=4 * np.sqrt(near * (1 - near) / 2000))


@pytest.mark.parametrize("n", [1, 3])
def test_too_few_learning_rates(prediction: qpot.Prediction, n: int) -> None:
    with pytest.raises(ValueError, match=f"given at {n} noise levels.*at least 4 learning rates"):
        qpot.compare(prediction, drawn(prediction)[:n])


def test_bad_input(prediction: qpot.Prediction) -> None:
    times = drawn(prediction)
    with pytest.raises(ValueError, match="prediction must be a qpot"):
        qpot.compare(times, times)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nothing to compare with"):
        qpot.compare(prediction)
    with pytest.raises(ValueError, match="evidence must be Ensembles"):
        qpot.compare(prediction, [1.0, 2.0])
    with pytest.raises(ValueError, match="allowance must be"):
        qpot.compare(prediction, times, allowance=-1.0)
    stuck = replace(times[-1], destination=np.full(400, -1))
    with pytest.raises(ValueError, match=r"no replica left minimum 0 at epsilon=0\.06"):
        qpot.compare(prediction, [*times[:-1], stuck])
    with pytest.raises(ValueError, match="from minimum 5, but the prediction has 2"):
        qpot.compare(prediction, [replace(t, home=5) for t in times])
    with pytest.raises(ValueError, match="is none of the prediction's minima"):
        qpot.compare(prediction, [replace(t, minima=np.array([[-1.0, 0.0], [2.0, 0.0]])) for t in times])
    with pytest.raises(ValueError, match="dimension 1, the prediction 2"):
        qpot.compare(prediction, [replace(t, minima=np.array([[-1.0], [1.0]])) for t in times])


def test_learning_rate_beyond_stability(prediction: qpot.Prediction) -> None:
    # the largest Hessian eigenvalue at both minima is 2
    times = [replace(t, learning_rate=1.25) for t in drawn(prediction)]
    with pytest.raises(ValueError, match=r"=1.25 is beyond stability at minimum 0 .* from 1 on \(2 / 2, the largest"):
        qpot.compare(prediction, times)


def test_other_order_of_minima(prediction: qpot.Prediction) -> None:
    points = np.array([m.point for m in prediction.minima])
    turned = [
        replace(t, home=1, destination=np.zeros(400, dtype=np.int64), minima=points[::-1]) for t in drawn(prediction)
    ]
    comparison = qpot.compare(prediction, turned)
    assert comparison.arrhenius[0].home == 0
    assert comparison.agrees


def test_figure(prediction: qpot.Prediction) -> None:
    comparison = qpot.compare(prediction, drawn(prediction), telegraph(prediction, 0.06, 200_000))
    panels = comparison.plot()
    titles = [panel.get_title() for panel in panels]
    assert [title.split(":")[0] for title in titles] == ["Escape times", "Prefactor", "Occupation", "Escapes"]
    times, ratios, shares, _ = panels
    law, check, ten = comparison.arrhenius[0], comparison.occupations[0], np.log(10)
    measured, predicted, fit = (
        next(line for line in times.get_lines() if look in (line.get_marker(), line.get_linestyle())).get_xydata()
        for look in ("o", "--", "-")
    )
    np.testing.assert_allclose(measured, np.stack([law.inverse_epsilon, law.log_times / ten], axis=1))
    np.testing.assert_allclose(fit[:, 1] * ten, law.intercept + law.slope * fit[:, 0], rtol=1e-12)
    # the prediction is at finite rates, which bend the line of the limit a little
    np.testing.assert_allclose(predicted[:, 1] * ten, law.predicted_intercept + law.cost * predicted[:, 0], atol=0.1)
    # the ratio of the measured to the predicted times over epsilon
    ratio = next(line for line in ratios.get_lines() if line.get_marker() == "o").get_xydata()
    np.testing.assert_allclose(ratio[:, 0], 1 / law.inverse_epsilon)
    np.testing.assert_allclose(np.log10(ratio[:, 1]), measured[:, 1] - predicted[:, 1], atol=1e-12)
    bars = [bar.get_height() for bar in shares.patches][:4]
    np.testing.assert_allclose(bars, np.stack([check.predicted, check.fractions], axis=1).ravel())
    figure, four = plt.subplots(2, 2)
    assert [p.figure for p in qpot.compare(prediction, drawn(prediction)).plot(ax=four)] == [figure] * 4
    with pytest.raises(ValueError, match="four axes"):
        comparison.plot(ax=four[0])
    plt.close("all")
