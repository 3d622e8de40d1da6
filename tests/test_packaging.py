"""The package as a package: folders, imports, docstrings, no output."""

from __future__ import annotations

import ast
import inspect
import os
import pathlib
import subprocess
import sys
import tomllib

import pytest

import qpot

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOLVERS = sorted((ROOT / "solvers").rglob("*.py"))
LIBRARY = sorted(p for p in (ROOT / "qpot").rglob("*.py") if "solvers" not in p.relative_to(ROOT).parts[1:])
RESULTS = (
    "System",
    "FiniteSum",
    "Minimum",
    "Saddle",
    "PathSolution",
    "TransitionCosts",
    "Prediction",
    "Cycle",
    "WGraph",
)


def run(code: str, cwd: pathlib.Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_package_list_matches_the_folders() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        "qpot" + "".join(f".{part}" for part in p.parent.relative_to(ROOT / "qpot").parts)
        for p in LIBRARY
        if p.name == "__init__.py"
    } | {
        "qpot.solvers" + "".join(f".{part}" for part in p.parent.relative_to(ROOT / "solvers").parts)
        for p in SOLVERS
        if p.name == "__init__.py"
    }
    assert set(settings["packages"]) == folders
    assert settings["package-dir"] == {"qpot.solvers": "solvers"}
    # a folder of modules without __init__.py would be left out of the wheel
    for path in (*LIBRARY, *SOLVERS):
        assert (path.parent / "__init__.py").exists(), path


def test_the_link_to_the_solvers() -> None:
    link = ROOT / "qpot" / "solvers"
    assert link.is_symlink()
    assert os.readlink(link) == os.path.join("..", "solvers")
    assert link.resolve() == ROOT / "solvers"


@pytest.mark.parametrize("path", SOLVERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_solvers_never_import_the_api(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a line comes from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "qpot":
                assert name.startswith("qpot.solvers"), f"{path.name} imports {name}"


def test_the_solvers_are_not_importable_on_their_own() -> None:
    result = run("import solvers")
    assert result.returncode != 0
    assert "import qpot.solvers" in result.stderr


def test_a_users_solvers_module_does_no_harm(tmp_path: pathlib.Path) -> None:
    (tmp_path / "solvers.py").write_text("raise RuntimeError('the wrong module')\n")
    result = run("import qpot.solvers.elements; import qpot; print(qpot.solvers.__file__)", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", [*LIBRARY, *SOLVERS], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short_and_silent(path: pathlib.Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 410, "a module has grown beyond what can be read in one go"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "input", "breakpoint"), f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr == "seed" and isinstance(node.value, ast.Attribute):
            assert node.value.attr != "random", "the global random state is not ours"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
            assert not all(isinstance(line, ast.Pass) for line in node.body), f"line {node.lineno}: a lost error"


def test_every_public_name_exists_and_is_documented() -> None:
    assert sorted(qpot.__all__) == qpot.__all__ or set(qpot.__all__) == set(dict.fromkeys(qpot.__all__))
    missing = []
    for name in qpot.__all__:
        item = getattr(qpot, name)
        if not inspect.getdoc(item):
            missing.append(name)
        if name in RESULTS:
            # a member is documented by itself or under the attributes of its class
            for key, member in vars(item).items():
                named = inspect.isroutine(getattr(item, key)) or isinstance(member, property)
                if named and not key.startswith("_") and not inspect.getdoc(member) and key not in item.__doc__:
                    missing.append(f"{name}.{key}")
    for name in qpot.gallery.names():
        if not inspect.getdoc(getattr(qpot.gallery, name)):
            missing.append(f"gallery.{name}")
    assert missing == []


def test_no_module_has_the_name_of_a_public_function() -> None:
    modules = {p.stem for p in LIBRARY}
    functions = {name for name in qpot.__all__ if inspect.isfunction(getattr(qpot, name))}
    assert modules & functions == set()


def test_importing_is_light_and_silent() -> None:
    result = run(
        "import sys, qpot\n"
        "heavy = [m for m in ('matplotlib', 'sklearn', 'pandas', 'IPython') if m in sys.modules]\n"
        "assert not heavy, heavy"
    )
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ("", "")
