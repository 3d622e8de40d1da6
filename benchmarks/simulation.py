"""Single-sample steps per second, and rare escapes; `python benchmarks/simulation.py [seconds]` prints a line for each.

A single-sample step is one step of one replica with batch size 1. Compilation is not counted. One core is measured in CPU
time, which does not depend on other programs, and several threads in wall-clock time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import qpot
from qpot.landscape.basins import basin_of


def systems() -> dict[str, tuple[qpot.FiniteSum, float]]:
    """Finite sums that have a compiled kernel, and a stable learning rate for each."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return {
        "quadratic, d=1, N=2": (qpot.quadratic_sum(1.0, [1.0, -1.0]), 0.1),
        "quadratic, d=4, N=200": (qpot.quadratic_sum(1.0, rng.normal(size=(200, 4))), 0.1),
        "least squares, d=4, N=200": (qpot.least_squares_sum(X, rng.normal(size=200)), 0.02),
        "logistic, d=4, N=200": (qpot.logistic_sum(X, rng.choice([-1, 1], 200), weight_decay=0.1), 0.1),
        "phase retrieval, d=4, N=200": (
            qpot.phase_retrieval_sum(X, (X @ np.array([1.0, 0, 0, 0])) ** 2),
            0.002,
        ),
        "sinusoid, d=3, N=309": (qpot.sinusoid_sum(rng.normal(size=309), rng.normal(size=309)), 0.05),
        "embedded double well, d=2, N=6": (qpot.embedded_double_well_sum(0.5), 0.1),
    }


def without_kernel(total: qpot.FiniteSum) -> qpot.FiniteSum:
    """The same sum without its kernel, so that NumPy is used."""
    return qpot.FiniteSum(
        sample_losses=total.sample_losses,
        sample_gradients=total.sample_gradients,
        drawn_gradients=total.drawn_gradients,
        n_samples=total.n_samples,
        dimension=total.dimension,
    )


def rate(
    run: Callable[[int], Any], replicas: int, seconds: float, clock: Callable[[], float] = time.process_time
) -> float:
    """The steps of all replicas per second of ``clock``, measured on a run that takes at least ``seconds``."""
    run(64)
    steps = 256
    while True:
        begin = clock()
        run(steps)
        taken = clock() - begin
        if taken > seconds:
            return steps * replicas / taken
        steps = int(steps * min(8.0, 1.2 * seconds / max(taken, 1e-3) + 1))


def main(seconds: float) -> None:
    """Measure all ways of stepping and print a line for each."""
    print(f"{'way of stepping':58s} million single-sample steps per second")
    for name, (total, learning_rate) in systems().items():
        for label, each, replicas in (("compiled", total, 64), ("NumPy", without_kernel(total), 4096)):
            system = qpot.System.from_finite_sum(each)
            start = np.full(total.dimension, 0.5)

            def run(
                steps: int,
                system: Any = system,
                start: Any = start,
                R: int = replicas,
                eta: float = learning_rate,
            ) -> Any:
                return qpot.simulate_sgd(system, learning_rate=eta, steps=steps, start=start, replicas=R, record=steps)

            print(f"{name + ', ' + label:58s} {rate(run, replicas, seconds) / 1e6:9.2f}")

    total, learning_rate = systems()["embedded double well, d=2, N=6"]
    system = qpot.System.from_finite_sum(total)
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as executor:

        def threaded(steps: int) -> Any:
            return qpot.simulate_sgd(
                system,
                learning_rate=learning_rate,
                steps=steps,
                start=[-1.0, 0.0],
                replicas=256,
                record=steps,
                executor=executor,
            )

        label = f"embedded double well, compiled, {workers} threads, wall clock"
        print(f"{label:58s} {rate(threaded, 256, 4 * seconds, time.perf_counter) / 1e6:9.2f}")

    ou = qpot.System(drift=lambda x: -x, covariance=np.eye(2), dimension=2)

    def diffuse(steps: int) -> Any:
        return qpot.simulate_diffusion(
            ou, epsilon=0.1, time_step=0.01, steps=steps, start=[0.0, 0.0], replicas=4096, record=steps
        )

    print(f"{'diffusion, d=2, constant covariance, NumPy':58s} {rate(diffuse, 4096, seconds) / 1e6:9.2f}")

    points = np.random.default_rng(0).uniform(-2, 2, (10_000, 2))
    minima = np.array([[-1.0, 0.0], [1.0, 0.0]])
    basin_of(system, points, minima)
    begin = time.perf_counter()
    basin_of(system, points, minima)
    print(f"{'basins of 10 000 points of the double well':58s} {time.perf_counter() - begin:9.3f} s")
    rare_escapes()


def rare_escapes() -> None:
    """Measure mean escape times by splitting, for a diffusion in NumPy and for compiled SGD."""
    case = qpot.gallery.double_well()
    wells = qpot.gallery.embedded_double_well(s=0.5)
    path = qpot.predict(wells.system, wells.bounds).costs.path(0, 1)
    runs: list[tuple[str, qpot.System, dict[str, Any]]] = [
        (
            "double well, diffusion, NumPy",
            case.system,
            {"epsilon": 0.0216, "time_step": 0.05, "coordinate": lambda x: x[:, 0]},
        ),
        ("embedded double well, SGD, compiled", wells.system, {"learning_rate": 0.0215, "coordinate": path}),
    ]
    for name, system, options in runs:
        start = [-1.0] + [0.0] * (system.dimension - 1)
        minima = np.array([start, [-x + 0.0 for x in start]])
        qpot.splitting_times(system, start=start, minima=minima, clones=10, repetitions=2, **options)
        begin = time.perf_counter()
        times = qpot.splitting_times(system, start=start, minima=minima, clones=500, repetitions=12, **options)
        taken = time.perf_counter() - begin
        low, high = times.interval()
        result = f"mean {times.mean_steps:.3g} steps, 95% {low:.3g} to {high:.3g}"
        print(f"splitting, {name}: {result}, in {taken:.1f} s")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
