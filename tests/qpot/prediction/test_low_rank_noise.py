"""predict under the leading directions of the noise: the covariance against dense matrices, costs against another method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.prediction.low_rank_noise import frozen_noise, own_action

Array = np.ndarray[Any, np.dtype[np.float64]]

D, SAMPLES = 4, 9
# Much of the noise lies in one direction, so that three hold 99 % of its trace.
SPREAD = np.array([0.6, 1.4, 0.9, 0.05])
BOX = [(-2.5, 2.5)] * D


def losses(x: Array) -> Array:
    """A tilted double well in x_0 and a bowl in the other coordinates."""
    return np.asarray((x[:, 0] ** 2 - 1.0) ** 2 / 4.0 + 0.05 * x[:, 0] + 0.5 * (x[:, 1:] ** 2).sum(axis=1))


def gradients(x: Array) -> Array:
    g = x.copy()
    g[:, 0] = x[:, 0] ** 3 - x[:, 0] + 0.05
    return g


def curvatures(x: Array) -> Array:
    """The diagonals of the Hessians, which have no other entries."""
    h = np.ones_like(x)
    h[:, 0] = 3.0 * x[:, 0] ** 2 - 1.0
    return h


def hessians(x: Array) -> Array:
    return np.asarray(curvatures(x)[:, :, None] * np.eye(x.shape[1]))


def tilted_well(seed: int = 2) -> qpot.FiniteSum:
    """That loss, each of whose samples has a linear part and one that depends on the state."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(SAMPLES, D))
    vectors -= vectors.mean(axis=0)
    vectors = np.linalg.qr(vectors)[0] * np.sqrt(SAMPLES) * SPREAD
    weights = np.linspace(-0.2, 0.2, SAMPLES)

    def quadratic(x: Array) -> Array:
        return np.asarray(0.5 * weights * (x**2).sum(axis=1)[:, None])

    return qpot.FiniteSum(
        sample_losses=lambda x: losses(x)[:, None] + x @ vectors.T + quadratic(x),
        sample_gradients=lambda x: gradients(x)[:, None] + vectors + weights[:, None] * x[:, None],
        hessian=hessians,
        weighted_hessian=lambda x, w: (
            w.sum(axis=1)[:, None, None] * hessians(x) + (w @ weights)[:, None, None] * np.eye(D)
        ),
        n_samples=SAMPLES,
        dimension=D,
    )


TOTAL = tilted_well()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_frozen_noise_is_the_covariance_in_its_leading_directions(seed: int) -> None:
    total = tilted_well(seed)
    point = np.random.default_rng(seed).normal(size=D)
    exact = total.covariance(point[None])[0]
    noise = frozen_noise(total, point)
    values, vectors = np.linalg.eigh(exact)
    assert noise.held == int((np.cumsum(values[::-1]) < 0.99 * values.sum()).sum()) + 1
    assert noise.part == pytest.approx(values[-noise.held :].sum() / values.sum(), rel=1e-9)
    assert noise.floor == pytest.approx(values[::-1][min(noise.held, D - 1)], rel=1e-9)
    leading = vectors[:, -noise.held :]
    left = leading.T @ (noise.covariance.factor @ noise.covariance.factor.T - exact) @ leading
    np.testing.assert_allclose(left, 0.0, atol=1e-9 * values[-1])


@pytest.fixture(scope="module")
def prediction() -> qpot.Prediction:
    return qpot.predict(TOTAL, BOX, noise="low rank", starts=12, budget=1.0, audit=False, progress=None)


def test_costs_are_those_of_the_system_with_that_covariance(prediction: qpot.Prediction) -> None:
    (saddle,) = prediction.saddles
    noise = frozen_noise(TOTAL, saddle.point)
    assert noise.held < D
    system = qpot.System.from_finite_sum(TOTAL, covariance=noise.covariance)
    other = qpot.transition_costs(
        system, prediction.minima, saddles=prediction.saddles, method=qpot.GeometricAction(tolerance=1e-8)
    )
    for pair in ((0, 1), (1, 0)):
        error = prediction.costs.errors[pair] + other.errors[pair]
        assert abs(prediction.costs.values[pair] - other.values[pair]) <= error
    assert prediction.selected == (int(np.argmin([m.point[0] for m in prediction.minima])),)


def test_the_report_says_which_noise_it_is(prediction: qpot.Prediction) -> None:
    (line,) = [line for line in prediction.costs.choices if line.startswith("noise: ")]
    assert "leading directions of the covariance at the pass" in line
    first, second = prediction.costs.notes[-2:]
    assert first.startswith("costs are those under the noise's")
    assert "along the same paths the samples' covariance" in second
    assert all(note in repr(prediction) for note in (first, second))
    assert not any(line.startswith("exits by noise") for line in prediction.costs.choices)


def test_the_samples_own_action_agrees_with_dense_matrices(prediction: qpot.Prediction) -> None:
    covariance = frozen_noise(TOTAL, prediction.saddles[0].point).covariance
    floor = float(covariance.floor) * np.eye(D)
    for leg in prediction.costs.paths.values():
        up = leg.uphill
        x, p, t = leg.points[up], leg.momenta[up], leg.times[up]
        pushed = p @ (covariance.factor @ covariance.factor.T + floor)
        own = np.linalg.solve(TOTAL.covariance(x) + floor, pushed[..., None])[..., 0]
        action, before = (float(np.trapezoid((pushed * q).sum(axis=1), t)) for q in (own, p))
        share = float(covariance.floor) * float(np.trapezoid((own**2).sum(axis=1), t)) / action
        assert own_action(TOTAL, covariance, leg) == pytest.approx((action / before, share), rel=1e-3)


def separable(d: int, samples: int, spread: Array) -> qpot.FiniteSum:
    """That loss with samples that are linear, of variances spread^2."""
    rng = np.random.default_rng(5)
    columns = rng.normal(size=(samples, spread.size))
    columns = np.linalg.qr(columns - columns.mean(axis=0))[0]
    vectors = np.zeros((samples, d))
    vectors[:, : spread.size] = columns * np.sqrt(samples) * spread

    return qpot.FiniteSum(
        sample_losses=lambda x: losses(x)[:, None] + x @ vectors.T,
        sample_gradients=lambda x: gradients(x)[:, None] + vectors,
        mean_gradient=gradients,
        hessian_vector_product=lambda x, v: curvatures(x) * v,
        weighted_hessian_product=lambda x, v, w: w.sum(axis=1)[:, None] * curvatures(x) * v,
        n_samples=samples,
        dimension=d,
    )


WEIGHTS = np.array([[1.0, 0.2], [-1.0, -0.2], [0.5, -0.6], [-0.5, 0.6]])
LINEAR = np.concatenate([WEIGHTS, WEIGHTS[:, ::-1]])


def exchangeable() -> qpot.FiniteSum:
    """Two tilted double wells, and samples that come in pairs with the coordinates exchanged; noise grows with them."""
    bend = 0.3

    def gradients(x: Array) -> Array:
        return np.asarray((x**3 - x + 0.1)[:, None] + LINEAR * (1.0 + 2.0 * bend * x)[:, None])

    def hessian(x: Array) -> Array:
        return np.asarray((3.0 * x**2 - 1.0)[:, :, None] * np.eye(2))

    return qpot.FiniteSum(
        sample_losses=lambda x: ((x**2 - 1.0) ** 2 / 4.0 + 0.1 * x).sum(axis=1)[:, None] + (x + bend * x**2) @ LINEAR.T,
        sample_gradients=gradients,
        hessian=hessian,
        weighted_hessian=lambda x, w: (
            w.sum(axis=1)[:, None, None] * hessian(x) + 2.0 * bend * (w @ LINEAR)[:, :, None] * np.eye(2)
        ),
        n_samples=len(LINEAR),
        dimension=2,
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_each_leg_has_the_noise_at_its_pass_whichever_image_was_found(mirrored: bool) -> None:
    """The noise at a pass is a matrix, and the loss is separable: costs are those of each leg under that matrix."""
    total = exchangeable()
    exchange = qpot.SignedPermutations([[1, 0]])
    minima = qpot.find_minima(qpot.System.from_finite_sum(total), [(-2.0, 2.0)] * 2)
    upper, mixed, lower = (
        next(m for m in minima if tuple(np.sign(m.point)) == signs) for signs in ((1, 1), (1, -1), (-1, -1))
    )
    if mirrored:
        mixed = next(m for m in minima if tuple(np.sign(m.point)) == (-1, 1))
    prediction = qpot.predict(
        total, [(-2.0, 2.0)] * 2, minima=(upper, mixed, lower), noise="low rank", symmetries=exchange, progress=None
    )
    places = {tuple(np.sign(m.point).astype(int)): k for k, m in enumerate(prediction.minima)}
    U, M, L = places[1, 1], places[(-1, 1) if mirrored else (1, -1)], places[-1, -1]
    roots = np.sort(np.roots([1.0, 0.0, -1.0, 0.1]).real)

    def level(x: float) -> float:
        return float((x**2 - 1.0) ** 2 / 4.0 + 0.1 * x)

    def exact(home: int, other: float) -> float:
        """The cost of bringing one coordinate over the middle, the other at rest in ``other``."""
        climb = level(roots[1]) - level(roots[home])
        noise = frozen_noise(total, np.array([roots[1], other])).covariance
        matrix = noise.factor @ noise.factor.T + float(noise.floor) * np.eye(2)
        system = qpot.System(
            loss=lambda x: ((x**2 - 1.0) ** 2 / 4.0 + 0.1 * x).sum(axis=1),
            drift=lambda x: -(x**3 - x + 0.1),
            jacobian=lambda x: -(3.0 * x**2 - 1.0)[:, :, None] * np.eye(2),
            dimension=2,
            covariance=matrix,
        )
        start, end = np.array([roots[home], other]), np.array([roots[1], other])
        assert climb > 0.0
        return float(qpot.minimum_action_path(system, start, end).action)

    for pair, home, other in (
        ((U, M), 2, roots[2]),
        ((M, U), 0, roots[2]),
        ((M, L), 2, roots[0]),
        ((L, M), 0, roots[0]),
    ):
        truth, said = exact(home, float(other)), prediction.costs.direct[pair]
        assert abs(said - truth) <= prediction.costs.errors[pair] + 1e-3 * truth
    assert "frozen at its pass" in prediction.costs.audited


def test_above_200_coordinates() -> None:
    """x_0 is a direction of the noise of its own, so that V = 2 (L(saddle) - L(minimum)) / its variance, floor included."""
    spread = np.sqrt(np.append([1.0, 0.5, 0.25, 0.1], np.full(206, 1e-5)))
    total = separable(210, 220, spread)
    prediction = qpot.predict(total, [(-2.0, 2.0)] * 210, noise="low rank", starts=12, progress=None)
    assert any(note.startswith("costs are those under the noise's 4 leading") for note in prediction.costs.notes)
    (saddle,) = prediction.saddles
    variance = float(spread[0] ** 2 + spread[4] ** 2)
    for i, j in ((0, 1), (1, 0)):
        exact = 2.0 * (saddle.loss - prediction.minima[i].loss) / variance
        assert abs(prediction.costs.values[i, j] - exact) <= prediction.costs.errors[i, j] <= 0.02 * exact


def test_other_words_are_refused() -> None:
    with pytest.raises(ValueError, match="noise must be"):
        qpot.predict(TOTAL, BOX, noise="white")  # type: ignore[arg-type]
    case = qpot.gallery.symmetric_minima()
    with pytest.raises(ValueError, match="a System has its own noise"):
        qpot.predict(case.system, case.bounds, noise="low rank")
