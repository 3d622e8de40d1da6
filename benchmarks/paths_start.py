"""The time until a new process has its first answer: import, first solve, second solve, with an empty and a filled cache.

``python benchmarks/paths_start.py`` prints a table. The kernels are compiled into a temporary cache by one process and read
from it by the next.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

# Programs that define a function `solve`.
TASKS = {
    "path, Maier-Stein beta = 10": """
system = qpot.gallery.maier_stein(beta=10.0).system
def solve():
    return qpot.minimum_action_path(system, (-1, 0), (0, 0)).action
""",
    "path, exact noise": """
system = qpot.System.from_finite_sum(qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0]), noise="exact")
def solve():
    return qpot.minimum_action_path(system, [0.0], [0.5]).action
""",
    "path, momentum (singular covariance)": """
well = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 2.0, dimension=1)
system = qpot.SGD(momentum=0.9).kinetic_system(well, learning_rate=0.01)
def solve():
    return qpot.minimum_action_path(system, (-1, 0), (0, 0)).action
""",
    "path to another minimum": """
case = qpot.gallery.symmetric_minima(s=-0.5)
def solve():
    return qpot.minimum_action_path(case.system, (-1, 0), (1, 0)).action
""",
    "predict, symmetric minima": """
case = qpot.gallery.symmetric_minima(s=-0.5)
def solve():
    return qpot.predict(case.system, case.bounds, progress=None).margin
""",
}
# The program that times a task.
TIMED = """
import time
t0 = time.perf_counter()
import qpot
t1 = time.perf_counter()
{task}
t2 = time.perf_counter()
solve()
t3 = time.perf_counter()
solve()
t4 = time.perf_counter()
print(t1 - t0, t3 - t2, t4 - t3)
"""


def measured(task: str, cache: str) -> list[float]:
    """The seconds that the import, the first and the second solve take in a new process."""
    run = subprocess.run(
        [sys.executable, "-c", TIMED.format(task=task)],
        env=os.environ | {"NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(x) for x in run.stdout.split()]


def main() -> None:
    """Measure every task twice, with an empty and with a filled cache."""
    print(f"{'':40s}{'import':>8s}{'1st':>8s}{'2nd':>8s}   seconds")
    for name, task in TASKS.items():
        with tempfile.TemporaryDirectory() as cache:
            for label in ("empty cache", "filled cache"):
                times = measured(task, cache)
                print(f"{name + ', ' + label:55s}" + "".join(f"{t:8.3f}" for t in times), flush=True)


if __name__ == "__main__":
    main()
