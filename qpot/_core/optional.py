"""Packages that only some functions need: an error that says how to install them."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, what: str, *, title: str = "", extra: str = "data") -> Any:
    """An optional module, or an ImportError that says how to install it.

    Parameters
    ----------
    module : str
        "pandas", for example.
    what : str
        What needs it, for the message.
    title : str, optional
        The name of the package where that is not the module's.
    extra : str
        The extra of qpot of which it is a part.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {title or module}, which is not installed: pip install 'qpot[{extra}]'"
        ) from error


def coordinate_names(dimension: int) -> list[str]:
    """The names x_1, ..., x_d of coordinates in tables."""
    return [f"x_{i + 1}" for i in range(dimension)]
