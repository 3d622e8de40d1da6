"""Every kind of bad input is refused by name, and every right one accepted, on the whole public surface."""

from __future__ import annotations

import inspect

import pytest

import qpot
from bad_input.scoring import Entry, Table
from bad_input.surface import all_entries

ENTRIES = all_entries()


def _names(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


# What `qpot.__all__` has besides: classes of results that the library makes, abstract ones, and those without arguments.
_MADE_BY_THE_LIBRARY = frozenset(
    _names(
        """
    Answer ArrheniusLaw BoundaryExit Comparison Controllability CovarianceEstimate Coverage Cycle DenseLayerSymmetries
    DecreasingStepsLaw DirectionalNoise KernelUpdate
    Ensemble EscapePoints EscapeSolution EscapeTimes ExitCoverage ExitLaw ExitSolution Explanation FieldOpinion
    FieldSolution FirstExits FlatDirections FlowDeviation FlowTrajectory Gaussianity GlobalField HardMargin Hole KKT Law
    LimitCycle LocalLaw
    MarginError MarginFlow MarginLaws Minima Minimum ModelQuotient ModelSum NoiseStatistics Occupation
    OccupationCheck Passage PathSolution Periods Prediction Quotient QuotientSymmetry ReactiveFlux Saddle
    SaddleView Saddles Selection SolveError SplittingTimes Status TrainingTimeDiagram TrainingTrajectory
    TransitionCosts UnitSymmetries WGraph WayOut
    """
    )
)
_WITHOUT_ARGUMENTS = frozenset(
    _names(
        """
    CovarianceMethod CrossEntropy DiagonalCovariance Domain ExactCovariance Exponential ExponentialTail FieldMethod
    Flow FlowMethod GradientFlow Hinge LegMethod Logistic MarginLoss Noise NormalisedFlow OutputLoss PathMethod
    SignFlow SquaredError SquaredHinge
    """
    )
)
# Tried elsewhere: models of optional packages, sums that are built from a function, and products of matrices.
_ELSEWHERE = {"from_jax", "from_torch", "label_noise_sum", "ProductCovariance"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_nothing_but_clear_errors_and_right_answers(entry: Entry) -> None:
    table = Table()
    table.add(entry)
    assert not table.others, "\n".join(table.others)


def test_the_whole_public_surface_is_tried() -> None:
    tried = {entry.name.split(".")[0] for entry in ENTRIES} | {"torch_prediction_model"}  # Tried where PyTorch is.
    public = {name for name in qpot.__all__ if not inspect.ismodule(getattr(qpot, name))}
    assert public - tried == _MADE_BY_THE_LIBRARY | _WITHOUT_ARGUMENTS | _ELSEWHERE
    assert sum(len(entry.cases()) for entry in ENTRIES) > 4000
