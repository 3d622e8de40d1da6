"""Damage to saved files: random ways to corrupt one, and what loading it does then.

Damage is of two kinds. Most of it leaves the checksum as it was, as a faulty disk or an editor does: such a file must be
refused, or be loaded as what was saved. Forged files have a checksum that fits: what is loaded from one must be what it says.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

import qpot
from qpot._core.archive import array_bytes, array_of
from qpot._core.file_writer import content
from qpot._core.saved import _digest

Members = dict[str, bytes]
_ODD: tuple[Any, ...] = (
    0, 1, -1, 7, 2**31, 2**63, 10**40, 0.5, -2.5, 1e308, True, None, "text", [], {}, [[1]], {"float": "nan"},
            {"float": "x"}, {"object": 0}, {"object": 99}, {"array": "none"}, {"Status": "CONVERGED"}, {"map": [[1]]},
)  # fmt: skip


def saved(result: Any) -> bytes:
    """A result as the bytes of its file."""
    file = io.BytesIO()
    qpot.save(result, file)
    return file.getvalue()


def members_of(data: bytes) -> Members:
    """The members of a file that is whole."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: Members | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Members as a zip file, which is valid whatever they hold."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return file.getvalue()


def forged(members: Members) -> bytes:
    """Members as a file with a checksum that fits."""
    about = json.loads(members["about.json"])
    about.pop("sha256", None)
    rest = {name: data for name, data in members.items() if name != "about.json"}
    about["sha256"] = _digest(about, rest)
    return packed({"about.json": json.dumps(about).encode(), **rest})


# --- damage that leaves the checksum as it was ---------------------------------------------------------------------------


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bits turned."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        out[int(rng.integers(len(out)))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    """The end missing, or the beginning."""
    n = int(rng.integers(len(data)))
    return data[:n] if rng.integers(2) else data[n:]


def overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    """A block of zeros or noise, as from a disk that lost it, or some bytes added or cut out."""
    a = int(rng.integers(len(data)))
    b = min(a + int(rng.integers(1, 600)), len(data))
    noise = rng.integers(0, 256, b - a, dtype=np.uint8).tobytes()
    return data[:a] + [bytes(b - a), noise, b"", noise + data[a:b]][int(rng.integers(4))] + data[b:]


def change_members(data: bytes, rng: np.random.Generator) -> bytes:
    """A member removed, renamed, doubled, emptied, exchanged for another, or added, in a valid zip file."""
    items = list(members_of(data).items())
    n, m = int(rng.integers(len(items))), int(rng.integers(len(items)))
    name, text = items[n]
    kind = int(rng.integers(6))
    if kind == 0:
        del items[n]
    elif kind == 1:
        items[n] = (
            str(rng.choice(["other.npy", "../up.npy", "/root.npy", "a/b.npy", "C:.npy", " ", name.upper()])),
            text,
        )
    elif kind == 2:
        items.insert(m, items[n])
    elif kind == 3:
        items[n] = name, b""
    elif kind == 4:
        items[n], items[m] = (name, items[m][1]), (items[m][0], text)
    else:
        items.append((f"added{n}.npy", text))
    return packed_quietly(items)


def packed_quietly(items: list[tuple[str, bytes]]) -> bytes:
    """As `packed`, for names that occur twice, of which zipfile warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return packed(items)


def edit_header(data: bytes, rng: np.random.Generator) -> bytes:
    """An entry of the header changed or removed."""
    members = members_of(data)
    members["about.json"] = json.dumps(_edited(json.loads(members["about.json"]), rng)).encode()
    return packed(members)


def edit_values(data: bytes, rng: np.random.Generator) -> bytes:
    """A value changed."""
    members = members_of(data)
    members["value.json"] = json.dumps(_edited(json.loads(members["value.json"]), rng)).encode()
    return packed(members)


def change_directory(data: bytes, rng: np.random.Generator) -> bytes:
    """Another byte in the directory at the end of the zip file, which says where members are and how large."""
    begin = data.find(b"PK\x01\x02")
    out = bytearray(data)
    out[int(rng.integers(begin, len(out)))] = int(rng.integers(256))
    return bytes(out)


# --- forgeries -----------------------------------------------------------------------------------------------------------


def forge_values(data: bytes, rng: np.random.Generator) -> bytes:
    """Values changed, with a checksum that fits."""
    members = members_of(data)
    value = json.loads(members["value.json"])
    for _ in range(int(rng.integers(1, 3))):
        value = _edited(value, rng)
    members["value.json"] = json.dumps(value).encode()
    return forged(members)


def forge_arrays(data: bytes, rng: np.random.Generator) -> bytes:
    """An array changed in its type, its shape or its numbers, with a checksum that fits."""
    members = members_of(data)
    names = [name for name in members if name.endswith(".npy")]
    if not names:
        return forge_values(data, rng)
    name = str(rng.choice(names))
    array = array_of(members[name], name)
    kind = int(rng.integers(7))
    if kind == 0 and array.size:
        array.flat[int(rng.integers(array.size))] = (
            rng.choice([0, 1, -1, 5, 2**40]) if array.dtype.kind != "b" else True
        )
    elif kind == 1 and array.size and array.dtype.kind in "fc":
        array.flat[int(rng.integers(array.size))] = rng.choice([np.nan, np.inf, -np.inf, -1e300])
    elif kind == 2:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            array = array.astype(rng.choice(["f4", "f8", "i8", "i4", "c16", "?", "u1"]))
    elif kind == 3:
        array = array[None] if rng.integers(2) else array.ravel()
    elif kind == 4:
        array = np.concatenate([array.ravel(), array.ravel()[:1]])
    elif kind == 5:
        array = array.T if array.ndim > 1 else array[:-1] if array.ndim else array
    else:
        out = bytearray(members[name])
        out[int(rng.integers(min(len(out), 128)))] ^= 1 << int(rng.integers(8))
        members[name] = bytes(out)
        return forged(members)
    with np.errstate(all="ignore"):
        members[name] = array_bytes(np.asarray(array))
    return forged(members)


DAMAGE: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    f.__name__: f for f in (flip_bits, truncate, overwrite, change_members, edit_header, edit_values, change_directory)
}
FORGERIES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    f.__name__: f for f in (forge_values, forge_arrays)
}


def _edited(tree: Any, rng: np.random.Generator) -> Any:
    """A tree of JSON with one place in it changed: a value put there, an entry removed or doubled, or two exchanged."""
    places: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            stack.append(node[key])
    node, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(5))
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, list):
        node.append(node[key])
    elif kind == 2:
        other, there = places[int(rng.integers(len(places)))]
        if not isinstance(node[key], (dict, list)) and not isinstance(other[there], (dict, list)):
            node[key], other[there] = other[there], node[key]
        else:
            node[key] = _ODD[int(rng.integers(len(_ODD)))]
    elif kind == 3 and isinstance(node[key], (int, float)) and not isinstance(node[key], bool):
        node[key] = node[key] * float(rng.choice([-1.0, 1e3, 1.0000001])) + int(rng.integers(2))
    else:
        node[key] = _ODD[int(rng.integers(len(_ODD)))]
    return json.loads(json.dumps(tree))


# --- what loading does ---------------------------------------------------------------------------------------------------


def outcome(original: Any, data: bytes, *, is_forged: bool) -> str:
    """What loading a file does: "refused", "equal", "says so" for a forgery that is a result; others are faults."""
    try:
        result = qpot.load(io.BytesIO(data), max_bytes=2**26)
    except ValueError as error:
        return "refused" if str(error) else "CRASH: an error without a word"
    except BaseException as error:
        return f"CRASH: {type(error).__name__}: {error}"
    try:
        text, arrays = content(result)
    except Exception as error:
        return f"WRONG: it holds what no result holds: {error}"
    if (text, arrays) == content(original):
        return "equal"
    if not is_forged:
        return "WRONG"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # Numbers that no solver gives have odd logarithms.
            repr(result)
    except Exception as error:
        return f"CRASH: its text: {type(error).__name__}: {error}"
    try:
        members = members_of(data)
        told, found = tree_of(members["value.json"], members), tree_of(text, arrays)
    except (zlib.error, zipfile.BadZipFile, KeyError) as error:
        return f"WRONG: loaded, and {type(error).__name__}"
    return "says so" if agrees(told, found) else "WRONG: another result than the file says"


def tree_of(text: bytes, members: Members) -> Any:
    """The values of a file with objects and arrays in place of the references to them."""
    value = json.loads(text)
    made: list[Any] = []

    def filled(tree: Any) -> Any:
        if isinstance(tree, list):
            return [filled(one) for one in tree]
        if not isinstance(tree, dict):
            return tree
        if set(tree) == {"object"}:
            return made[tree["object"]]
        if set(tree) == {"array"}:
            array = array_of(members[f"{tree['array']}.npy"], "array")
            return {"array": [str(array.dtype), list(array.shape), array.tobytes("A").hex()]}
        return {key: filled(one) for key, one in tree.items()}

    for item in value["objects"]:
        made.append({"class": item["class"], "fields": filled(item["fields"])})
    return made[value["result"]]


def agrees(told: Any, found: Any) -> bool:
    """Whether what was loaded is what the file says; what the file leaves out has its default."""
    if isinstance(told, dict):
        return isinstance(found, dict) and all(key in found and agrees(one, found[key]) for key, one in told.items())
    if isinstance(told, list):
        return isinstance(found, list) and len(told) == len(found) and all(map(agrees, told, found))
    return bool(told == found)
