"""Symmetries of units in reduced coordinates."""

from __future__ import annotations

import numpy as np
import pytest

import qpot


def reduced_network(outputs: int = 3) -> tuple[qpot.Quotient, qpot.QuotientSymmetry]:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5, 8)), np.arange(5) % outputs
    total = qpot.network_sum(X, y, hidden=3, weight_decay=0.05)
    reduced = qpot.without_gauges(total)
    assert isinstance(reduced, qpot.Quotient)
    group = qpot.dense_layer_symmetries((8, 3, outputs - 1), odd=True)
    return reduced, qpot.QuotientSymmetry(group, reduced)


def test_units_stay_signed_permutations() -> None:
    reduced, group = reduced_network()
    assert group.dimension == reduced.dimension == 3 * 5 + 2 * 4
    assert group.order == 48
    rng = np.random.default_rng(1)
    for _ in range(5):
        permutation, signs = group.random(rng)
        z = rng.normal(size=reduced.dimension)
        image = signs * z[permutation]
        assert np.isclose(reduced.loss(image)[0], reduced.loss(z)[0], rtol=1e-13)
        assert np.abs(group.image(z, image) - image).max() < 1e-12
        drift = reduced.gradient(np.array([z, image]))
        assert np.abs(signs * drift[0][permutation] - drift[1]).max() < 1e-12


def test_minima_are_counted_modulo_the_group() -> None:
    reduced, group = reduced_network(2)
    system = qpot.System.from_finite_sum(reduced)
    rng = np.random.default_rng(2)
    start = 0.5 * rng.normal(size=reduced.dimension)
    starts = np.array([signs * start[order] for order, signs in (group.random(rng) for _ in range(4))])
    box = [(-8.0, 8.0)] * reduced.dimension
    minima = qpot.find_minima(system, box, starts=starts, symmetries=group)
    assert len(minima) == 1


def test_an_exchange_of_inputs_that_were_divided_out_is_refused() -> None:
    X = np.array([[0.0, 1.0, 2.0], [0.0, -1.0, 1.0], [0.0, 0.3, -1.0], [0.0, 0.5, 0.5]])
    reduced = qpot.without_gauges(qpot.network_sum(X, [0, 1, 0, 1], hidden=1, weight_decay=0.1))
    assert isinstance(reduced, qpot.Quotient)
    exchange = qpot.SignedPermutations([[1, 0, 2, 3, 4, 5]])
    with pytest.raises(ValueError, match="none of the reduced coordinates"):
        qpot.QuotientSymmetry(exchange, reduced)
    with pytest.raises(ValueError, match="4 parameters, but the whole sum has 6"):
        qpot.QuotientSymmetry(qpot.SignedPermutations([[1, 0, 2, 3]]), reduced)
