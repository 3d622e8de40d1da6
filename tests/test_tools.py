"""Tests of the tools that repeat the tests: margins of tolerances, other processors, oldest versions."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import re
import sys
from types import ModuleType

import pytest

TOOLS = pathlib.Path(__file__).resolve().parent.parent / "tools"


def tool(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A tool as a module; its neighbours can be imported by it."""
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("bound", "counts"),
    [
        ("1e-9", True),
        ("0.05 * exact", True),
        ("0.5", False),
        ("2", False),
        ("found.error", False),
        ("found.error + 1e-12", False),
        ("1e-9 * size(x)", False),
    ],
)
def test_a_small_number_or_its_multiple_is_a_tolerance(
    bound: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    margins = tool("margins", monkeypatch)
    assert margins._is_a_tolerance(ast.parse(bound, mode="eval").body) is counts


def test_the_largest_share_of_a_tolerance_is_kept_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    margins = tool("margins", monkeypatch)
    recorded = margins.Margins()
    recorded.note("tests/a.py:1", "approx", [1e-13, 5e-13, float("nan")], 1e-12)
    recorded.note("tests/a.py:1", "approx", 2e-13, 1e-12)
    recorded.note("tests/b.py:2", "below", 1e-4, 5e-4, 100.0)
    recorded.note("tests/c.py:3", "below", 1e-8, 1e-6)
    recorded.note("tests/d.py:4", "approx", 0.0, 0.0)
    assert recorded.used["tests/a.py:1 approx"] == pytest.approx((0.5, 1e-12))
    assert recorded.used["tests/b.py:2 below"] == pytest.approx((0.2, 5e-6))
    margins.report([recorded.used], 10.0)
    printed = capsys.readouterr().out
    assert "2 of 3 tolerances are within a factor of 10" in printed
    rounding, grids = printed.split("grids, orders and samples")
    assert "tests/a.py:1" in rounding
    assert "tests/b.py:2" in grids
    assert "tests/c.py:3" not in printed


def test_recorders_are_put_around_the_smaller_side_of_assertions(monkeypatch: pytest.MonkeyPatch) -> None:
    margins = tool("margins", monkeypatch)
    tree = ast.parse("assert error < 1e-9\nassert 1e-6 >= other and third < 5\n")
    changed = ast.unparse(margins._Assertions("tests/a.py").visit(tree))
    assert "assert __qpot_margin__(error, 1e-09, 'tests/a.py:1') < 1e-09" in changed
    assert "1e-06 >= __qpot_margin__(other, 1e-06, 'tests/a.py:2')" in changed
    assert "third < 5" in changed


def test_only_what_numpy_uses_and_what_is_newer_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    processors = tool("other_processors", monkeypatch)
    hidden = [set(processors.hidden_features(processor.kept).split()) for processor in processors.PROCESSORS]
    assert hidden[0] <= hidden[1]
    for processor, names in zip(processors.PROCESSORS, hidden, strict=True):
        assert not names & set(processor.kept)


def test_every_requirement_has_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = tool("oldest_versions", monkeypatch).oldest()
    names = {requirement.partition("==")[0] for requirement in pinned}
    assert {"numpy", "scipy", "numba", "networkx", "matplotlib", "tqdm", "scikit-learn", "pytest"} <= names
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", requirement) for requirement in pinned)


def test_what_is_repeated_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    numeric = tool("numeric_tests", monkeypatch)
    for path in (*numeric.NUMERIC_TESTS, *numeric.FEWER_TESTS):
        assert (TOOLS.parent / path).exists(), path
