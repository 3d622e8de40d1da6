"""Threads, process pools, joblib's loky and dask give the same bits as the serial run, also for functions without a name."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array


def results(executor: Executor | None) -> dict[str, Any]:
    """Starts, legs, replicas, repetitions and fields of a small landscape."""
    case = qpot.gallery.symmetric_minima(s=-0.5)
    minima = qpot.find_minima(case.system, case.bounds, executor=executor)
    deep = qpot.gallery.high_dimensional_well(14)
    starts = np.random.default_rng(2).uniform(-1.0, 1.0, (6, 14))
    own = qpot.find_minima(deep.system, deep.bounds, starts=starts, executor=executor)
    saddles = qpot.find_saddles(case.system, minima, case.bounds, executor=executor)
    costs = qpot.transition_costs(case.system, minima, saddles=saddles, executor=executor)
    run: dict[str, Any] = {"epsilon": 0.3, "time_step": 0.01, "start": minima[0].point, "rng": 1, "executor": executor}
    ensemble = qpot.simulate_diffusion(case.system, steps=50, replicas=300, **run)
    escapes = qpot.escape_times(case.system, minima=minima, steps=400, replicas=40, escape_points=True, **run)
    splitting = qpot.splitting_times(case.system, minima=minima, clones=10, repetitions=3, **run)
    grid = qpot.Grid((-2.0, -1.2), (2.0, 1.2), 65)
    field = qpot.global_quasipotential(case.system, minima, grid, executor=executor)
    return {
        "minima": np.array([m.point for m in minima]),
        "minima from starts": np.array([m.point for m in own]),
        "saddles": np.array([s.point for s in saddles]),
        "costs": costs.values,
        "errors": costs.errors,
        "paths": np.concatenate([path.points for path in costs.paths.values()]),
        "points": ensemble.points,
        "steps": escapes.steps,
        "escape points": escapes.escape_points,
        "mean steps": splitting.mean_steps,
        "field": field.values,
    }


def washboard(x: Array) -> Array:
    return np.asarray((1.0 - np.cos(2.0 * np.pi * x[:, 0])) / (2.0 * np.pi) + 1e-3 * x[:, 0])


def washboard_gradient(x: Array) -> Array:
    return np.asarray(np.sin(2.0 * np.pi * x) + 1e-3)


def washboard_noise(x: Array) -> Array:
    return np.asarray((1.0 + 0.5 * np.sin(x))[:, :, None])


def ladder(executor: Executor | None) -> dict[str, Any]:
    """The legs between 200 minima on a line, and 10 000 replicas in four blocks or more."""
    system = qpot.System.from_loss(washboard, washboard_gradient, washboard_noise, dimension=1)
    bounds = [(-0.5, 199.5)]
    minima = qpot.find_minima(system, bounds, starts=np.arange(200.0)[:, None], executor=executor)
    saddles = qpot.find_saddles(system, minima, bounds, starts=np.arange(199.0)[:, None] + 0.5, executor=executor)
    costs = qpot.transition_costs(system, minima, saddles=saddles, executor=executor)
    ensemble = qpot.simulate_diffusion(
        system, epsilon=0.3, time_step=0.01, steps=20, start=[7.0], replicas=10_000, rng=4, executor=executor
    )
    return {"costs": costs.values, "errors": costs.errors, "points": ensemble.points, "k": np.array(len(minima))}


def hold(executor: Executor, program: Callable[[Executor | None], dict[str, Any]] = results) -> None:
    serial, other = program(None), program(executor)
    for name, values in serial.items():
        np.testing.assert_array_equal(other[name], values, err_msg=name)


@contextmanager
def loky() -> Iterator[Executor]:
    found = pytest.importorskip("joblib.externals.loky", reason="needs joblib")
    executor = found.get_reusable_executor(2)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True)


@contextmanager
def cluster() -> Iterator[Executor]:
    distributed = pytest.importorskip("distributed", reason="needs the extra qpot[dask]")
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(processes=True, **options) as started, distributed.Client(started) as client:
        yield client.get_executor()


EXECUTORS: dict[str, Callable[[], Any]] = {
    "threads": lambda: ThreadPoolExecutor(2),
    "process_executor": lambda: qpot.process_executor(2),
    "spawned processes": lambda: ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")),
    "loky": loky,
    "dask": cluster,
}


@pytest.mark.slow  # Workers import the library anew.
@pytest.mark.filterwarnings("ignore")  # Those of clusters are no matter of this library.
@pytest.mark.parametrize("name", EXECUTORS)
def test_every_executor_gives_the_bits_of_the_serial_run(name: str) -> None:
    with EXECUTORS[name]() as executor:
        hold(executor)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXECUTORS)
def test_many_legs_and_replicas(name: str) -> None:
    with EXECUTORS[name]() as executor:
        hold(executor, ladder)


@pytest.mark.filterwarnings("ignore")
def test_dask_in_threads() -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra qpot[dask]")
    options: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=False, **options) as started, distributed.Client(started) as client:

        def small(executor: Executor | None) -> dict[str, Any]:
            case = qpot.gallery.double_well()
            minima = qpot.find_minima(case.system, case.bounds, executor=executor)
            costs = qpot.transition_costs(case.system, minima, executor=executor)
            return {"costs": costs.values, "errors": costs.errors}

        hold(client.get_executor(), small)
