"""Minimum action paths: time, error and work; `python benchmarks/paths.py --help`.

Prints the reference problems of few dimensions, then a double well in one of d coordinates under correlated noise of
rank 64 plus a floor, d = 2 ... the largest asked for: separable, turned by a reflection that mixes all coordinates,
turned with a factor that depends on the state, and turned with the noise as a LinearOperator. Then the stiff Allen-Cahn
equation on 64 ... 1024 points. The growth of time and Hessian products is fitted as a power of d. Writes paths.csv and
paths.png into benchmarks/output. Times are wall clock, after a first call that pays for imports and compilation; every
problem runs in a fresh process, so that the peak memory is its own (with 0.2 GiB of libraries).
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.sparse import csr_array, eye_array, lil_array
from scipy.sparse.linalg import LinearOperator

import qpot
from qpot.problem.covariance import factored

# Where the table and the figure are written.
OUTPUT = pathlib.Path(__file__).parent / "output"
# The columns of the table.
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
    """The system x' = v, v' = x - x^3 - (1 - k (1 - x^2)) v, with noise on v only."""

    def drift(z: Any) -> Any:
        x, v = z.T
        return np.stack([v, x - x**3 - (1 - k * (1 - x**2)) * v], axis=1)

    return qpot.System(drift=drift, covariance=np.diag([0.0, 2.0]), dimension=2)


def well(d: int, *, turned: bool = True, noise: str = "factors", rank: int = 64) -> tuple[qpot.System, Any, float]:
    """A double well in one coordinate u, quadratic in the others, with noise s(u)^2 F F^T + 0.3, s = 1 or 1 + u^2 / 2.

    The quasi-potential is exactly V = int_0^1 2 (u - u^3) / a_00(u) du, since the motion of u does not depend on the other
    coordinates, which then follow the drift at no cost.
    """
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
    strength = float(F[0] @ F[0])
    F = np.ascontiguousarray(turn(F.T).T)
    first = np.zeros(d)
    first[0] = 1.0
    e = turn(first)
    growth = 0.5 if noise == "state" else 0.0

    def factor(x: Any) -> Any:
        return (1 + growth * (x @ e) ** 2)[:, None, None] * F

    def factor_gradient(x: Any, p: Any) -> Any:
        u = x @ e
        return (4 * growth * u * (1 + growth * u**2) * ((p @ F) ** 2).sum(axis=1))[:, None] * e

    covariance: Any = factored(F, 0.3)
    if noise == "state":
        covariance = factored(factor, 0.3, gradient=factor_gradient)
    elif noise == "operator":

        def times(p: Any) -> Any:
            return F @ (F.T @ p) + 0.3 * p

        covariance = LinearOperator((d, d), matvec=times, matmat=times, dtype=float)
    exact = quad(lambda u: 2 * (u - u**3) / (0.3 + (1 + growth * u**2) ** 2 * strength), 0, 1, epsabs=1e-14)[0]
    system = qpot.System.from_loss(loss, gradient, covariance, dimension=d, hessian_product=hessian_product)
    return system, -e, exact


def allen_cahn(n: int) -> tuple[qpot.System, Any, float]:
    """The equation u_t = u_xx + u - u^3 on a ring of length pi; the action from +1 to 0 times the spacing is pi / 2."""
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


# The method for few dimensions.
FAST = qpot.GeometricAction(starts=1)
# The dimensions of the double wells.
DIMENSIONS = (2, 10, 30, 100, 1000, 3000, 10_000, 100_000)
# The groups of problems, with their names in the table.
GROUPS = {
    "few": "reference problems of few dimensions",
    "separable": "well, separable",
    "turned": "well, turned",
    "operator": "well, LinearOperator",
    "state": "well, noise of the state",
    "stiff": "Allen-Cahn",
}


def few(index: int) -> tuple[str, qpot.System, Any, Any, float] | None:
    """The name, system, start, end and reference of a problem of few dimensions; None beyond the last one."""
    if index < 4:
        beta, mu, exact = ((1.0, 1.0, 0.5), (5.0, 1.0, 0.4830697092), (10.0, 1.0, 0.3400414033), (10.0, 2.0, 0.5))[
            index
        ]
        system = qpot.gallery.maier_stein(beta=beta, mu=mu).system
        return f"Maier-Stein beta={beta:g} mu={mu:g}", system, (-1, 0), (0, 0), exact
    if index < 8:
        name, i, j, exact = (
            ("A-B", 0, 0, 212.0693474), ("B-A", 1, 0, 80.2059492), ("B-C", 1, 1, 17.0377560), ("C-B", 2, 1, 71.8355680)
        )[index - 4]  # fmt: skip
        brown = qpot.gallery.mueller_brown()
        return f"Mueller-Brown {name}", brown.system, brown.minima[i], brown.saddles[j], exact
    if index < 10:
        k, exact = ((0.0, 0.25), (0.3, 0.213980))[index - 8]
        return f"kinetic k={k:g}", kinetic(k), (-1, 0), (0, 0), exact
    return None


def solve(group: str, size: int) -> dict[str, Any] | None:
    """One row of the table; it is computed in a process of its own."""
    warm = qpot.gallery.maier_stein(beta=3.0).system
    qpot.minimum_action_path(warm, (-1, 0), (0, 0), method=FAST)
    qpot.minimum_action_path(warm, (-1, 0), (0, 0), method=qpot.LargeScaleAction())
    factor, name, method = 1.0, GROUPS[group], qpot.LargeScaleAction()
    if group == "few":
        problem = few(size)
        if problem is None:
            return None
        name, system, start, end, reference = problem
        method = FAST
    elif group == "stiff":
        system, linear, factor = allen_cahn(size)
        start, end, reference = np.ones(size), np.zeros(size), np.pi / 2
        method = qpot.LargeScaleAction(linear_part=linear)
    else:
        noise = group if group in ("operator", "state") else "factors"
        system, start, reference = well(size, turned=group != "separable", noise=noise)
        end = np.zeros(size)
    began = time.perf_counter()
    path = qpot.minimum_action_path(system, start, end, method=method, throw=False)
    seconds = time.perf_counter() - began
    return {
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


def earlier() -> list[dict[str, Any]]:
    """The rows of the last run, from its file."""
    if not (OUTPUT / "paths.csv").exists():
        return []
    with (OUTPUT / "paths.csv").open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row.update({name: float(row[name]) for name in FIELDS[2:]})
        row.update(dimension=int(row["dimension"]), iterations=int(row["iterations"]))
    return rows


def measure(groups: list[str], smallest: int, largest: int, kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measure all rows, print and write each when it is there, and return them after those that are ``kept``."""
    cases = [("few", n) for n in range(10) if "few" in groups]
    cases += [("stiff", n) for n in (64, 128, 256, 512, 1024) if smallest <= n <= largest and "stiff" in groups]
    wells = [g for g in ("separable", "turned", "operator", "state") if g in groups]
    cases += [(group, d) for d in DIMENSIONS if smallest <= d <= largest for group in wells]
    rows = list(kept)
    OUTPUT.mkdir(exist_ok=True)
    print(" ".join(f"{name:>14s}" for name in FIELDS))
    with (
        (OUTPUT / "paths.csv").open("w", newline="") as file,
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool,
    ):
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
        for group, size in cases:
            row = pool.submit(solve, group, size).result()
            if row is None:
                continue
            rows.append(row)
            writer.writerow(row)
            file.flush()
            cells = (f"{v:>14.6g}" if isinstance(v, float) else f"{v!s:>14s}" for v in row.values())
            print(" ".join(cells), flush=True)
    return rows


def digits(problem: str) -> float:
    """Half a unit of the last digit of a reference that is known to few digits; zero for the others."""
    known = {"Maier-Stein": 5e-11, "Mueller-Brown": 5e-8, "kinetic k=0.3": 5e-7}
    return next((value for name, value in known.items() if problem.startswith(name)), 0.0)


def growth(rows: list[dict[str, Any]], problem: str, field: str, above: int = 100) -> float:
    """The exponent of d, fitted to the logarithms."""
    points = [(r["dimension"], r[field]) for r in rows if r["problem"] == problem and r["dimension"] >= above]
    if len(points) < 2:
        return float("nan")
    d, values = np.log(np.array(points)).T
    return float(np.polyfit(d, values, 1)[0])


def draw(rows: list[dict[str, Any]], target: pathlib.Path) -> None:
    """Draw time, Hessian products and error against the dimension."""
    import matplotlib

    if not os.environ.get("DISPLAY"):
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), constrained_layout=True)
    styles = {
        "separable": ("#0072B2", "o", "-", "separable, factors"),
        "turned": ("#D55E00", "s", "--", "turned, factors"),
        "operator": ("#CC79A7", "D", "-.", "turned, LinearOperator"),
        "state": ("#56B4E9", "v", (0, (1, 1)), "turned, noise of the state"),
        "stiff": ("#009E73", "^", ":", "Allen-Cahn"),
    }
    panels = (("seconds", "time [s]"), ("iterations", "Hessian products"), ("error_estimate", "error of the action"))
    for ax, (field, label) in zip(axes, panels, strict=True):
        for group, (colour, marker, line, text) in styles.items():
            chosen = [r for r in rows if r["problem"] == GROUPS[group]]
            if not chosen:
                continue
            d = [r["dimension"] for r in chosen]
            ax.loglog(d, [r[field] for r in chosen], marker=marker, ms=5, ls=line, color=colour, label=text)
            if field == "error_estimate":
                true = [max(r["true_error"], 1e-13) for r in chosen]
                ax.loglog(d, true, marker=marker, ms=5, ls="", mfc="none", color=colour)
        ax.set_xlabel("dimension d", fontsize=12)
        ax.set_ylabel(label, fontsize=12)
        ax.tick_params(labelsize=11)
        ax.grid(True, which="major", alpha=0.3)
    reach = np.array([1e3, 1e5])
    axes[0].loglog(reach, 3e-4 * reach, color="black", lw=1)
    axes[0].annotate("~ d", (1e4, 3.0), xytext=(1.5e4, 1.2), fontsize=12)
    axes[1].set_ylim(1, 1000)
    axes[0].legend(frameon=False, fontsize=10)
    axes[2].set_title("lines: estimate, open: true error", fontsize=12)
    figure.suptitle("One uphill leg in d dimensions: time grows like d, the number of products does not", fontsize=14)
    figure.savefig(target, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure the problems that are asked for, and print, write and draw the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=10_000, help="largest dimension (default 10000, at most 100000)")
    parser.add_argument("--smallest", type=int, default=2, help="smallest dimension of wells and Allen-Cahn")
    parser.add_argument("--add", action="store_true", help="keep the rows of the last run")
    parser.add_argument("--groups", nargs="*", choices=list(GROUPS), default=list(GROUPS), help="problems to run")
    chosen = parser.parse_args()
    rows = measure(chosen.groups, chosen.smallest, chosen.largest, earlier() if chosen.add else [])
    rows.sort(key=lambda row: row["dimension"])
    for group in GROUPS:
        name = GROUPS[group]
        if sum(r["problem"] == name for r in rows) > 1:
            print(
                f"{name}: time ~ d^{growth(rows, name, 'seconds', above=1000 if group != 'stiff' else 64):.2f}, "
                f"products ~ d^{growth(rows, name, 'iterations', above=10):.2f}"
            )
    wrong = [r for r in rows if r["true_error"] > r["error_estimate"] + digits(r["problem"])]
    print(f"{len(wrong)} of {len(rows)} errors exceed their estimate by more than the digits of the reference")
    draw(rows, OUTPUT / "paths.png")


if __name__ == "__main__":
    main()
