"""Hypothesis strategies for chains of minima."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[np.float64]

# With so few values there are ties everywhere.
tied_costs = st.integers(0, 4).map(float)
# Over so many decades ordinary arithmetic loses the small costs in the large ones.
wide_costs = st.one_of(
    st.floats(1e-12, 1e15),
    st.tuples(st.integers(-12, 15), st.floats(1.0, 9.99)).map(lambda t: t[1] * 10.0 ** t[0]),
)


@st.composite
def cost_matrices(draw: Any, *, largest: int = 5, values: Any = tied_costs, connected: bool = False) -> Array:
    """Cost matrices with zero diagonal and missing routes; ``connected`` adds a ring of routes."""
    k = draw(st.integers(1, largest))
    costs = np.full((k, k), np.inf)
    for i in range(k):
        for j in range(k):
            if i == j:
                costs[i, j] = 0.0
            elif draw(st.integers(0, 3)) > 0 or (connected and j == (i + 1) % k):
                costs[i, j] = draw(values)
    return costs
