"""Tests of what the README promises: its commands and quick start, and that the files named by documents exist."""

import ast
import importlib.util
import io
import math
import pathlib
import re
from contextlib import redirect_stdout
from types import ModuleType

import pytest

import qpot

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Every folder of modules, and those of them that are wings; qpot/solvers is a link to solvers/.
FOLDERS = sorted(
    {path.parent for tree in ("qpot", "solvers") for path in (ROOT / tree).rglob("*.py")}
    - {path.parent for path in (ROOT / "qpot" / "solvers").rglob("*.py")}
    - {ROOT / "qpot", ROOT / "solvers"}
)
WINGS = [folder for folder in FOLDERS if folder.parent in (ROOT / "qpot", ROOT / "solvers")]
DOCUMENTS = sorted(path for path in ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _quick_start() -> tuple[str, str]:
    """The quick start's program and the output that is shown under it."""
    section = README.split("## Quick start")[1].split("\n## ")[0]
    program, shown = re.findall(r"```(?:python|text)\n(.*?)```", section, re.DOTALL)[:2]
    return program, shown


def _without_error_sizes(text: str) -> list[str]:
    """Words of a printed prediction without error estimates (2e-10), whose one digit may differ between machines."""
    return re.sub(r"\b\de-\d\d\b", "#e-#", text).split()


def test_two_commands_of_one_line() -> None:
    commands = _tool("readme_commands").commands()
    assert sorted(commands) == ["run", "test"]
    for command in commands.values():
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && ")  # this also works where the system manages its Python
        assert "export" not in command
        assert not re.search(r"\b[A-Z_]+=", command)  # a command sets no environment variable
    assert commands["run"].endswith(".venv/bin/python examples/symmetric_minima.py")
    assert commands["test"].endswith(".venv/bin/python -m pytest -n 2")


def test_command_blocks_of_another_shape_are_refused(tmp_path: pathlib.Path) -> None:
    commands = _tool("readme_commands").commands
    readme = tmp_path / "README.md"
    block = "<!-- command: run -->\n```sh\n{}```\n"
    readme.write_text(block.format("first\nsecond\n"))
    with pytest.raises(ValueError, match="2 lines"):
        commands(readme)
    readme.write_text(block.format("first\n") + block.format("second\n"))
    with pytest.raises(ValueError, match="twice"):
        commands(readme)
    readme.write_text(block.format("first\n"))
    assert commands(readme) == {"run": "first"}


def test_quick_start_runs_and_prints_what_it_says() -> None:
    program, shown = _quick_start()
    assert len([line for line in program.splitlines() if line.strip()]) <= 12
    names: dict[str, object] = {}
    output = io.StringIO()
    with redirect_stdout(output):
        exec(compile(program, "README.md", "exec"), names)
    assert _without_error_sizes(output.getvalue()) == _without_error_sizes(shown)

    prediction = names["prediction"]
    assert isinstance(prediction, qpot.Prediction)
    # The coordinate x moves on its own with covariance 1 + x/2, hence
    # V = int 4 (x^3 - x)/(2 + x) dx from a minimum up to the saddle
    forth, back = 4 * (13 / 3 - 6 * math.log(2)), 4 * (6 * math.log(1.5) - 7 / 3)
    assert prediction.selected == (0,)
    assert abs(prediction.costs.values[0, 1] - forth) < 1e-8
    assert abs(prediction.costs.values[1, 0] - back) < 1e-8
    assert abs(prediction.margin - (forth - back)) < 2e-8


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_files_that_exist(document: pathlib.Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    links += re.findall(r'<img src="([^"]+)"', text)
    missing = [target for target in links if not (document.parent / target).exists()]
    # These are the paths in code quotes that begin at the root of the project.
    named = re.findall(r"`((?:qpot|solvers|tests|examples|docs|benchmarks|tools|\.ci)/[\w./]*)`", text)
    missing += [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("wing", WINGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_architecture_places_every_wing(wing: pathlib.Path) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert any(name in text for name in (f"`{wing.name}`", f"`{wing.relative_to(ROOT)}/`"))


@pytest.mark.parametrize("wing", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_page_of_a_wing_names_its_modules(wing: pathlib.Path) -> None:
    """A module that its wing's page does not name, in code quotes, has no stated place."""
    page = ast.get_docstring(ast.parse((wing / "__init__.py").read_text(encoding="utf-8"))) or ""
    modules = [path.stem for path in sorted(wing.glob("*.py")) if path.name != "__init__.py"]
    unplaced = [name for name in modules if not re.search(rf"`(?:[\w.]+\.)?{name}(?:\.py)?`", page)]
    assert not unplaced
