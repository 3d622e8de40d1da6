"""Minimum action paths: time, error and work; `python benchmarks/paths.py [largest dimension, default 10000]`.

Prints the reference problems of few dimensions, then a double well in one of d turned coordinates under correlated noise
of rank 64 (and the separable one), d = 2 ... the largest asked for, with the growth of time and Hessian products fitted
as powers of d, and the stiff Allen-Cahn equation. Writes benchmarks/output/paths.csv and paths.png. Times are wall clock,
after a first call that pays for imports and compilation; the peak memory is that of the process so far.
"""

from __future__ import annotations

import csv
import os
import pathlib
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array, eye_array, lil_array

import qpot
from qpot.covariance import factored

OUTPUT = pathlib.Path(__file__).parent / "output"
FIELDS = (
    "problem",
    "dimension",
    "seconds",
    "action",
    "reference",
    "true_error",
    "error_estimate",
    "iterations",
    "peak_GiB",
)


def kinetic(k: float) -> qpot.System:
    """x' = v, v' = x - x^3 - (1 - k (1 - x^2)) v, noise on v only."""

    def drift(z: Any) -> Any:
        x, v = z.T
        return np.stack([v, x - x**3 - (1 - k * (1 - x**2)) * v], axis=1)

    return qpot.System(drift=drift, covariance=np.diag([0.0, 2.0]), dimension=2)


def well(d: int, *, turned: bool, rank: int = 64) -> tuple[qpot.System, Any, float]:
    """Double well in one coordinate, quadratic in the others, noise F F^T + 0.3; V = 1 / (2 a_00) exactly."""
    rng = np.random.default_rng(d)
    w = np.arange(1.0, d + 1)
    w /= np.linalg.norm(w)
    stiff = 1 + (np.arange(d) % 7) / 3
    rank = min(rank, d)

    def turn(x: Any) -> Any:
        return x - 2 * (x @ w)[..., None] * w if turned else x

    def loss(x: Any) -> Any:
        u = turn(x)
        return (u[:, 0] ** 2 - 1) ** 2 / 4 + u[:, 1:] ** 2 @ stiff[1:] / 2

    def gradient(x: Any) -> Any:
        u = turn(x)
        g = u * stiff
        g[:, 0] = u[:, 0] ** 3 - u[:, 0]
        return turn(g)

    def hessian_product(x: Any, p: Any) -> Any:
        q = turn(p)
        g = q * stiff
        g[:, 0] = (3 * turn(x)[:, 0] ** 2 - 1) * q[:, 0]
        return turn(g)

    G = rng.normal(size=(d, rank)) / np.sqrt(d)
    G[0] += rng.normal(size=rank) / np.sqrt(rank)
    F = np.linalg.qr(G)[0] * np.linspace(0.5, 2.0, rank)
    exact = 0.5 / (0.3 + float(F[0] @ F[0]))
    system = qpot.System.from_loss(
        loss, gradient, factored(turn(F.T).T, 0.3), dimension=d, hessian_product=hessian_product
    )
    start = np.zeros(d)
    start[0] = -1.0
    return system, turn(start), exact


def allen_cahn(n: int) -> tuple[qpot.System, Any, float]:
    """u_t = u_xx + u - u^3 on a ring of length pi: spacing times action is pi / 2 from +1 to 0."""
    h = np.pi / n
    ring = lil_array((n, n))
    for i in range(n):
        ring[i, i] = -2 / h**2
        ring[i, (i + 1) % n] = ring[i, (i - 1) % n] = 1 / h**2
    laplacian = csr_array(ring)
    system = qpot.System.from_loss(
        lambda u: ((1 - u**2) ** 2).sum(axis=1) / 4 - np.einsum("ni,ni->n", u, (laplacian @ u.T).T) / 2,
        lambda u: u**3 - u - (laplacian @ u.T).T,
        1.0,
        dimension=n,
        hessian_product=lambda u, p: (3 * u**2 - 1) * p - (laplacian @ p.T).T,
    )
    return system, csr_array(laplacian - 2 * eye_array(n)), h


def problems(largest: int) -> Iterator[tuple[str, qpot.System, Any, Any, Any, float, float]]:
    """(name, system, start, end, method, reference, factor on the action)."""
    fast = qpot.GeometricAction(starts=1)
    for beta, mu, exact in ((1.0, 1.0, 0.5), (5.0, 1.0, 0.4830697092), (10.0, 1.0, 0.3400414033), (10.0, 2.0, 0.5)):
        system = qpot.gallery.maier_stein(beta=beta, mu=mu).system
        yield f"Maier-Stein beta={beta:g} mu={mu:g}", system, (-1, 0), (0, 0), fast, exact, 1.0
    brown = qpot.gallery.mueller_brown()
    for name, i, s in (("A-B", 0, 0), ("B-A", 1, 0), ("B-C", 1, 1), ("C-B", 2, 1)):
        exact = {"A-B": 212.0693474, "B-A": 80.2059492, "B-C": 17.0377560, "C-B": 71.8355680}[name]
        yield f"Mueller-Brown {name}", brown.system, brown.minima[i], brown.saddles[s], fast, exact, 1.0
    yield "kinetic k=0", kinetic(0.0), (-1, 0), (0, 0), fast, 0.25, 1.0
    yield "kinetic k=0.3", kinetic(0.3), (-1, 0), (0, 0), fast, 0.213980, 1.0
    large = qpot.LargeScaleAction()
    for turned in (False, True):
        for d in (2, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000):
            if d <= largest:
                system, start, exact = well(d, turned=turned)
                name = "well, turned" if turned else "well, separable"
                yield name, system, start, np.zeros(d), large, exact, 1.0
    for n in (64, 128, 256, 512, 1024):
        if n <= largest:
            system, linear, h = allen_cahn(n)
            method = qpot.LargeScaleAction(linear_part=linear)
            yield "Allen-Cahn", system, np.ones(n), np.zeros(n), method, np.pi / 2, h


def measure(largest: int) -> list[dict[str, Any]]:
    warm = qpot.gallery.maier_stein(beta=3.0).system
    qpot.minimum_action_path(warm, (-1, 0), (0, 0))
    rows = []
    print(" ".join(f"{name:>14s}" for name in FIELDS))
    for name, system, start, end, method, reference, factor in problems(largest):
        began = time.perf_counter()
        path = qpot.minimum_action_path(system, start, end, method=method, throw=False)
        seconds = time.perf_counter() - began
        row = {
            "problem": name if path.status.ok else f"{name} ({path.status.name})",
            "dimension": system.dimension,
            "seconds": seconds,
            "action": factor * path.action,
            "reference": reference,
            "true_error": abs(factor * path.action - reference),
            "error_estimate": factor * path.error,
            "iterations": path.iterations,
            "peak_GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
        rows.append(row)
        cells = (f"{v:>14.6g}" if isinstance(v, float) else f"{v!s:>14s}" for v in row.values())
        print(" ".join(cells), flush=True)
    return rows


def digits(problem: str) -> float:
    """Half a unit of the last digit to which the reference is known."""
    known = {"Maier-Stein": 5e-11, "Mueller-Brown": 5e-8, "kinetic k=0.3": 5e-7}
    return next((value for name, value in known.items() if problem.startswith(name)), 0.0)


def growth(rows: list[dict[str, Any]], problem: str, field: str, above: int = 100) -> float:
    """Exponent of d, fitted on logarithms."""
    points = [(r["dimension"], r[field]) for r in rows if r["problem"] == problem and r["dimension"] >= above]
    if len(points) < 2:
        return float("nan")
    d, values = np.log(np.array(points)).T
    return float(np.polyfit(d, values, 1)[0])


def draw(rows: list[dict[str, Any]], target: pathlib.Path) -> None:
    import matplotlib

    if not os.environ.get("DISPLAY"):
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 4), constrained_layout=True)
    styles = {
        "well, separable": ("#0072B2", "o", "-"),
        "well, turned": ("#D55E00", "s", "--"),
        "Allen-Cahn": ("#009E73", "^", ":"),
    }
    for ax, field, label in zip(
        axes,
        ("seconds", "iterations", "error_estimate"),
        ("time [s]", "Hessian products", "error of the action"),
        strict=True,
    ):
        for problem, (colour, marker, line) in styles.items():
            chosen = [r for r in rows if r["problem"] == problem]
            if chosen:
                d = [r["dimension"] for r in chosen]
                ax.loglog(d, [r[field] for r in chosen], marker=marker, ls=line, color=colour, label=problem)
                if field == "error_estimate":
                    true = [max(r["true_error"], 1e-13) for r in chosen]
                    ax.loglog(d, true, marker=marker, ls="", mfc="none", color=colour)
        ax.set_xlabel("dimension d")
        ax.set_ylabel(label)
        ax.grid(True, which="major", alpha=0.3)
    axes[1].set_ylim(1, 1000)
    axes[0].legend(frameon=False)
    axes[2].set_title("filled: estimate, open: true error", fontsize=10)
    figure.suptitle("One uphill leg in d dimensions: time grows like d, the number of products does not")
    figure.savefig(target, dpi=120)
    plt.close(figure)


def main() -> None:
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rows = measure(largest)
    OUTPUT.mkdir(exist_ok=True)
    with (OUTPUT / "paths.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    for problem in ("well, separable", "well, turned", "Allen-Cahn"):
        print(
            f"{problem}: time ~ d^{growth(rows, problem, 'seconds'):.2f}, "
            f"products ~ d^{growth(rows, problem, 'iterations'):.2f} (d >= 100)"
        )
    wrong = [r for r in rows if r["true_error"] > r["error_estimate"] + digits(r["problem"])]
    print(f"{len(wrong)} of {len(rows)} errors exceed their estimate by more than the digits of the reference")
    draw(rows, OUTPUT / "paths.png")


if __name__ == "__main__":
    main()
