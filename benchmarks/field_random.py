"""Fields of random potentials with two wells: how many nodes are right, marked, refused, or wrong without a mark.

Run ``python benchmarks/field_random.py [--count 20] [--seed N]`` from the repository root; without a seed a fresh one is
drawn and printed. The potential is U = (u^2 - 1)^2 + s u + k w^2 with w = y - c u - e u^2, of random coefficients, the
covariance a is constant and random, and the drift is -1/2 a grad U plus F / 2 times grad U turned by a right angle. Then
V = U - U(source) wherever the flow -1/2 a grad U - F / 2 (turned) leads to the source. Elsewhere V lies between this and
the way over the saddle and the other minimum.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import warnings

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import qpot

# A node is wrong if it is off by more than this part of the saddle's height above the source.
WRONG = 1e-3


class Landscape:
    """A random potential, its covariance and its rotation."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.tilt, self.stiffness = rng.uniform(0.05, 0.5) * rng.choice([-1, 1]), np.exp(rng.uniform(-1.0, 1.5))
        self.shear, self.bend = 0.4 * rng.normal(size=2)
        self.rotation = rng.choice([0.0, rng.uniform(0.1, 10.0)], p=[0.2, 0.8])
        self.covariance = qpot.covariance.rotated(rng.uniform(0, np.pi), (1.0, np.exp(rng.uniform(0, 1.5))))
        u = np.sort(np.roots([4.0, 0.0, -4.0, self.tilt]).real)
        self.rests = np.stack([u, self.shear * u + self.bend * u * u], axis=1)

    def potential(self, x: np.ndarray) -> np.ndarray:
        """U at points (n, 2)."""
        u, w = x[:, 0], x[:, 1] - self.shear * x[:, 0] - self.bend * x[:, 0] ** 2
        return np.asarray((u * u - 1) ** 2 + self.tilt * u + self.stiffness * w * w)

    def parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradient part of the drift and its rotation, both (n, 2)."""
        u, w = x[:, 0], x[:, 1] - self.shear * x[:, 0] - self.bend * x[:, 0] ** 2
        across = 2 * self.stiffness * w
        g = np.stack([4 * u * (u * u - 1) + self.tilt - across * (self.shear + 2 * self.bend * u), across], axis=1)
        return -0.5 * g @ self.covariance, 0.5 * self.rotation * np.stack([g[:, 1], -g[:, 0]], axis=1)

    def comes_from(self, x: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Whether the characteristic of U - U(source) through each point comes from the source."""
        x = x.copy()
        for _ in range(4000):
            down, turn = self.parts(x)
            v = down - turn
            dt = 0.02 / np.maximum(1.0, np.linalg.norm(v, axis=1))[:, None]
            down, turn = self.parts(x + 0.5 * dt * v)
            x = x + dt * (down - turn)
        return np.asarray(np.linalg.norm(x - source, axis=1) < 0.2)


def count(landscape: Landscape, which: int, nodes: int) -> np.ndarray:
    """How many nodes are right, right and marked, wrong and marked, wrong without a mark, and of refused fields."""
    source, saddle, other = landscape.rests[which], landscape.rests[1], landscape.rests[2 - which]
    system = qpot.System(drift=lambda x: np.add(*landscape.parts(x)), covariance=landscape.covariance, dimension=2)
    middle, half = landscape.rests.mean(axis=0), np.array([1.75, 1.5])
    grid = qpot.Grid(middle - half, middle + half, nodes)
    field = qpot.quasipotential(system, source, grid, method=qpot.CharacteristicJets(estimate_error=False), throw=False)
    if not field.status.ok:
        return np.array([0, 0, 0, 0, grid.size])
    x, V, exact = grid.points(), field.values.ravel(), field.exact_order.ravel()
    known = np.isfinite(V)
    heights = landscape.potential(np.stack([source, saddle, other]))
    barrier, u = heights[1] - heights[0], landscape.potential(x)
    # V is at least U - U(source) anywhere, and beyond the saddle at most the way over both rests.
    mine = landscape.comes_from(x, source)
    low, high = u - heights[0], np.where(mine, u - heights[0], barrier + u - heights[2])
    off = np.maximum(low - V, V - high) > WRONG * barrier
    return np.array(
        [np.sum(known & a & b) for a, b in ((~off, exact), (~off, ~exact), (off, ~exact), (off, exact))] + [0]
    )


def main() -> None:
    """Draw the landscapes and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = int(np.random.SeedSequence().entropy % 2**32) if options.seed is None else options.seed
    print(f"seed {seed}: right, right and marked, wrong and marked, WRONG WITHOUT A MARK, refused")
    rng = np.random.default_rng(seed)
    warnings.simplefilter("ignore")
    total = {nodes: np.zeros(5, int) for nodes in (65, 129)}
    for number in range(options.count):
        landscape, which = Landscape(rng), 2 * int(rng.integers(2))
        for nodes, sums in total.items():
            row = count(landscape, which, nodes)
            sums += row
            if row[3] or row[4]:
                print(f"  {number}, {nodes} nodes, F = {landscape.rotation:.2f}: {row}", flush=True)
    for nodes, sums in total.items():
        print(f"{nodes} nodes: {sums}")


if __name__ == "__main__":
    main()
