"""Corrupted files of results: `python benchmarks/corrupted_files.py --help`.

Saved results are damaged at random (tests/corrupted.py) and loaded: bits turned, ends cut off, blocks lost, members removed
or exchanged, headers and values edited, and forgeries whose checksum fits. A file must be refused with a ValueError, or be
loaded as what it says; a crash and a wrong result count as faults, and there must be none.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from collections import Counter

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

from corrupted import DAMAGE, FORGERIES, outcome, saved
from saved_results import real


def main() -> int:
    """Damage, load, count, print; the number of faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="files in all")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    results = list(real().values())
    files = [saved(result) for result in results]
    ways = {**DAMAGE, **FORGERIES}
    counts: dict[str, Counter[str]] = {name: Counter() for name in ways}
    faults, begun = [], time.process_time()
    for n in range(arguments.count):
        rng = np.random.default_rng([arguments.seed, n])
        name = list(ways)[n % len(ways)]
        which = int(rng.integers(len(files)))
        found = outcome(results[which], ways[name](files[which], rng), is_forged=name in FORGERIES)
        counts[name][found.partition(":")[0]] += 1
        if found.startswith(("WRONG", "CRASH")):
            faults.append(f"{name}, {type(results[which]).__name__}, seed ({arguments.seed}, {n}): {found}")
    heads = ("refused", "equal", "says so", "WRONG", "CRASH")
    print(f"{'':<18}" + "".join(f"{head:>10}" for head in heads))
    for name, counted in counts.items():
        print(f"{name:<18}" + "".join(f"{counted[head]:>10}" for head in heads))
    print(f"{arguments.count} files of {len(files)} results, {time.process_time() - begun:.1f} CPU s")
    print("\n".join(faults[:40]))
    return len(faults)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
