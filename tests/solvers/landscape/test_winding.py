"""The degree of a vector field on the boundary of a box, against fields whose zeros are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpot.solvers.landscape.winding import Array, boundary_degree


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 4), st.floats(1e-3, 1e3))
def test_zeros_in_the_plane_count_with_their_signs(seed: int, plus: int, minus: int, stretch: float) -> None:
    """A product of (z - a) and conjugate (z - c) turns once for each a and once back for each c."""
    rng = np.random.default_rng(seed)
    zeros = rng.uniform(-0.9, 0.9, plus + minus) + 1j * rng.uniform(-0.9, 0.9, plus + minus)
    outside = 2.0 + 2.0j

    def field(x: Array) -> Array:
        z = x[:, 0] + 1j * x[:, 1] / stretch
        value = np.prod([z - a for a in zeros[:plus]] + [z - outside, np.ones_like(z)], axis=0)
        value = value * np.prod([np.conj(z - c) for c in zeros[plus:]] + [np.ones_like(z)], axis=0)
        return np.stack([value.real, stretch * value.imag], axis=1)

    box = np.array([1.0, stretch])
    assert boundary_degree(field, -box, box) == plus - minus


def test_one_and_three_dimensions() -> None:
    def well(x: Array) -> Array:
        return x - x**3

    for d in (1, 3):
        assert boundary_degree(well, np.full(d, -2.0), np.full(d, 2.0)) == 1
    assert boundary_degree(well, np.array([-0.5]), np.array([0.5])) == -1
    assert boundary_degree(well, np.full(3, -0.5), np.full(3, 0.5)) is None  # It points outwards.


@pytest.mark.parametrize("at", [np.nan, 0.0])
def test_a_field_without_a_direction_on_the_boundary_says_nothing(at: float) -> None:
    def field(x: Array) -> Array:
        return np.where(x[:, :1] > 0.99, at, -x)

    assert boundary_degree(field, -np.ones(2), np.ones(2)) is None
