"""What the first process and the second one pay before anything is computed: compiling, importing, loading kernels.

Measured are the quick start of the README and ``examples/symmetric_minima.py``, each in a process with an empty folder for
compiled kernels and in a second one that finds them there. Run ``python benchmarks/cold_start.py``, with the name of a script
to measure that one instead. Printed are CPU seconds; compare two versions by runs that alternate, on an idle machine.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
# How many of the kernels that take longest to compile are listed.
LISTED = 12
# Runs a script and writes what its process has spent, and on the compilation of which functions, to a file. The time of a
# function is without that of those that it calls.
MEASURED = """
import json, runpy, sys, time
from collections import Counter
from numba.core import event

open_, own, calls, compiling = [], Counter(), Counter(), 0.0

class Listener(event.Listener):
    def on_start(self, event):
        open_.append([time.process_time(), 0.0])

    def on_end(self, event):
        global compiling
        start, inner = open_.pop()
        seconds, function = time.process_time() - start, event.data["dispatcher"].py_func
        name = f"{function.__module__}.{function.__qualname__}"
        own[name] += seconds - inner
        calls[name] += 1
        if open_:
            open_[-1][1] += seconds
        else:
            compiling += seconds

event.register("numba:compile", Listener())
target, sys.argv = sys.argv[1], sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
kernels = [(seconds, calls[name], name) for name, seconds in own.most_common()]
with open(target, "w") as file:
    json.dump({"total": time.process_time(), "compiling": compiling, "kernels": kernels}, file)
"""


def quick_start() -> str:
    """The program of the README's quick start."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Quick start")[1]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]


def spent(script: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
    """What one process spends that runs the script, with the kernels in a folder."""
    answer = folder / "spent.json"
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    variables = os.environ | one_thread | {"NUMBA_CACHE_DIR": str(folder / "kernels"), "MPLBACKEND": "Agg"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # The second process of a user finds byte code.
    command = [sys.executable, "-c", MEASURED, str(answer), str(script)]
    subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, check=True)
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def measure(name: str, program: str) -> None:
    """Print what the first and the second process spend."""
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "script.py")
        script.write_text(program, encoding="utf-8")
        first, second = (spent(script, pathlib.Path(folder)) for _ in range(2))
    print(f"{name}: {first['total']:.1f} s at first, of which {first['compiling']:.1f} s compile; then", end=" ")
    print(f"{second['total']:.1f} s, of which {second['compiling']:.1f} s compile")
    for seconds, calls, kernel in first["kernels"][:LISTED]:
        print(f"    {seconds:5.2f} s  {kernel}" + (f"  ({calls} times)" if calls > 1 else ""))


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(sys.argv[1], pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    else:
        measure("quick start", quick_start())
        example = ROOT / "examples" / "symmetric_minima.py"
        measure(example.name, example.read_text(encoding="utf-8"))
