"""The time that computations on the chain take, and how it grows with the number of minima.

Measured are the stationary costs of all roots, one W-graph, the cycle hierarchy, the stationary law, passage times and the
transition matrix of a finite time. Run ``python benchmarks/chain.py``; one core is enough (OMP_NUM_THREADS=1). The growth
that is printed is the exponent p of time ~ k^p.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
from scipy import sparse

import qpot
from qpot.chain.passage import mean_first_passage_times
from qpot.chain.relaxation import transition_matrix


def sparse_chain(k: int, rng: np.random.Generator) -> Any:
    """A chain of about 4k random routes, a ring among them, with costs over twelve decades."""
    tails, heads = rng.integers(0, k, (2, 3 * k))
    off = tails != heads
    ring = np.arange(k)
    rows, columns = np.concatenate([tails[off], ring]), np.concatenate([heads[off], (ring + 1) % k])
    return sparse.coo_array((10.0 ** rng.uniform(-6, 6, rows.size), (rows, columns)), shape=(k, k))


def grid_chain(side: int, rng: np.random.Generator) -> Any:
    """A square grid of minima, each with saddles to its neighbours."""
    number = np.arange(side * side).reshape(side, side)
    right, down = (number[:, :-1], number[:, 1:]), (number[:-1], number[1:])
    rows = np.concatenate([right[0], right[1], down[0].T, down[1].T], axis=None)
    columns = np.concatenate([right[1], right[0], down[1].T, down[0].T], axis=None)
    return sparse.coo_array((rng.random(rows.size), (rows, columns)), shape=(side * side, side * side))


def dense_chain(k: int, rng: np.random.Generator) -> Any:
    """A chain with a route between every two minima."""
    costs = rng.random((k, k))
    np.fill_diagonal(costs, 0)
    return costs


def seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """The least time of up to three calls; a call that takes more than two seconds is not repeated."""
    best = np.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
        if best > 2.0:
            break
    return best


def one_root_networkx(costs: Any) -> Any:
    """The spanning arborescence of a single root by networkx, for comparison."""
    k = len(costs)
    return nx.minimum_spanning_arborescence(
        nx.DiGraph((j, i, {"weight": costs[i, j]}) for i in range(1, k) for j in range(k) if i != j)
    )


def report(name: str, sizes: list[int], make: Callable[[int], Any], call: Callable[[Any], Any]) -> None:
    """Print a line with the times and the fitted growth."""
    times = []
    for k in sizes:
        chain = make(k)
        times.append(seconds(lambda chain=chain: call(chain)))  # type: ignore[misc]
    growth = np.polyfit(np.log(sizes), np.log(times), 1)[0] if len(sizes) > 1 else float("nan")
    cells = "  ".join(f"k={k}: {t:8.4f} s" for k, t in zip(sizes, times, strict=True))
    print(f"{name:34s} {cells}  growth k^{growth:.2f}")


def main() -> None:
    """Compile the kernels on a small chain, then measure."""
    rng = np.random.default_rng(0)
    small = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    qpot.stationary_costs(small)
    qpot.stationary_distribution(small, 0.1)
    mean_first_passage_times(small, 0.1, 0)
    transition_matrix(small, 0.1, 1.0)

    def scattered(k: int) -> Any:
        return sparse_chain(k, rng)

    def full(k: int) -> Any:
        return dense_chain(k, rng)

    def grid(k: int) -> Any:
        return grid_chain(round(k**0.5), rng)

    sizes = [100, 300, 1000, 3000, 10000]
    report("stationary_costs, 4k routes", sizes, scattered, qpot.stationary_costs)
    report("w_graph, 4k routes", sizes, scattered, lambda c: qpot.w_graph(c, 0))
    report("cycle_hierarchy, 4k routes", sizes, scattered, qpot.cycle_hierarchy)
    report("stationary_costs, dense", [100, 300, 1000], full, qpot.stationary_costs)
    report("networkx, ONE root, dense", [30, 60, 120], full, one_root_networkx)
    report(
        "stationary_distribution, grid",
        [100, 400, 1600, 10000],
        grid,
        lambda c: qpot.stationary_distribution(c, 1e-3),
    )
    report(
        "stationary_distribution, dense",
        [100, 300, 1000],
        full,
        lambda c: qpot.stationary_distribution(c, 1e-3),
    )
    report(
        "mean_first_passage_times, dense",
        [100, 300, 1000],
        full,
        lambda c: mean_first_passage_times(c, 1e-3, 0),
    )
    report("transition_matrix, dense", [100, 300], full, lambda c: transition_matrix(c, 1e-3, 0.1))


if __name__ == "__main__":
    main()
