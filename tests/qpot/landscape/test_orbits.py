"""Orbits: representatives of points, distances between orbits, and rates across them."""

import numpy as np
import pytest

import qpot
from qpot.landscape.orbits import Orbits, orbits_of
from qpot.landscape.unit_symmetries import symmetries_of

torch = pytest.importorskip("torch")
nn = torch.nn


def orbits_and_total(model: object, decay: float, seed: int = 0) -> tuple[Orbits, qpot.FiniteSum]:
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    total = qpot.from_torch(model, nn.functional.mse_loss, data, weight_decay=decay, dtype=torch.float64)
    found = orbits_of(total, total, symmetries_of(total))
    assert found is not None
    return found, total


MODELS = {
    "linear": lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)),
    "wide": lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)),
    "chain": lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3), nn.Linear(3, 2)),
    "bottleneck": lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3), nn.GELU(), nn.Linear(3, 2)),
    "leaky": lambda: nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU(0.2), nn.Linear(3, 2)),
}


@pytest.mark.parametrize(
    ("name", "decay"),
    [
        ("linear", 0.01),
        ("linear", 0.0),
        ("wide", 0.01),
        ("chain", 0.01),
        ("chain", 0.0),
        ("bottleneck", 0.01),
        ("bottleneck", 0.0),
        ("leaky", 0.0),
    ],
)
def test_images_lie_on_one_orbit_and_other_points_do_not(name: str, decay: float) -> None:
    torch.manual_seed(1)
    orbits, total = orbits_and_total(MODELS[name](), decay)
    rng = np.random.default_rng(5)
    for _ in range(3):
        x = rng.standard_normal(total.dimension)
        y = x
        for block in orbits.blocks:
            y = block.moved(y, block.random(rng))
        assert isinstance(orbits.images, qpot.UnitSymmetries)
        permutation, signs = orbits.images.random(rng)
        y = signs * y[permutation]
        assert np.linalg.norm(y - x) > 0.1
        assert orbits.distance(x, y) < 1e-7
        assert orbits.distance(x, rng.standard_normal(total.dimension)) > 0.1
        other = y.copy()
        other[-1] += 1e-3
        assert orbits.distance(x, other) > 1e-5
        canonical = orbits.canonical(x)
        np.testing.assert_allclose(total.losses_at(canonical[None]), total.losses_at(x[None]), rtol=1e-9)


def test_rates_across_an_orbit_leave_out_the_directions_along_it() -> None:
    torch.manual_seed(0)
    orbits, total = orbits_and_total(MODELS["linear"](), 0.05)
    system = qpot.System.from_finite_sum(total)
    prediction = qpot.predict(total, progress=None)
    x = prediction.minima[0].point
    everything = np.linalg.eigvalsh(-system.unchecked.jacobian(x[None])[0])
    assert np.abs(everything).min() < 1e-9
    across = orbits.rates_across(system, x)
    assert across.size == total.dimension - 1
    np.testing.assert_allclose(across, np.delete(everything, np.abs(everything).argmin()), rtol=1e-7)
    assert not prediction.minima[0].degenerate
