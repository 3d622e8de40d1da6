"""Methods in files: a path method, a field method, a flow or a loss is kept by the name of its class and its options."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

from qpot._core.file_schema import Method
from qpot._core.file_tables import bases


@dataclasses.dataclass(frozen=True)
class RawMethod:
    """What a file holds of a method."""

    name: str
    options: dict[str, Any] | None


def is_known(value: Any, wings: tuple[str, ...]) -> bool:
    """Whether an object is a method of one of these wings, whose options are known."""
    ours = any(isinstance(value, bases(wing)) for wing in wings)
    return ours and (dataclasses.is_dataclass(value) or callable(getattr(value, "options", None)))


def options_of(value: Any) -> dict[str, Any]:
    """The options of a method that can be kept, by name."""
    if callable(getattr(value, "options", None)):
        return dict(value.options())
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}


def made(raw: Any, spec: Method) -> Any:
    """The method of what a file holds.

    Raises
    ------
    ValueError
        If its class is not known, or refuses the options.
    """
    if not isinstance(raw, RawMethod):
        raise ValueError(f"expected the name and the options of a method, got {raw!r:.80}")
    if raw.options is None:
        raise ValueError(f"the file does not hold the options of the method {raw.name:.80}")
    found = {cls.__name__: cls for wing in spec.wings for base in bases(wing) for cls in _subclasses(base)}
    if raw.name not in found:
        raise ValueError(
            f"the file names the method {raw.name:.80}, which is not one of {', '.join(sorted(found))}; import the module "
            "that defines it, then load the file again"
        )
    options = {name: made(one, spec) if isinstance(one, RawMethod) else one for name, one in raw.options.items()}
    try:
        return found[raw.name](**options)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{raw.name} does not take the options of the file: {error}") from error


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    """A class and all that inherit from it, those that were defined later last, as far as they can be made."""
    if not inspect.isabstract(base):
        yield base
    for one in base.__subclasses__():
        yield from _subclasses(one)
