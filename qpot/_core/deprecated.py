"""Old public names: they keep working for one release and warn with the new name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


def warn_renamed(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn that a name has been replaced by another one."""
    warnings.warn(
        f"{old} is now called {new}; the old name will go with the next release", DeprecationWarning, stacklevel
    )


def renamed_property(owner: str, old: str, new: str) -> Any:
    """A property under an old name that warns and returns the value of the attribute with the new name.

    Parameters
    ----------
    owner, old, new : str
        The names of the class, of the old and of the new attribute, as they appear in the warning.
    """

    def value(self: Any) -> Any:
        warn_renamed(f"{owner}.{old}", f"{owner}.{new}")
        return getattr(self, new)

    return property(value, doc=f"Old name of `{new}`.")


def renamed_method(owner: str, old: str, new: str) -> Any:
    """A method under an old name that calls the one of the new name."""

    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        warn_renamed(f"{owner}.{old}", f"{owner}.{new}")
        return getattr(self, new)(*arguments, **options)

    call.__doc__ = f"Old name of `{new}`."
    return call


def renamed(table: dict[str, str], module: str, namespace: dict[str, Any]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that resolves old names with a warning.

    Parameters
    ----------
    table : dict
        The old names and the new ones, ``{old: new}``.
    module : str
        The module's name, as it appears in the warning.
    namespace : dict
        The module's ``globals()``, from which the values of the new names are taken.
    """

    def lookup(name: str) -> Any:
        if name in table:
            warn_renamed(f"{module}.{name}", f"{module}.{table[name]}", stacklevel=3)
            return namespace[table[name]]
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return lookup
