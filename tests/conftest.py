"""Configuration of the tests: a compilation cache that cannot go stale, and no figure windows."""

import atexit
import hashlib
import os
import pathlib
import shutil
import signal
import tempfile
import threading
import time

_ROOT = pathlib.Path(__file__).resolve().parent.parent
# Kernels of other states of the solvers are removed when nobody has used them for so many seconds.
_FORGOTTEN = 86400.0


def _kernel_folder() -> str:
    """A folder for the kernels of this state of the solvers, in the checkout.

    numba does not notice when a function in *another* file changes, so the name is a hash of all files that have kernels.
    It reads kernels with pickle, so the folder must not be one that others can write to: a name in the system's temporary
    folder that can be foreseen is none. Where the checkout cannot be written, the kernels live as long as this process.
    """
    digest = hashlib.sha256()
    for path in sorted((_ROOT / "solvers").rglob("*.py")):
        digest.update(path.read_bytes())
    folder = _ROOT / ".numba_cache" / digest.hexdigest()[:16]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.touch()
    except OSError:
        made = tempfile.mkdtemp(prefix="qpot-kernels-")
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        return made
    for other in folder.parent.iterdir():
        if other != folder and other.stat().st_mtime < time.time() - _FORGOTTEN:
            shutil.rmtree(other, ignore_errors=True)
    return str(folder)


# The workers of pytest-xdist inherit what the first process has chosen.
if "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = _kernel_folder()
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell that runs the tests in the background has them ignore Ctrl-C, and Python takes that over.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
