"""Why a prefactor is not known: said in the report of systems and models, kept in files, and found out once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import qpot
from qpot.paths.solution import PathSolution
from qpot.prediction import prefactors
from qpot.prediction.prefactors import LegPrefactor
from qpot.prediction.unknown_prefactors import with_prefactors
from qpot.problem.system import System

_Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> Counter[float]:
    """How often a prefactor was carried along the leg of each cost; none of them is ever found."""
    counted: Counter[float] = Counter()

    def lost(system: System, leg: PathSolution, minimum: _Array, saddle: _Array) -> LegPrefactor:
        counted[leg.action] += 1
        return LegPrefactor(np.nan, reason="of a test.")

    monkeypatch.setattr(prefactors, "carried_prefactor", lost)
    return counted


def test_a_system_carries_every_prefactor_once_and_says_why_it_is_lost(carried: Counter[float], tmp_path: Path) -> None:
    case = qpot.gallery.embedded_double_well(s=0.5)
    prediction = qpot.predict(case.system, case.bounds, second_opinion=False, audit=False, progress=None)
    assert set(carried.values()) == {1}
    assert len(carried) == 2
    told = "The prefactor from 0 to 1, 1 to 0 is not known: of a test."
    assert told in repr(prediction)
    prediction.save(tmp_path / "kept.qpot")
    read = qpot.Prediction.load(tmp_path / "kept.qpot")
    assert np.isnan(read.rates(0.1)[0, 1])
    assert told in repr(read)


def test_a_model_says_it_too(carried: Counter[float], tmp_path: Path) -> None:
    total = qpot.gallery.embedded_double_well(s=0.5).system.finite_sum
    assert total is not None
    prediction = qpot.predict(total, audit=False, progress=None)
    assert set(carried.values()) == {1}
    told = "The prefactor from 0 to 1, 1 to 0 is not known: of a test."
    assert told in repr(prediction)
    prediction.save(tmp_path / "kept.qpot")
    assert told in repr(qpot.load(tmp_path / "kept.qpot"))


def test_a_sentence_is_written_anew_with_the_prefactors(carried: Counter[float]) -> None:
    case = qpot.gallery.embedded_double_well(s=0.5)
    costs = qpot.predict(case.system, case.bounds, second_opinion=False, audit=False, progress=None).costs
    again, values, _ = with_prefactors(case.system, costs)
    assert again.notes == costs.notes
    assert np.isnan(values[0, 1])
