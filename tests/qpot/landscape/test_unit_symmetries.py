"""Groups of units: images are recognised in deep networks, and searches take the group that a model has."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import qpot
from qpot.landscape.symmetry import apply, same_class

SIZES = [(3, 4, 3, 2), (2, 5, 4, 3, 1), (3, 3, 3, 3, 3), (2, 6, 6, 6, 6, 2)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_every_image_of_a_generic_point_is_recognised(sizes: tuple[int, ...], odd: bool, bias: bool) -> None:
    group, rng = qpot.dense_layer_symmetries(sizes, odd=odd, bias=bias), np.random.default_rng(len(sizes))
    for _ in range(100):
        x = rng.normal(size=group.dimension)
        image = apply(group.random(rng), x)
        assert np.array_equal(group.image(image, x), x)


def test_images_are_recognised_through_small_differences() -> None:
    group, rng = qpot.dense_layer_symmetries((3, 5, 5, 5, 2), odd=True), np.random.default_rng(1)
    scale = np.ones(group.dimension)
    for _ in range(100):
        x = rng.normal(size=group.dimension)
        near = apply(group.random(rng), x) + 1e-8 * rng.normal(size=x.size)
        assert same_class(near, x, group, scale, tolerance=1e-7)
        assert not same_class(near + 0.01, x, group, scale, tolerance=1e-7)


def test_alignment_of_few_units_is_the_nearest_of_all_images() -> None:
    """Two blocks that share no place: all 2 * 4 * 6 images are tried."""
    blocks = [
        qpot.UnitBlock("a", ([[0], [1]], [[2], [3]]), [[-1, -1]]),
        qpot.UnitBlock("b", ([[4, 5], [6, 7], [8, 9]],)),
    ]
    group, rng = qpot.UnitSymmetries(blocks, 11), np.random.default_rng(2)
    assert group.order == 48
    every = []
    for first, second in itertools.product(itertools.permutations(range(2)), itertools.permutations(range(3))):
        for signs in itertools.product([-1.0, 1.0], repeat=2):
            index = np.arange(1.0, 12.0)
            blocks[0].move(index, np.array(first), np.array([signs, signs]).T)
            blocks[1].move(index, np.array(second), np.ones((3, 1)))
            every.append((np.abs(index).astype(int) - 1, np.sign(index)))
    for _ in range(50):
        x, y = rng.normal(size=(2, 11))
        nearest = min(np.linalg.norm(apply(element, x) - y) for element in every)
        assert np.linalg.norm(group.image(x, y) - y) == pytest.approx(nearest, rel=1e-12)


def test_random_elements_are_uniform() -> None:
    group = qpot.UnitSymmetries([qpot.UnitBlock("a", ([[0], [1]], [[2], [3]]), [[-1, -1]])], 4)
    rng, counts = np.random.default_rng(3), dict[Any, int]()
    for _ in range(4000):
        element = group.random(rng)
        key = (*element[0].tolist(), *element[1].tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == group.order == 8
    # Five standard errors of a binomial count.
    assert max(abs(count - 500) for count in counts.values()) < 5 * math.sqrt(4000 / 8 * 7 / 8)


def test_the_group_is_described_in_a_line() -> None:
    blocks = [
        qpot.UnitBlock("0", ([[0], [1], [2]],), [[-1]]),
        qpot.UnitBlock("2", ([[3], [4]],)),
        qpot.UnitBlock("4", ([[5]],), [[-1]]),
    ]
    assert qpot.UnitSymmetries(blocks, 6).describe() == (
        "192 images: 3 units of '0' exchange and flip, 2 units of '2' exchange, 1 unit of '4' flips"
    )
    many = qpot.UnitSymmetries([qpot.UnitBlock("0", (np.arange(100)[:, None],))], 100)
    assert many.describe() == "about 1e158 images: 100 units of '0' exchange"


@pytest.mark.parametrize(
    ("blocks", "message"),
    [([], "blocks is empty"), ([qpot.UnitBlock("0", ([[0], [5]],))], "beyond the dimension 3")],
)
def test_groups_that_are_none_are_refused(blocks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.UnitSymmetries(blocks, 3)


def test_models_without_units_have_no_group() -> None:
    assert qpot.symmetries_of(qpot.logistic_sum([[1.0], [-2.0]], [1, -1])) is None


def test_minima_of_a_network_are_counted_modulo_its_own_symmetries() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 2))
    total = qpot.network_sum(X, (X[:, 0] * X[:, 1] > 0).astype(int), hidden=2, weight_decay=0.02)
    group = qpot.symmetries_of(total)
    assert group is not None
    assert group.order == 8
    system, box = qpot.System.from_finite_sum(total), [(-4.0, 4.0)] * 9
    starts = rng.normal(size=(24, 9))
    every = qpot.find_minima(system, box, starts=starts)
    classes = qpot.find_minima(system, box, starts=starts, symmetries=group)
    assert len(classes) < len(every)
    for minimum in every:
        images = [group.image(minimum.point, other.point) - other.point for other in classes]
        assert min(np.linalg.norm(difference) for difference in images) < 1e-4


def test_images_in_a_module_with_channels_and_a_residual_stream_are_recognised() -> None:
    torch: Any = pytest.importorskip("torch")
    nn: Any = torch.nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.a, self.b = nn.Conv1d(1, 4, 3), nn.Conv1d(4, 3, 1), nn.Conv1d(3, 4, 1)
            self.out = nn.Linear(16, 2)

        def forward(self, x: Any) -> Any:
            z = self.first(x)
            return self.out((z + self.b(torch.tanh(self.a(z)))).flatten(1))

    torch.manual_seed(0)
    rng = np.random.default_rng(4)
    data = rng.normal(size=(20, 1, 6)), rng.integers(0, 2, 20)
    total = qpot.from_torch(Block(), nn.functional.cross_entropy, data, weight_decay=0.01)
    group = qpot.symmetries_of(total)
    assert group is not None
    assert group.order == 24 * 2**4 * 6 * 2**3
    for _ in range(50):
        x = rng.normal(size=total.dimension)
        image = apply(group.random(rng), x)
        assert total.losses_at(image[None]) == pytest.approx(total.losses_at(x[None]), rel=1e-11)
        assert np.array_equal(group.image(image, x), x)
