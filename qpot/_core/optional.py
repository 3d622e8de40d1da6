"""Packages that only some functions need: an error that says how to install them."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, what: str) -> Any:
    """The module of the optional extra ``data``, or an ImportError that says how to install it.

    Parameters
    ----------
    module : str
        "pandas" or "xarray".
    what : str
        What needs it, for the message.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{what} needs {module}, which is not installed: pip install 'qpot[data]'") from error


def coordinate_names(dimension: int) -> list[str]:
    """The names x_1, ..., x_d of coordinates in tables."""
    return [f"x_{i + 1}" for i in range(dimension)]
