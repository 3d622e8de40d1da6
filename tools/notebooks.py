"""Build a notebook from every example and run it.

``python tools/notebooks.py [--output FOLDER] [--jobs N] [NAME ...]`` converts ``examples/NAME.py``, or all examples and the
course if no name is given, executes each notebook in the folder of its script and writes it with its output to FOLDER, which
is ``build/notebooks`` by default. A notebook of the course has the name ``course/NAME`` and is written to ``FOLDER/course``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


def build(script: Path, output: Path) -> tuple[float, str]:
    """Convert and execute one script, and return the seconds and the traceback of a failed cell, or "" if none failed."""
    start = time.perf_counter()
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # figures belong to the notebook
    notebook = jupytext.read(script, fmt="py:percent")
    # This kernel is the interpreter that runs this tool, whatever other kernels are registered.
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    client = NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(script.parent)}}
    )
    failure = ""
    try:
        client.execute()
    except CellExecutionError as error:
        failure = str(error)
    finally:
        # A notebook that failed is kept too, so that its output can be read.
        jupytext.write(notebook, output / script.relative_to(EXAMPLES).with_suffix(".ipynb"))
    return time.perf_counter() - start, failure


def main(arguments: list[str] | None = None) -> int:
    """Build and run the notebooks that are named; the exit status is 1 if one failed."""
    parser = argparse.ArgumentParser(description="Build and run the examples as notebooks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="examples to build; all by default")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "notebooks")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks run side by side")
    options = parser.parse_args(arguments)
    scripts = [EXAMPLES / f"{name}.py" for name in options.names] or [
        script for folder in (EXAMPLES, EXAMPLES / "course") for script in sorted(folder.glob("*.py"))
    ]
    for script in scripts:
        if not script.is_file():
            parser.error(f"{script} does not exist")
    (options.output / "course").mkdir(parents=True, exist_ok=True)
    failed = []
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(build, script, options.output): script for script in scripts}
        for job in as_completed(jobs):
            seconds, failure = job.result()
            print(f"{seconds:7.1f} s  {jobs[job].name}{'  FAILED' if failure else ''}", flush=True)
            if failure:
                failed.append(jobs[job].name)
                print(failure, file=sys.stderr, flush=True)
    print(f"{len(scripts) - len(failed)} of {len(scripts)} notebooks ran")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
