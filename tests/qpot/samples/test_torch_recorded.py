"""Recorded operations give the values of direct ones, in pieces of any number of points, or are not used."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import qpot

torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
nn: Any = torch.nn

from qpot.samples import torch_recorded  # noqa: E402
from qpot.samples.torch_recorded import Recorded, covering  # noqa: E402
from qpot.samples.torch_recorder import recorded  # noqa: E402


class Mixed(nn.Module):  # type: ignore[misc]
    """Layers, a convolution, a norm, a buffer and a shared weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 4), nn.Conv1d(1, 2, 3)
        self.norm = nn.LayerNorm(4)
        self.register_buffer("shift", torch.tensor(0.3))

    def forward(self, x: Any) -> Any:
        y = self.norm(torch.nn.functional.silu(self.first(x) + self.shift))
        z = self.second(y[:, None]).flatten(1)
        return torch.nn.functional.softplus(z) + y @ self.first.weight[:, :4]


MODELS = {
    # The norms keep these models from being chains of dense layers, which PyTorch does not evaluate.
    "tanh": lambda: nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.LayerNorm(3), nn.Linear(3, 4)),
    "gelu": lambda: nn.Sequential(nn.Linear(6, 3), nn.GELU(), nn.LayerNorm(3), nn.Linear(3, 4)),
    "mixed": Mixed,
}


def total_of(name: str) -> Any:
    torch.manual_seed(1)
    rng = np.random.default_rng(0)
    model, loss = MODELS[name](), nn.functional.cross_entropy
    return qpot.from_torch(model, loss, (rng.normal(size=(7, 6)), rng.integers(0, 4, size=7)), weight_decay=0.01)


def functions_of(total: Any) -> Any:
    return total.mean_gradient.__self__


@pytest.mark.parametrize("name", MODELS)
def test_recorded_values_are_those_of_direct_evaluation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    total, usual = total_of(name), total_of(name)
    functions_of(usual).recorded.size = lambda *_: np.inf  # Nothing fits, so that nothing is recorded.
    monkeypatch.setattr(torch_recorded, "_WORTH", 1)
    rng = np.random.default_rng(2)
    for n in (1, 3, 21, 70, 300):
        x = rng.normal(size=(n, total.dimension))
        for kind in ("sample_losses", "mean_gradient", "hessian"):
            one, other = getattr(total, kind)(x), getattr(usual, kind)(x)
            assert one.shape == other.shape
            assert np.abs(one - other).max() <= 1e-13 * np.abs(other).max()
    known = functions_of(total).recorded.known
    assert {kind for kind, *_ in known} == {"losses", "weighted_gradient", "hessian_rows"}
    assert all(function is not None for function in known.values())
    assert not functions_of(usual).recorded.known


def test_few_calls_are_not_recorded_and_many_are() -> None:
    total = total_of("tanh")
    x = np.random.default_rng(0).normal(size=(2, total.dimension))
    total.mean_gradient(x)
    assert not functions_of(total).recorded.known
    for _ in range(200):
        total.mean_gradient(x)
    assert functions_of(total).recorded.known


def test_values_that_are_not_finite_stay_in_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_recorded, "_WORTH", 1)
    total = total_of("tanh")
    x = np.random.default_rng(0).normal(size=(20, total.dimension))
    good = total.mean_gradient(x)
    x[7] = np.nan
    found = total.mean_gradient(x)
    assert np.isnan(found[7]).all()
    rows = np.arange(20) != 7
    assert np.abs(found[rows] - good[rows]).max() < 1e-14


def test_a_pickled_sum_records_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_recorded, "_WORTH", 1)
    functions = functions_of(total_of("gelu"))
    x = np.random.default_rng(0).normal(size=(5, functions.dimension))
    before = functions.mean_gradient(x)
    again = pickle.loads(pickle.dumps(functions))
    assert functions.recorded.known
    assert not again.recorded.known
    assert np.abs(again.mean_gradient(x) - before).max() < 1e-14


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * float(x.detach()[0, 0]),
        lambda x: x + torch.rand(3),
        lambda x: x[x[:, 0] > 0.0],
    ],
)
def test_what_depends_on_numbers_or_chance_is_refused(function: Any) -> None:
    with pytest.raises(RuntimeError, match="cannot be recorded"):
        recorded(function, [torch.ones(4, 3, dtype=torch.float64)], faster=False)


def test_a_function_that_cannot_be_recorded_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_recorded, "_WORTH", 1)
    asked = Recorded(lambda kind, x: x * float(x.detach()[0, 0]), torch.as_tensor, lambda *_: 8.0)
    x = np.arange(1.0, 7.0).reshape(2, 3)
    for _ in range(3):
        assert (asked("any", x) == x).all()
    assert set(asked.known.values()) == {None}


def test_changes_in_place_and_lists_are_recorded() -> None:
    def function(x: Any) -> Any:
        first, second = x.split([1, 2], dim=1)
        y = torch.cat([second, first.clone().mul_(3.0)], dim=1)
        y.add_(1.0)
        return y.exp().sum(dim=1)

    rng = np.random.default_rng(0)
    one, other = (torch.as_tensor(rng.normal(size=(4, 3))) for _ in range(2))
    again = recorded(function, [one], faster=True)
    assert torch.equal(again(other), function(other))
    assert torch.equal(again(one), function(one))


@pytest.mark.parametrize(
    ("left", "right"),
    [((9, 40, 1), (9, 1, 3)), ((9, 40, 3), (9, 3, 2)), ((9, 2, 3), (9, 3, 40)), ((1, 40, 4), (9, 4, 3))],
)
def test_products_of_tiny_matrices(left: Any, right: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (torch.as_tensor(rng.normal(size=shape)).expand(9, -1, -1) for shape in (left, right))
    for one, other in ((a, b), (b.transpose(1, 2), a.transpose(1, 2))):
        found = recorded(torch.bmm, [one, other], faster=True)(one, other)
        assert torch.allclose(found, torch.bmm(one, other), rtol=1e-14, atol=1e-14)


def test_coverings_hold_all_points_and_are_the_cheapest() -> None:
    sizes = (64, 16, 4, 1)
    for n in range(1, 300):
        way = covering(n, sizes)
        assert sum(way[:-1]) < n <= sum(way)
    assert covering(64, sizes) == (64,)
    assert covering(65, sizes) == (64, 1)
    assert covering(60, sizes) == (64,)
