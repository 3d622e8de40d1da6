"""Archives: zip files of arrays and texts, whose sizes are known before anything in them is expanded."""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from qpot._core.whole_files import whole_file

if TYPE_CHECKING:
    from qpot._core.types import FileLike

# What a file may take in memory unless the caller allows more: 1 GiB.
MAX_BYTES = 2**30
# Python's objects take some twenty times the space of the text that they are read from.
TEXT_SHARE = 16
# Names of members: no folders, no drives, nothing that a file system could take for more than a name.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,-]{0,199}")
# What stands at the beginning of a file in NumPy's format, version 1; larger headers than its 65535 bytes are not written.
_MAGIC = b"\x93NUMPY\x01\x00"
# The header of an array, of which nothing is evaluated: its type, its order in memory, and its shape.
_HEADER = re.compile(
    rb"\{'descr': '([<>|])([fiubcU])([0-9]{1,10})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,19}, )*(?:[0-9]{1,19},?)?)\), \} *\n"
)
_SIZES = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,), "c": (8, 16)}
# Members are read in pieces, so that one that expands to more than it declares is noticed in time.
_PIECE = 1 << 20
# Data is stored as it is where a sample of it shrinks by less than a tenth, as the digits of most numbers do.
_SAMPLE, _SHRINKS = 1 << 16, 0.9
# What the zip reader raises for damaged files.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    IndexError,
    KeyError,
    OverflowError,
    UnicodeError,
    OSError,
)


def write_archive(file: FileLike, members: Mapping[str, bytes]) -> None:
    """Write members to a file, which is complete or not touched, or to a binary stream.

    The same members give the same bytes, whenever they are written.

    Raises
    ------
    ValueError
        If ``file`` is neither a path nor a binary stream, or is a folder.
    """
    if hasattr(file, "write"):
        _write(file, members)  # type: ignore[arg-type]
        return
    with whole_file(as_path(file)) as stream:
        _write(stream, members)


def _write(stream: IO[bytes], members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
        for name, data in members.items():
            sample = data[:_SAMPLE]
            shrinks = len(zlib.compress(sample, 1)) < _SHRINKS * len(sample)
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)


def read_archive(file: FileLike, *, max_bytes: int) -> dict[str, bytes]:
    """The members of a file, by name.

    Parameters
    ----------
    file : path or binary stream
        Of a path at which there is no file, that with ``.npz`` appended is read.
    max_bytes : int
        What the members may take together once they are expanded. It is compared with the sizes in the file's directory
        before anything is expanded, and a member that expands to another size than it declares is refused.

    Raises
    ------
    ValueError
        If the file is no such archive, is damaged, or is larger than allowed.
    OSError
        If there is no such file, or it cannot be opened.
    """
    if hasattr(file, "read"):
        return _read(_seekable(file, max_bytes), "the stream", max_bytes)
    path = as_path(file)
    beside = path.with_name(f"{path.name}.npz")
    if not path.exists() and beside.exists():
        path = beside
    if path.is_dir():
        raise ValueError(f"file={str(path)!r} is a folder; pass the name of a saved file")
    with open(path, "rb") as stream:
        return _read(stream, str(path), max_bytes)


def as_path(file: Any) -> Path:
    """The path of a file; ValueError for what is none."""
    if not isinstance(file, (str, os.PathLike)) or isinstance(file, bytes):
        raise ValueError(f"file must be a path or an open binary file, got {file!r}")
    if str(file) == "" or "\0" in str(file):
        raise ValueError(f"file={str(file)!r} is no name of a file")
    return Path(file)


def _seekable(stream: Any, max_bytes: int) -> IO[bytes]:
    """A stream in which one can go back; what comes through a pipe is read into memory."""
    if getattr(stream, "seekable", lambda: False)():
        if not isinstance(stream.read(0), bytes):
            raise ValueError('file is open as text; open it in binary mode, open(name, "rb")')
        return stream  # type: ignore[no-any-return]
    data = stream.read(max_bytes + 1)
    if not isinstance(data, bytes):
        raise ValueError('file is open as text; open it in binary mode, open(name, "rb")')
    if len(data) > max_bytes:
        raise ValueError(f"the stream holds more than max_bytes={max_bytes}; pass a larger max_bytes if you trust it")
    return io.BytesIO(data)


def _read(stream: IO[bytes], name: str, max_bytes: int) -> dict[str, bytes]:
    try:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if size > max_bytes:
            raise _too_large(name, size, max_bytes)
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            _check(entries, name, max_bytes)
            return {entry.filename: _expanded(archive, entry, name) for entry in entries}
    except _DAMAGE as error:
        raise ValueError(
            f"{name} is no file of a qpot result, or was damaged ({type(error).__name__}: {error}); load a copy"
        ) from error


def _check(entries: list[zipfile.ZipInfo], name: str, max_bytes: int) -> None:
    """Refuse a directory of members that cannot be read safely."""
    for entry in entries:
        # The reader cuts names at a zero byte, so that the original one is looked at.
        if not _NAME.fullmatch(entry.orig_filename) or ".." in entry.filename:
            raise ValueError(f"{name} holds a member {entry.orig_filename[:80]!r}, which no file of qpot has")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 0x1:
            raise ValueError(f"{name}: the member {entry.filename!r} is packed in a way that no file of qpot is")
    if len({entry.filename for entry in entries}) < len(entries):
        raise ValueError(f"{name} holds two members of one name, and was damaged; load a copy")
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise _too_large(name, total, max_bytes)
    text = sum(entry.file_size for entry in entries if entry.filename.endswith(".json"))
    if text > max_bytes // TEXT_SHARE:
        raise ValueError(
            f"{name} declares {text} bytes of text, more than a sixteenth of max_bytes={max_bytes}; pass a larger max_bytes "
            "if you trust the file"
        )


def _too_large(name: str, size: int, max_bytes: int) -> ValueError:
    return ValueError(
        f"{name} declares {size} bytes ({size / 2**30:.3g} GiB), more than max_bytes={max_bytes}; pass "
        f"max_bytes={size} if you trust the file and have the memory"
    )


def _expanded(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> bytes:
    """The data of a member, of exactly the size that it declares."""
    pieces, size = [], 0
    with archive.open(entry) as member:
        while piece := member.read(_PIECE):
            pieces.append(piece)
            size += len(piece)
    if size != entry.file_size:
        raise ValueError(f"{name}: the member {entry.filename!r} has not the size that it declares; load a copy")
    return b"".join(pieces)


def array_bytes(value: np.ndarray[Any, Any]) -> bytes:
    """An array in NumPy's format, little-endian, so that `numpy.load` reads it as well."""
    array = value.astype(value.dtype.newbyteorder("<"), copy=False)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def array_of(data: bytes, name: str) -> np.ndarray[Any, Any]:
    """The array that `array_bytes` or NumPy wrote; of its header nothing is evaluated.

    Raises
    ------
    ValueError
        If the data is not that of an array of numbers or text, or its size is not what its header says.
    """
    wrong = ValueError(f"the entry {name!r} is no array of numbers; the file was damaged or made by something else")
    if len(data) < 10 or not data.startswith(_MAGIC):
        raise wrong
    begin = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[10:begin])
    if header is None:
        raise wrong
    order, kind, digits, fortran, axes = (part.decode() for part in header.groups())
    shape = tuple(int(n) for n in axes.split(",") if n.strip())
    width = int(digits)
    if kind != "U" and width not in _SIZES[kind]:
        raise wrong
    if math.prod(shape) * (4 * width if kind == "U" else width) != len(data) - begin:
        raise ValueError(f"the entry {name!r} has not the size that its header declares")
    if kind == "U" and width == 0:
        return np.zeros(shape, dtype="U1")
    dtype = np.dtype(f"{order}{kind}{width}")
    flat = np.frombuffer(data, dtype=dtype, offset=begin)
    if kind == "b" and flat.size and flat.view(np.uint8).max() > 1:
        raise wrong
    array = flat.reshape(shape, order="F" if fortran == "True" else "C")
    # A copy owns its memory and can be written to.
    return array.astype(dtype.newbyteorder("="), order="K", copy=True)
