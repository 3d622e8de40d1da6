"""Tests of the package as a whole: its folders, imports and docstrings, and that it prints nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import networkx as nx
import pytest

import qpot

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOLVERS = sorted((ROOT / "solvers").rglob("*.py"))
LIBRARY = sorted(p for p in (ROOT / "qpot").rglob("*.py") if "solvers" not in p.relative_to(ROOT).parts[1:])
# The wings from the ground up; a wing imports itself and those before it.
WINGS = (
    "_core",
    "samples",
    "chain",
    "problem",
    "landscape",
    "paths",
    "fields",
    "prediction",
    "simulation",
    "companions",
    "answers",
    "gallery",
    "plots",
)
# Methods whose bodies may import from a later wing: what they do with a result is known there.
EXCEPTIONS = {"plot": "plots", "check": "simulation"}
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
    # A folder of modules without __init__.py would be left out of the wheel.
    for path in (*LIBRARY, *SOLVERS):
        assert (path.parent / "__init__.py").exists(), path


@pytest.mark.skipif(
    (ROOT / "PKG-INFO").exists(), reason="an sdist holds no links, and does without this one once installed"
)
def test_the_link_to_the_solvers() -> None:
    link = ROOT / "qpot" / "solvers"
    assert link.is_symlink()
    assert os.readlink(link) == os.path.join("..", "solvers")
    assert link.resolve() == ROOT / "solvers"


def module_of(path: pathlib.Path) -> str:
    """Dotted name of a file of the library or the solvers."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] == "qpot" else ("qpot", *parts))


def imports(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything of ours that a file imports, lazily and for types too.

    Two exceptions are left out: the body of a method called ``plot`` may import figures, and that of ``check`` simulations.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    methods = [method for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for method in node.body]
    within: dict[ast.AST, str] = {
        node: EXCEPTIONS[method.name] for method in methods
        if isinstance(method, ast.FunctionDef) and method.name in EXCEPTIONS
        for node in ast.walk(method)
    }  # fmt: skip
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide where a line comes from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "qpot" and not (node in within and name.startswith(f"qpot.{within[node]}.")):
                yield getattr(node, "lineno", 0), name


def allowed(path: pathlib.Path, name: str) -> bool:
    """Whether a file may import a name: a wing from itself and those before it, the solvers nothing of the library."""
    tree, wing = path.relative_to(ROOT).parts[:2]
    before = WINGS[: WINGS.index(wing) + 1] if wing in WINGS else ()
    target = [*name.split("."), ""]
    if tree == "qpot":
        return target[1] in (*before, "solvers")
    return target[1] == "solvers" and target[2] in ("common", *before)


def test_a_wing_imports_only_itself_and_the_wings_before_it() -> None:
    inside = [path for path in (*LIBRARY, *SOLVERS) if path.parent.parent != ROOT]
    assert {path.name for path in {*LIBRARY, *SOLVERS} - {*inside}} == {"__init__.py"}, "a module lies in no wing"
    assert {path.relative_to(ROOT).parts[1] for path in inside} == {*WINGS, "common"}
    climbing = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in inside
        for line, name in imports(path)
        if not allowed(path, name)
    ]
    assert not climbing, "\n".join(climbing)


def test_no_modules_import_one_another() -> None:
    files = {module_of(path): path for path in (*LIBRARY, *SOLVERS)}
    graph = nx.DiGraph()
    for module, path in files.items():
        for _, name in imports(path):
            graph.add_edge(module, name if name in files else name.rpartition(".")[0])
    assert set(graph) <= set(files), "a name is imported from what is no module"
    circles = [", ".join(sorted(part)) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert not circles, "\n".join(circles)


def test_tests_mirror_the_tree() -> None:
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(ROOT) for path in (*LIBRARY, *SOLVERS) if path.name != "__init__.py"}
    tested = {
        path.parent.relative_to(tests) for tree in ("qpot", "solvers") for path in (tests / tree).rglob("test_*.py")
    }
    assert folders - tested == set(), "folders of modules without a test"
    # Tests that concern more than one wing of the library lie above the folders of the wings.
    assert tested - folders <= {pathlib.Path("qpot")}, "tests of what is no folder of modules"


def test_the_solvers_are_not_importable_on_their_own() -> None:
    result = run("import solvers")
    assert result.returncode != 0
    assert "import qpot.solvers" in result.stderr


def test_a_users_solvers_module_does_no_harm(tmp_path: pathlib.Path) -> None:
    (tmp_path / "solvers.py").write_text("raise RuntimeError('the wrong module')\n")
    result = run("import qpot.solvers.paths.elements; print(qpot.solvers.__file__)", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert pathlib.Path(result.stdout.strip()).resolve() == ROOT / "solvers" / "__init__.py"


@pytest.mark.parametrize("path", [*LIBRARY, *SOLVERS], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short_and_silent(path: pathlib.Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400, "a module has grown beyond what can be read in one go"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "input", "breakpoint"), f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr == "seed" and isinstance(node.value, ast.Attribute):
            assert node.value.attr != "random", "the global random state is not ours"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
            assert not all(isinstance(line, ast.Pass) for line in node.body), f"line {node.lineno}: a lost error"


def test_every_public_name_exists_and_is_documented() -> None:
    assert len(set(qpot.__all__)) == len(qpot.__all__), "a name is listed twice"
    # What tools that read types see of each wing is what a program finds there.
    initial = ast.parse((ROOT / "qpot" / "__init__.py").read_text(encoding="utf-8"))
    wings = [
        node for node in ast.walk(initial)
        if isinstance(node, ast.ImportFrom) and re.match(r"qpot(?!\._core)", f"{node.module}")
    ]  # fmt: skip
    seen = {alias.asname or alias.name: (node.module, alias.name) for node in wings for alias in node.names}
    assert {*seen, "load", "process_executor", "reporting", "save", "SolveError", "Status"} == set(qpot.__all__)
    for name, (module, original) in seen.items():
        assert getattr(qpot, name) is getattr(importlib.import_module(str(module)), original), name
    missing = []
    for name in qpot.__all__:
        item = getattr(qpot, name)
        if not inspect.getdoc(item):
            missing.append(name)
        if name in RESULTS:
            # A member is documented by itself or under the attributes of its class.
            for key, member in vars(item).items():
                named = inspect.isroutine(getattr(item, key)) or isinstance(member, property)
                if named and not key.startswith("_") and not inspect.getdoc(member) and key not in item.__doc__:
                    missing.append(f"{name}.{key}")
    for name in qpot.gallery.names():
        if not inspect.getdoc(getattr(qpot.gallery, name)):
            missing.append(f"gallery.{name}")
    assert missing == []


def test_dotted_names_in_docstrings_and_pages_exist() -> None:
    """A name such as ``qpot.WING.MODULE.function``, in messages too, is where the reader finds it, under its new name."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.py")]
    # The changelog and the hook for old names name what has gone.
    files = [path for path in (*LIBRARY, *SOLVERS, *pages) if path.name not in ("CHANGELOG.md", "moved.py")]
    missing = []
    for path in files:
        for name in re.findall(r"(?<![\w/.@-])qpot(?:\.[A-Za-z_]\w*)+", path.read_text(encoding="utf-8")):
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError, DeprecationWarning):
                # A module that needs an extra exists where that is not installed, too.
                if (ROOT / name.replace(".", "/")).with_suffix(".py").exists():
                    continue
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert missing == []


def test_no_module_has_the_name_of_a_public_function() -> None:
    modules = {p.stem for p in LIBRARY} | set(WINGS)
    functions = {name for name in qpot.__all__ if inspect.isfunction(getattr(qpot, name))}
    assert modules & functions == set()


def test_importing_is_light_and_silent() -> None:
    """The front imports a wing when it is asked for, and no wing imports what only some of its functions need."""
    result = run(
        "import sys, qpot\n"
        "early = [m for m in ('numba', 'scipy', 'networkx') if m in sys.modules]\n"
        "assert not early, early\n"
        "from qpot import *\n"
        "heavy = [m for m in ('matplotlib', 'scipy.stats', 'networkx', 'sklearn', 'pandas', 'IPython') if m in sys.modules]\n"
        "assert not heavy, heavy"
    )
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ("", "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'qpot' has no attribute 'quasi'"):
        _ = qpot.quasi
