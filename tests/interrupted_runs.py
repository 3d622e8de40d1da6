"""A program that forks runs with a checkpoint, kills them at random moments, and says what became of them.

It is a process of its own, so that forks are cheap and share nothing with the tests: ``python -P interrupted_runs.py
CASE KILLS SEED`` prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import qpot
from qpot._core import checkpoint, records, task_records
from qpot.simulation import kept_replicas, replicas


def predicted(folder: Path | None) -> bytes:
    """The numbers of a prediction, as bytes."""
    case = qpot.gallery.symmetric_minima(s=-0.5)
    # Without budgets in seconds, which a busy machine may exceed, the two runs are the same by construction.
    found = qpot.predict(case.system, case.bounds, progress=None, second_opinion=False, checkpoint=folder)
    costs = found.costs
    numbers = [costs.values, costs.errors, costs.direct, found.prefactors, found.stationary_costs]
    paths = [array for path in costs.paths.values() for array in (path.points, path.momenta, path.times)]
    return b"".join(np.asarray(array).tobytes() for array in (*numbers, *paths)) + str(found).encode()


def escaped(folder: Path | None) -> bytes:
    """The numbers of simulated escapes, as bytes."""
    case = qpot.gallery.symmetric_minima(s=-0.5)
    times = qpot.escape_times(
        case.system,
        start=[-1.0, 0.0],
        minima=np.array([[-1.0, 0.0], [1.0, 0.0]]),
        epsilon=0.1,
        time_step=0.02,
        steps=1500,
        replicas=600,
        checkpoint=folder,
    )
    return times.steps.tobytes() + times.destination.tobytes()


CASES: dict[str, Callable[[Path | None], bytes]] = {"predict": predicted, "escape_times": escaped}


def logged(log: Path) -> None:
    """Write a line for every part of which the computation begins, and for every task that was computed."""
    own_part, own_keep = checkpoint.Checkpoint.part, task_records.TaskRecords.keep
    own_accept = replicas._Run.accept

    def line(text: str) -> None:
        with open(log, "a", encoding="utf-8") as file:
            file.write(text + "\n")

    def part(self: Any, name: str, compute: Callable[[], Any], inputs: Any, changed: Any) -> Any:
        def computed() -> Any:
            line(str(self._place))
            return compute()

        return own_part(self, name, computed, inputs, changed)

    def keep(self: Any, n: int, value: Any, seconds: float) -> Any:
        line(f"{self._place}#{n}")
        return own_keep(self, n, value, seconds)

    def accept(self: Any, job: Any, results: Any) -> bool:
        line(f"slice {job.first_step}")
        return own_accept(self, job, results)

    replicas._Run.accept = accept  # type: ignore[method-assign]
    checkpoint.Checkpoint.part = part  # type: ignore[method-assign]
    task_records.TaskRecords.keep = keep  # type: ignore[method-assign]


def on_disk(folder: Path) -> set[str]:
    """The parts and tasks whose results are in the folder, named as in the log."""
    found = set()
    for path in folder.rglob("*.record"):
        data = records.read(path)
        assert data is not None, f"{path} is damaged"
        value = records.unpacked(data)
        if path.name == "state.record":  # Replicas have made all the steps before.
            found |= {f"slice {n}" for n in range(value["value"][1])}
        elif "value" in value:
            found.add(str(path.with_suffix("")))
        else:
            found |= {f"{path.parent}#{n}" for n in value}
    return found


def forked(case: str, folder: Path, log: Path, out: Path) -> int:
    """A run in a process of its own; its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        logged(log)
        task_records.TOGETHER = kept_replicas._EVERY = kept_replicas._TIMES = 0.0
        out.write_bytes(CASES[case](folder))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(case: str, kills: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    undisturbed = CASES[case](None)  # This compiles, too.
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        begun = time.monotonic()
        os.waitpid(forked(case, base / "whole", base / "whole.log", base / "whole.out"), 0)
        usual = time.monotonic() - begun
        seen: dict[str, Any] = Counter(killed=0, finished=0, twice=0, other=0, kept=0)
        seen["parts"] = len((base / "whole.log").read_text().split("\n")) - 1
        seen["same"] = (base / "whole.out").read_bytes() == undisturbed
        run = 0
        while seen["killed"] < kills:
            folder, out = base / f"run{run}", base / f"run{run}.out"
            before = on_disk(folder)
            log = base / f"log{seen['killed']}-{run}"
            pid = forked(case, folder, log, out)
            end = time.monotonic() + float(rng.uniform(0.0, 0.7 * usual))
            done = 0
            while not done and time.monotonic() < end:
                done = os.waitpid(pid, os.WNOHANG)[0]
                time.sleep(0.002)
            if not done:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                seen["killed"] += 1
            computed = log.read_text(encoding="utf-8").split("\n") if log.exists() else []
            seen["twice"] += len(before.intersection(computed))
            seen["kept"] += len(before)
            if done:
                seen["finished"] += 1
                seen["other"] += out.read_bytes() != undisturbed
                run += 1
        # The last run goes on to its end.
        folder, out = base / f"run{run}", base / f"run{run}.out"
        os.waitpid(forked(case, folder, base / "last.log", out), 0)
        seen["finished"] += 1
        seen["other"] += out.read_bytes() != undisturbed
        return dict(seen)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
