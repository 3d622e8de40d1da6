"""Records: values come back as they were, files are whole or not there, and no code is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core.fingerprint import Fingerprint, agree
from qpot._core.records import packed, read, unpacked, write


def test_values_come_back() -> None:
    rng = np.random.default_rng(3)
    rng.spawn(2)
    minimum = qpot.find_minima(qpot.gallery.double_well().system, [(-2, 2)])[0]
    value: dict[str, Any] = {
        "a": np.asfortranarray(rng.random((3, 4))),
        "b": (1, None, "x", 2.5, 3j),
        "c": [minimum],
        "d": rng,
    }
    again = unpacked(packed(value))
    assert np.array_equal(again["a"], value["a"])
    assert again["a"].flags.f_contiguous
    assert again["a"].flags.owndata
    assert again["b"] == value["b"]
    assert np.array_equal(again["c"][0].hessian, minimum.hessian)
    assert again["d"].spawn(1)[0].random() == rng.spawn(1)[0].random()
    assert again["d"].random() == rng.random()


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be kept in a checkpoint"):
        packed(lambda x: x)

    class Code:
        def __reduce__(self) -> Any:
            return os.system, ("true",)

    with pytest.raises(ValueError, match="system, which is no value"):
        unpacked(pickle.dumps(Code(), protocol=4))
    with pytest.raises(ValueError, match="getattr, which is no value"):
        unpacked(b"cbuiltins\ngetattr\n.")


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "part" / "a.record"
    assert read(path) is None
    write(path, b"one")
    write(path, b"another")
    assert read(path) == b"another"
    assert [p.name for p in path.parent.iterdir()] == ["a.record"]
    text = path.read_bytes()
    for damaged in (text[:-1], text[:-1] + b"x", b""):
        path.write_bytes(damaged)
        assert read(path) is None


def test_fingerprints() -> None:
    def same(a: Any, b: Any, *, exact: bool = False, tolerance: float = 1e-9) -> bool:
        return agree(Fingerprint(a, exact=exact).plain(), Fingerprint(b, exact=exact).plain(), tolerance=tolerance)

    x = np.random.default_rng(1).random((50, 3))
    moved = x.copy()
    moved[20, 1] += 1e-4
    swapped = x[::-1].copy()
    assert same({"x": x, "n": 3}, {"x": x * (1 + 1e-14), "n": 3})
    for other in (moved, swapped, x[:-1], x.astype(np.complex128)):
        assert not same(x, other)
    assert same(1e-6, 1e-6 * (1 + 1e-14))
    assert not same(1e-6, 1e-6 * (1 + 1e-14), exact=True)
    assert not same(1e-8, 2e-8)
    assert not same(True, 1)
    assert not same(np.array([1.0, np.nan]), np.array([np.nan, 1.0]))
    assert not same(qpot.GeometricAction(tolerance=1e-9), qpot.GeometricAction(tolerance=1e-8), exact=True)
    rng, spawned = np.random.default_rng(1), np.random.default_rng(1)
    assert same(rng, spawned)
    spawned.spawn(1)
    assert not same(rng, spawned)
