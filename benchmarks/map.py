"""How long the map takes: `python benchmarks/map.py --help`; CPU seconds on one core, against what is wanted.

Every problem is solved twice in a process of its own, and the second time counts: kernels are compiled by then. `predict`
runs with the second opinion and the audit; models are searched for minima and saddles only. The last column is the ratio
to the target, and growth is the exponent of the time in the number of minima.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import qpot

Array = NDArray[np.float64]


class Timed(NamedTuple):
    """A problem, and how many CPU seconds it may take."""

    run: Callable[[], str]
    target: float


def lattice(*counts: int) -> str:
    """Rastrigin's lattice of minima, with another noise on each axis."""
    low = np.array([-(c // 2) - 0.45 for c in counts])
    high = np.array([low_ + c - 0.1 for low_, c in zip(low, counts, strict=True)])
    d = len(counts)

    def loss(x: Array) -> Any:
        return (0.1 * (x - 0.1) ** 2 + 1.0 - np.cos(2 * np.pi * x)).sum(axis=1)

    def gradient(x: Array) -> Any:
        return 0.2 * (x - 0.1) + 2 * np.pi * np.sin(2 * np.pi * x)

    covariance = np.diag(np.linspace(1.0, 1.5, d))
    system = qpot.System.from_loss(loss, gradient, covariance, dimension=d)
    return predicted(system, list(zip(low.tolist(), high.tolist(), strict=True)))


def predicted(system: qpot.System, bounds: Any) -> str:
    """Solve the complete chain; what was found in a few words."""
    p = qpot.predict(system, bounds, progress=None)
    values = p.costs.values[np.isfinite(p.costs.values) & (p.costs.values > 0)]
    return f"{len(p.minima)} minima, {len(p.costs.saddles)} saddles, least V {values.min():.8g}, largest {values.max():.8g}"


def fitzhugh(ratio: float) -> str:
    """A bistable FitzHugh-Nagumo system whose second variable is slower by ``ratio``."""

    def drift(x: Array) -> Any:
        v, w = x[:, 0], x[:, 1]
        return np.stack([v - v**3 - w + 0.02, ratio * (v - 2.0 * w)], axis=1)

    system = qpot.System(drift=drift, covariance=np.diag([1.0, ratio]), dimension=2)
    return predicted(system, [(-1.5, 1.5), (-1.0, 1.0)])


def valley(stiffness: float) -> str:
    """A curved valley that is stiffer across than along."""

    def loss(x: Array) -> Any:
        u, w = x[:, 0], x[:, 1] - 0.5 * x[:, 0] ** 2
        return 0.25 * (u**2 - 1.0) ** 2 + 0.1 * u + 0.5 * stiffness * w**2

    def gradient(x: Array) -> Any:
        u, w = x[:, 0], x[:, 1] - 0.5 * x[:, 0] ** 2
        return np.stack([u**3 - u + 0.1 - stiffness * w * u, stiffness * w], axis=1)

    return predicted(qpot.System.from_loss(loss, gradient, 1.0, dimension=2), [(-2.0, 2.0), (-1.0, 2.0)])


def three_holes() -> str:
    """The three-hole potential of Metzner, Schuette and Vanden-Eijnden (J. Chem. Phys. 125 (2006) 084110)."""
    centres = np.array([[0.0, 1 / 3], [0.0, 5 / 3], [1.0, 0.0], [-1.0, 0.0]])
    sizes = np.array([3.0, -3.0, -5.0, -5.0])

    def hills(x: Array) -> Any:
        return sizes * np.exp(-((x[:, None] - centres) ** 2).sum(axis=2))

    def loss(x: Array) -> Any:
        return hills(x).sum(axis=1) + 0.2 * x[:, 0] ** 4 + 0.2 * (x[:, 1] - 1 / 3) ** 4

    def gradient(x: Array) -> Any:
        slopes = -2.0 * (hills(x)[:, :, None] * (x[:, None] - centres)).sum(axis=1)
        return slopes + 0.8 * (x - np.array([0.0, 1 / 3])) ** 3

    return predicted(qpot.System.from_loss(loss, gradient, 1.0, dimension=2), [(-2.0, 2.0), (-1.5, 2.5)])


def lorenz() -> str:
    """The system of Lorenz (1963) at rho = 12, between its two foci."""

    def drift(x: Array) -> Any:
        u, v, w = x.T
        return np.stack([10.0 * (v - u), u * (12.0 - w) - v, u * v - 8.0 / 3.0 * w], axis=1)

    return predicted(
        qpot.System(drift=drift, covariance=1.0, dimension=3), [(-15.0, 15.0), (-15.0, 15.0), (-5.0, 25.0)]
    )


def torch_model(inputs: int, hidden: int, outputs: int, activation: str = "tanh", symmetries: bool = False) -> str:
    """A small PyTorch network of one hidden layer with weight decay: its minima and saddles."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = {"tanh": torch.nn.Tanh, "gelu": torch.nn.GELU}
    model = torch.nn.Sequential(
        torch.nn.Linear(inputs, hidden), layers[activation](), torch.nn.Linear(hidden, outputs)
    ).double()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, inputs))
    Y = np.stack([np.sin(2 * X[:, 0]) * X[:, (k + 1) % inputs] for k in range(outputs)], axis=1)
    Y += 0.1 * rng.normal(size=Y.shape)

    def loss(prediction: Any, target: Any) -> Any:
        return ((prediction - target) ** 2).mean()

    total = qpot.from_torch(model, loss, (X, Y), weight_decay=0.02)
    group = qpot.dense_layer_symmetries((inputs, hidden, outputs), odd=activation == "tanh") if symmetries else None
    return searched(qpot.System.from_finite_sum(total), 3.0, symmetries=group)


def searched(system: qpot.System, reach: float, **options: Any) -> str:
    """Search for minima and saddles; what was found in a few words."""
    box = [(-reach, reach)] * system.dimension
    begun = time.process_time()
    minima = qpot.find_minima(system, box, **options)
    between = time.process_time()
    options.pop("coverage", None)
    options.pop("budget", None)
    saddles = qpot.find_saddles(system, minima, box, **options)
    spent = f"{between - begun:.1f} s + {time.process_time() - between:.1f} s"
    joining = sum(None not in s.connects and s.connects[0] != s.connects[1] for s in saddles)
    lowest = min((s.loss for s in saddles), default=float("nan"))
    return f"{len(minima)} minima, {len(saddles)} saddles, {joining} of them between two, lowest {lowest:.8g}, {spent}"


def digits() -> str:
    """A network with ten classes, d = 39, modulo the symmetries of its units."""
    rng = np.random.default_rng(0)
    centres = 1.5 * rng.normal(size=(10, 5))
    labels = np.repeat(np.arange(10), 20)
    features = centres[labels] + rng.normal(size=(200, 5))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    total = qpot.network_sum(features, labels, hidden=2, weight_decay=0.02)
    system = qpot.System.from_finite_sum(total)
    return searched(system, 4.0, symmetries=qpot.dense_layer_symmetries((5, 2, 9), odd=True), starts=24, coverage=None)


def many(d: int) -> str:
    """Two wells in many coordinates, turned, without given starts for the saddles."""
    rng = np.random.default_rng(0)
    rates, bend = np.exp(rng.uniform(-1.0, 2.0, size=d - 1)), 3.0 / np.sqrt(d)
    u = rng.normal(size=d)
    u /= np.linalg.norm(u)
    w = u - np.eye(d)[0]
    w /= np.linalg.norm(w)

    def turned(x: Array) -> Array:
        return np.asarray(x - 2.0 * (x @ w)[:, None] * w)

    def loss(x: Array) -> Any:
        y = turned(x)
        return (
            0.25 * (y[:, 0] ** 2 - 1.0) ** 2
            + 0.1 * y[:, 0]
            + 0.5 * (rates * (y[:, 1:] - bend * y[:, :1] ** 2) ** 2).sum(1)
        )

    def gradient(x: Array) -> Any:
        y = turned(x)
        off = rates * (y[:, 1:] - bend * y[:, :1] ** 2)
        first = y[:, 0] ** 3 - y[:, 0] + 0.1 - 2.0 * bend * y[:, 0] * off.sum(axis=1)
        return turned(np.concatenate([first[:, None], off], axis=1))

    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=d)
    box = [(-3.0, 3.0)] * d
    minima = qpot.find_minima(
        system, box, starts=turned(np.concatenate([[[1.0], [-1.0]], np.full((2, d - 1), bend)], axis=1))
    )
    saddles = qpot.find_saddles(system, minima, box)
    return f"{len(minima)} minima, {len(saddles)} saddles, lowest {min((s.loss for s in saddles), default=np.nan):.8g}"


PROBLEMS: dict[str, Timed] = {
    "lattice-3x3": Timed(partial(lattice, 3, 3), 3.0),
    "lattice-5x5": Timed(partial(lattice, 5, 5), 8.0),
    "lattice-7x7": Timed(partial(lattice, 7, 7), 18.0),
    "lattice-10x10": Timed(partial(lattice, 10, 10), 40.0),
    "lattice-3x3x3": Timed(partial(lattice, 3, 3, 3), 20.0),
    "fitzhugh-0.1": Timed(partial(fitzhugh, 0.1), 5.0),
    "fitzhugh-0.01": Timed(partial(fitzhugh, 0.01), 5.0),
    "fitzhugh-0.001": Timed(partial(fitzhugh, 0.001), 5.0),
    "valley-100": Timed(partial(valley, 100.0), 5.0),
    "valley-1000": Timed(partial(valley, 1000.0), 5.0),
    "three-holes": Timed(three_holes, 5.0),
    "lorenz": Timed(lorenz, 10.0),
    "torch-5": Timed(partial(torch_model, 2, 1, 1), 10.0),
    "torch-11": Timed(partial(torch_model, 3, 2, 1), 15.0),
    "torch-19": Timed(partial(torch_model, 4, 3, 1), 20.0),
    "torch-23": Timed(partial(torch_model, 4, 3, 2), 25.0),
    "torch-5-gelu": Timed(partial(torch_model, 2, 1, 1, "gelu"), 10.0),
    "torch-11-gelu": Timed(partial(torch_model, 3, 2, 1, "gelu"), 15.0),
    "torch-19-gelu": Timed(partial(torch_model, 4, 3, 1, "gelu"), 20.0),
    "torch-23-gelu": Timed(partial(torch_model, 4, 3, 2, "gelu"), 25.0),
    "torch-11-modulo": Timed(partial(torch_model, 3, 2, 1, symmetries=True), 15.0),
    "torch-19-modulo": Timed(partial(torch_model, 4, 3, 1, symmetries=True), 20.0),
    "torch-23-modulo": Timed(partial(torch_model, 4, 3, 2, symmetries=True), 25.0),
    "network-39": Timed(digits, 5.0),
    "many-300": Timed(partial(many, 300), 10.0),
    "many-1000": Timed(partial(many, 1000), 20.0),
    "many-2000": Timed(partial(many, 2000), 40.0),
}


def measured(name: str, calls: int) -> tuple[float, str]:
    """The CPU seconds of the last of some calls, and what it found."""
    seconds, found = 0.0, ""
    for _ in range(calls):
        begun = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = PROBLEMS[name].run()
        seconds = time.process_time() - begun
    return seconds, found


def main() -> None:
    """Measure every problem in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(PROBLEMS)}; their beginnings will do; all by default")
    parser.add_argument("--once", action="store_true", help="solve each problem once, compilation included")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds by the clock for one problem")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    chosen = [n for n in PROBLEMS if not arguments.names or n.startswith(tuple(arguments.names))]
    if arguments.inside:
        seconds, found = measured(chosen[0] if len(chosen) == 1 else arguments.names[0], 1 if arguments.once else 2)
        print(f"{seconds}|{found}")
        return
    print(f"{'problem':<18}{'seconds':>9}{'target':>8}{'ratio':>7}")
    taken: dict[str, float] = {}
    for name in chosen:
        if name.startswith("torch") and importlib.util.find_spec("torch") is None:
            print(f"{name:<18}{'PyTorch is not installed':>24}")
            continue
        command = [sys.executable, __file__, "--inside", name, *(["--once"] if arguments.once else [])]
        target = PROBLEMS[name].target
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.limit, check=False)
        except subprocess.TimeoutExpired:
            print(f"{name:<18}{'late':>9}{target:>8.0f}", flush=True)
            continue
        if done.returncode:
            print(
                f"{name:<18}{'failed':>9}{target:>8.0f}       {done.stderr.strip().splitlines()[-1][:200]}", flush=True
            )
            continue
        number, found = done.stdout.strip().splitlines()[-1].split("|", 1)
        taken[name] = float(number)
        print(f"{name:<18}{float(number):>9.2f}{target:>8.0f}{float(number) / target:>7.2f}  {found}", flush=True)
    if {"lattice-5x5", "lattice-10x10"} <= set(taken):
        growth = np.log(taken["lattice-10x10"] / taken["lattice-5x5"]) / np.log(4.0)
        allowed = 1.0 + np.log(np.log(100) / np.log(25)) / np.log(4.0)
        print(f"growth in the number of minima: k^{growth:.2f}; k log k would be k^{allowed:.2f}")


if __name__ == "__main__":
    main()
