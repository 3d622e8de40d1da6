"""Executors of joblib and dask give the same bits as the serial run, also for systems whose functions are lambdas."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np
import pytest

import qpot


def results(executor: Executor | None) -> dict[str, Any]:
    case = qpot.gallery.double_well()
    minima = qpot.find_minima(case.system, case.bounds, executor=executor)
    costs = qpot.transition_costs(case.system, minima, executor=executor)
    ensemble = qpot.simulate_diffusion(
        case.system, epsilon=0.3, time_step=0.01, steps=50, start=minima[0].point, replicas=6, rng=1, executor=executor
    )
    return {
        "minima": np.array([m.point for m in minima]),
        "costs": costs.values,
        "errors": costs.errors,
        "points": ensemble.points,
    }


def hold(executor: Executor) -> None:
    serial, other = results(None), results(executor)
    for name, values in serial.items():
        np.testing.assert_array_equal(other[name], values, err_msg=name)


@pytest.mark.slow  # Its worker imports the library anew.
def test_loky() -> None:
    loky = pytest.importorskip("joblib.externals.loky", reason="needs joblib")
    executor = loky.get_reusable_executor(1)
    try:
        hold(executor)
    finally:
        executor.shutdown(wait=True)


@pytest.mark.filterwarnings("ignore")
def test_dask() -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra qpot[dask]")
    options: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=False, **options) as cluster, distributed.Client(cluster) as client:
        hold(client.get_executor())
