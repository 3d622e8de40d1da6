"""Worker processes: their death has a name and keeps what was finished, they hear Ctrl-C, and they end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import qpot
from qpot._core.interrupts import interruptible, keeping
from qpot._core.parallel import process_executor, run_in_order
from qpot._core.status import SolveError, Status


def deadly(n: int) -> int:
    """A task that ends its process when its turn comes."""
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n


def deadly_drift(x: np.ndarray) -> np.ndarray:
    """A drift that kills its process near the saddle, but not that of the caller."""
    if multiprocessing.parent_process() is not None and (np.abs(x[:, 0]) < 0.02).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], axis=1)


@interruptible
def squares(executor: ProcessPoolExecutor) -> list[int]:
    found: list[int] = []
    with keeping(lambda: (f"squares was interrupted after {len(found)}", found)):
        for value in run_in_order(deadly, range(6), executor):
            found.append(value)
    return found


@pytest.mark.slow  # Processes are started.
def test_the_death_of_a_worker_has_a_name_and_keeps_what_was_finished() -> None:
    with process_executor(1) as executor, pytest.raises(SolveError, match="after 3: a worker process died") as caught:
        squares(executor)
    assert caught.value.status is Status.WORKER_DIED
    assert caught.value.partial == [0, 1, 4]
    with pytest.raises(SolveError, match="a worker process died") as again:
        squares(executor)  # The pool is broken, and says so.
    assert again.value.status is Status.WORKER_DIED


@pytest.mark.slow  # Processes are started.
def test_a_user_function_that_kills_its_process() -> None:
    system = qpot.System(drift=deadly_drift, covariance=np.eye(2), dimension=2)
    with (
        process_executor(1) as executor,
        pytest.raises(SolveError, match=r"interrupted after \d+ of 4000 steps: a worker process died") as caught,
    ):
        qpot.simulate_diffusion(
            system, epsilon=0.5, time_step=0.01, steps=4000, start=[1.0, 0.0], replicas=8, rng=0, executor=executor
        )
    assert caught.value.status is Status.WORKER_DIED
    assert caught.value.partial.points.shape[1:] == (8, 2)


def stopped(n: int) -> int:
    """A public function that is interrupted."""

    @interruptible
    def public() -> int:
        raise KeyboardInterrupt

    return public()


def test_an_interrupt_in_a_task_passes_public_functions() -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        list(run_in_order(stopped, [1], executor))
    with pytest.raises(SolveError) as caught:
        interruptible(lambda: list(run_in_order(stopped, [1], None)))()
    assert caught.value.status is Status.INTERRUPTED


@pytest.mark.slow  # Programs are started.
@pytest.mark.parametrize("pool", ["process_executor(3)", "ProcessPoolExecutor(3)"])
def test_workers_end_with_their_parent(pool: str, tmp_path: Path) -> None:
    # Workers say who they are by empty files, since lines of several processes in one pipe may mix.
    task = (
        "import os, pathlib, time\ndef task(n):\n"
        f"    (pathlib.Path({str(tmp_path)!r}) / f'{{os.getpid()}}.worker').touch()\n    time.sleep(90)\n"
    )
    (tmp_path / "long_tasks.py").write_text(task)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from qpot._core.parallel import process_executor, run_in_order\n"
        "from long_tasks import task\n"
        f"if __name__ == '__main__':\n    list(run_in_order(task, range(3), {pool}))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    with subprocess.Popen([sys.executable, str(script), str(tmp_path)]) as run:
        while len(workers := [int(file.stem) for file in tmp_path.glob("*.worker")]) < 3 and run.poll() is None:
            time.sleep(0.05)
        run.kill()
    assert len(workers) == 3
    end = time.monotonic() + 20.0
    while any(_lives(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in workers if _lives(pid)]


def _lives(pid: int) -> bool:
    """Whether a process runs, and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow  # Programs are started.
def test_ctrl_c_in_a_terminal_ends_tasks_but_no_workers(tmp_path: Path) -> None:
    (tmp_path / "long_tasks.py").write_text(
        "import os, time\ndef task(n):\n    print('at', os.getpid(), flush=True)\n    time.sleep(n)\n    return n\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from qpot._core.interrupts import interruptible\n"
        "from qpot._core.parallel import process_executor, run_in_order\n"
        "from long_tasks import task\n"
        "@interruptible\n"
        "def work(times, executor):\n    return list(run_in_order(task, times, executor))\n"
        "if __name__ == '__main__':\n"
        "    with process_executor(2) as executor:\n"
        "        try:\n            work([60.0, 60.0], executor)\n"
        "        except BaseException as error:\n            print(type(error).__name__, error.status.name, flush=True)\n"
        "        print(work([0.0, 0.01], executor), flush=True)\n"
    )
    command = [sys.executable, str(script), str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as run:  # type: ignore[call-overload]
        for _ in range(2):
            assert run.stdout.readline().startswith("at ")
        os.killpg(run.pid, signal.SIGINT)
        assert run.stdout.readline() == "SolveError INTERRUPTED\n"
        out, err = run.communicate()
    assert "[0.0, 0.01]" in out
    assert run.returncode == 0
    assert "Traceback" not in err
