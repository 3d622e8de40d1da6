"""Kernels are compiled and kept where neither the installation nor the user's home can be written."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from qpot.solvers.common import cache_folder

ROOT = pathlib.Path(__file__).resolve().parents[3]
needs_users = pytest.mark.skipif(not hasattr(os, "getuid"), reason="users are told apart by their number")
# What a process does that imports all kernels and compiles one of them; it prints how many times it compiled.
WORK = """
import importlib, pkgutil
import numpy as np, qpot, qpot.solvers
from qpot.solvers.common import compiling
for module in pkgutil.walk_packages(qpot.solvers.__path__, "qpot.solvers."):
    importlib.import_module(module.name)
told = []
with compiling.watching(told.append):
    kernel = qpot.solvers.chain.arborescence._add_from_above.kernel
    D = np.ones((1, 1), dtype=np.int64)
    kernel(D, np.array([-1]), np.array([[3]]), np.array([False]))
    assert D.tolist() == [[3]]
print(told.count(False), qpot.__file__)
"""


@pytest.fixture
def installation(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the package where no folder can hold ``__pycache__``, not even for a user who may write everywhere."""
    package = tmp_path / "site" / "qpot"
    shutil.copytree(ROOT / "qpot", package, ignore=shutil.ignore_patterns("__pycache__", "solvers"))
    shutil.copytree(ROOT / "solvers", package / "solvers", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (package, *(p for p in package.rglob("*") if p.is_dir())):
        (folder / "__pycache__").touch()
    (tmp_path / "temporary").mkdir()
    return package.parent


def run(installation: pathlib.Path, temporary: str) -> subprocess.CompletedProcess[str]:
    nowhere = os.path.join(os.devnull, "home")
    variables = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "PYTHONPYCACHEPREFIX")}
    variables |= dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "MPLCONFIGDIR"), nowhere)
    variables |= {"PYTHONPATH": str(installation), "TMPDIR": temporary, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", WORK]
    return subprocess.run(command, cwd=installation, env=variables, capture_output=True, text=True, check=False)


@needs_users
def test_a_process_compiles_and_the_next_one_finds_it_compiled(installation: pathlib.Path) -> None:
    temporary = installation.parent / "temporary"
    for compiled in (1, 0):
        result = run(installation, str(temporary))
        assert result.returncode == 0, result.stderr
        assert result.stdout.split() == [str(compiled), str(installation / "qpot" / "__init__.py")]
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert any(folder.rglob("*.nbc"))


@pytest.fixture
def parent(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An empty temporary folder of the system."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cache_folder, "private_folder", cache_folder.private_folder.__wrapped__)
    return tmp_path


@needs_users
def test_a_folder_of_ones_own_is_found_again(parent: pathlib.Path) -> None:
    first = cache_folder.private_folder()
    assert first == str(parent / f"qpot-kernels-{os.getuid()}")
    assert cache_folder.private_folder() == first


@needs_users
@pytest.mark.parametrize("trap", ["link", "open", "file", "writable parent", "another user"])
def test_a_folder_that_others_could_fill_is_not_used(
    trap: str, parent: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = parent / f"qpot-kernels-{os.getuid()}"
    if trap == "link":
        (parent / "elsewhere").mkdir(mode=0o700)
        taken.symlink_to(parent / "elsewhere")
    elif trap == "open":
        taken.mkdir()
        taken.chmod(0o770)
    elif trap == "file":
        taken.touch(0o600)
    elif trap == "writable parent":
        parent.chmod(0o777)  # and others may rename what is in it, as there is no sticky bit
    else:
        own = os.getuid()
        taken = parent / f"qpot-kernels-{own + 1}"
        taken.mkdir(mode=0o700)
        parent.chmod(0o1777)
        monkeypatch.setattr(os, "getuid", lambda: own + 1)
    folder = cache_folder.private_folder()
    assert folder is not None
    assert pathlib.Path(folder) != taken
    assert pathlib.Path(folder).stat().st_mode & 0o777 == 0o700
