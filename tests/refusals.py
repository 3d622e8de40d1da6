"""A plain well for calls with wrong arguments, and the check that a call is refused with a clear message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot import System

Array = NDArray[np.float64]
BOX = [(-2.0, 2.0), (-1.5, 1.5)]


def well() -> System:
    return qpot.gallery.separable_double_well().system


def gradient(x: Array) -> Array:
    return np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1)


def loss(x: Array) -> Array:
    return np.asarray((x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 / 2)


def with_covariance(covariance: Any) -> System:
    return System.from_loss(loss, gradient, covariance, dimension=2)


def refused(call: Callable[[], Any], *pieces: str) -> None:
    """Check that the call raises ValueError and that its message holds all pieces."""
    with pytest.raises(ValueError) as caught:
        call()
    for piece in pieces:
        assert piece in str(caught.value), f"{piece!r} is not in {caught.value!s}"
