"""Run the tests with the oldest versions that are allowed: ``python tools/oldest_versions.py FOLDER [pytest arguments]``.

The lower bounds are read from pyproject.toml, so that nothing has to be kept in step with it: a bound ``numpy>=2.0``
installs ``numpy==2.0``. The virtual environment is made in FOLDER, which may be left from an earlier run. Without further
arguments, the numeric tests of `numeric_tests` run. Needs a package index.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

from numeric_tests import NUMERIC_TESTS

ROOT = Path(__file__).resolve().parent.parent
# The extras of pyproject.toml that the tests need besides the dependencies.
EXTRAS = ("ml", "test")
# A requirement with a lower bound; qpot's own extras have none.
_BOUND = re.compile(r"(?P<name>[\w.-]+)>=(?P<version>[\w.]+)$")


def oldest() -> list[str]:
    """The requirements ``name==version`` at the lower bounds of the dependencies and of what the tests need.

    Raises
    ------
    ValueError
        If a requirement has no lower bound.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    pinned = []
    for requirement in needed:
        if requirement.startswith("qpot["):
            continue
        bound = _BOUND.match(requirement)
        if bound is None:
            raise ValueError(f"pyproject.toml: {requirement!r} has no lower bound; write it as name>=version")
        pinned.append(f"{bound['name']}=={bound['version']}")
    return pinned


def main(arguments: list[str]) -> int:
    """Install and test; the status is that of the first command that fails."""
    if not arguments:
        print("usage: oldest_versions.py FOLDER [pytest arguments]", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    print("+ pip install", *oldest(), flush=True)
    with tempfile.TemporaryDirectory(prefix="qpot-oldest-") as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
        for command in (
            [python, "-m", "pip", "install", "--quiet", *oldest()],
            [python, "-m", "pip", "check"],
            [python, "-m", "pytest", *(arguments[1:] or NUMERIC_TESTS)],
        ):
            status = subprocess.run([str(part) for part in command], cwd=ROOT, env=environment, check=False).returncode
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
