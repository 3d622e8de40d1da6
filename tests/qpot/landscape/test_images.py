"""Images of a point under a group, against its enumeration, and neighbourhoods that move with them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array
from qpot.landscape.basins import attracting_neighbourhoods
from qpot.landscape.images import images_near, images_of, with_images
from qpot.landscape.symmetry import apply


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_a_network_has_as_many_images_as_its_group_has_elements(hidden: int) -> None:
    group = qpot.dense_layer_symmetries((3, hidden, 2), odd=True)
    x = np.random.default_rng(hidden).normal(size=group.dimension)
    points, permutations, signs = images_of(x, group)
    assert len(points) == group.order == 2**hidden * math.factorial(hidden)
    np.testing.assert_array_equal(points[0], x)
    np.testing.assert_array_equal(signs * x[permutations], points)
    assert len(np.unique(points, axis=0)) == len(points)
    # Every element leads to one of them.
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert (points == apply(group.random(rng), x)).all(axis=1).any()


def test_a_point_that_is_its_own_image_has_fewer() -> None:
    group = qpot.dense_layer_symmetries((2, 2, 1), odd=True)
    x = np.random.default_rng(0).normal(size=9)
    x[[0, 1, 4, 6]] = 0.0  # the first unit is off: its sign does not matter
    assert len(images_of(x, group)[0]) == 4
    x[0] = 1e-12
    assert len(images_of(x, group)[0]) == 4


def test_too_many_images_are_refused() -> None:
    group = qpot.dense_layer_symmetries((2, 6, 1), odd=True)
    with pytest.raises(ValueError, match="more than 4096 images of a minimum"):
        images_of(np.random.default_rng(0).normal(size=group.dimension), group)


def test_neighbourhoods_of_images_attract() -> None:
    """Two wells whose images are those with the axes exchanged; the Hessians are exchanged with them."""

    def gradient(x: Array) -> Array:
        return np.asarray((x**2 - 1) * x + 0.3 * x[:, ::-1])

    system = qpot.System(drift=lambda x: -gradient(x), covariance=np.eye(2), dimension=2)
    minimum = qpot.find_minima(system, [(0, 2), (-2, 0)])[0]
    group = qpot.SignedPermutations([[1, 0], [0, 1]], [[1, 1], [-1, -1]])
    near, classes = with_images(attracting_neighbourhoods(system, [minimum]), group)
    assert classes.tolist() == [0, 0]
    rng = np.random.default_rng(0)
    for point, metric, radius in zip(near.points, near.metrics, near.radii, strict=True):
        v = rng.normal(size=(100, 2))
        v *= radius / np.sqrt(np.einsum("ni,ij,nj->n", v, metric, v))[:, None]
        inwards = np.einsum("ni,ij,nj->n", v, metric, system.drift(point + v))
        assert (inwards < 0).all()


def test_images_near_a_target() -> None:
    flip = qpot.SignedPermutations([[0, 1]], [[-1, -1]])
    near = images_near(np.array([[1.0, 2.0], [-1.0, -2.0]]), np.array([-1.0, -1.0]), flip)
    np.testing.assert_array_equal(near, [[-1.0, -2.0], [-1.0, -2.0]])
