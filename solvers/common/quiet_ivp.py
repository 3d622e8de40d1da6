"""Initial value problems without warnings: a solver's status says what they repeat."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

Array = NDArray[np.float64]


def quiet_ivp(function: Callable[..., Any], span: Any, start: Array, **options: Any) -> Any:
    """`scipy.integrate.solve_ivp`, where the caller looks at ``status`` and ``success``.

    LSODA warns besides that it has failed, and where warnings are errors it would take the caller with it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="lsoda", category=UserWarning)
        return solve_ivp(function, span, start, **options)
