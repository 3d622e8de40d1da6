"""Golden numbers: what the library computes for named problems, written once and compared after a change.

Run from the repository root::

    python tools/golden.py write tests/golden.json      # before a change that must not alter numbers
    python tools/golden.py compare tests/golden.json    # after it: bit for bit, or the largest relative difference

Floats are stored in hexadecimal, so that equality means the same bits. Another processor rounds differently; compare
files of one machine, or give ``--relative``, the largest relative difference that is allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

# BLAS sums in another order when it has more threads. NumPy reads these variables when it is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402

import qpot  # noqa: E402

# The number of nodes per side of a field, by dimension.
FIELD_NODES = {1: 401, 2: 129, 3: 33}


def numbers(values: Any) -> list[str]:
    """The entries of an array as hexadecimal strings, in C order."""
    return [float(v).hex() for v in np.asarray(values, dtype=np.float64).ravel()]


def critical_points(name: str, case: Any) -> Iterator[tuple[str, list[str]]]:
    """The minima, saddles, costs and errors of one system of the gallery."""
    minima = qpot.find_minima(case.system, case.bounds)
    yield f"{name}/minima", numbers([m.point for m in minima])
    yield f"{name}/losses", numbers([m.loss for m in minima])
    if len(minima) < 2:
        return
    saddles = qpot.find_saddles(case.system, minima, case.bounds)
    yield f"{name}/saddles", numbers([s.point for s in saddles])
    costs = qpot.transition_costs(case.system, minima, saddles=saddles)
    yield f"{name}/costs", numbers(costs.values)
    yield f"{name}/errors", numbers(costs.errors)


def fields() -> Iterator[tuple[str, list[str]]]:
    """One quasi-potential in each of one, two and three dimensions."""
    cases = {
        1: (qpot.gallery.double_well(), [-1.0]),
        2: (qpot.gallery.maier_stein(), [-1.0, 0.0]),
        3: (qpot.gallery.high_dimensional_well(dimension=3), None),
    }
    for d, (case, source) in cases.items():
        start = case.minima[0] if source is None else np.asarray(source)
        lower, upper = np.array(case.bounds, dtype=np.float64).T
        grid = qpot.Grid(lower, upper, FIELD_NODES[d])
        field = qpot.quasipotential(case.system, start, grid, throw=False)
        yield f"field {d}-D/values", numbers(field.values)
        yield f"field {d}-D/error", numbers([field.error])


def chain_of_minima(k: int = 200) -> Iterator[tuple[str, list[str]]]:
    """The stationary costs, weights and cycles of a random chain whose costs span twelve decades."""
    rng = np.random.default_rng(20)
    costs = 10.0 ** rng.uniform(-6, 6, size=(k, k))
    costs[rng.random((k, k)) < 0.6] = np.inf
    ring = np.arange(k)
    costs[ring, (ring + 1) % k] = 10.0 ** rng.uniform(-6, 6, size=k)
    np.fill_diagonal(costs, 0.0)
    yield "chain/W", numbers(qpot.stationary_costs(costs))
    yield "chain/weights", numbers(qpot.stationary_distribution(costs, 0.7))
    yield "chain/first passage", numbers(qpot.mean_first_passage_times(costs, 0.7, [0]))
    top = qpot.cycle_hierarchy(costs)
    stack, exits = [top], []
    while stack:
        cycle = stack.pop()
        exits.append(cycle.exit_cost)
        stack += list(cycle.children)
    yield "chain/exit costs", numbers(exits)


def exact_finite_sum() -> Iterator[tuple[str, list[str]]]:
    """The costs of discrete SGD on a sum of six samples, and points of a simulation."""
    case = qpot.gallery.embedded_double_well(s=0.5)
    assert case.system.finite_sum is not None
    system = qpot.System.from_finite_sum(case.system.finite_sum, noise="exact")
    minima = qpot.find_minima(system, case.bounds)
    costs = qpot.transition_costs(system, minima, saddles=qpot.find_saddles(system, minima, case.bounds))
    yield "exact noise/costs", numbers(costs.values)
    yield "exact noise/errors", numbers(costs.errors)
    ensemble = qpot.simulate_sgd(
        system, learning_rate=0.1, batch_size=2, steps=200, start=minima[0].point, replicas=8, rng=3
    )
    yield "exact noise/simulated", numbers(ensemble.points)


def collect() -> dict[str, list[str]]:
    """All golden numbers, by name."""
    result: dict[str, list[str]] = {}
    parameters = {"ornstein_uhlenbeck": ([[1.0, 2.0], [-2.0, 1.5]], [[1.0, 0.3], [0.3, 0.5]])}
    for name in qpot.gallery.names():
        result.update(critical_points(name, getattr(qpot.gallery, name)(*parameters.get(name, ()))))
    for part in (fields(), chain_of_minima(), exact_finite_sum()):
        result.update(part)
    return result


def compare(stored: dict[str, list[str]], computed: dict[str, list[str]]) -> dict[str, float]:
    """The largest difference of each entry that is not the same bit for bit, relative to the entry's largest number."""
    different: dict[str, float] = {}
    for name in sorted(stored.keys() | computed.keys()):
        old, new = stored.get(name), computed.get(name)
        if old is None or new is None or len(old) != len(new):
            different[name] = np.inf
        elif old != new:
            a, b = (np.array([float.fromhex(v) for v in values]) for values in (old, new))
            finite = np.isfinite(a)
            if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
                different[name] = np.inf
            elif finite.any():
                scale = np.abs(a[finite]).max()
                different[name] = float(np.abs(a[finite] - b[finite]).max() / (scale if scale > 0 else 1.0))
    return different


def main() -> None:
    """Write the numbers to a file, or compare them with those in a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("write", "compare"))
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--relative", type=float, default=0.0)
    arguments = parser.parse_args()
    computed = collect()
    if arguments.action == "write":
        arguments.file.write_text(json.dumps(computed, indent=0) + "\n")
        print(f"{len(computed)} entries written")
        return
    different = compare(json.loads(arguments.file.read_text()), computed)
    for name, difference in different.items():
        print(f"{name}: {difference:.3g}")
    print(f"{len(computed) - len(different)} of {len(computed)} entries are the same bit for bit")
    sys.exit(int(any(d > arguments.relative for d in different.values())))


if __name__ == "__main__":
    main()
