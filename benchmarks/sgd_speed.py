"""The real algorithm's speed: `python benchmarks/sgd_speed.py` compares `simulate_sgd` with plain loops.

The network has 5 inputs, 2 tanh units and 10 classes, and 200 samples: d = 42 in PyTorch, and d = 39 as a `network_sum`,
where the last class has no output of its own. Plain loops draw their samples with replacement. One is ``vmap(grad)`` over all
replicas in PyTorch; the other is written for this very network and compiled by numba. References and qpot are timed in
turns, in CPU time of one thread, and the median of each is taken.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

import qpot

FEATURES, HIDDEN, CLASSES, SAMPLES = 5, 2, 10, 200
DECAY, RATE = 0.02, 0.05
RNG = np.random.default_rng(0)
# The inputs and the classes of the samples.
X, Y = RNG.normal(size=(SAMPLES, FEATURES)), RNG.integers(0, CLASSES, size=SAMPLES)


@njit(cache=True)
def plain_compiled(x, X, Y, h, C, decay, rate, batch, steps, rng):  # type: ignore[no-untyped-def]
    """Plain SGD of the tanh network, as one would write it: one replica after another, one sample after another."""
    R, d = x.shape
    N, f = X.shape
    o = C - 1
    W2, b2 = h * f + h, h * f + h + o * h
    unit, z, g = np.empty(h), np.empty(o), np.empty(d)
    for _ in range(steps):
        for r in range(R):
            g[:] = 0.0
            for _ in range(batch):
                i = int(rng.random() * N)
                for k in range(h):
                    s = x[r, h * f + k]
                    for j in range(f):
                        s += x[r, k * f + j] * X[i, j]
                    unit[k] = math.tanh(s)
                top = 0.0
                for c in range(o):
                    s = x[r, b2 + c]
                    for k in range(h):
                        s += x[r, W2 + c * h + k] * unit[k]
                    z[c] = s
                    top = max(top, s)
                total = math.exp(-top)
                for c in range(o):
                    z[c] = math.exp(z[c] - top)
                    total += z[c]
                for c in range(o):
                    z[c] = z[c] / total - (1.0 if c == Y[i] else 0.0)
                    g[b2 + c] += z[c]
                for k in range(h):
                    s = 0.0
                    for c in range(o):
                        s += z[c] * x[r, W2 + c * h + k]
                        g[W2 + c * h + k] += z[c] * unit[k]
                    s *= 1.0 - unit[k] * unit[k]
                    g[h * f + k] += s
                    for j in range(f):
                        g[k * f + j] += s * X[i, j]
            for j in range(d):
                x[r, j] -= rate * (g[j] / batch + decay * x[r, j])


def plain_torch(batch: int) -> Callable[[int, int], None]:
    """A function (replicas, steps) that runs plain SGD by ``vmap(grad)``, with all replicas in one tensor."""
    import torch
    from torch.func import functional_call, grad, vmap

    net = torch_network().double()
    names = [name for name, _ in net.named_parameters()]
    shapes = [p.shape for p in net.parameters()]
    sizes = [p.numel() for p in net.parameters()]
    inputs, targets = torch.tensor(X), torch.tensor(Y)

    def loss(theta: Any, a: Any, b: Any) -> Any:
        parts = {n: p.reshape(s) for n, p, s in zip(names, theta.split(sizes), shapes, strict=True)}
        value = torch.nn.functional.cross_entropy(functional_call(net, parts, (a,)), b)
        return value + 0.5 * DECAY * theta.dot(theta)

    gradients = vmap(grad(loss))

    def run(replicas: int, steps: int) -> None:
        generator = torch.Generator().manual_seed(0)
        x = 0.3 * torch.randn(replicas, sum(sizes), dtype=torch.float64, generator=generator)
        with torch.no_grad():
            for _ in range(steps):
                index = torch.randint(0, SAMPLES, (replicas, batch), generator=generator)
                x -= RATE * gradients(x, inputs[index], targets[index])

    return run


def torch_network() -> Any:
    """The network as a PyTorch module."""
    import torch

    torch.set_num_threads(1)
    return torch.nn.Sequential(torch.nn.Linear(FEATURES, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, CLASSES))


def ours(total: qpot.FiniteSum, batch: int) -> Callable[[int, int], None]:
    """A function (replicas, steps) that runs `simulate_sgd`."""
    system = qpot.System.from_finite_sum(total)

    def run(replicas: int, steps: int) -> None:
        start = 0.3 * np.random.default_rng(0).normal(size=(replicas, total.dimension))
        qpot.simulate_sgd(
            system, learning_rate=RATE, batch_size=batch, steps=steps, start=start, replicas=replicas, record=[steps]
        )

    return run


def compiled(batch: int) -> Callable[[int, int], None]:
    """A function (replicas, steps) that runs `plain_compiled`."""
    d = HIDDEN * (FEATURES + 1) + (CLASSES - 1) * (HIDDEN + 1)

    def run(replicas: int, steps: int) -> None:
        x = 0.3 * np.random.default_rng(0).normal(size=(replicas, d))
        plain_compiled(x, X, Y, HIDDEN, CLASSES, DECAY, RATE, batch, steps, np.random.default_rng(1))

    return run


def compare(
    title: str, plain: Callable[[int, int], None], own: Callable[[int, int], None], replicas: int, steps: int
) -> None:
    """Time two functions in turns, and print millions of replica steps per second and their ratio."""
    for run in (plain, own):
        run(replicas, max(100, steps // 10))
    times: list[list[float]] = [[], []]
    for _ in range(5):
        for run, taken in zip((plain, own), times, strict=True):
            begin = time.process_time()
            run(replicas, steps)
            taken.append(time.process_time() - begin)
    first, second = (replicas * steps / float(np.median(taken)) / 1e6 for taken in times)
    print(f"{title:32s}{replicas:10d}{first:12.3f}{second:12.3f}{second / first:9.2f}", flush=True)


def main() -> None:
    """Print the table."""
    print(f"{'million replica steps a second':32s}{'replicas':>10s}{'plain':>12s}{'qpot':>12s}{'ratio':>9s}")
    network = qpot.network_sum(X, Y, hidden=HIDDEN, weight_decay=DECAY)
    for batch in (1, 8):
        for replicas in (100, 400):
            compare(f"network_sum, batch {batch}", compiled(batch), ours(network, batch), replicas, 4000 // batch)
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed")
        return
    import torch

    model = qpot.from_torch(torch_network(), torch.nn.functional.cross_entropy, (X, Y), weight_decay=DECAY)
    for batch in (1, 8):
        for replicas in (100, 400):
            compare(f"torch, batch {batch}", plain_torch(batch), ours(model, batch), replicas, 1000)


if __name__ == "__main__":
    main()
