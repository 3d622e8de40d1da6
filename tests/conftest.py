"""Configuration of the tests: a compilation cache that cannot go stale, and no figure windows."""

import hashlib
import os
import pathlib
import tempfile

_ROOT = pathlib.Path(__file__).resolve().parent.parent

# numba's cache does not notice when a function in *another* file changes, so the name of its directory is a hash of all
# files that have kernels.
_digest = hashlib.sha256()
for _path in sorted((_ROOT / "solvers").rglob("*.py")):
    _digest.update(_path.read_bytes())
os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(pathlib.Path(tempfile.gettempdir()) / f"qpot-numba-{_digest.hexdigest()[:16]}")
)
os.environ.setdefault("MPLBACKEND", "Agg")
