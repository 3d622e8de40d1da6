"""The check that an argument is a system."""

from __future__ import annotations

from qpot.problem.system import System


def check_system(system: object) -> None:
    """Refuse what is no system."""
    if not isinstance(system, System):
        hint = "; pass its .system" if isinstance(getattr(system, "system", None), System) else ""
        given = system.__name__ if isinstance(system, type) else f"an object of type {type(system).__name__}"
        raise ValueError(f"system must be a qpot.System, got {given}{hint}")
