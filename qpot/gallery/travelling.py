"""Systems of the gallery that can be sent to other processes, though their functions are local to the one that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import FunctionType, MethodType
from typing import Any


class Travelling:
    """A function of a gallery system, which is sent as the name of its case and its place in it, and made again there."""

    def __init__(self, function: Any, case: str, parameters: dict[str, Any], place: int) -> None:
        self.function, self.case, self.parameters, self.place = function, case, parameters, place

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _function_of, (self.case, self.parameters, self.place)


def made(case: str, parameters: dict[str, Any]) -> Any:
    """The case of that name with these parameters."""
    # The gallery imports this module, so that it is named here only.
    return getattr(import_module("qpot.gallery"), case)(**parameters)


def let_travel(system: Any, case: str, parameters: dict[str, Any]) -> None:
    """Replace the local functions that a system holds by ones that can be sent to another process."""
    wrapped: dict[int, Travelling] = {}
    for owner, attribute, function in list(_local_functions(system)):
        if id(function) not in wrapped:
            wrapped[id(function)] = Travelling(function, case, parameters, len(wrapped))
        # The objects are frozen for users; this happens before anyone else has seen them.
        object.__setattr__(owner, attribute, wrapped[id(function)])


def _function_of(case: str, parameters: dict[str, Any], place: int) -> Travelling:
    """A function of a case that is made again, by its place."""
    found = {f.place: f for _, _, f in _local_functions(made(case, parameters).system) if isinstance(f, Travelling)}
    return found[place]


def _local_functions(system: Any) -> Iterator[tuple[Any, str, Any]]:
    """The objects within a system that hold local functions, the names of their attributes, and the functions."""
    seen: set[int] = set()
    stack = [system]
    while stack:
        owner = stack.pop()
        if id(owner) in seen or not type(owner).__module__.startswith("qpot.") or not hasattr(owner, "__dict__"):
            continue
        seen.add(id(owner))
        for attribute, value in list(vars(owner).items()):
            if isinstance(value, Travelling) or (isinstance(value, FunctionType) and "<locals>" in value.__qualname__):
                yield owner, attribute, value
            elif isinstance(value, MethodType):
                stack.append(value.__self__)
            else:
                stack.append(value)
