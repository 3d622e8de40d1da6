"""Units that are found in models: how many elements, and that none of them changes any sample's loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import qpot

SAMPLES = 24


def features(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(SAMPLES, *shape))


def labels(classes: int) -> Any:
    return np.random.default_rng(99).integers(0, classes, SAMPLES)


def checked_order(total: qpot.FiniteSum, seed: int = 0) -> int:
    """The number of elements, after a check that random ones leave the losses of all samples as they are."""
    blocks = qpot.unit_blocks(total)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        x = rng.normal(size=total.dimension)
        image = x.copy()
        for block in blocks:
            signs = np.ones((block.units, len(block.places)))
            for pattern in block.flips:
                signs[rng.random(block.units) < 0.5] *= pattern
            block.move(image, rng.permutation(block.units), signs)
        assert np.abs(total.losses_at(image[None]) - total.losses_at(x[None])).max() < 1e-10
        assert np.array_equal(np.sort(np.abs(image)), np.sort(np.abs(x)))
    return math.prod(block.order for block in blocks)


def modules() -> dict[str, tuple[Any, Any, int]]:
    """Modules with their data (a tuple) and the number of elements, counted by hand."""
    torch: Any = pytest.importorskip("torch")
    nn: Any = torch.nn
    f = nn.functional
    L, S = nn.Linear, nn.Sequential

    class Wave(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return torch.sin(x)

    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self, *, normed: bool) -> None:
            super().__init__()
            self.inside, self.a, self.b, self.out = L(3, 4), L(4, 3), L(3, 4), L(4, 2)
            self.norm = nn.LayerNorm(4) if normed else nn.Identity()

        def forward(self, x: Any) -> Any:
            z = self.inside(x)
            return self.out(z + self.b(torch.tanh(self.a(self.norm(z)))))

    class Words(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(7, 4), L(4, 2)

        def forward(self, words: Any) -> Any:
            return self.out(f.softplus(self.table(words).mean(1)))

    class Tied(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.up = L(3, 4)
            self.down = nn.Parameter(torch.randn(3))

        def forward(self, x: Any) -> Any:
            return torch.tanh(self.up(x)) @ self.up.weight + self.down

    class Recurrent(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.x, self.h, self.out = L(2, 9), L(3, 9), L(3, 2)

        def forward(self, x: Any) -> Any:
            h = x.new_zeros(x.shape[0], 3)
            for t in range(x.shape[1]):
                (r, u, n), (hr, hu, hn) = self.x(x[:, t]).chunk(3, 1), self.h(h).chunk(3, 1)
                keep = torch.sigmoid(u + hu)
                h = keep * h + (1 - keep) * torch.tanh(n + torch.sigmoid(r + hr) * hn)
            return self.out(h)

    class TwoInputs(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.out = L(2, 3), L(3, 3), L(6, 2)

        def forward(self, x: Any, y: Any) -> Any:
            return self.out(torch.cat([torch.tanh(self.a(x)), f.gelu(self.b(y))], 1))

    class Gated(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up, self.out = L(3, 4), L(3, 4), L(4, 2)

        def forward(self, x: Any) -> Any:
            return self.out(f.silu(self.gate(x)) * self.up(x))

    def frozen(model: Any, name: str) -> Any:
        model.get_parameter(name).requires_grad_(False)
        return model

    class Marked(nn.Module):  # type: ignore[misc]
        """One unit's slope is larger by a part in a million, so that no exchange is exact."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.out = L(2, 3), L(3, 2)
            self.register_buffer("slope", torch.tensor([1.0, 1.0, 1.0 + 1e-6]))

        def forward(self, x: Any) -> Any:
            return self.out(torch.tanh(self.slope * self.a(x)))

    torch.manual_seed(3)
    x2, x3, y2, y3 = features(2), features(3), labels(2), labels(3)
    image, series = features(1, 6, 6), features(1, 8)
    plain, biased = 6, 48  # exchanges of three units without and with their flips
    return {
        "tanh": (S(L(2, 2), nn.Tanh(), L(2, 2)), (x2, y2), 8),
        "gelu": (S(L(2, 3), nn.GELU(), L(3, 2)), (x2, y2), plain),
        "relu of equal sizes": (S(L(3, 3), nn.ReLU(), L(3, 3)), (x3, y3), plain),
        "sigmoid": (S(L(2, 3), nn.Sigmoid(), L(3, 3)), (x2, y3), plain),
        "softplus": (S(L(2, 3), nn.Softplus(), L(3, 2)), (x2, y2), plain),
        "sin": (S(L(2, 3), Wave(), L(3, 2)), (x2, y2), biased),
        "no bias": (S(L(1, 2, bias=False), nn.Tanh(), L(2, 2, bias=False)), (features(1), y2), 8),
        "one unit": (S(L(1, 1), nn.Tanh(), L(1, 2)), (features(1), y2), 2),
        "nested": (S(S(L(2, 3), nn.Tanh()), S(L(3, 4), nn.GELU()), L(4, 2)), (x2, y2), biased * 24),
        "equal widths": (S(L(3, 3), nn.Tanh(), L(3, 3), nn.Tanh(), L(3, 3)), (x3, y3), biased**2),
        "residual": (Residual(normed=False), (x3, y2), 24 * 2**4 * biased),
        # With the sign of its scale, its shift and what reads them, a norm's output flips, but the stream does not.
        "residual with norm": (Residual(normed=True), (x3, y2), 24 * 2**4 * biased),
        "norm": (S(L(2, 3), nn.LayerNorm(3), nn.Tanh(), L(3, 2)), (x2, y2), biased),
        "channels": (
            S(nn.Conv2d(1, 3, 2), nn.GELU(), nn.Conv2d(3, 2, 2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), L(8, 2)),
            (image, y2),
            plain * 8,
        ),
        "largest of positions": (
            S(nn.Conv1d(1, 3, 3), nn.Tanh(), nn.MaxPool1d(2), nn.Flatten(), L(9, 2)),
            (series, y2),
            plain,
        ),
        "words": (Words(), (np.random.default_rng(1).integers(0, 7, (SAMPLES, 3)), y2), 24),
        "tied": (Tied(), (x3, y3), 24 * 2**4),
        "frozen": (frozen(S(L(2, 3), nn.Tanh(), L(3, 2)), "0.weight"), (x2, y2), 1),
        "frozen bias of outputs": (frozen(S(L(2, 3), nn.Tanh(), L(3, 2)), "2.bias"), (x2, y2), biased),
        "recurrent": (Recurrent(), (features(4, 2), y2), plain),
        "two inputs": (TwoInputs(), (x2, x3, y2), biased * plain),
        "gated": (Gated(), (x3, y2), 24 * 2**4),
        "no hidden layer": (L(3, 3), (x3, y3), 1),
        "marked": (Marked(), (x2, y2), 1),
    }


# The cases by name, so that torch is imported in tests only.
NAMES = (
    *("tanh", "gelu", "relu of equal sizes", "sigmoid", "softplus", "sin", "no bias", "one unit", "nested"),
    *("equal widths", "residual", "residual with norm", "norm", "channels", "largest of positions", "words", "tied"),
    *("frozen", "frozen bias of outputs", "recurrent", "two inputs", "gated", "no hidden layer", "marked"),
)


@pytest.mark.parametrize("name", NAMES)
def test_units_of_modules_are_counted(name: str) -> None:
    torch = pytest.importorskip("torch")
    cases = modules()
    assert set(cases) == set(NAMES)
    model, data, expected = cases[name]
    total = qpot.from_torch(model, torch.nn.functional.cross_entropy, data, weight_decay=0.01)
    assert checked_order(total) == expected


def test_single_precision_finds_the_same_units() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 4), torch.nn.GELU())
    model.append(torch.nn.Linear(4, 2))
    total = qpot.from_torch(
        model, torch.nn.functional.cross_entropy, (features(2), labels(2)), dtype=torch.float32, weight_decay=0.01
    )
    assert math.prod(block.order for block in qpot.unit_blocks(total)) == 48 * 24


def test_units_of_trees_of_parameters_are_found() -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(0)
    params = {
        "first": {"W": rng.normal(size=(2, 3)), "b": np.zeros(3)},
        "second": {"W": rng.normal(size=(3, 4)), "b": np.zeros(4)},
        "third": {"W": rng.normal(size=(4, 2)), "b": np.zeros(2)},
    }

    def loss(p: Any, x: Any, y: Any) -> Any:
        z = jax.numpy.tanh(x @ p["first"]["W"] + p["first"]["b"])
        z = jax.nn.gelu(z @ p["second"]["W"] + p["second"]["b"])
        return -jax.nn.log_softmax(z @ p["third"]["W"] + p["third"]["b"])[y]

    assert checked_order(qpot.from_jax(loss, params, (features(2), labels(2)))) == 48 * 24


@pytest.mark.parametrize(("hidden", "classes"), [(1, 2), (2, 2), (3, 3), (4, 3)])
def test_units_of_a_network_sum_are_found(hidden: int, classes: int) -> None:
    total = qpot.network_sum(features(3), np.arange(SAMPLES) % classes, hidden=hidden, weight_decay=0.02)
    assert checked_order(total) == math.factorial(hidden) * 2**hidden


def test_a_layout_can_be_given() -> None:
    total = qpot.training_sum(qpot.dense_network(2, 3), features(2), features(1)[:, 0])
    layout = qpot.ParameterLayout(names=("W", "b", "a", "c"), shapes=((3, 2), (3,), (1, 3), (1,)))
    assert qpot.unit_blocks(total) == ()
    (block,) = qpot.unit_blocks(total, layout=layout)
    assert block.order == 48
    with pytest.raises(ValueError, match="layout has 5 parameters"):
        qpot.unit_blocks(total, layout=qpot.ParameterLayout(names=("W",), shapes=((5,),)))


def test_sums_without_units_have_none() -> None:
    assert qpot.unit_blocks(qpot.quadratic_sum(1.0, features(3))) == ()
