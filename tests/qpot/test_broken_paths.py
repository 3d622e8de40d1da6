"""Paths that rest at a second saddle on their way: found, priced as the sum of their pieces, confirmed by a field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.broken_paths import pieces, resting_points
from qpot.solvers.elements import ElementPath

Array = np.ndarray[Any, np.dtype[np.float64]]

CENTRES = np.array([[-0.4, -0.32], [0.73, 1.05], [1.19, -0.41]])
BOX = [(-2.0, 2.0), (-2.0, 2.0)]


def test_dummy() -> None:
    pass
