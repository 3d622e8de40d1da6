"""Dense networks in reduced coordinates as formulas of their own, against the whole ones at lifted points."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sums_quotients import check_reduction

import qpot
from qpot.samples.dense_sum import DenseSum
from qpot.samples.gauge_map import GaugeMap
from qpot.samples.reduced_dense import reduced_dense

torch = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
nn = torch.nn


def drawn(seed: int) -> tuple[Any, Any]:
    """A random network of one to three layers with dead and dependent inputs, and its sum."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    samples, inputs, classes = int(rng.integers(8, 14)), int(rng.integers(3, 7)), int(rng.integers(2, 5))
    X = rng.normal(size=(samples, inputs))
    X[:, 0] = 0.0
    X[:, 1] = 2.0 * X[:, 2]
    sizes = [inputs, *(int(n) for n in rng.integers(2, 4, size=rng.integers(0, 3))), classes]
    layers: list[Any] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b, bias=bool(rng.integers(2))), (nn.Tanh, nn.GELU)[rng.integers(2)]()]
    loss = nn.CrossEntropyLoss(label_smoothing=0.1 * int(rng.integers(2)))
    total = qpot.from_torch(nn.Sequential(*layers[:-1]), loss, (X, np.arange(samples) % classes), weight_decay=0.02)
    return total, qpot.without_gauges(total)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed: int) -> None:
    total, reduced = drawn(seed)
    check_reduction(total, reduced)
    dense = reduced.sample_losses.__self__
    # Where all of one layer without a bias is reduced together, there are no inputs and outputs of its own.
    assert isinstance(dense, DenseSum) == (seed not in (2, 10))
    rng = np.random.default_rng(seed + 100)
    z, v = rng.normal(size=(2, 3, reduced.dimension))
    w = rng.normal(size=(3, total.n_samples))
    product = total.weighted_hessian_product(reduced.lift(z), reduced.lift(v), w)
    expected = reduced.gauges.project(product)
    np.testing.assert_allclose(
        reduced.weighted_hessian_product(z, v, w), expected, rtol=0, atol=1e-11 * np.abs(expected).max()
    )
    index = rng.integers(total.n_samples, size=(3, 4))
    mean = reduced.gauges.project(total.batch_gradient(reduced.lift(z), index))
    np.testing.assert_allclose(reduced.batch_gradient(z, index), mean, rtol=0, atol=1e-11 * np.abs(mean).max())


def test_convolutions_with_a_shift_of_logits() -> None:
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))
    data = rng.normal(size=(9, 1, 3, 3)), np.arange(9) % 3
    total = qpot.from_torch(model, nn.functional.cross_entropy, data, weight_decay=0.02)
    reduced = qpot.without_gauges(total)
    assert reduced.dimension == total.dimension - 9
    assert isinstance(reduced.sample_losses.__self__, DenseSum)  # type: ignore[attr-defined]
    check_reduction(total, reduced)


def test_what_is_no_such_network_is_lifted() -> None:
    """An activation behind the outputs does not turn with them, and a recurrent model is no chain."""
    X, y = np.random.default_rng(2).normal(size=(9, 2)), np.arange(9) % 3
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(2, 3), nn.Identity())
    total = qpot.from_torch(model, nn.functional.cross_entropy, (X, y), weight_decay=0.02)
    reduced = qpot.without_gauges(total)
    assert isinstance(reduced, qpot.Quotient)
    assert isinstance(reduced.gauges, GaugeMap)
    assert reduced_dense(total, reduced.gauges) is not None
    assert reduced_dense(qpot.network_sum(X, y, hidden=1, weight_decay=0.02), reduced.gauges) is None
