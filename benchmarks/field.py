"""Time, error, order and memory of the field solver on problems with closed forms, beside the peers' measured points.

Run ``python benchmarks/field.py [--quick]`` from the repository root: prints a table and writes
``benchmarks/output/field.csv`` and ``field.png``.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import sys
import time
import tracemalloc

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from field_problems import PROBLEMS, relative_error  # noqa: E402

import qpot  # noqa: E402

# Seconds and errors of other codes on one core of the same kind of processor, with 129, 257, 513, ... nodes per side.
PEERS: dict[str, dict[str, list[tuple[float, float]]]] = {
    "linear, strong rotation": {
        "olim2D": [(0.018, 3.3e-3), (0.10, 1.2e-3), (0.58, 2.9e-4), (3.2, 1.7e-4)],
        "OLIM-M": [(0.05, 1.1e-3), (0.29, 2.9e-4), (1.4, 9.4e-5), (7.4, 3.6e-5)],
        "EJM": [(0.60, 8.3e-4), (2.0, 2.4e-4), (6.9, 6.5e-5), (28.0, 1.7e-5)],
    },
    "double well, strong rotation": {"olim2D": [(0.013, 7.0e-3), (0.064, 2.6e-3), (0.36, 1.2e-3), (1.9, 4.6e-4)]},
    "Maier-Stein": {"EJM": [(0.13, 1.1e-3), (0.49, 2.6e-4), (1.8, 6.6e-5), (7.3, 1.6e-5)]},
    "constant anisotropy": {"olim4vad": [(0.068, 2.9e-3), (0.37, 7.8e-4), (1.95, 1.4e-4), (11.0, 5.4e-5)]},
    "polar, variable covariance": {"olim4vad": [(0.044, 2.3e-2), (0.24, 1.4e-2), (1.2, 6.1e-3), (5.7, 1.9e-3)]},
    "double well, rotating covariance": {"olim4vad": [(0.10, 5.2e-3), (0.53, 2.3e-3), (2.8, 7.8e-4), (14.0, 2.5e-4)]},
    "unstable cycle": {"olim2D": [(0.022, 1.2e-2), (0.11, 6.0e-3), (0.63, 2.3e-3), (3.3, 1.4e-3)]},
    "3-D linear": {"olim3D": [(1.1, 2.9e-2), (13.0, 2.5e-2)]},
    "3-D double well": {"olim3D": [(0.9, 3.9e-2), (9.4, 4.4e-2)]},
}


def measure(name: str, n: int, *, memory: bool) -> dict[str, float | str]:
    """Solve one problem, and measure the least CPU time, the error and the peak memory per node.

    A first solve pays for compilation; of the following ones, three if they are quick, the fastest counts. Only one thread
    runs, so the CPU time is the wall time of an idle core and does not depend on other programs.
    """
    problem = PROBLEMS[name]()
    grid = qpot.Grid(problem.lower, problem.upper, n)
    method = qpot.CharacteristicJets(estimate_error=False)
    seconds = np.inf
    for repeat in range(4):
        start = time.process_time()
        field = qpot.quasipotential(problem.system, problem.source, grid, method=method)
        # The first solve may compile.
        if repeat > 0:
            seconds = min(seconds, time.process_time() - start)
        if seconds < np.inf and repeat * seconds > 5.0:
            break
    peak = np.nan
    if memory:
        tracemalloc.start()
        qpot.quasipotential(problem.system, problem.source, grid, method=method)
        peak = tracemalloc.get_traced_memory()[1] / grid.size
        tracemalloc.stop()
    return {
        "problem": name,
        "nodes": n,
        "seconds": seconds,
        "error": relative_error(field, problem),
        "bytes_per_node": peak,
        "microseconds_per_node": 1e6 * seconds / grid.size,
        "filled": int((np.isfinite(field.values) & ~field.exact_order).sum()),
    }


def report_growth(rows: list[dict[str, float | str]], deep: bool) -> None:
    """Print the order of the error and the growth of the time, by regression, beside the growth of n log n in n nodes."""
    nodes = np.array([float(r["nodes"]) for r in rows])
    order = -np.polyfit(np.log(nodes), np.log([float(r["error"]) for r in rows]), 1)[0]
    # The time of the smallest grid is mostly overhead.
    late = nodes[1:] if len(nodes) > 2 else nodes
    seconds = np.array([float(r["seconds"]) for r in rows])[-len(late) :]
    growth = np.polyfit(np.log(late), np.log(seconds), 1)[0]
    bound = np.polyfit(np.log(late), np.log(late ** (3 if deep else 2) * np.log(late)), 1)[0]
    print(
        f"{'':34s} order {order:.2f}, time grows as N^{growth:.2f} (N^{3 if deep else 2} log N: {bound:.2f})",
        flush=True,
    )


def main() -> None:
    """Run all problems, print the table, and write the CSV file and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small grids only")
    quick = parser.parse_args().quick
    rows = []
    for name in PROBLEMS:
        deep = name.startswith("3-D")
        sizes = ((33, 65) if quick else (33, 65, 129)) if deep else ((65, 129) if quick else (65, 129, 257, 513, 1025))
        # This call compiles the kernels.
        measure(name, sizes[0], memory=False)
        for n in sizes:
            rows.append(measure(name, n, memory=True))
            row = rows[-1]
            print(
                f"{name:34s} {n:5d} {row['seconds']:8.2f} s {row['error']:9.1e} "
                f"{row['bytes_per_node']:6.0f} B/node {row['microseconds_per_node']:7.2f} us/node {row['filled']:6d} filled",
                flush=True,
            )
        report_growth([r for r in rows if r["problem"] == name], deep)
    output = ROOT / "benchmarks" / "output"
    output.mkdir(exist_ok=True)
    with (output / "field.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, output / "field.png")


def draw(rows: list[dict[str, float | str]], path: pathlib.Path) -> None:
    """Draw the error against the time, one panel a problem, with the points of the other codes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = {"olim2D": "#0072B2", "OLIM-M": "#E69F00", "EJM": "#009E73", "olim4vad": "#CC79A7", "olim3D": "#56B4E9"}
    figure, axes = plt.subplots(3, 3, figsize=(13, 11), constrained_layout=True)
    for ax, name in zip(axes.ravel(), PROBLEMS, strict=True):
        mine = [(float(r["seconds"]), float(r["error"])) for r in rows if r["problem"] == name]
        ax.loglog(*zip(*mine, strict=True), "o-", color="black", lw=2, label="qpot")
        for peer, points in PEERS.get(name, {}).items():
            ax.loglog(*zip(*points, strict=True), "s--", color=colours[peer], label=peer)
        ax.set_title(name, fontsize=13)
        ax.set_xlabel("seconds, one core", fontsize=12)
        ax.set_ylabel("max error / max V", fontsize=12)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=11)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
