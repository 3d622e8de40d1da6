"""Records: results on disk, one file each, which are complete or not there."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import sys
from enum import Enum
from pathlib import Path
from typing import Any

from qpot._core.whole_files import whole_file

# How a file begins, with the version of the format.
_HEAD = b"qpot record 1\n"
# Pickled arrays of this protocol own their memory when they are read; those of the next one are views of the file's text.
_PROTOCOL = 4
# Functions and types, outside of this library, of which arrays, generators and plain containers are rebuilt.
_REBUILDING = {
    ("builtins", "complex"),
    ("builtins", "frozenset"),
    ("builtins", "range"),
    ("builtins", "set"),
    ("builtins", "slice"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._pickle", "__generator_ctor"),
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
}


def packed(value: Any) -> bytes:
    """A result as bytes: arrays, plain containers, dataclasses, and nothing that is found by name in a user's code.

    Raises
    ------
    ValueError
        If the value holds something that cannot be written.
    """
    buffer = io.BytesIO()
    try:
        pickle.Pickler(buffer, protocol=_PROTOCOL).dump(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"a result of type {type(value).__name__} cannot be kept in a checkpoint: {error}") from error
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """What `packed` has written.

    Raises
    ------
    ValueError
        If the bytes name a function, or a class that is not one of values. Hence a folder from elsewhere runs no code.
    """
    return _Reader(io.BytesIO(data)).load()


class _Reader(pickle.Unpickler):
    """An unpickler that builds values only."""

    def find_class(self, module: str, name: str) -> Any:
        root = module.partition(".")[0]
        if (module, name) in _REBUILDING:
            return super().find_class(module, name)
        # Modules that are not imported yet are left alone, but for those of the libraries at hand.
        if root in ("qpot", "numpy", "scipy") or module in sys.modules:
            found = super().find_class(module, name)
            if isinstance(found, type):
                plain = dataclasses.is_dataclass(found) or issubclass(found, Enum)
                if plain or root in ("qpot", "numpy", "scipy"):
                    return found
        raise ValueError(f"a record names {module}.{name}, which is no value; import the module that defines it")


def write(path: Path, data: bytes) -> None:
    """Write a file that holds all the data or does not exist, even if the process or the machine stops on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One process at a time writes in the folder of a checkpoint, so that a draft that was left behind is written anew.
    with whole_file(path, draft=path.with_name(f"{path.name}.draft")) as file:
        file.write(_HEAD + hashlib.sha256(data).digest() + data)


def read(path: Path) -> bytes | None:
    """The data of a file, None where there is none or where its text was damaged."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    head, data = text[: len(_HEAD) + 32], text[len(_HEAD) + 32 :]
    return data if head == _HEAD + hashlib.sha256(data).digest() else None
