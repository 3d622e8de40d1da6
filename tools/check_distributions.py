"""Build an sdist and a wheel, and test both outside of the checkout: ``python tools/check_distributions.py FOLDER``.

The sdist must hold every file of the tree and the wheel every module. The wheel is installed into a fresh virtual
environment, in which the README's quick start and some tests of the unpacked sdist run in an empty folder: there they can
find no other qpot.
Needs the package ``build`` and a package index.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Folders and files that are made by work in the tree.
MADE = re.compile(r"(^|/)(\.\w+_cache|\.venv|\.git|\.hypothesis|__pycache__|build|dist|output|[\w.]+\.egg-info)(/|$)")
# Quick tests that come with the sdist; they need pytest, hypothesis and mpmath only.
TESTS = ("tests/qpot/chain",)


def expected() -> set[str]:
    """The files of the tree, as paths from its root; ``qpot/solvers`` is a link, and is left out."""
    names = (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file())
    return {name for name in names if not MADE.search(name) and not name.startswith("qpot/solvers/")}


def contents(sdist: Path, wheel: Path) -> list[str]:
    """A line for each file that is missing from the sdist or the wheel, or has no place in the wheel."""
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    faults = [f"the sdist lacks {name}" for name in sorted(expected() - inside)]
    modules = {re.sub("^solvers/", "qpot/solvers/", n) for n in expected() if re.match(r"(qpot|solvers)/.*\.py$", n)}
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    faults += [f"the wheel lacks {name}" for name in sorted({*modules, "qpot/py.typed"} - files)]
    return faults + [f"the wheel should not hold {name}" for name in sorted(files - modules - {"qpot/py.typed"})]


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command in a folder, as a user who knows nothing of the checkout."""
    print("+", *command, flush=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([str(part) for part in command], cwd=cwd, env=environment, check=True)


def check_wheel(wheel: Path, sdist: Path, folder: Path) -> None:
    """Install a wheel into a fresh environment and use it there."""
    venv.create(folder / "venv", with_pip=True, clear=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, "pytest>=8", "hypothesis>=6.100", "mpmath>=1.3", cwd=folder)
    run(python, "-m", "pip", "check", cwd=folder)
    empty = folder / "elsewhere"
    empty.mkdir()
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("## Quick start")[1]
    program, shown = re.findall(r"```(?:python|text)\n(.*?)```", readme, re.DOTALL)[:2]
    (empty / "quick_start.py").write_text(program, encoding="utf-8")
    run(python, "quick_start.py", cwd=empty)
    print(f"the README shows: {shown.splitlines()[0]}")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "sdist", filter="data")
    unpacked = next((folder / "sdist").iterdir())
    for name in ("tests", "examples"):
        shutil.copytree(unpacked / name, empty / name)
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(unpacked / name, empty / name)
    where = "import pathlib, qpot, qpot.solvers; assert 'site-packages' in pathlib.Path(qpot.solvers.__file__).parts"
    run(python, "-c", where, cwd=empty)
    run(python, "-m", "pytest", "-q", *TESTS, cwd=empty)


def main(arguments: list[str] | None = None) -> int:
    """Build and check; the exit status is 1 if a file is missing, and a failed command ends with an error."""
    parser = argparse.ArgumentParser(description="Build an sdist and a wheel, and test both outside of the checkout.")
    parser.add_argument("folder", type=Path, help="where they are built; it must not exist, or be empty")
    folder = parser.parse_args(arguments).folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    with (folder / "build.log").open("w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(ROOT)]
        if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode:
            print((folder / "build.log").read_text(encoding="utf-8"), file=sys.stderr)
            return 1
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    faults = contents(sdist, wheel)
    print("\n".join(faults), file=sys.stderr)
    if faults:
        return 1
    check_wheel(wheel, sdist, folder)
    print(f"{sdist.name} and {wheel.name} are whole, and the wheel works outside of the checkout")
    return 0


if __name__ == "__main__":
    sys.exit(main())
