"""Trained networks of 20 to 99 140 parameters by one call; `python benchmarks/networks.py [name ...]`.

Every network is predicted in a fresh process, with the library's own choices but for the largest, of which two training runs
are made. A line of the table names the parameters, those left without what no sample moves, the samples, the minima found
and those in the chain, the CPU seconds of training, passes and legs and of the whole call, the peak of the memory, and the
costs with their errors; what was covered follows. Compiling is counted where the cache is cold. Some of them
need PyTorch: `pip install 'qpot[torch]'`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

import qpot
from qpot.prediction import model_choices, models

# Where the seconds go: the name in the table, and the module and function that take them.
PARTS = (
    ("training", model_choices, "trained_minima"),
    ("search", models, "model_landscape"),
    ("legs", models, "_costs"),
)


def digits(samples: int, classes: tuple[int, ...] = tuple(range(10))) -> tuple[np.ndarray, np.ndarray]:
    """Some of the handwritten digits of some classes, with pixels between 0 and 1, and their labels."""
    X, y = load_digits(return_X_y=True)
    some = np.isin(y, classes)
    order = np.random.default_rng(0).permutation(some.sum())[:samples]
    return X[some][order] / 16.0, np.searchsorted(classes, y[some][order])


def components(samples: int, features: int, classes: tuple[int, ...] = tuple(range(10))) -> Any:
    """The digits' principal components of unit variance, and the labels."""
    X, y = digits(samples, classes)
    X = X - X.mean(axis=0)
    X = X @ np.linalg.svd(X, full_matrices=False)[2][:features].T
    return X / X.std(axis=0), y


def standardised(data: Any, features: int) -> tuple[np.ndarray, np.ndarray]:
    """The first features of a data set with mean zero and unit variance, and the labels."""
    X = data.data[:, :features]
    return (X - X.mean(axis=0)) / X.std(axis=0), data.target


def products(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and all their products of the digits 3, 5, 8 and 9, and the labels."""
    X, y = digits(samples, (3, 5, 8, 9))
    first, second = np.triu_indices(X.shape[1])
    X = np.concatenate([X, X[:, first] * X[:, second]], axis=1)
    X = X - X.mean(axis=0)
    return X / (0.5 * np.sqrt((X**2).sum(axis=1).mean())), y


def perceptron(data: tuple[np.ndarray, np.ndarray], hidden: int, decay: float) -> qpot.FiniteSum:
    """A PyTorch network with one layer of tanh units."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    X, y = data
    model = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, int(y.max()) + 1)
    )
    return qpot.from_torch(model, torch.nn.functional.cross_entropy, (X, y), weight_decay=decay)


def convolutional(samples: int) -> qpot.FiniteSum:
    """A small PyTorch network with two convolutions."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)
    X, y = digits(samples)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(8, 12, 2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 10),
    )  # fmt: skip
    return qpot.from_torch(model, nn.functional.cross_entropy, (X.reshape(-1, 1, 8, 8), y), weight_decay=0.01)


NETWORKS: dict[str, tuple[Callable[[], qpot.FiniteSum], dict[str, Any]]] = {
    "17": (lambda: qpot.network_sum(*components(200, 3, (0, 1, 2, 3)), hidden=2, weight_decay=0.02), {}),
    "23": (lambda: perceptron(standardised(load_breast_cancer(), 4), 3, 0.001), {}),
    "217": (lambda: qpot.network_sum(*components(200, 16), hidden=8, weight_decay=0.01), {}),
    "39": (lambda: perceptron(components(200, 5), 2, 0.02), {}),
    "1210": (lambda: perceptron(digits(300), 16, 0.01), {}),
    "cnn": (lambda: convolutional(300), {}),
    "10749": (lambda: perceptron(products(150), 5, 0.01), {}),
    "99140": (lambda: perceptron(products(150), 46, 0.01), {"starts": 2, "max_minima": 2}),
}
# Above 200 coordinates also under the samples' noise without a floor, and under the leading directions of the noise.
for large in ("217", "1210", "cnn", "10749", "99140"):
    for noise in ("samples", "low rank"):
        NETWORKS[f"{large}-{noise.replace(' ', '-')}"] = NETWORKS[large][0], {**NETWORKS[large][1], "noise": noise}


def timed(seconds: dict[str, float], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which adds its CPU seconds under a name."""

    def call(*arguments: Any, **options: Any) -> Any:
        clock = time.process_time()
        result = function(*arguments, **options)
        seconds[name] = seconds.get(name, 0.0) + time.process_time() - clock
        return result

    return call


def row(name: str) -> None:
    """Predict one network, and print its line of the table."""
    make, options = NETWORKS[name]
    total = make()
    reduced = qpot.without_gauges(total).dimension
    seconds: dict[str, float] = {}
    for part, module, function in PARTS:
        setattr(module, function, timed(seconds, part, getattr(module, function)))
    clock = time.process_time()
    try:
        prediction = qpot.predict(total, audit=False, progress=None, **options)
    except (ValueError, qpot.SolveError) as error:
        print(f"{name:>14} d={total.dimension} ({reduced}), N={total.n_samples}: {error}")
        return
    costs = prediction.costs
    whole = time.process_time() - clock
    training, legs = seconds.get("training", 0.0), seconds.get("legs", 0.0)
    passes = seconds.get("search", 0.0) - training
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    off = ~np.eye(len(costs.minima), dtype=bool)
    priced = ", ".join(
        "not known" if not np.isfinite(v) else f"{v:.4g} +- {e:.1g}"
        for v, e in zip(costs.values[off], costs.errors[off], strict=True)
    )
    print(
        f"{name:>14} d={total.dimension} ({reduced}), N={total.n_samples}, {len(costs.minima)} minima in the chain; training "
        f"{training:.0f} s, passes {passes:.0f} s, legs {legs:.0f} s, whole call {whole:.0f} s; {peak:.1f} GiB\n"
        f"       costs {priced or 'none'}\n       {costs.coverage}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        row(sys.argv[2])
    else:
        for chosen in sys.argv[1:] or NETWORKS:
            subprocess.run([sys.executable, __file__, "--row", chosen], check=True)
