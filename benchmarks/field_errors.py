"""Errors of single nodes on random fields with known V: at how many nodes the true error is at most twice the estimate.

Run ``python benchmarks/field_errors.py [--count 4] [--seed N]`` from the repository root; without a seed a fresh one is drawn
and printed. The drift is -1/2 a grad U plus 1/2 S grad U with S antisymmetric, so that V = U. Families: quadratics of ratio
10 to 1e4, in the potential or the covariance (2-D) and up to 20 (3-D); quartic bowls; the same with a covariance whose axes
turn; stiff bowls; limit cycles. The same for line integrals. Two wells are in ``field_random.py``.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import warnings
from collections.abc import Callable

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import qpot

Array = np.ndarray
Drawn = tuple[qpot.System, Array, Callable[[Array], Array]]


def antisymmetric(rng: np.random.Generator, d: int) -> Array:
    """A random rotation, none in a fifth of all cases, of speed e^-1 to 10."""
    A = rng.normal(size=(d, d))
    A = A - A.T
    return np.asarray(A / np.abs(A).max() * rng.choice([0.0, np.exp(rng.uniform(-1, 2.3))], p=[0.2, 0.8]))


def quadratic(rng: np.random.Generator, d: int) -> Drawn:
    """A quadratic potential, whose eigenvalues or those of the covariance have a high ratio."""
    ratio = np.exp(rng.uniform(np.log(10), np.log(1e4))) if d == 2 else np.exp(rng.uniform(0, 3))
    R, eigenvalues = np.linalg.qr(rng.normal(size=(d, d)))[0], np.exp(np.linspace(0, np.log(ratio), d))
    Q, a = np.eye(d), R @ np.diag(eigenvalues) @ R.T
    if rng.uniform() < 0.5:
        Q, a = a / ratio**0.5, Q
    J = (-a + antisymmetric(rng, d)) @ Q
    system = qpot.System(drift=lambda x: x @ J.T, covariance=a, dimension=d)
    return system, np.zeros(d), lambda x: np.einsum("ni,ij,nj->n", x, Q, x)


def bowl(rng: np.random.Generator, d: int, turning: bool = False, stiff: bool = False) -> Drawn:
    """A bowl with terms of third and fourth order along turned axes."""
    k = np.exp(rng.uniform(0, 2.5, d))
    if stiff:
        k = np.array([1.0, np.exp(rng.uniform(np.log(10), np.log(1000)))])
    k, c4 = k / (1.0 if stiff else k.max() ** 0.5), np.exp(rng.uniform(-2, 0, d))
    T, R = 0.15 * rng.normal(size=(d, d, d)), np.linalg.qr(rng.normal(size=(d, d)))[0]
    T = (T + T.transpose(1, 2, 0) + T.transpose(2, 0, 1)) / 3
    T = (T + T.transpose(1, 0, 2)) / 2
    A, S, ratio = rng.normal(size=(d, d)), antisymmetric(rng, d), np.exp(rng.uniform(0, 2.5))
    constant, wave, phase = np.eye(d) + 0.3 * A @ A.T, 0.7 * rng.normal(size=d), rng.uniform(0, 3)

    def covariance(x: Array) -> Array:
        c, s = np.cos(x @ wave + phase), np.sin(x @ wave + phase)
        axes = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
        return np.asarray(axes @ np.diag([1.0, ratio]) @ axes.transpose(0, 2, 1))

    def potential(x: Array) -> Array:
        u = x @ R
        return np.asarray((k * u * u + c4 * u**4).sum(axis=1) + np.einsum("ijk,ni,nj,nk->n", T, u, u, u))

    def drift(x: Array) -> Array:
        u = x @ R
        g = (2 * k * u + 4 * c4 * u**3 + 3 * np.einsum("ijk,nj,nk->ni", T, u, u)) @ R.T
        down = np.einsum("nij,nj->ni", covariance(x), g) if turning else g @ constant
        return np.asarray(0.5 * (g @ S.T - down))

    a: qpot.Covariance = covariance if turning else constant
    return qpot.System(drift=drift, covariance=a, dimension=d), np.zeros(d), potential


def cycle(rng: np.random.Generator) -> Drawn:
    """The unit circle attracts; V = k (r^2 - 1)^2 / 2."""
    k, turn, angle = rng.uniform(0.5, 2), rng.uniform(-3, 3), np.linspace(0, 2 * np.pi, 40, endpoint=False)

    def drift(x: Array) -> Array:
        inward = k * (1 - (x**2).sum(axis=1, keepdims=True)) * x
        return np.asarray(inward + turn * np.stack([x[:, 1], -x[:, 0]], axis=1))

    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    return system, np.stack([np.cos(angle), np.sin(angle)], 1), lambda x: k * ((x**2).sum(axis=1) - 1) ** 2 / 2


FAMILIES: list[tuple[str, Callable[[np.random.Generator], Drawn], int, float]] = [
    ("quadratic", lambda rng: quadratic(rng, 2), 65, 1.0),
    ("quadratic", lambda rng: quadratic(rng, 2), 129, 1.0),
    ("bowl", lambda rng: bowl(rng, 2), 33, 1.0),
    ("bowl", lambda rng: bowl(rng, 2), 65, 1.0),
    ("bowl", lambda rng: bowl(rng, 2), 129, 1.0),
    ("turning axes", lambda rng: bowl(rng, 2, turning=True), 65, 1.0),
    ("turning axes", lambda rng: bowl(rng, 2, turning=True), 129, 1.0),
    ("stiff bowl", lambda rng: bowl(rng, 2, stiff=True), 65, 1.0),
    ("stiff bowl", lambda rng: bowl(rng, 2, stiff=True), 129, 1.0),
    ("cycle", cycle, 65, 2.0),
    ("quadratic, 3-D", lambda rng: quadratic(rng, 3), 33, 1.0),
    ("bowl, 3-D", lambda rng: bowl(rng, 3), 33, 1.0),
]
METHODS: dict[str, qpot.FieldMethod] = {
    "halved": qpot.CharacteristicJets(),
    "alone": qpot.CharacteristicJets(estimate_error=False),
    "line integrals": qpot.OrderedLineIntegral(),
}


def covered(field: qpot.FieldSolution, exact: Array) -> Array:
    """Nodes of full order, those of them that are covered, other nodes, those of them, and estimate over true error."""
    true = np.abs(field.values - exact.reshape(field.grid.shape))
    known, sure = np.isfinite(true), field.exact_order
    within = true <= 2 * field.errors + 1e-12 * field.level
    ratio = np.median((field.errors / np.maximum(true, 1e-12 * field.level))[known])
    return np.array([*(np.sum(known & a & b) for a in (sure, ~sure) for b in (known, within)), ratio])


def main() -> None:
    """Draw the problems and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--methods", nargs="*", default=["halved", "alone"], choices=list(METHODS))
    options = parser.parse_args()
    seed = int(np.random.default_rng().integers(2**32)) if options.seed is None else options.seed
    print(
        f"seed {seed}: nodes of full order, share covered; others, share covered; worst field; errors / true (median)"
    )
    warnings.simplefilter("ignore")
    for name in options.methods:
        total, worst_of_all = np.zeros(4), 1.0
        for row, (family, draw, n, half) in enumerate(FAMILIES):
            rows = []
            for i in range(options.count):
                system, source, exact = draw(np.random.default_rng([seed, row, i]))
                grid = qpot.Grid([-half] * system.dimension, [half] * system.dimension, n)
                try:
                    field = qpot.quasipotential(system, source, grid, method=METHODS[name], throw=False)
                except ValueError:
                    continue
                if field.status.ok:
                    rows.append(covered(field, exact(grid.points())))
            found = np.array(rows).reshape(-1, 5)
            total += found[:, :4].sum(axis=0)
            a, b, c, d = found[:, :4].sum(axis=0)
            worst = np.min((found[:, 1] + found[:, 3]) / np.maximum(found[:, 0] + found[:, 2], 1), initial=1.0)
            worst_of_all = min(worst_of_all, worst)
            print(
                f"{name:15s}{family:15s}{n:4d}: {a:7.0f} {b / max(a, 1):.5f} {c:6.0f} {d / max(c, 1):.5f}  {worst:.4f}"
                f"  {np.median(found[:, 4]) if len(found) else np.nan:5.1f}  {options.count - len(found)} refused",
                flush=True,
            )
        a, b, c, d = total
        print(f"{name}: {(b + d) / (a + c):.5f} of {a + c:.0f} nodes, worst field {worst_of_all:.4f}")


if __name__ == "__main__":
    main()
