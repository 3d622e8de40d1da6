"""Archives and whole files: sizes are said before they are read, and what was there stays until the new file is complete."""

from __future__ import annotations

import io
import os
import pathlib
import signal
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core.archive import MAX_BYTES, array_bytes, array_of, read_archive, write_archive
from qpot._core.whole_files import whole_file

ROOT = pathlib.Path(__file__).resolve().parents[3]


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


# --- sizes ---------------------------------------------------------------------------------------------------------------


def test_a_bomb_is_refused_before_it_expands(tmp_path: pathlib.Path) -> None:
    """14 MB that expand to 3.2 GB, in small: one that expands two hundredfold."""
    bomb = packed(("about.json", b"{}"), ("zeros.npy", bytes(20_000_000)))
    assert len(bomb) < 100_000
    (tmp_path / "bomb").write_bytes(bomb)
    with pytest.raises(ValueError, match=r"declares 20000002 bytes \(0.0186 GiB\), more than max_bytes=1000000; pass "):
        qpot.load(tmp_path / "bomb", max_bytes=1_000_000)
    assert MAX_BYTES == 2**30


def test_a_declared_size_of_terabytes_is_refused_unread() -> None:
    # The directory says 3.2 GB, while the member holds a few bytes: nothing is asked of the member.
    data = packed(("about.json", b"{}"))
    place = data.rfind(b"PK\x01\x02") + 24
    lying = data[:place] + (3_200_000_000).to_bytes(4, "little") + data[place + 4 :]
    with pytest.raises(ValueError, match="declares 3200000000 bytes"):
        qpot.load(io.BytesIO(lying))


def test_a_member_that_holds_more_than_it_declares_is_refused() -> None:
    data = packed(("about.json", b"{}"), ("a.npy", bytes(1_000_000)))
    short = (1000).to_bytes(4, "little")
    lying = data.replace((1_000_000).to_bytes(4, "little"), short)
    assert lying.count(short) == 2
    with pytest.raises(ValueError, match=r"no file of a qpot result|has not the size"):
        read_archive(io.BytesIO(lying), max_bytes=2**20)


def test_text_is_limited_more_than_numbers() -> None:
    """Python's objects take many times the space of their text."""
    data = packed(("about.json", b"{}"), ("value.json", b"[" + b"[]," * 50_000 + b"[]]"))
    with pytest.raises(ValueError, match="150006 bytes of text, more than a sixteenth of max_bytes=1000000"):
        read_archive(io.BytesIO(data), max_bytes=1_000_000)
    assert len(read_archive(io.BytesIO(data), max_bytes=16_000_000)) == 2


def test_a_large_file_is_refused_by_its_length(tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2**40)  # It has holes, and takes no space.
    with pytest.raises(
        ValueError, match=r"declares 1099511627776 bytes \(1.02e\+03 GiB\), more than max_bytes=1073741824"
    ):
        qpot.load(tmp_path / "large")


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "1 GiB", None])
def test_limits_that_are_none(limit: Any) -> None:
    with pytest.raises(ValueError, match="max_bytes must be a whole number"):
        qpot.load(io.BytesIO(), max_bytes=limit)


# --- members -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../up.npy", "/etc/passwd", "a/b.npy", "C:\\x.npy", "..", ".hidden", "a..b.npy", "x\ny.npy", "é.npy", "a" * 300],
)
def test_names_are_no_paths(name: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="which no file of qpot has"):
        read_archive(io.BytesIO(packed((name, b"data"))), max_bytes=1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(method: int) -> None:
    with pytest.raises(ValueError, match="packed in a way that no file of qpot is"):
        read_archive(io.BytesIO(packed(("a.npy", b"data"), method=method)), max_bytes=1000)


def test_encrypted_members_and_doubled_ones_are_refused() -> None:
    data = bytearray(packed(("a.npy", b"data")))
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ValueError, match="packed in a way"):
        read_archive(io.BytesIO(bytes(data)), max_bytes=1000)
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = packed(("a.npy", b"data"), ("a.npy", b"more"))
    with pytest.raises(ValueError, match="two members of one name"):
        read_archive(io.BytesIO(twice), max_bytes=1000)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array(2.5), np.zeros((0, 3)),
        np.array([True, False]), np.array([1 + 2j]), np.array([np.nan, -np.inf, -0.0]), np.arange(3, dtype=">i2"),
        np.array("text"), np.array(""), np.array([1.5], dtype=np.float32),
    ],
)  # fmt: skip
def test_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    found = array_of(array_bytes(array), "a")
    assert found.tobytes("A") == array.astype(array.dtype.newbyteorder("=")).tobytes("A")
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.flags.writeable
    assert found.flags.f_contiguous == array.flags.f_contiguous


def test_of_an_array_s_header_nothing_is_evaluated() -> None:
    whole = array_bytes(np.zeros(3))
    for old, new in (
        (b"'<f8'", b"'|O'  "),
        (b"(3,)", b"(9,)"),
        (b"(3,)", b"3*1,"),
        (b"False", b"1 / 0"),
        (b"'<f8'", b"'<f3'"),
        (b"\x01\x00v", b"\x02\x00v"),
        (b"{", b"["),
    ):
        assert old in whole
        with pytest.raises(ValueError, match=r"no array of numbers|size that its header declares"):
            array_of(whole.replace(old, new, 1), "a")
    for n in (0, 5, 9, 60, len(whole) - 1):
        with pytest.raises(ValueError, match="'a'"):
            array_of(whole[:n], "a")
    logical = bytearray(array_bytes(np.array([True])))
    logical[-1] = 7
    with pytest.raises(ValueError, match="no array of numbers"):
        array_of(bytes(logical), "a")
    huge = whole.replace(b"(3,), }" + b" " * 20, b"(99999999999999999,), }    ")
    with pytest.raises(ValueError, match="size that its header declares"):
        array_of(huge, "a")


def test_the_same_members_make_the_same_file() -> None:
    files = [io.BytesIO(), io.BytesIO()]
    numbers = np.random.default_rng(0).random(100_000).tobytes()
    for file in files:
        write_archive(file, {"a.npy": bytes(100_000), "b.npy": numbers})
    assert files[0].getvalue() == files[1].getvalue()
    # Zeros are packed, and digits that do not shrink are stored.
    assert len(numbers) < len(files[0].getvalue()) < len(numbers) + 2000


def test_streams(tmp_path: pathlib.Path) -> None:
    graph = qpot.w_graph(np.array([[0.0, 1.0], [2.0, 0.0]]), 0)
    file = io.BytesIO()
    graph.save(file)

    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._inner = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return self._inner.readinto(buffer)

    assert qpot.load(io.BufferedReader(Pipe(file.getvalue()))) == graph
    with pytest.raises(ValueError, match="stream holds more than max_bytes=10"):
        qpot.load(io.BufferedReader(Pipe(file.getvalue())), max_bytes=10)
    (tmp_path / "text").write_text("text")
    with open(tmp_path / "text") as text, pytest.raises(ValueError, match="open it in binary mode"):
        qpot.load(text)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        qpot.load(tmp_path / "missing")
    with pytest.raises(ValueError, match="is a folder"):
        qpot.load(tmp_path)
    with pytest.raises(ValueError, match="is a folder"):
        graph.save(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        graph.save(tmp_path / "none" / "file")
    for odd in (3, None, "", b"bytes", "a\0b"):
        with pytest.raises(ValueError, match="file"):
            graph.save(odd)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="file"):
            qpot.load(odd)  # type: ignore[arg-type]


# --- whole files ---------------------------------------------------------------------------------------------------------


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_on_the_way_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def write() -> None:
        with whole_file(tmp_path / "a") as file:
            file.write(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_links_modes_and_readers(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    os.chmod(tmp_path / "a", 0o640)
    (tmp_path / "link").symlink_to("a")
    with open(tmp_path / "a", "rb") as reader:
        with whole_file(tmp_path / "link") as file:
            file.write(b"new")
            assert (tmp_path / "link").read_bytes() == b"old"
        # Who has opened the file before reads the old one to its end.
        assert reader.read() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    with whole_file(tmp_path / "b") as file:
        file.write(b"new")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o666 & ~umask


SCRIPT = """
import os, resource, signal, sys
from qpot._core.archive import write_archive

if sys.argv[2] == "kill":
    os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    write_archive(sys.argv[1], {"value.json": os.urandom(5000)})
except OSError as error:
    sys.exit(f"OSError {error.errno}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")
@pytest.mark.parametrize("way", ["kill", "full"])
def test_a_kill_or_a_full_disk_leaves_the_old_file(way: str, tmp_path: pathlib.Path) -> None:
    old = qpot.w_graph(np.array([[0.0, 1.0], [2.0, 0.0]]), 0)
    file = tmp_path / "result.npz"
    old.save(file)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(file), way]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    if way == "kill":
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    else:
        assert ended.stderr.strip() == "OSError 27", ended.stderr
        assert names(tmp_path) == ["result.npz"]
    assert qpot.load(file) == old
