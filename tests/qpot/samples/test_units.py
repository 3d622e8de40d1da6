"""Blocks of units as values: places, elements, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot


def test_an_element_moves_every_array_of_places() -> None:
    block = qpot.UnitBlock("hidden", ([[0], [1]], [[2], [3]]), [[-1, 1]])
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    block.move(x, np.array([1, 0]), np.array([[-1.0, 1.0], [1.0, 1.0]]))
    assert x.tolist() == [-2.0, 1.0, 4.0, 3.0, 5.0]
    assert block.order == 2 * 2**2


def test_weights_from_the_units_to_themselves_have_a_row_and_a_column_for_each() -> None:
    W = np.arange(9).reshape(3, 3)
    block = qpot.UnitBlock("stream", (W, W.T), [[-1, -1]])
    rng = np.random.default_rng(0)
    x, order, signs = rng.normal(size=9), rng.permutation(3), np.array([1.0, -1.0, -1.0])
    moved = x.copy()
    block.move(moved, order, np.stack([signs, signs], axis=1))
    expected = x.reshape(3, 3)[np.ix_(order, order)] * np.outer(signs, signs)
    assert np.array_equal(moved.reshape(3, 3), expected)


BAD: list[tuple[Any, str]] = [
    (((),), "equally many rows"),
    ((([[0]], [[1], [2]]),), "equally many rows"),
    ((([[0], [0]],),), "different places"),
    ((([[0], [1]],), [[2]]), r"numbers \+1 or -1"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_blocks_that_are_none_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.UnitBlock("hidden", *arguments)
