"""Predictions of five small networks against real SGD; `python benchmarks/verdict_networks.py [budget] [seeds] [folder]`.

Each network is predicted once, with the exact noise of its minibatches, and checked with ten seeds. A line of the table names
the network, its parameters, minima and predicted costs, how many of the seeds agree, and for each minimum the interval of the
ten deviations of the measured slope from the predicted cost, in standard errors and relative to the cost. With a folder
predictions are kept there, and read when the script is run again. ``budget`` is the CPU seconds of one check.
"""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris

import qpot

LOADERS: dict[str, Callable[[], Any]] = {"iris": load_iris, "cancer": load_breast_cancer, "digits": load_digits}


def components(name: str, features: int, samples: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Standardised principal components of a data set of scikit-learn, or of some of its samples, and the labels."""
    data = LOADERS[name]()
    X, y = data.data, data.target
    if samples is not None:
        rows = np.random.default_rng(0).permutation(len(y))[:samples]
        X, y = X[rows], y[rows]
    X = X - X.mean(axis=0)
    spread = X.std(axis=0)
    X = X / np.where(spread > 0, spread, 1.0)
    X = X @ np.linalg.svd(X, full_matrices=False)[2][:features].T
    return X / X.std(axis=0), y


def networks() -> Iterator[tuple[str, qpot.System, qpot.DenseLayerSymmetries, int]]:
    """Name, system, symmetries of the hidden units, and how many starts the search for minima has."""
    for name, features, hidden, samples, labels, decay, starts in (
        ("digits", 2, 1, 200, "parity", 0.01, 32),
        ("iris", 2, 1, None, "second", 0.01, 32),
        ("digits", 3, 2, 200, "parity", 0.03, 32),
        ("digits", 3, 2, 200, "parity", 0.01, 32),
        ("digits", 5, 2, 200, "all", 0.02, 24),
    ):
        X, y = components(name, features, samples)
        y = {"parity": y % 2, "second": (y == 1).astype(int), "all": y}[labels]
        total = qpot.network_sum(X, y, hidden=hidden, weight_decay=decay)
        group = qpot.dense_layer_symmetries((features, hidden, int(y.max())), odd=True)
        title = f"{name} ({labels}), {features}-{hidden}-{int(y.max())}, decay {decay}"
        yield title, qpot.System.from_finite_sum(total, noise="exact"), group, starts


def predicted(system: qpot.System, group: qpot.DenseLayerSymmetries, starts: int) -> qpot.Prediction:
    """The chain of all minima, over the lowest saddle between each pair."""
    bounds = [(-6.0, 6.0)] * system.dimension
    found = sorted(qpot.find_minima(system, bounds, starts=starts, rng=0, symmetries=group), key=lambda m: m.loss)
    minima = tuple(found)
    lowest: dict[tuple[int | None, int | None], qpot.Saddle] = {}
    for saddle in sorted(qpot.find_saddles(system, minima, bounds, symmetries=group), key=lambda s: s.loss):
        if None not in saddle.connects and saddle.connects[0] != saddle.connects[1]:
            lowest.setdefault(saddle.connects, saddle)
    method = qpot.LargeScaleAction(tolerance=1e-3, starts=1) if system.dimension > 12 else None
    costs = qpot.transition_costs(system, minima, saddles=tuple(lowest.values()), method=method)
    return qpot.prediction_from_costs(costs)


def main(budget: float, seeds: int, folder: pathlib.Path | None) -> None:
    for n, (title, system, group, starts) in enumerate(networks()):
        begin = time.process_time()
        file = None if folder is None else folder / f"network{n}.npz"
        if file is not None and file.exists():
            prediction = qpot.Prediction.load(file)
        else:
            prediction = predicted(system, group, starts)
            if file is not None:
                prediction.save(file)
        direct = prediction.costs.direct[~np.eye(len(prediction.minima), dtype=bool)]
        print(
            f"{title}: {system.dimension} parameters, {len(prediction.minima)} minima, costs "
            f"{', '.join(f'{v:.3g}' for v in direct[np.isfinite(direct)])} ({time.process_time() - begin:.0f} s)",
            flush=True,
        )
        table(prediction, system, group, budget, seeds)


def table(prediction: qpot.Prediction, system: qpot.System, group: Any, budget: float, seeds: int) -> None:
    """Check one network with all seeds and print the intervals."""
    agree, spent, sentences = 0, [], []
    slopes: dict[int, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        begin = time.process_time()
        comparison = prediction.check(budget=budget, system=system, symmetries=group, rng=seed, progress=None)
        spent.append(time.process_time() - begin)
        agree += comparison.agrees is True
        sentences.append(comparison.sentence)
        for law in comparison.arrhenius:
            slopes.setdefault(law.home, []).append((law.slope_deviation, law.slope / law.predicted_slope))
    print(f"  {agree} of {seeds} seeds agree, {np.mean(spent):.1f} s each ({min(spent):.1f} to {max(spent):.1f})")
    for home, rows in sorted(slopes.items()):
        z, ratio = np.array(rows).T
        print(
            f"  out of minimum {home}: slope / cost {ratio.mean():.3f} ({ratio.min():.3f} to {ratio.max():.3f}), "
            f"{z.mean():+.2f} standard errors ({z.min():+.2f} to {z.max():+.2f}), {len(rows)} checks"
        )
    print(f"  {sentences[0]}", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        float(given[0]) if given else 30.0,
        int(given[1]) if len(given) > 1 else 10,
        pathlib.Path(given[2]) if len(given) > 2 else None,
    )
