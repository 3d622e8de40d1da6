"""Error bars of single legs against exact costs: `python benchmarks/error_bars.py --help`.

Random legs and exits of known V (tests/random_problems/legs.py and exits.py) are solved as they are, and cut off at random by
the clock, the iterations or the size of the mesh (``--cut``). Counted is how often |V - truth| exceeds the error that is
stated, of which there must be none, and how much wider than needed the bars are.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
import warnings

import numpy as np

import qpot

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

from random_problems.exits import EXITS, draw_exit, random_exit_cut
from random_problems.legs import LEGS, draw_leg, random_cut

_HEADS = ("legs", "solved", "short", "no path", "wrong", "median bar / miss", "bar / V", "s", "worst")
_WIDTHS = (6, 8, 7, 8, 7, 24, 27, 8, 8)
# The truth is rounded to a double once, and the answer too.
_ROUNDING = 2.0**-52


def main() -> int:
    """Solve, compare, print; the number of bars that do not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="legs of each kind")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cut", action="store_true", help="cut the legs off at random")
    parser.add_argument("--kind", action="append", choices=[*LEGS, *EXITS], help="only this kind; may be repeated")
    parser.add_argument("--budget", type=float, default=60.0, help="CPU seconds for one leg")
    arguments = parser.parse_args()
    wrong = 0
    heads = "".join(f"{h:>{n}}" for h, n in zip(_HEADS, _WIDTHS, strict=True))
    print(f"{'kind':<16}{heads}")
    for kind in arguments.kind or [*LEGS, *EXITS]:
        solved, short, nothing, bad = 0, 0, 0, 0
        ratios: list[float] = []
        shares: list[float] = []
        seconds: list[float] = [0.0]
        for number in range(arguments.first, arguments.first + arguments.count):
            leg = (draw_exit if kind in EXITS else draw_leg)(kind, arguments.seed, number)
            options = random_exit_cut if kind in EXITS else random_cut
            cut = options(np.random.default_rng([arguments.seed, 77, number])) if arguments.cut else {}
            start = time.process_time()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    path = leg.solved(**{"budget": arguments.budget, **cut})
            except (ValueError, qpot.SolveError) as error:
                nothing += 1
                print(f"  {kind} {number} {leg.name} {cut}: {type(error).__name__} {error}"[:300], flush=True)
                continue
            seconds.append(time.process_time() - start)
            solved += path.status.ok
            if seconds[-1] > 0.5 * arguments.budget:
                print(f"  slow: {kind} {number} {cut} {seconds[-1]:.1f} s {path!r}", flush=True)
            short += not path.status.ok
            cost = path.cost if kind in EXITS else path.action
            if getattr(path, "reason", "") and cost > leg.value:
                continue  # The answer says that a cheaper exit may have been missed.
            miss = abs(cost - leg.value)
            if not miss <= path.error + _ROUNDING * leg.value:
                bad += 1
                print(
                    f"  WRONG {kind} {number} {leg.name} {cut}: {cost!r} +- {path.error:.3g} {path.status.name}, "
                    f"right is {leg.value!r}, off by {miss:.3g}",
                    flush=True,
                )
            if path.status.ok != arguments.cut:
                ratios.append(path.error / max(miss, _ROUNDING * leg.value))
                shares.append(path.error / leg.value)
        wrong += bad
        r, s = (np.quantile(x, [0.25, 0.5, 0.9]) if x else np.full(3, np.nan) for x in (ratios, shares))
        print(
            f"{kind:<16}{arguments.count:>6}{solved:>8}{short:>7}{nothing:>8}{bad:>7}"
            f"{r[0]:>8.2g}{r[1]:>8.2g}{r[2]:>8.2g}{s[0]:>9.1g}{s[1]:>9.1g}{s[2]:>9.1g}{sum(seconds):>8.1f}{max(seconds):>8.1f}",
            flush=True,
        )
    print(f"\nBars that do not hold: {wrong}")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 1))
