"""docs/claims.md is what tools/claims.py writes, and what it refers to exists."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from types import ModuleType

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Numbers that take less than about a tenth of a second each.
QUICK = (
    "isotropy",
    "ball_or_level",
    "flat",
    "exits",
    "lowest_exit",
    "modified_loss",
    "never_rests",
    "polyak",
    "mercer",
)


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("claims", ROOT / "tools" / "claims.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["claims"] = module
    spec.loader.exec_module(module)
    return module


def test_every_claim_is_on_the_page_with_its_proof() -> None:
    script, text = _script(), (ROOT / "docs" / "claims.md").read_text()
    claims = [claim for section in script.SECTIONS.values() for claim in section]
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| said")]
    assert len(rows) == len(claims)
    for claim, row in zip(claims, rows, strict=True):
        assert row.startswith(f"| {claim.said} | **{claim.verdict}** | ")
        assert row.endswith(f" | {script.links(claim.where)} |")
        for name in claim.where.split(", "):
            assert (ROOT / name).exists(), name
    assert all(title in text for title in script.SECTIONS)


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_number_is_the_one_on_the_page(name: str) -> None:
    script, text = _script(), (ROOT / "docs" / "claims.md").read_text()
    assert f" | {script.escaped(getattr(script, name)())} | " in text


@pytest.mark.slow
def test_the_page_is_what_the_script_writes() -> None:
    pytest.importorskip("sklearn", reason="one number is that of scikit-learn's machine")
    assert _script().page() == (ROOT / "docs" / "claims.md").read_text()
