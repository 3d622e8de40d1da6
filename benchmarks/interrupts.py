"""The table of interrupts: `python benchmarks/interrupts.py [FUNCTION ...] --moments 20`.

For every function: Ctrl-C at so many moments drawn at random within one process, from outside (to forked processes), and in
fresh programs; how often it was a SolveError with the status INTERRUPTED, anything else, how often something was kept, how
long it took to be heard, and whether the call after all of them gives the same bits.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from interrupt_programs import cases, cold, digest, from_outside, within_process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", nargs="*")
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--cold", type=int, default=3, help="fresh programs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| function | takes | heard | else | something kept | latest heard after | clean, and the same bits after |")
    print("|---|---|---|---|---|---|---|")
    faults = 0
    for n, (name, prepare) in enumerate(cases().items()):
        if arguments.functions and name not in arguments.functions:
            continue
        rng = np.random.default_rng([arguments.seed, n])
        call = prepare()
        call()
        begun = time.monotonic()
        reference = digest(call())
        seconds = time.monotonic() - begun
        found = within_process(call, seconds, arguments.moments, rng)
        same = digest(call()) == reference
        found += from_outside(call, seconds, arguments.moments, rng)
        found += cold(name, arguments.cold, rng)
        kinds = Counter(one.kind for one in found)
        others = {kind: count for kind, count in kinds.items() if kind != "heard"}
        clean = same and all(one.clean for one in found)
        faults += sum(others.values()) + (not clean)
        kept = Counter(one.partial for one in found if one.partial)
        told = ", ".join(f"{count} {kind}" for kind, count in kept.items())
        latest = max(one.seconds for one in found)
        wrong = "; ".join(f"{count} {kind}" for kind, count in others.items()) or "0"
        row = (name, f"{seconds:.1f} s", kinds["heard"], wrong, told, f"{latest:.2f} s", "yes" if clean else "NO")
        print("|", " | ".join(map(str, row)), "|", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main() > 0)
