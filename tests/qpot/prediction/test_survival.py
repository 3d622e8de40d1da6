"""Long work survives: runs that are killed at random moments, and pools whose workers are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import interrupted_runs
import numpy as np
import pytest

import qpot
from qpot._core import task_records

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked and killed by signals")


def interrupted(case: str, kills: int, seed: int) -> dict[str, int]:
    # -P: the folder of the tests has a folder qpot too, which would be found before an editable install of the library.
    command = [sys.executable, "-P", interrupted_runs.__file__, case, str(kills), str(seed)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"seed {seed}: {result.stderr[-4000:]}"
    found: dict[str, int] = json.loads(result.stdout)
    return found


def check(found: dict[str, int], kills: int) -> None:
    assert found["killed"] == kills
    assert found["same"]  # The run with a checkpoint that nobody stopped is that without one.
    assert found["kept"] > 0
    assert found["twice"] == 0
    assert found["finished"] > 0
    assert found["other"] == 0


def test_a_prediction_survives_kills_at_five_random_moments() -> None:
    check(interrupted("predict", 5, seed=int(np.random.default_rng().integers(1 << 30))), 5)


@pytest.mark.slow
@pytest.mark.parametrize("case", list(interrupted_runs.CASES))
def test_everything_survives_kills_at_twenty_random_moments(case: str) -> None:
    check(interrupted(case, 20, seed=int(np.random.default_rng().integers(1 << 30))), 20)


def numbers(costs: qpot.TransitionCosts) -> bytes:
    paths = [array for path in costs.paths.values() for array in (path.points, path.momenta, path.times)]
    return b"".join(np.asarray(a).tobytes() for a in (costs.values, costs.errors, *paths))


class Counted:
    """A drift that counts the points at which it is evaluated; at the top level, so that processes can have it."""

    points = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        Counted.points += len(x)
        return np.stack([x[:, 0] - x[:, 0] ** 3 + 0.3 * x[:, 1], -x[:, 1]], axis=1)


def system() -> tuple[qpot.System, list[tuple[float, float]]]:
    return qpot.System(drift=Counted(), covariance=np.eye(2), dimension=2), [(-2.0, 2.0), (-2.0, 2.0)]


def test_a_finished_run_evaluates_next_to_nothing(tmp_path: Path) -> None:
    counts, results = [], []
    for _ in range(2):
        asked, box = system()
        Counted.points = 0
        prediction = qpot.predict(asked, box, checkpoint=tmp_path, second_opinion=False, progress=None)
        counts.append(Counted.points)
        results.append(numbers(prediction.costs) + str(prediction).encode())
    assert results[0] == results[1]
    # What is left are the values that identify the system and the checks of the minima.
    assert counts[1] < 0.02 * counts[0]


def test_an_executor_changes_nothing(tmp_path: Path) -> None:
    asked, box = system()
    minima = qpot.find_minima(asked, box)
    saddles = qpot.find_saddles(asked, minima, box)
    alone = qpot.transition_costs(asked, minima, saddles=saddles)
    with qpot.process_executor(1) as executor:
        together = qpot.transition_costs(asked, minima, saddles=saddles, executor=executor, checkpoint=tmp_path)
    assert numbers(alone) == numbers(together)


def test_a_pool_whose_worker_is_killed_is_replaced_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_records, "TOGETHER", 0.0)
    asked, box = system()
    minima = qpot.find_minima(asked, box)
    saddles = qpot.find_saddles(asked, minima, box)
    alone = qpot.transition_costs(asked, minima, saddles=saddles)

    with qpot.process_executor(1) as executor:

        def kill(done: int, total: int, message: str) -> None:
            if done == 1:
                for pid in list(executor._processes):
                    os.kill(pid, signal.SIGKILL)

        # The second leg was on its way.
        with pytest.raises(qpot.SolveError, match=r"after 1 of .* legs: a worker process died") as caught:
            qpot.transition_costs(asked, minima, saddles=saddles, executor=executor, checkpoint=tmp_path, progress=kill)
    assert caught.value.status is qpot.Status.WORKER_DIED
    assert len(caught.value.partial.paths) == 1
    kept = interrupted_runs.on_disk(tmp_path)
    computed = noted(monkeypatch)
    again = qpot.transition_costs(asked, minima, saddles=saddles, checkpoint=tmp_path)
    assert numbers(again) == numbers(alone)
    assert len({name for name in kept if "solve_leg" in name}) >= 1
    assert kept.isdisjoint(computed)


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that are computed from now on."""
    computed: list[str] = []
    keep = task_records.TaskRecords.keep

    def keep_and_note(self: Any, n: int, value: Any, seconds: float) -> Any:
        computed.append(f"{self._place}#{n}")
        return keep(self, n, value, seconds)

    monkeypatch.setattr(task_records.TaskRecords, "keep", keep_and_note)
    return computed


def lambdas() -> tuple[qpot.System, list[tuple[float, float]]]:
    pull: Callable[[np.ndarray], np.ndarray] = lambda x: np.stack(  # noqa: E731
        [x[:, 0] - x[:, 0] ** 3 + 0.3 * x[:, 1], -x[:, 1]], axis=1
    )
    return qpot.System(drift=pull, covariance=np.eye(2), dimension=2), [(-2.0, 2.0), (-2.0, 2.0)]


@pytest.mark.filterwarnings("ignore")  # Those of the cluster, whose worker is killed, are no matter of this library.
def test_a_cluster_whose_worker_is_killed(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    asked, box = lambdas()  # A cluster takes functions without a name, too.
    minima = qpot.find_minima(asked, box)
    saddles = qpot.find_saddles(asked, minima, box)
    alone = qpot.transition_costs(asked, minima, saddles=saddles)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):

        def kill(done: int, total: int, message: str) -> None:
            if done == 1:
                pids = client.run(os.getpid)
                os.kill(next(iter(pids.values())), signal.SIGKILL)

        together = qpot.transition_costs(
            asked, minima, saddles=saddles, executor=client.get_executor(), checkpoint=tmp_path, progress=kill
        )
    assert numbers(alone) == numbers(together)


@pytest.mark.filterwarnings("ignore")  # As above.
def test_a_network_on_a_cluster_whose_worker_is_killed() -> None:
    distributed = pytest.importorskip("distributed")
    rng, labels = np.random.default_rng(3), np.arange(20) % 2
    features = rng.normal(size=(20, 2)) + labels[:, None] * np.array([1.5, 0.5])
    total = qpot.network_sum(features, labels, hidden=1, weight_decay=0.01)
    alone = qpot.predict(total, starts=16, audit=False, progress=None)
    assert len(alone.costs.paths) == 2
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        killed: list[str] = []

        def kill(done: int, total: int, message: str) -> None:
            if message == "paths":
                waiting.start()

        def kill_who_is_at_work() -> None:
            pids, end = client.run(os.getpid), time.monotonic() + 20.0
            while not killed and time.monotonic() < end:
                killed.extend([worker for worker, tasks in client.processing().items() if tasks][:1])
                time.sleep(0.01)
            for worker in killed:
                os.kill(pids[worker], signal.SIGKILL)

        waiting = threading.Thread(target=kill_who_is_at_work, daemon=True)
        together = qpot.predict(total, starts=16, audit=False, executor=client.get_executor(), progress=kill)
        waiting.join(timeout=10.0)
        assert killed
        assert killed[0] not in client.run(os.getpid)
    assert repr(together) == repr(alone)
    assert numbers(together.costs) == numbers(alone.costs)
