"""List the tolerances of the tests that are nearly used up: ``python tools/margins.py [pytest arguments]``.

A tolerance that is just met here is exceeded on another processor, where sums round differently. This runs the tests and
compares, for each tolerance, what was measured with what is allowed. Recorded are ``pytest.approx``, NumPy's and the
standard library's ``allclose`` and ``isclose``, and assertions that a number is below a constant (``assert error < 1e-9``).
Only comparisons that hold and that a test or a doctest makes count. Those whose largest measured error is more than a
tenth of the tolerance are printed; a tolerance of 0 or an exact comparison is none.

Two lists are printed. What limits a tolerance below 1e-8 is rounding, or where an iteration stops, which is another on
another processor: none of these should be there. In the second list the error is that of a grid, of an order that is fitted,
or of a sample with a fixed seed, and nearly the same everywhere; there the test must say why it is no wider.

``--within FACTOR`` (10 by default) changes what is printed; all else goes to pytest.
"""

from __future__ import annotations

import ast
import builtins
import cmath
import contextlib
import copy
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.assertion import rewrite

ROOT = Path(__file__).resolve().parent.parent
# The folder for the records of this run; it is set for the processes of the tests alone.
_FOLDER = "QPOT_MARGINS"
# Seconds between two files of records of a process.
_PAUSE = 30.0
# The name under which the tests' assertions find the recorder.
_RECORDER = "__qpot_margin__"
# Relative or absolute tolerances below this one concern rounding and the ends of iterations.
_ROUNDING = 1e-8
# Constants above this one are bounds of something else than rounding and discretisation: counts, factors, shares.
_LARGEST_TOLERANCE = 0.05


class Margins:
    """The largest error / tolerance at every place of a test file.

    Attributes
    ----------
    used
        The share of the tolerance that was used and the tolerance, relative to the size of the value where the caller says
        that, by ``"file:line kind"``.
    """

    def __init__(self) -> None:
        self.used: dict[str, tuple[float, float]] = {}
        self.written = time.monotonic()

    def note(self, place: str, kind: str, errors: Any, allowed: Any, sizes: Any = 0.0) -> None:
        """Keep the largest of errors / allowed, unless it is larger already; values above 1 have the sizes."""
        with np.errstate(all="ignore"):
            errors, allowed, sizes = np.broadcast_arrays(
                *(np.asarray(v, dtype=float) for v in (errors, allowed, sizes))
            )
            counted = (allowed > 0.0) & np.isfinite(allowed) & np.isfinite(errors)
            if not counted.any():
                return
            shares = errors[counted] / allowed[counted]
            most = int(np.argmax(shares))
            tolerance = float(allowed[counted][most] / np.maximum(1.0, sizes[counted][most]))
        key = f"{place} {kind}"
        self.used[key] = max((float(shares[most]), tolerance), self.used.get(key, (0.0, 0.0)))

    def write(self) -> None:
        """Write what this process recorded so far."""
        self.written = time.monotonic()
        if self.used:
            (Path(os.environ[_FOLDER]) / f"{os.getpid()}.json").write_text(json.dumps(self.used))


def _place() -> str | None:
    """File and line of the test that compares, or None where the library itself does."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<doctest"):
            return f"{name[9:-1]}:{frame.f_lineno}"
        if name.startswith(str(ROOT / "tests")):
            return f"{Path(name).relative_to(ROOT)}:{frame.f_lineno}"
        if name.startswith((str(ROOT / "qpot"), str(ROOT / "solvers"))):
            return None
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _differences(actual: Any, expected: Any, rtol: float, atol: float) -> tuple[Any, Any, Any]:
    """|actual - expected|, what is allowed, and the sizes of the expected values."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    with np.errstate(all="ignore"):
        return np.abs(actual - expected), atol + rtol * np.abs(expected), np.abs(expected)


def _watch(margins: Margins) -> None:
    """Put recorders around everything that compares with a tolerance."""
    scalar: Any = next(kind for kind in type(pytest.approx(1.0)).__mro__ if kind.__name__ == "ApproxScalar")
    plain_equal = scalar.__eq__

    def equal(self: Any, actual: Any) -> bool:
        result = bool(plain_equal(self, actual))
        place = _place()
        if result and place and np.ndim(actual) == 0 and isinstance(self.expected, (int, float, complex, np.number)):
            expected = complex(self.expected)
            if not cmath.isfinite(expected):
                return result
            margins.note(place, "approx", abs(complex(actual) - expected), float(self.tolerance), abs(expected))
        return result

    scalar.__eq__ = equal

    def watched(module: Any, name: str, defaults: tuple[float, float], words: tuple[str, str]) -> None:
        plain: Callable[..., Any] = getattr(module, name)

        def compare(actual: Any, desired: Any, *args: Any, **options: Any) -> Any:
            result = plain(actual, desired, *args, **options)
            place = _place()
            if place and (result is None or np.all(result)):
                given = dict(zip(words, args, strict=False)) | options
                rtol, atol = (float(given.get(word, default)) for word, default in zip(words, defaults, strict=True))
                margins.note(place, name, *_differences(actual, desired, rtol, atol))
            return result

        setattr(module, name, compare)

    watched(np.testing, "assert_allclose", (1e-7, 0.0), ("rtol", "atol"))
    watched(np, "allclose", (1e-5, 1e-8), ("rtol", "atol"))
    watched(np, "isclose", (1e-5, 1e-8), ("rtol", "atol"))
    watched(math, "isclose", (1e-9, 0.0), ("rel_tol", "abs_tol"))


class _Assertions(ast.NodeTransformer):
    """Puts a recorder around the smaller side of every assertion ``something < constant``."""

    def __init__(self, place: str) -> None:
        self.place = place

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        """Record the comparisons of one assertion, also those that are joined by ``and``."""
        parts = (
            node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) else [node.test]
        )
        for part in parts:
            if isinstance(part, ast.Compare) and len(part.ops) == 1:
                if isinstance(part.ops[0], (ast.Lt, ast.LtE)) and _is_a_tolerance(part.comparators[0]):
                    part.left = self._recorded(part.left, part.comparators[0])
                elif isinstance(part.ops[0], (ast.Gt, ast.GtE)) and _is_a_tolerance(part.left):
                    part.comparators[0] = self._recorded(part.comparators[0], part.left)
        return ast.fix_missing_locations(node)

    def _recorded(self, error: ast.expr, allowed: ast.expr) -> ast.expr:
        """The expression of the error, handed through the recorder."""
        place = ast.Constant(f"{self.place}:{error.lineno}")
        call = ast.Call(ast.Name(_RECORDER, ast.Load()), [error, copy.deepcopy(allowed), place], [])
        return ast.copy_location(call, error)


def _is_a_tolerance(node: ast.expr) -> bool:
    """Whether an expression is a small number, or a multiple of one; it is evaluated twice, so calls are left out.

    A sum is a bound with some room beside it, such as an error bar.
    """
    parts = list(ast.walk(node))
    constants = [part.value for part in parts if isinstance(part, ast.Constant)]
    return not any(isinstance(part, (ast.Call, ast.NamedExpr, ast.Add)) for part in parts) and any(
        isinstance(value, float) and 0.0 < value <= _LARGEST_TOLERANCE for value in constants
    )


def _record(error: Any, allowed: Any, place: str) -> Any:
    """Record an error that an assertion compares with a constant, and hand it on."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):  # what is no number is no error
        _MARGINS.note(place, "below", error, allowed)
    return error


def _watch_assertions() -> None:
    """Let pytest see the tests with recorders in their assertions."""
    module: Any = rewrite
    plain = module.rewrite_asserts

    def rewritten(tree: ast.Module, source: bytes, module_path: str | None = None, *args: Any, **options: Any) -> None:
        if module_path and module_path.startswith(str(ROOT / "tests")):
            _Assertions(str(Path(module_path).relative_to(ROOT))).visit(tree)
        plain(tree, source, module_path, *args, **options)

    module.rewrite_asserts = rewritten
    setattr(builtins, _RECORDER, _record)


_MARGINS = Margins()


def pytest_configure(config: pytest.Config) -> None:
    """Start to record, in every process that runs tests."""
    _watch(_MARGINS)
    _watch_assertions()


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Write what this process recorded, now and then, so that a run that is cut short has told what it knew."""
    if time.monotonic() > _MARGINS.written + _PAUSE:
        _MARGINS.write()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write what this process recorded."""
    _MARGINS.write()


def report(records: Iterable[dict[str, tuple[float, float]]], within: float) -> None:
    """Print the largest shares at all places in the two lists."""
    largest: dict[str, tuple[float, float]] = {}
    for record in records:
        for place, pair in record.items():
            largest[place] = max((pair[0], pair[1]), largest.get(place, (0.0, 0.0)))
    rows = sorted(((*pair, place) for place, pair in largest.items() if pair[0] > 1.0 / within), reverse=True)
    print(f"\n{len(rows)} of {len(largest)} tolerances are within a factor of {within:g} of what was measured")
    for title, small in (("rounding and iterations", True), ("grids, orders and samples", False)):
        part = [row for row in rows if (row[1] < _ROUNDING) == small]
        print(f"\n{title} ({len(part)}): the share that was used, the tolerance, where")
        for share, tolerance, place in part:
            print(f"{share:8.3f} {tolerance:10.1e}  {place}")


def main(arguments: list[str]) -> int:
    """Run pytest and print the tolerances that are nearly used up; the status is pytest's."""
    within = 10.0
    if "--within" in arguments:
        at = arguments.index("--within")
        within = float(arguments[at + 1])
        arguments = arguments[:at] + arguments[at + 2 :]
    with tempfile.TemporaryDirectory(prefix="qpot-margins-") as folder:
        environment = {
            **os.environ,
            _FOLDER: folder,
            # assertions are compiled otherwise than usual, and must not be found by a usual run
            "PYTHONPYCACHEPREFIX": folder,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")]),
        }
        command = [sys.executable, "-m", "pytest", "-p", "margins", *arguments]
        status = subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
        records = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
    report(records, within)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
