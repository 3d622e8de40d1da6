"""Initial value problems without warnings: a solver's status says what they repeat."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

Array = NDArray[np.float64]


@contextmanager
def quiet_lsoda() -> Iterator[None]:
    """Without LSODA's warnings that it has failed: where warnings are errors they would take the caller with it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="lsoda", category=UserWarning)
        yield


def quiet_ivp(function: Callable[..., Any], span: Any, start: Array, **options: Any) -> Any:
    """`scipy.integrate.solve_ivp`, where the caller looks at ``status`` and ``success``."""
    with quiet_lsoda():
        return solve_ivp(function, span, start, **options)
