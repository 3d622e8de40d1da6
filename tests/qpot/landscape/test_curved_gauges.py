"""Continuous symmetries of layers: which are found, and that finite elements leave every sample's loss as it is."""

import numpy as np
import pytest
from scipy.linalg import expm

import qpot
from qpot.landscape.curved_gauges import CurvedBlock, _Search, curved_blocks
from qpot.samples.quotient import layout_of

torch = pytest.importorskip("torch")
nn = torch.nn

MODELS = {
    "linear": lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)),
    "three": lambda: nn.Sequential(nn.Linear(3, 2), nn.Identity(), nn.Linear(2, 2), nn.Linear(2, 2)),
    "narrow": lambda: nn.Sequential(nn.Linear(3, 1), nn.Linear(1, 2)),
    "leaky": lambda: nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(0.3), nn.Linear(2, 2)),
    "one relu": lambda: nn.Sequential(nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 2)),
    "tanh": lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)),
    "gelu": lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3), nn.GELU(), nn.Linear(3, 2)),
}


def total_of(name: str, decay: float, seed: int = 0) -> qpot.FiniteSum:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    data = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    return qpot.from_torch(MODELS[name](), nn.functional.mse_loss, data, weight_decay=decay, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "decay", "expected"),
    [
        ("linear", 0.0, [("linear", 6)]),
        ("linear", 0.01, [("rotations", 1)]),
        ("three", 0.0, [("linear", 6), ("linear", 6)]),
        ("three", 0.01, [("rotations", 1), ("rotations", 1)]),
        ("narrow", 0.0, [("scalings", 2)]),
        ("narrow", 0.01, []),
        ("leaky", 0.0, [("scalings", 2)]),
        ("leaky", 0.01, []),
        ("one relu", 0.0, [("scalings", 1)]),
        ("tanh", 0.0, []),
        ("tanh", 0.01, []),
        ("gelu", 0.01, [("rotations", 1)]),
    ],
)
def test_kinds_and_numbers_of_generators(name: str, decay: float, expected: list[tuple[str, int]]) -> None:
    found = curved_blocks(total_of(name, decay))
    assert [(block.kind, block.directions) for block in found] == expected


@pytest.mark.parametrize(("name", "decay"), [("linear", 0.01), ("linear", 0.0), ("leaky", 0.0), ("gelu", 0.0)])
def test_exponentials_of_generators_leave_the_losses_and_turn_along_the_tangents(name: str, decay: float) -> None:
    total = total_of(name, decay)
    (block,) = curved_blocks(total)
    x = np.random.default_rng(7).standard_normal(total.dimension)
    tangents = block.tangents(x)
    for k, v in enumerate(tangents):
        # Every generator is affine in the point, so that its matrix is read off, and exponentiated, without the group.
        origin = block.tangents(np.zeros(x.size))[k]
        matrix = np.array([block.tangents(e)[k] - origin for e in np.eye(x.size)]).T
        whole = np.block([[matrix, origin[:, None]], [np.zeros((1, x.size + 1))]])
        image = (expm(0.7 * whole) @ np.append(x, 1.0))[:-1]
        assert np.linalg.norm(image - x) > 1e-2
        np.testing.assert_allclose(total.losses_at(image[None]), total.losses_at(x[None]), rtol=1e-10)
        gradients = total.gradients_at(x[None])[0]
        assert np.abs(gradients @ v).max() < 1e-11 * np.linalg.norm(gradients, axis=1).max() * np.linalg.norm(v)


def test_what_is_no_symmetry_is_refused() -> None:
    total = total_of("tanh", 0.0)
    search = _Search(total, layout_of(total))
    (units,) = [block for block in qpot.unit_blocks(total) if block.units == 2]
    for kind, exponents in (
        ("rotations", [1.0, 1.0, 1.0]),
        ("linear", [1.0, 1.0, -1.0]),
        ("scalings", [1.0, 1.0, -1.0]),
    ):
        wrong = CurvedBlock("0", kind, tuple(units.places), np.array(exponents))
        assert not search.orthogonal(wrong)
        assert not search.verified(wrong)


def test_scalings_conserve_the_difference_of_squares() -> None:
    total = total_of("leaky", 0.0)
    (block,) = curved_blocks(total)
    x = np.random.default_rng(3).standard_normal(total.dimension)
    gradients = total.gradients_at(x[None])[0]
    for unit in range(2):
        gradient_of_difference = np.zeros(total.dimension)
        for place, e in zip(block.places, block.exponents, strict=True):
            gradient_of_difference[place[unit]] = 2.0 * e * x[place[unit]]
        assert np.abs(gradients @ gradient_of_difference).max() < 1e-11 * np.abs(gradients).max()
