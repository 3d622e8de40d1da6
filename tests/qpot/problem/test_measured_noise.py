"""Diagnostics of gradient noise: closed forms, invariances, products against matrices, and exact against Gaussian costs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sums_models import points, torch_sum

import qpot
from qpot.plots.landscape import plot_noise_spectrum
from qpot.problem import estimates as gradient_covariance
from qpot.problem import measured_noise as noise_statistics


def regression(samples: int = 200, dimension: int = 12, seed: int = 0) -> qpot.FiniteSum:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, dimension)) * 0.7 ** np.arange(dimension)
    return qpot.least_squares_sum(X, rng.normal(size=samples))


def test_closed_forms_of_a_quadratic() -> None:
    """Curvatures (1, 4), centres +-c independently: C = diag(c_1^2, 16 c_2^2), H = diag(1, 4)."""
    centres = np.array(list(itertools.product([-2.0, 2.0], [-1.0, 1.0])))
    total = qpot.quadratic_sum(np.tile([1.0, 4.0], (4, 1)), centres)
    noise = qpot.measure_noise(total, np.zeros(2), batch_size=3, direction=[0.0, 5.0])
    assert noise.covariance.trace == pytest.approx(4.0 + 16.0)
    assert noise.effective_rank == pytest.approx(20.0**2 / (16.0 + 256.0))
    assert noise.stable_rank == pytest.approx(20.0 / 16.0)
    assert noise.alignment == pytest.approx((4.0 + 64.0) / np.sqrt((16.0 + 256.0) * 17.0))
    assert noise.overlaps == pytest.approx([1.0, 1.0])
    assert noise.largest_learning_rate == pytest.approx(0.5)
    assert noise.batch_factor == pytest.approx(1 / 3)
    assert noise.along is not None
    assert noise.along.anisotropy == pytest.approx(16.0 / 10.0)
    assert noise.along.curvature == pytest.approx(4.0)
    assert noise.along.skewness == pytest.approx(0.0, abs=1e-12)
    # +-1 has the excess kurtosis -2
    assert noise.along.excess_kurtosis == pytest.approx(-2.0 / 3.0)
    assert "anisotropy" not in repr(noise)
    assert "batches of 3" in repr(noise)


def test_without_replacement_the_noise_is_smaller() -> None:
    total = regression(5, 2)
    assert qpot.measure_noise(total, np.zeros(2), batch_size=3, replacement=False).batch_factor == pytest.approx(2 / 12)
    full = qpot.measure_noise(total, np.zeros(2), batch_size=5, replacement=False, direction=[1.0, 0.0])
    assert full.batch_factor == 0.0
    assert full.along is not None
    assert np.isnan(full.along.skewness)


def test_products_agree_with_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way for many dimensions, at a dimension where both are possible."""
    total, x = torch_sum(), points(1)[0]
    dense = qpot.measure_noise(total, x, leading=3)
    for module in (gradient_covariance, noise_statistics):
        monkeypatch.setattr(module, "DENSE", 5)
    products = qpot.measure_noise(total, x, leading=3, method=qpot.LowRankCovariance(rank=6))
    assert products.covariance.matrix is None
    assert products.hessian_eigenvalues == pytest.approx(dense.hessian_eigenvalues[:3], rel=1e-6)
    assert products.largest_learning_rate == pytest.approx(dense.largest_learning_rate, rel=1e-6)
    # rank 6 = N - 1 is all of C; only |H|_F is estimated from random vectors, over the 4 directions that are left
    assert products.effective_rank == pytest.approx(dense.effective_rank, rel=1e-9)
    assert products.overlaps == pytest.approx(dense.overlaps[:3], rel=1e-4)
    assert products.alignment == pytest.approx(dense.alignment, rel=0.05)


def test_differences_stand_in_for_missing_products(monkeypatch: pytest.MonkeyPatch) -> None:
    total = regression()
    dense = qpot.measure_noise(total, np.ones(12))
    monkeypatch.setattr(noise_statistics, "DENSE", 5)
    monkeypatch.setattr(gradient_covariance, "DENSE", 5)
    products = qpot.measure_noise(total, np.ones(12), direction=np.ones(12))
    assert products.largest_learning_rate == pytest.approx(dense.largest_learning_rate, rel=1e-6)
    assert products.alignment == pytest.approx(dense.alignment, rel=0.05)


def test_ten_thousand_dimensions() -> None:
    """A network with more than 10 000 parameters: trace and Hessian from products, without an (n, N, d) array."""
    torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 140), torch.nn.Tanh(), torch.nn.Linear(140, 10))
    X, y = torch.randn(30, 64), torch.randint(0, 10, (30,))
    total = qpot.from_torch(model, torch.nn.functional.cross_entropy, (X, y), weight_decay=1e-3, memory=2e7)
    assert total.dimension == 10_510
    noise = qpot.measure_noise(total, total.initial_point, leading=3, direction=np.ones(total.dimension))
    g = total.gradients_at(total.initial_point)[0]
    assert noise.covariance.trace == pytest.approx(((g - g.mean(axis=0)) ** 2).sum() / 30, rel=1e-10)
    gram = (g - g.mean(axis=0)) @ (g - g.mean(axis=0)).T / 30
    assert noise.covariance.eigenvalues[:5] == pytest.approx(np.linalg.eigvalsh(gram)[::-1][:5], rel=1e-5)
    # the rest of |C|_F is estimated from random vectors
    assert noise.effective_rank == pytest.approx(noise.covariance.trace**2 / (gram**2).sum(), rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"learning_rate": 2.1},
            r"learning_rate=2.1 is beyond stability at the point \(0\): deviations grow from 2 on",
        ),
        ({"batch_size": 4, "replacement": False}, "batch_size=4 exceeds the 3 samples"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"direction": [0.0]}, "direction is zero"),
        ({"learning_rate": -1.0}, "learning_rate must be a finite number > 0"),
        ({"leading": 0}, "leading must be"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.measure_noise(qpot.quadratic_sum(1.0, [1.0, -1.0, 0.0]), [0.0], **options)


def test_a_sample_with_a_nan_loss_is_named() -> None:
    total = qpot.FiniteSum(
        sample_losses=lambda x: np.where(np.arange(3) == 2, np.nan, 0 * x),
        sample_gradients=lambda x: np.zeros((len(x), 3, 1)),
        n_samples=3,
        dimension=1,
    )
    with pytest.raises(ValueError, match="NaN or infinity for sample 2"):
        qpot.measure_noise(total, [0.0])


SKEW = np.array([3.0, -1.0, -1.0, -1.0])


def skewed(size: float) -> qpot.FiniteSum:
    """The double well with the same skewed noise everywhere."""
    return qpot.FiniteSum(
        sample_losses=lambda x: (x**2 - 1) ** 2 / 4 + size * SKEW * x,
        sample_gradients=lambda x: (x**3 - x + size * SKEW)[:, :, None],
        n_samples=4,
        dimension=1,
    )


@pytest.mark.parametrize("start", [-1.0, 1.0])
def test_skewed_noise_changes_costs_as_the_exact_noise_says(start: float) -> None:
    """The first-order change tends to the difference of two costs computed independently as the noise grows."""
    gaps = []
    for size in (1.0, 2.0, 4.0):
        total = skewed(size)
        path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), [start], [0.0])
        exact = qpot.minimum_action_path(qpot.System.from_finite_sum(total, noise="exact"), [start], [0.0])
        check = qpot.check_gaussianity(total, path)
        gaps.append(abs(check.action_change / (exact.action - path.action) - 1.0))
    # the second order is smaller by f' / size, k3 f' / k2^2 in the notation of the expansion
    assert gaps[1] / gaps[0] == pytest.approx(0.5, abs=0.12)
    assert gaps[2] / gaps[1] == pytest.approx(0.5, abs=0.12)
    assert gaps[2] < 0.12


def test_exact_noise_is_recommended_by_name() -> None:
    total = skewed(1.0)
    path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), [-1.0], [0.0])
    for batch_size in (1, 100):
        check = qpot.check_gaussianity(total, path, batch_size=batch_size)
        assert not check.gaussian
        assert 'noise="exact"' in check.recommendation
        assert check.relative_change == pytest.approx(0.137, abs=0.01)
        assert check.skewness == pytest.approx(2 / np.sqrt(3) / np.sqrt(batch_size))
    assert qpot.check_gaussianity(total, path, tolerance=0.5).gaussian
    assert not qpot.check_gaussianity(total, path, batch_size=2, replacement=False).gaussian


def test_symmetric_noise_is_gaussian_enough() -> None:
    """Two opposite values: the first correction is the fourth cumulant, and small where the gradient is."""
    total = qpot.FiniteSum(
        sample_losses=lambda x: (x**2 - 1) ** 2 / 4 + 4.0 * np.array([1.0, -1.0]) * x,
        sample_gradients=lambda x: (x**3 - x + 4.0 * np.array([1.0, -1.0]))[:, :, None],
        n_samples=2,
        dimension=1,
    )
    path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), [-1.0], [0.0])
    check = qpot.check_gaussianity(total, path)
    assert check.gaussian
    assert (check.ratios <= 1.0 + 1e-9).all()
    assert "good enough" in repr(check)


def test_what_cannot_be_checked_is_refused() -> None:
    total = skewed(1.0)
    path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), [-1.0], [0.0])
    with pytest.raises(ValueError, match="PathSolution in dimension 2"):
        qpot.check_gaussianity(regression(5, 2), path)
    with pytest.raises(ValueError, match="exceeds the 4 samples"):
        qpot.check_gaussianity(total, path, batch_size=5, replacement=False)


def test_the_spectrum_can_be_drawn() -> None:
    total = regression()
    ax = plot_noise_spectrum(qpot.measure_noise(total, np.ones(12)))
    assert ax.get_yscale() == "log"
    legend = ax.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} >= {"Hessian", "gradient covariance"}
    assert plot_noise_spectrum(qpot.measure_noise(total, np.ones(12), method=qpot.DiagonalCovariance()), ax=ax) is ax
    with pytest.raises(ValueError, match=r"must be a qpot\.NoiseStatistics"):
        plot_noise_spectrum(None)  # type: ignore[arg-type]


def shifted_wells(steps: NDArray[np.float64]) -> qpot.FiniteSum:
    """A double well whose samples are tilted by the ``steps``."""
    return qpot.FiniteSum(
        sample_losses=lambda x: (x**2 - 1.0) ** 2 / 4.0 + x * steps,
        sample_gradients=lambda x: (x**3 - x + steps)[:, :, None],
        n_samples=steps.size,
        dimension=1,
    )


@pytest.mark.parametrize("seed", range(3))
def test_exact_costs_lie_below_the_action_along_the_gaussian_path(seed: int) -> None:
    """Samples with random third moments, where the first order is off by up to a quarter of the cost."""
    rng = np.random.default_rng([5, seed])
    steps = rng.normal(size=6) ** 3
    steps = 0.6 * (steps - steps.mean()) / steps.std()
    total = shifted_wells(steps)
    path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), [-1.0], [0.0])
    exact = qpot.minimum_action_path(qpot.System.from_finite_sum(total, noise="exact"), [-1.0], [0.0])
    check = qpot.check_gaussianity(total, path)
    # On the line the path is the same under any noise, and the bound is the cost.
    assert check.bound == pytest.approx(exact.action, rel=1e-6)


def test_a_small_first_order_is_no_proof_where_the_second_is_large() -> None:
    """Steps that are symmetric but heavy: a tolerance between the two orders calls the noise not Gaussian."""
    steps = np.array([-2.0, 2.0, *[0.1, -0.1] * 8])
    total = shifted_wells(steps)
    path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), [-1.0], [0.0])
    check = qpot.check_gaussianity(total, path)
    left_out = abs(check.bound / check.action - 1.0 - check.relative_change)
    assert 0.1 < left_out < abs(check.relative_change)
    assert "at most by -18.3%" in check.recommendation


def test_what_the_first_order_leaves_out_counts_too() -> None:
    """The first order is +20 % and within the tolerance; the cost rises by 47 %."""
    rng = np.random.default_rng([5, 2])
    steps = rng.normal(size=6) ** 3
    total = shifted_wells(0.6 * (steps - steps.mean()) / steps.std())
    path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), [-1.0], [0.0])
    check = qpot.check_gaussianity(total, path, tolerance=0.22)
    assert abs(check.relative_change) < 0.22
    assert not check.gaussian
    assert "at most by +46.6%" in check.recommendation
