"""Predictions of six small networks against real SGD; `python benchmarks/verdict_networks.py [budget] [seeds] [network]`.

Each network is predicted from its loss alone, `qpot.predict(total)`, and checked with ten seeds of the runs. A line of the
table names the network, its parameters, minima and predicted costs; the next one how many checks agree, disagree and come to
no verdict, and their CPU seconds. Then follow, for each minimum, the predicted cost, the mean of the measured slopes with its
95 % interval (Student's, of as many slopes as there are checks), the range of their deviations in standard errors, and by
how much a cost would have to be wrong to be seen. Sentences are printed for the first seed, and for every seed that
disagrees. ``budget`` is the CPU seconds of one check; ``network`` is the number of the only one to run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import t as student
from sklearn.datasets import load_digits, load_iris, load_wine

import qpot

LOADERS: dict[str, Callable[..., Any]] = {"iris": load_iris, "wine": load_wine, "digits": load_digits}

# Data set, features, samples, seed of their choice, labels, decay, whether the model is one of torch, hidden units. Minima
# of a single unit differ in what they separate from the rest. Of the last network the three lowest minima are taken.
NETWORKS = (
    ("iris", 2, 20, 0, "second", 0.03, True, 1),
    ("iris", 4, 20, 1, "second", 0.02, False, 1),
    ("wine", 3, 40, 3, "all", 0.03, False, 1),
    ("digits", 4, 20, 3, "five", 0.05, False, 1),
    ("digits", 4, 40, 0, "six", 0.05, False, 1),
    ("digits", 5, 200, 0, "all", 0.02, False, 2),
)


def components(X: np.ndarray, features: int) -> np.ndarray:
    """Standardised principal components."""
    X = X - X.mean(axis=0)
    spread = X.std(axis=0)
    X = X / np.where(spread > 0, spread, 1.0)
    X = X @ np.linalg.svd(X, full_matrices=False)[2][:features].T
    return np.asarray(X / X.std(axis=0))


def loss_of(
    name: str, features: int, samples: int, seed: int, labels: str, decay: float, torch: bool, hidden: int
) -> Any:
    """The regularised loss of a network with one hidden layer on some samples of a data set."""
    X, y = LOADERS[name](return_X_y=True)
    X = components(X, features)
    if labels == "second":
        y = (y == 1).astype(int)
    elif labels != "all":
        kept = y < {"five": 5, "six": 6}[labels]
        X, y = X[kept], y[kept]
    rows = np.random.default_rng(seed).permutation(len(y))[:samples]
    X, y = X[rows], y[rows]
    return torch_loss(X, y, decay) if torch else qpot.network_sum(X, y, hidden=hidden, weight_decay=decay)


def torch_loss(X: np.ndarray, y: np.ndarray, decay: float) -> Any:
    """The same in torch, for two classes."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    model = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 1), torch.nn.Tanh(), torch.nn.Linear(1, 1))
    return qpot.from_torch(model, binary_cross_entropy_with_logits, (X, y[:, None].astype(float)), weight_decay=decay)


def main(budget: float, seeds: int, only: int | None) -> None:
    for n, case in enumerate(NETWORKS):
        if only is not None and n != only:
            continue
        begin = time.process_time()
        total = loss_of(*case)
        prediction = qpot.predict(total, audit=False, progress=None, max_minima=3 if case[7] > 1 else None)
        direct = prediction.costs.direct[~np.eye(len(prediction.minima), dtype=bool)]
        print(
            f"{n}: {case[0]}, {case[1]} features, {case[2]} samples, labels {case[4]}, decay {case[5]}"
            f"{', torch' if case[6] else ''}: {total.dimension} parameters, {len(prediction.minima)} minima, costs "
            f"{', '.join(f'{v:.3g}' for v in direct[np.isfinite(direct)])} ({time.process_time() - begin:.0f} s)",
            flush=True,
        )
        table(prediction, budget, seeds)


def table(prediction: qpot.Prediction, budget: float, seeds: int) -> None:
    """Check one network with all seeds and print the intervals."""
    verdicts: list[bool | None] = []
    spent: list[float] = []
    rows: dict[int, list[tuple[float, float, float]]] = {}
    for seed in range(seeds):
        begin = time.process_time()
        comparison = prediction.check(budget=budget, rng=seed, progress=None)
        spent.append(time.process_time() - begin)
        verdicts.append(comparison.agrees)
        if seed == 0 or comparison.agrees is False:
            print(f"  seed {seed}: {comparison.sentence}", flush=True)
        for law in comparison.arrhenius:
            rows.setdefault(law.home, []).append(
                (law.slope, law.slope_deviation, law.visible_share(comparison.threshold))
            )
    agree, disagree = verdicts.count(True), verdicts.count(False)
    print(
        f"  {agree} of {seeds} checks agree, {disagree} disagree, {seeds - agree - disagree} come to no verdict; "
        f"{np.mean(spent):.0f} s each ({min(spent):.0f} to {max(spent):.0f})"
    )
    for home, measured in sorted(rows.items()):
        slopes, z, seen = np.array(measured).T
        half = (
            student.ppf(0.975, slopes.size - 1) * slopes.std(ddof=1) / np.sqrt(slopes.size)
            if slopes.size > 1
            else np.nan
        )
        cost = np.delete(prediction.costs.direct[home], home).min()
        print(
            f"  out of minimum {home}: cost {cost:.4g}, slope {slopes.mean():.4g} +- {half:.2g} ({slopes.size} checks), "
            f"deviations {z.min():+.1f} to {z.max():+.1f} standard errors, a cost {100 * np.median(seen):.0f} % off would "
            "have been seen",
            flush=True,
        )


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        float(given[0]) if given else 60.0,
        int(given[1]) if len(given) > 1 else 10,
        int(given[2]) if len(given) > 2 else None,
    )
