"""Networks in NumPy, PyTorch and JAX: `python benchmarks/models.py [seconds]` prints what one core does per second.

All backends run the same network (4 inputs, 6 tanh units, 3 outputs, d = 51, 150 samples); one that is not installed is left
out. The times are CPU times without compilation.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import qpot

RNG = np.random.default_rng(0)
# The inputs and the classes of the samples.
X, Y = RNG.normal(size=(150, 4)), RNG.integers(0, 3, size=150)


def numpy_sum() -> qpot.FiniteSum:
    """The network in NumPy."""
    return qpot.training_sum(qpot.dense_network(4, 6, outputs=3), X, Y, loss=qpot.CrossEntropy())


def torch_sum() -> qpot.FiniteSum:
    """The network in PyTorch."""
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    return qpot.from_torch(model, torch.nn.functional.cross_entropy, (X, Y))


def jax_sum() -> qpot.FiniteSum:
    """The network in JAX."""
    import jax
    import jax.numpy as jnp

    def loss(params: Any, x: Any, y: Any) -> Any:
        W1, b1, W2, b2 = params
        outputs = W2 @ jnp.tanh(W1 @ x + b1) + b2
        return jax.nn.logsumexp(outputs) - outputs[y]

    return qpot.from_jax(loss, [np.zeros((6, 4)), np.zeros(6), np.zeros((3, 6)), np.zeros(3)], (X, Y))


def per_second(call: Callable[[], Any], seconds: float) -> float:
    """The number of calls per second of CPU time."""
    call()
    count, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        call()
        count += 1
    return count / (time.process_time() - begin)


def measure(total: qpot.FiniteSum, replicas: int, steps: int, seconds: float) -> list[float]:
    """The numbers per second of SGD steps with batches of 1 and 8, of gradients, of covariances and of Hessians."""
    system = qpot.System.from_finite_sum(total)
    start, points = 0.3 * RNG.normal(size=(replicas, 51)), 0.5 * RNG.normal(size=(64, 51))

    def run(batch: int) -> Any:
        options = {"learning_rate": 0.01, "batch_size": batch, "steps": steps}
        return qpot.simulate_sgd(system, start=start, replicas=replicas, **options)  # type: ignore[arg-type]

    return [
        per_second(lambda: run(1), seconds) * replicas * steps,
        per_second(lambda: run(8), seconds) * replicas * steps,
        per_second(lambda: total.gradient(points), seconds) * 64,
        per_second(lambda: total.covariance(points), seconds) * 64,
        per_second(lambda: system.jacobian(points), seconds) * 64,
    ]


def main(seconds: float) -> None:
    """Measure every backend and print a table."""
    builders = {"NumPy": (numpy_sum, "numpy"), "PyTorch": (torch_sum, "torch"), "JAX": (jax_sum, "jax")}
    columns = ("SGD steps, B = 1", "SGD steps, B = 8", "gradients", "covariances", "Hessians")
    print("per second".ljust(12) + "".join(f"{column:>18s}" for column in columns))
    for name, (build, module) in builders.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name:12s}not installed")
            continue
        replicas, steps = (64, 5) if name == "NumPy" else (2048, 20)
        print(name.ljust(12) + "".join(f"{value:18.3g}" for value in measure(build(), replicas, steps, seconds)))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
