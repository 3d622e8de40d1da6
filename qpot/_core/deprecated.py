"""Old public names: they keep working for one release and say what to write instead."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


def warn_renamed(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn that a name has become another one."""
    warnings.warn(
        f"{old} is now called {new}; the old name will go with the next release", DeprecationWarning, stacklevel
    )


def renamed_property(owner: str, old: str, new: str) -> Any:
    """A property under an old name that gives the value of the new one.

    Parameters
    ----------
    owner, old, new : str
        The class and its attribute, as they are written in the warning.
    """

    def value(self: Any) -> Any:
        warn_renamed(f"{owner}.{old}", f"{owner}.{new}")
        return getattr(self, new)

    return property(value, doc=f"Old name of `{new}`.")


def renamed(table: dict[str, str], module: str, namespace: dict[str, Any]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that resolves old names, given as ``{old: new}``."""

    def lookup(name: str) -> Any:
        if name in table:
            warn_renamed(f"{module}.{name}", f"{module}.{table[name]}", stacklevel=4)
            return namespace[table[name]]
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return lookup
