"""Flat vectors and named parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpot import ParameterLayout

SHAPES = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=5)


@given(SHAPES, st.integers(0, 2**31))
def test_restoring_and_flattening_are_inverse(shapes: list[tuple[int, ...]], seed: int) -> None:
    layout = ParameterLayout(names=tuple(f"p{k}" for k in range(len(shapes))), shapes=tuple(shapes))
    point = np.random.default_rng(seed).normal(size=layout.dimension)
    parts = layout.restore(point)
    assert [part.shape for part in parts.values()] == shapes
    assert np.array_equal(layout.flatten(parts), point)
    for name, place in layout.slices.items():
        assert np.array_equal(point[place], parts[name].ravel())
    batch = layout.restore(np.stack([point, 2 * point]))
    assert all(np.array_equal(batch[name][1], 2 * parts[name]) for name in parts)


@given(SHAPES)
def test_every_entry_has_its_own_name(shapes: list[tuple[int, ...]]) -> None:
    layout = ParameterLayout(names=tuple(f"p{k}" for k in range(len(shapes))), shapes=tuple(shapes))
    names = [layout.name_of(k) for k in range(layout.dimension)]
    assert len(set(names)) == layout.dimension
    assert all(name.startswith(f"p{k}") for k, place in enumerate(layout.slices.values()) for name in names[place])


def test_parts_are_copies() -> None:
    point = np.zeros(3)
    ParameterLayout(names=("a",), shapes=((3,),)).restore(point)["a"][0] = 1.0
    assert point[0] == 0.0


def test_tied_names_share_their_place() -> None:
    layout = ParameterLayout(names=("in", "b"), shapes=((2, 2), (1,)), frozen=("c",), tied={"out": "in"})
    assert layout.slices["out"] == layout.slices["in"] == slice(0, 4)
    assert "out: tied to in" in repr(layout)
    assert "c: frozen" in repr(layout)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.flatten({"a": np.zeros(2)}), r"missing \['b'\]"),
        (lambda w: w.flatten({"a": np.zeros(2), "b": 0.0, "c": 1.0}), r"unknown \['c'\]"),
        (lambda w: w.flatten({"a": np.zeros(3), "b": 0.0}), r"'a'\] has shape \(3,\), expected \(2,\)"),
        (lambda w: w.restore(np.zeros(4)), r"shape \(4,\), expected \(3,\)"),
        (lambda w: w.name_of(3), "from 0 to 2"),
        (lambda _: ParameterLayout(names=("a", "a"), shapes=((1,), (1,))), "repeated"),
        (lambda _: ParameterLayout(names=(), shapes=()), "at least one"),
        (lambda _: ParameterLayout(names=("a",), shapes=((1,),), tied={"x": "b"}), "tied to 'b'"),
    ],
)
def test_what_does_not_fit_is_named(call: object, message: str) -> None:
    layout = ParameterLayout(names=("a", "b"), shapes=((2,), ()))
    with pytest.raises(ValueError, match=message):
        call(layout)  # type: ignore[operator]
