"""Programs that take seconds, and what becomes of them when Ctrl-C comes at a moment drawn at random.

An interrupt must be a SolveError with the status INTERRUPTED, heard soon, and must leave nothing behind: the handler of the
signal is the one from before, and the same call gives the same bits afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

import qpot
from qpot._core import interrupts

# A call, and the seconds after which an interrupt of it must have been heard at the latest.
Case = Callable[[], Any]


def _chain(k: int) -> Any:
    """Costs of a random sparse chain."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(3)
    rows, columns = np.repeat(np.arange(k), 4), rng.integers(0, k, 4 * k)
    ring = np.arange(k)
    rows, columns = np.append(rows, ring), np.append(columns, (ring + 1) % k)
    apart = rows != columns
    pairs = np.unique(rows[apart] * k + columns[apart])
    costs = rng.uniform(0.1, 2.0, pairs.size)
    return csr_array((costs, (pairs // k, pairs % k)), shape=(k, k))


def _network() -> Any:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 2))
    return qpot.network_sum(X, (np.sin(2.0 * X[:, 0]) * X[:, 1] > 0.0).astype(int), hidden=3, weight_decay=1e-2)


def cases() -> dict[str, Callable[[], Case]]:
    """By the name of the function: what prepares a call of it that takes about a second or more."""
    gallery = qpot.gallery

    def predict() -> Case:
        case = gallery.maier_stein(beta=4.0)
        return lambda: qpot.predict(case.system, case.bounds, progress=None)

    def predict_model() -> Case:
        total = qpot.embedded_double_well_sum(0.5)
        return lambda: qpot.predict(total, progress=None, starts=24)

    def select() -> Case:
        case = gallery.symmetric_minima(s=-0.5)
        return lambda: qpot.select(case.system, case.bounds, progress=None)

    def find_minima() -> Case:
        case = gallery.high_dimensional_well(4)
        return lambda: qpot.find_minima(case.system, case.bounds)

    def find_saddles() -> Case:
        case = gallery.egg_crate()
        minima = qpot.find_minima(case.system, case.bounds)
        return lambda: qpot.find_saddles(case.system, minima, case.bounds)

    def minimum_action_path() -> Case:
        ms = gallery.maier_stein(beta=10.0)
        return lambda: qpot.minimum_action_path(ms.system, (-1, 0), (1, 0))

    def large_path() -> Case:
        from large_problems import tilted_well

        system, start, _ = tilted_well(400)
        return lambda: qpot.minimum_action_path(system, start, 0.4 * start)

    def quasipotential() -> Case:
        ms = gallery.maier_stein(beta=10.0)
        grid = qpot.Grid((-1.6, -0.8), (0.4, 0.8), 501)
        return lambda: qpot.quasipotential(ms.system, (-1, 0), grid)

    def line_integrals() -> Case:
        ms = gallery.maier_stein(beta=10.0)
        grid = qpot.Grid((-1.6, -0.8), (0.4, 0.8), 101)
        return lambda: qpot.quasipotential(ms.system, (-1, 0), grid, method=qpot.OrderedLineIntegral())

    def space() -> Case:
        system = qpot.System(drift=lambda x: -x - 0.1 * x**3, covariance=np.eye(3), dimension=3)
        grid = qpot.Grid((-1, -1, -1), (1, 1, 1), 65)
        return lambda: qpot.quasipotential(system, (0, 0, 0), grid)

    def global_quasipotential() -> Case:
        case = gallery.symmetric_minima(s=-0.5)
        minima = qpot.find_minima(case.system, case.bounds)
        grid = qpot.Grid((-2.0, -1.2), (2.0, 1.2), 321)
        return lambda: qpot.global_quasipotential(case.system, minima, grid)

    def transition_costs() -> Case:
        case = gallery.egg_crate()
        minima = qpot.find_minima(case.system, case.bounds)
        saddles = qpot.find_saddles(case.system, minima, case.bounds)
        return lambda: qpot.transition_costs(case.system, minima, saddles=saddles)

    def exit_cost() -> Case:
        ms = gallery.maier_stein(beta=10.0)
        ball = qpot.Ball(radius=0.6)
        return lambda: qpot.exit_cost(ms.system, (-1, 0), boundary=ball)

    def simulate_diffusion() -> Case:
        case = gallery.double_well()
        return lambda: qpot.simulate_diffusion(
            case.system, epsilon=0.3, time_step=0.01, steps=15_000, start=[1.0], replicas=400, rng=1, record=50
        )

    def simulate_sgd() -> Case:
        total = _network()
        system = qpot.System.from_finite_sum(total)
        start = 0.1 * np.ones(total.dimension)
        return lambda: qpot.simulate_sgd(
            system, learning_rate=0.05, batch_size=2, steps=30_000, start=start, replicas=16, rng=1, record=1000
        )

    def escape_times() -> Case:
        case = gallery.symmetric_minima(s=-0.5)
        return lambda: qpot.escape_times(
            case.system, start=[-1.0, 0.0], minima=np.array([[-1.0, 0.0], [1.0, 0.0]]), epsilon=0.15, time_step=0.02,
            steps=4000, replicas=200,
        )  # fmt: skip

    def exit_times() -> Case:
        case = gallery.symmetric_minima(s=-0.5)
        ball = qpot.Ball(radius=0.8)
        return lambda: qpot.exit_times(
            case.system, start=[-1.0, 0.0], domain=ball, epsilon=0.12, time_step=0.02, steps=10_000, replicas=100
        )

    def splitting_times() -> Case:
        case = gallery.symmetric_minima(s=-0.5)
        minima = np.array([[-1.0, 0.0], [1.0, 0.0]])
        return lambda: qpot.splitting_times(
            case.system, start=[-1.0, 0.0], minima=minima, epsilon=0.15, time_step=0.02, clones=20, repetitions=4
        )

    def train_flow() -> Case:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((60, 3))
        net = qpot.dense_network(3, 6)
        start = 0.3 * rng.standard_normal(net.dimension)
        return lambda: qpot.train_flow(net, X, X[:, 0] * X[:, 1], start=start, step=0.01, steps=1500, order=2)

    def integrate_flow() -> Case:
        system = gallery.mueller_brown().system
        return lambda: qpot.integrate_flow(
            system, [0.2, 1.2], flow=qpot.GradientFlow(), duration=1.0, method=qpot.FixedStep(step=4e-4, order=4)
        )

    def event_driven() -> Case:
        total = _network()
        system, start = qpot.System.from_finite_sum(total), 0.5 * np.ones(total.dimension)
        return lambda: qpot.integrate_flow(system, start, flow=qpot.AdamFlow(), duration=300.0)

    def margin_flow() -> Case:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((120, 12))
        y = np.sign(X @ np.ones(12))
        return lambda: qpot.margin_flow(X, y, log_time=230.0, points=400, rtol=1e-11, atol=1e-13)

    def check() -> Case:
        case = gallery.symmetric_minima(s=-0.5)
        found = qpot.predict(case.system, case.bounds, progress=None, second_opinion=False)
        return lambda: qpot.check(found, budget=5.0, progress=None)

    def mean_first_passage_times() -> Case:
        costs = _chain(4000)
        return lambda: qpot.mean_first_passage_times(costs, 0.3, targets=[0])

    def cycle_hierarchy() -> Case:
        costs = _chain(40_000)
        return lambda: qpot.cycle_hierarchy(costs)

    return {name: made for name, made in locals().items() if name not in ("gallery",)}


def digest(result: Any) -> bytes:
    """The numbers of a result, as bytes."""
    if isinstance(result, np.ndarray):
        return b"" if result.dtype == object else np.ascontiguousarray(result).tobytes()
    if isinstance(result, (float, int, str, np.generic)):
        return repr(result).encode()
    if isinstance(result, dict):
        return b"".join(digest(item) for item in result.values())
    if isinstance(result, (list, tuple)):
        return b"".join(digest(item) for item in result)
    if is_dataclass(result) and type(result).__module__.startswith("qpot") and not isinstance(result, qpot.System):
        kept = [f.name for f in fields(result) if f.name not in ("system", "model", "prediction", "method")]
        return b"".join(digest(getattr(result, name)) for name in kept)
    return b""


@dataclass
class Heard:
    """What became of one interrupt: how the call ended, what was kept, and how long it took to be heard."""

    kind: str
    partial: str = ""
    seconds: float = 0.0
    clean: bool = True


def heard(call: Case, sent: Callable[[], float]) -> Heard:
    """Call, and say how it ended; ``sent`` is when the signal was sent, by `time.monotonic`, or inf."""
    try:
        call()
    except qpot.SolveError as error:
        seconds = time.monotonic() - sent()
        kind = "heard" if error.status is qpot.Status.INTERRUPTED else f"SolveError {error.status.name}"
        partial = "" if error.partial is None else type(error.partial).__name__
        return Heard(kind, partial, seconds, _clean())
    except KeyboardInterrupt:
        return Heard("raw KeyboardInterrupt", seconds=time.monotonic() - sent(), clean=_clean())
    except BaseException as error:
        return Heard(f"{type(error).__name__}: {error}", seconds=time.monotonic() - sent(), clean=_clean())
    return Heard("finished", clean=_clean())


def _clean() -> bool:
    """Whether nothing is left of the interrupted call: neither its handler, nor its mark."""
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler and not interrupts._INSIDE.get()


@contextlib.contextmanager
def alarmed(seconds: float) -> Iterator[Callable[[], float]]:
    """Ctrl-C comes after so many seconds, unless the block has ended; yields when it came."""
    came = [float("inf")]

    def ring(number: int, frame: Any) -> None:
        came[0] = time.monotonic()
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield lambda: came[0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def within_process(call: Case, seconds: float, moments: int, rng: np.random.Generator) -> list[Heard]:
    """Interrupts in this process at moments of a call that takes so many seconds; those that came too late are redrawn."""
    found: list[Heard] = []
    for _ in range(3 * moments):
        if len(found) == moments:
            break
        try:
            with alarmed(max(float(rng.uniform(0.0, seconds)), 1e-6)) as came:
                one = heard(call, came)
        except KeyboardInterrupt:  # It has come between the end of the call and here.
            continue
        if one.kind != "finished" or came() < float("inf"):
            found.append(one)
    return found


def from_outside(call: Case, seconds: float, moments: int, rng: np.random.Generator) -> list[Heard]:
    """Signals to forked processes at moments of the call."""
    found: list[Heard] = []
    for _ in range(3 * moments):
        if len(found) == moments:
            break
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            os.write(write, b"!")
            try:
                one = heard(call, lambda: 0.0)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            except KeyboardInterrupt:  # It has come between the end of the call and here.
                one = Heard("finished")
            os.write(write, json.dumps([one.kind, one.partial, one.seconds, one.clean]).encode())
            os._exit(0)
        os.close(write)
        os.read(read, 1)
        time.sleep(float(rng.uniform(0.0, seconds)))
        sent = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        with os.fdopen(read) as file:
            text = file.read()
        os.waitpid(pid, 0)
        one = Heard(*json.loads(text)) if text else Heard("raw KeyboardInterrupt")
        one.seconds -= sent
        if one.kind != "finished":
            found.append(one)
    return found


def cold(name: str, moments: int, rng: np.random.Generator) -> list[Heard]:
    """Signals to fresh programs, which load their kernels, and then repeat the call; see `main`."""
    found = []
    for _ in range(moments):
        # Without -P, the folder of the tests of qpot could be taken for qpot.
        program = [sys.executable, "-P", str(Path(__file__).resolve()), name]
        with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "begins\n"
            time.sleep(float(rng.uniform(0.0, 2.0)))
            sent = time.monotonic()
            run.send_signal(signal.SIGINT)
            text = run.stdout.readline()
            rest = run.stdout.read()
        one = Heard(*json.loads(text)) if text else Heard("raw KeyboardInterrupt")
        one.seconds -= sent
        if "same" not in rest:
            one.kind += ", and the call after it failed"
        if not one.kind.startswith("finished"):
            found.append(one)
    return found


def main(name: str) -> None:
    """Say when the call begins, how it was heard, and whether the call after it gives a result."""
    call = cases()[name]()
    print("begins", flush=True)
    one = heard(call, lambda: 0.0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(json.dumps([one.kind, one.partial, one.seconds, one.clean]), flush=True)
    try:
        call()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}")
        raise
    print("same")


if __name__ == "__main__":
    main(sys.argv[1])
