"""Random problems of known answer: `python benchmarks/landscapes.py --help`; 1600 of sixteen kinds by default.

Each problem is solved by `qpot.predict` as a user would pose it, and scored (tests/random_problems/scoring.py):
right, flagged, refused, late (no answer in --limit seconds), or wrong without a flag, of which there must be none. The table
also shows how many right answers carry a flag, and the CPU seconds (median and worst). Every answer becomes a line of
benchmarks/output/landscapes.csv; a problem is drawn again by its kind, seed and number. The truth comes by construction, or
from an exhaustive search for critical points that is held against flooding, and shares no code with qpot.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

from random_problems.kinds import KINDS, draw
from random_problems.scoring import VERDICTS, Score, solve_and_score

# Where the table is written.
OUTPUT = pathlib.Path(__file__).parent / "output"
# The columns of the table.
FIELDS = ("kind", "seed", "number", "name", "verdict", "seconds", "reason", "flags")
# Problems of each kind, in full and with --quick; together at least 1000 and 100.
FULL, QUICK = 100, 10


def solved(task: tuple[str, int, int, float, bool]) -> tuple[str, int, str, Score]:
    """(kind, number, name, score) of one problem."""
    kind, seed, number, limit, second = task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = draw(kind, seed, number)
        return (
            kind,
            number,
            problem.name,
            solve_and_score(problem, limit=limit, second_opinion=None if second else False),
        )


def results(arguments: argparse.Namespace, kinds: list[str]) -> Iterator[tuple[str, int, str, Score]]:
    """The solved problems one after another; the budget is shared among the kinds that are left."""
    executor = None
    if arguments.workers > 1:
        executor = ProcessPoolExecutor(arguments.workers, mp_context=get_context("forkserver"))
    spent = 0.0
    for n, kind in enumerate(kinds):
        share = (arguments.budget - spent) / (len(kinds) - n)
        used = 0.0
        numbers = range(arguments.first, arguments.first + arguments.count)
        second = not arguments.no_second_opinion
        tasks = [(kind, arguments.seed, m, arguments.limit, second) for m in numbers]
        batch = max(arguments.workers, 1)
        for start in range(0, len(tasks), batch):
            if used > share:
                break
            part = tasks[start : start + batch]
            for outcome in map(solved, part) if executor is None else executor.map(solved, part):
                used += outcome[3].seconds
                yield outcome
        spent += used


def line(name: str, scores: list[Score]) -> str:
    """One row of the table."""
    counts = [sum(s.verdict == verdict for s in scores) for verdict in VERDICTS]
    alarms = sum(s.verdict == "right" and bool(s.flags) for s in scores)
    seconds = [s.seconds for s in scores if s.verdict != "absent"] or [0.0]
    cells = "".join(f"{c:>9d}" for c in (*counts[:1], alarms, *counts[1:]))
    return f"{name:<14}{len(scores):>6d}{cells}{statistics.median(seconds):>9.2f}{max(seconds):>9.2f}"


def main() -> int:
    """Solve, print, write; the number of answers that are wrong without a flag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} problems of each kind instead of {FULL}")
    parser.add_argument("--count", type=int, help="problems of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first problem of each kind")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind; may be repeated")
    parser.add_argument("--budget", type=float, default=float("inf"), help="CPU seconds for all problems together")
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds for one problem")
    parser.add_argument(
        "--no-second-opinion", action="store_true", help="without it answers come sooner and carry less flags"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT / "landscapes.csv")
    arguments = parser.parse_args()
    arguments.count = arguments.count or (QUICK if arguments.quick else FULL)
    kinds = arguments.kind or list(KINDS)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    scores: dict[str, list[Score]] = {kind: [] for kind in kinds}
    began = time.perf_counter()
    with open(arguments.output, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(FIELDS)
        for kind, number, name, score in results(arguments, kinds):
            scores[kind].append(score)
            row = (kind, arguments.seed, number, name, score.verdict, f"{score.seconds:.3f}", score.reason)
            table.writerow((*row, "; ".join(score.flags)))
            file.flush()
            if score.verdict not in ("right", "absent"):
                print(f"{kind} {number} ({name}): {score.verdict.upper()} {score.reason[:160]}", flush=True)
    print(
        f"\n{'kind':<14}{'n':>6}{'right':>9}{'(alarms)':>9}"
        + "".join(f"{v:>9}" for v in VERDICTS[1:])
        + "   median    worst"
    )
    for kind in kinds:
        print(line(kind, scores[kind]))
    everything = [s for kind in kinds for s in scores[kind]]
    print(line("all", everything))
    wrong = sum(s.verdict == "wrong" for s in everything)
    print(f"\nWrong without a flag: {wrong} of {len(everything)}; {time.perf_counter() - began:.0f} s")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 1))
