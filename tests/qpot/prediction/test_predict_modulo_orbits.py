"""predict for models with continuous symmetries: minima of one orbit are one, and more orbits are refused by name."""

import numpy as np
import pytest

import qpot

torch = pytest.importorskip("torch")
nn = torch.nn


def whitened(rng: np.random.Generator, n: int, features: int) -> np.ndarray:
    x = rng.standard_normal((n, features))
    x -= x.mean(axis=0)
    return np.asarray(np.sqrt(n) * np.linalg.qr(x)[0])


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_minimum_of_a_linear_network_is_the_shrunken_regression(seed: int) -> None:
    rng = np.random.default_rng([16, seed])
    torch.manual_seed(seed)
    features, hidden, outputs, decay = 4, 2, 3, 0.05
    x = whitened(rng, 40, features)
    y = x @ rng.standard_normal((features, outputs)) + 0.3 * rng.standard_normal((40, outputs))
    model = nn.Sequential(nn.Linear(features, hidden, bias=False), nn.Linear(hidden, outputs, bias=False))
    total = qpot.from_torch(model, nn.functional.mse_loss, (x, y), weight_decay=decay, dtype=torch.float64)
    prediction = qpot.predict(total, starts=24, progress=None)
    assert len(prediction.minima) == 1
    point = prediction.minima[0].point
    first, second = point[:8].reshape(hidden, features), point[8:].reshape(outputs, hidden)
    # With whitened inputs the loss is |M - R|^2 / outputs, and balanced decay is the nuclear norm: singular values shrink.
    regression = y.T @ x / 40
    u, s, vt = np.linalg.svd(regression)
    expected = (u[:, :hidden] * (s[:hidden] - 0.5 * outputs * decay)) @ vt[:hidden]
    np.testing.assert_allclose(second @ first, expected, atol=1e-8)
    assert any("explain 1 flat direction " in line for line in prediction.costs.choices)


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_without_decay_the_minimum_is_the_regression_of_low_rank(hidden: int) -> None:
    rng = np.random.default_rng([17, hidden])
    torch.manual_seed(hidden)
    x = rng.standard_normal((40, 3))
    y = x @ rng.standard_normal((3, 3)) + 0.3 * rng.standard_normal((40, 3))
    model = nn.Sequential(nn.Linear(3, hidden), nn.Linear(hidden, 3))
    total = qpot.from_torch(model, nn.functional.mse_loss, (x, y), dtype=torch.float64)
    prediction = qpot.predict(total, starts=24, progress=None)
    assert len(prediction.minima) == 1
    inputs, targets = x - x.mean(axis=0), y - y.mean(axis=0)
    u, s, vt = np.linalg.svd(inputs @ np.linalg.lstsq(inputs, targets, rcond=None)[0], full_matrices=False)
    best = ((targets - (u[:, :hidden] * s[:hidden]) @ vt[:hidden]) ** 2).mean()
    assert prediction.minima[0].loss == pytest.approx(best, rel=1e-10)


def test_several_orbits_are_refused_by_name() -> None:
    rng = np.random.default_rng(3)
    torch.manual_seed(3)
    x = rng.standard_normal((30, 2))
    y = np.tanh(x @ rng.standard_normal((2, 1)) * 2.0 + 0.3 * rng.standard_normal((30, 1)))
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 1))
    total = qpot.from_torch(model, nn.functional.mse_loss, (x, y), weight_decay=0.01, dtype=torch.float64)
    with pytest.raises(
        qpot.SolveError, match=r"rotations of the 2 units of '0'.*merge the two linear layers"
    ) as raised:
        qpot.predict(total, progress=None)
    assert isinstance(raised.value.partial, tuple)
    losses = [minimum.loss for minimum in raised.value.partial]
    assert len(losses) > 1
    assert np.diff(losses).min() > 1e-6


def test_flat_directions_that_no_symmetry_explains_are_counted() -> None:
    # Four samples ask for fewer numbers than the parameters, so that the training loss is zero on a manifold.
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    x, y = rng.standard_normal((4, 2)), rng.standard_normal((4, 1))
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    total = qpot.from_torch(model, nn.functional.mse_loss, (x, y), dtype=torch.float64)
    with pytest.raises(
        qpot.SolveError, match="flat in 13 directions that no symmetry of the layers explains"
    ) as raised:
        qpot.predict(total, starts=8, progress=None)
    assert raised.value.status is qpot.Status.NO_MINIMUM


def test_a_check_of_one_minimum_says_that_there_is_nothing_to_compare() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 2))
    prediction = qpot.predict(qpot.least_squares_sum(x, rng.standard_normal(20)), progress=None)
    comparison = prediction.check(budget=1.0, progress=None)
    assert comparison.agrees is None
    assert comparison.sentence == "No verdict. Not judged: escapes from minimum 0, the only one that was found."
