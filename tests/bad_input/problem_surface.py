"""Losses that are means over samples, systems, noise: the wings samples and problem."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import qpot
from bad_input.scoring import Entry, Kind
from bad_input.values import (
    BATCH_FUNCTION,
    COUNT,
    FINITE_SUM,
    FLAG,
    FLAG_RIGHT,
    NON_NEGATIVE,
    POINT,
    POINTS,
    POSITIVE,
    RNG,
    SYSTEM,
    TABLE,
    VECTOR,
    refused,
    without,
)

_WEIGHT = without(NON_NEGATIVE, "masked", "empty") + refused(empty=lambda: np.zeros(0))
_X = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, -1.0]]
_Y = [1.0, -1.0, 1.0, -1.0]


@cache
def total() -> qpot.FiniteSum:
    """A finite sum of two parameters."""
    return qpot.embedded_double_well_sum(0.5)


@cache
def well() -> qpot.System:
    """A system of two coordinates with minima at (-1, 0) and (1, 0)."""
    return qpot.gallery.separable_double_well().system


def _drift(x: Any) -> Any:
    return np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], axis=1)


def _used(**changed: Any) -> Any:
    """A system made with these arguments, and one evaluation of its drift, covariance and loss."""
    system = qpot.System(**{"drift": _drift, "covariance": 1.0, "dimension": 2, **changed})
    points = np.array([[0.5, 0.25], [0.1, -0.3]])
    system.drift(points), system.covariance(points), system.jacobian(points)
    if system.loss is not None:
        system.loss(points)
    return system


def _from_loss(**arguments: Any) -> None:
    system = qpot.System.from_loss(**arguments)
    points = np.array([[0.5, 0.25], [0.1, -0.3]])
    system.drift(points), system.unchecked.loss(points)


def _in_place(x: Any) -> Any:
    x *= -1.0
    return x


class _Counting:
    """A function with a state."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.calls, self.shape = 0, shape

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return np.ones((len(x), *self.shape)) * self.calls


class _Buffer:
    """A function that returns one array at every call."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.out = np.zeros((64, *shape))

    def __call__(self, x: Any) -> Any:
        self.out[: len(x)] = 1.0 + x[:, 0].reshape(-1, *([1] * (self.out.ndim - 1))) ** 2 + len(x)
        return self.out[: len(x)]


def functions(*shape: int) -> tuple[Kind, ...]:
    """Wrong functions of a batch of points whose values have the given shape."""
    rng = np.random.default_rng(0)

    def constant(value: Any) -> Callable[[], Callable[[Any], Any]]:
        return lambda: lambda x: np.broadcast_to(value, (len(x), *shape)).copy()

    return BATCH_FUNCTION + refused(
        returns_none=lambda: lambda x: None,
        returns_text=lambda: lambda x: "value",
        returns_wide=lambda: lambda x: np.zeros((len(x), 7, 7)),
        returns_one_row_less=lambda: lambda x: np.zeros((len(x) - 1, *shape)),
        returns_nan=constant(np.nan),
        returns_infinite=constant(np.inf),
        returns_complex=constant(1j),
        returns_texts=constant("1"),
        returns_generator=lambda: lambda x: (row for row in x),
        returns_dictionary=lambda: lambda x: {"x": x},
        returns_masked=lambda: lambda x: np.ma.masked_array(np.zeros((len(x), *shape)), mask=True),
        in_place=lambda: lambda x: _in_place(x)[:, 0].reshape(-1, *([1] * len(shape))) * np.ones(shape),
        random=lambda: lambda x: rng.normal(size=(len(x), *shape)),
        counting=lambda: _Counting(shape),
        buffer=lambda: _Buffer(shape),
        batch_mean=lambda: lambda x: np.ones((len(x), *shape)) * x.mean(),
        batch_size=lambda: lambda x: np.ones((len(x), *shape)) / len(x),
    )


def _sum(**changed: Any) -> Any:
    """A finite sum made with these arguments, and its loss and gradient at two points."""
    good = {
        "sample_losses": lambda x: (x**2).sum(axis=1, keepdims=True) / 2 * np.ones(3),
        "sample_gradients": lambda x: x[:, None, :] * np.ones((3, 1)),
        "n_samples": 3,
        "dimension": 2,
    }
    made = qpot.FiniteSum(**{**good, **changed})
    points = np.array([[0.5, 0.25], [0.1, -0.3]])
    made.loss(points), made.gradient(points), made.covariance(points)
    return qpot.System.from_finite_sum(made)


def _samples() -> list[Entry]:
    weight = {"weight_decay": _WEIGHT}
    data = {"features": lambda: _X, "targets": lambda: _Y}
    labels = VECTOR + refused(zeros=lambda: np.zeros(4), threes=lambda: np.full(4, 3.0))
    return [
        Entry("least_squares_sum", qpot.least_squares_sum, data, {"features": TABLE, "targets": VECTOR, **weight}),
        Entry(
            "logistic_sum",
            qpot.logistic_sum,
            {"features": lambda: _X, "labels": lambda: _Y},
            {"features": TABLE, "labels": labels, **weight},
        ),
        Entry(
            "welsch_sum",
            qpot.welsch_sum,
            {**data, "scale": lambda: 1.0},
            {"features": TABLE, "targets": VECTOR, "scale": POSITIVE, **weight},
        ),
        Entry(
            "phase_retrieval_sum",
            qpot.phase_retrieval_sum,
            {"measurements": lambda: _X, "intensities": lambda: [1.0] * 4},
            {"measurements": TABLE, "intensities": VECTOR},
        ),
        Entry(
            "sinusoid_sum",
            qpot.sinusoid_sum,
            {"times": lambda: _Y, "values": lambda: _Y},
            {"times": VECTOR, "values": VECTOR},
        ),
        Entry(
            "quadratic_sum",
            qpot.quadratic_sum,
            {"curvatures": lambda: 1.0, "centres": lambda: _X},
            {"curvatures": without(TABLE, "number"), "centres": without(TABLE, "number")},
        ),
        Entry(
            "embedded_double_well_sum",
            qpot.embedded_double_well_sum,
            {"s": lambda: 0.5},
            {"s": without(POSITIVE, "zero", "minus", "boolean") + refused(one=lambda: 1.0, minus_one=lambda: -1.0)},
        ),
        Entry(
            "network_sum",
            qpot.network_sum,
            {"features": lambda: _X, "labels": lambda: [0, 1, 0, 1], "hidden": lambda: 2, "weight_decay": lambda: 0.01},
            {"features": TABLE, "labels": VECTOR, "hidden": COUNT, **weight},
        ),
        Entry(
            "FiniteSum",
            _sum,
            {},
            {
                "sample_losses": functions(3),
                "sample_gradients": functions(3, 2),
                "n_samples": COUNT,
                "dimension": COUNT,
                "mean_gradient": without(functions(2), "none"),
                "kernel": refused(
                    text=lambda: "quadratic",
                    unknown=lambda: ("cubic", ()),
                    number=lambda: 3,
                    arrays=lambda: ("quadratic", (1,)),
                ),
            },
            aliases={
                "sample_gradients": ("gradient",),
                "dimension": ("sample_gradients",),
                "n_samples": ("sample_losses",),
            },
        ),
        Entry(
            "check_gradients",
            qpot.check_gradients,
            {"finite_sum": total},
            {"finite_sum": FINITE_SUM, "near": without(POINT, "none", "two"), "points": COUNT, "rng": RNG},
        ),
        Entry(
            "label_noise_covariance",
            qpot.label_noise_covariance,
            {"noisy_sum": total, "levels": lambda: 2},
            {"noisy_sum": FINITE_SUM, "levels": COUNT},
        ),
        Entry("unit_blocks", qpot.unit_blocks, {"finite_sum": total}, {"finite_sum": FINITE_SUM}),
        Entry(
            "without_gauges",
            qpot.without_gauges,
            {"finite_sum": total},
            {"finite_sum": FINITE_SUM, "at": without(POINT, "none"), "rng": RNG},
        ),
        Entry(
            "UnitBlock",
            qpot.UnitBlock,
            {"name": lambda: "layer", "places": lambda: [np.array([[0], [1]])]},
            {
                "places": refused(
                    none=lambda: None,
                    text=lambda: "places",
                    number=lambda: 3,
                    empty=list,
                    half=lambda: [np.array([[0.5], [1.0]])],
                    minus=lambda: [np.array([[-1], [0]])],
                    twice=lambda: [np.array([[0], [0]])],
                )
            },
        ),
        Entry(
            "ParameterLayout",
            qpot.ParameterLayout,
            {"names": lambda: ("w",), "shapes": lambda: ((2, 3),)},
            {
                "names": refused(
                    none=lambda: None,
                    number=lambda: 3,
                    longer=lambda: ("a", "b"),
                    twice=lambda: ("a", "a"),
                    numbers=lambda: (1,),
                ),
                "shapes": refused(
                    none=lambda: None,
                    number=lambda: 3,
                    longer=lambda: ((1,), (2,)),
                    minus=lambda: ((-1,),),
                    half=lambda: ((1.5,),),
                    text=lambda: ("ab",),
                ),
            },
        ),
    ]


def _problem() -> list[Entry]:
    covariance = functions(2, 2)
    matrix = refused(
        text=lambda: "1.0",
        texts=lambda: [["1", "0"], ["0", "1"]],
        nan=lambda: np.nan,
        nans=lambda: np.full((2, 2), np.nan),
        minus=lambda: -1.0,
        negative=lambda: -np.eye(2),
        three=lambda: np.eye(3),
        vector=lambda: [1.0, 1.0],
        complex=lambda: np.eye(2) * 1j,
        skew=lambda: [[1.0, 0.5], [0.0, 1.0]],
        infinite=lambda: np.full((2, 2), np.inf),
        dictionary=dict,
        object=object,
        masked=lambda: np.ma.masked_array(np.eye(2), mask=np.eye(2) == 0),
        empty=lambda: np.zeros((0, 0)),
    )
    direction = without(POINT, "none") + refused(zero=lambda: [0.0, 0.0])
    at: dict[str, Any] = {"finite_sum": total, "point": lambda: [1.0, 0.0]}
    rank = COUNT + refused(beyond=lambda: 3)
    frozen_at = without(POINT, "none")
    return [
        Entry(
            "System",
            _used,
            {},
            {
                "drift": functions(2),
                "covariance": without(covariance, "none", "number") + matrix,
                "dimension": COUNT,
                "loss": without(functions(), "none"),
                "jacobian": without(functions(2, 2), "none"),
                "noise": refused(text=lambda: "gaussian", class_=lambda: qpot.Noise, number=lambda: 1.0),
                "gradient_drift": FLAG + FLAG_RIGHT,
                "replacement": FLAG,
                "finite_sum": without(FINITE_SUM, "none"),
            },
            aliases={"noise": ("covariance",)},
        ),
        Entry(
            "System.from_loss",
            _from_loss,
            {
                "loss": lambda: lambda x: (x**2).sum(axis=1) / 2,
                "gradient": lambda: lambda x: x.copy(),
                "covariance": lambda: 1.0,
                "dimension": lambda: 2,
            },
            {
                "loss": functions(),
                "gradient": functions(2),
                "covariance": matrix + refused(none=lambda: None),
                "dimension": COUNT,
                "hessian": refused(text=lambda: "hessian", array=lambda: np.eye(2)),
            },
        ),
        Entry(
            "System.from_finite_sum",
            qpot.System.from_finite_sum,
            {"finite_sum": total},
            {
                "finite_sum": FINITE_SUM,
                "replacement": FLAG + FLAG_RIGHT,
                "noise": refused(none=lambda: None, text=lambda: "white", number=lambda: 1.0, list=list),
                "batch_size": without(COUNT, "none"),
                "covariance": matrix,
            },
        ),
        Entry(
            "controllability",
            qpot.controllability,
            {"system": well, "point": lambda: [1.0, 0.0]},
            {"system": SYSTEM, "point": POINT},
        ),
        Entry(
            "low_rank_covariance",
            qpot.low_rank_covariance,
            {**at, "rank": lambda: 1, "floor": lambda: 0.1},
            {
                "finite_sum": FINITE_SUM,
                "point": POINT,
                "rank": rank,
                "floor": without(NON_NEGATIVE, "list"),
                "state_dependent": FLAG,
                "rng": RNG,
            },
        ),
        Entry(
            "estimate_covariance",
            qpot.estimate_covariance,
            at,
            {
                "finite_sum": FINITE_SUM,
                "point": POINT,
                "rng": RNG,
                "method": refused(
                    text=lambda: "exact",
                    class_=lambda: qpot.ExactCovariance,
                    number=lambda: 3,
                    path=lambda: qpot.GeometricAction(),
                ),
            },
        ),
        Entry(
            "measure_noise",
            qpot.measure_noise,
            at,
            {
                "finite_sum": FINITE_SUM,
                "point": POINT,
                "batch_size": COUNT,
                "replacement": FLAG,
                "learning_rate": without(POSITIVE, "none"),
                "epsilon": without(POSITIVE, "none"),
                "direction": direction,
                "leading": without(COUNT, "zero"),
                "rng": RNG,
            },
        ),
        Entry(
            "preconditioned",
            lambda **a: qpot.preconditioned(**a).drift([[0.5, 0.25], [0.1, -0.3]]),
            {"system": well, "preconditioner": lambda: 1.0},
            {
                "system": SYSTEM,
                "preconditioner": without(covariance, "number", "array", "list", "returns_nan")
                + without(matrix, "vector", "skew")
                + refused(zero=lambda: 0.0),
            },
        ),
        Entry(
            "second_moment",
            qpot.second_moment,
            {"system": lambda: qpot.System.from_finite_sum(total()), "points": lambda: [[1.0, 0.0]]},
            {"system": SYSTEM, "points": POINTS, "batch_size": COUNT},
        ),
        Entry(
            "rmsprop_like",
            qpot.rmsprop_like,
            {"system": lambda: qpot.System.from_finite_sum(total()), "frozen_at": lambda: [1.0, 0.0]},
            {"system": SYSTEM, "frozen_at": frozen_at, "batch_size": COUNT, "floor": NON_NEGATIVE},
        ),
        Entry(
            "sign_like",
            qpot.sign_like,
            {"system": lambda: qpot.System.from_finite_sum(total()), "frozen_at": lambda: [1.0, 0.0]},
            {"system": SYSTEM, "frozen_at": frozen_at, "batch_size": COUNT},
        ),
        Entry(
            "random_steps",
            qpot.random_steps,
            {
                "steps": lambda: lambda x: np.stack([x * 0 + 1, x * 0 - 1], axis=1),
                "probabilities": lambda: lambda x: np.full((len(x), 2), 0.5),
                "n_steps": lambda: 2,
                "dimension": lambda: 2,
            },
            {
                "steps": BATCH_FUNCTION,
                "probabilities": without(BATCH_FUNCTION, "array", "list"),
                "n_steps": COUNT,
                "dimension": COUNT,
                "loss": without(BATCH_FUNCTION, "none"),
            },
        ),
        Entry(
            "FactoredCovariance",
            qpot.FactoredCovariance,
            {"factor": lambda: np.eye(2), "floor": lambda: 0.1, "gradient": lambda: None},
            {
                "factor": refused(
                    none=lambda: None,
                    text=lambda: "f",
                    vector=lambda: [1.0, 2.0],
                    nan=lambda: np.full((2, 2), np.nan),
                    complex=lambda: np.eye(2) * 1j,
                    dictionary=dict,
                ),
                "floor": without(NON_NEGATIVE, "none", "list", "empty")
                + refused(none=lambda: None, long=lambda: [0.1] * 3),
            },
        ),
        Entry("SubsampledCovariance", qpot.SubsampledCovariance, {"samples": lambda: 3}, {"samples": COUNT}),
        Entry(
            "LowRankCovariance",
            qpot.LowRankCovariance,
            {},
            {"rank": COUNT, "oversampling": without(COUNT, "zero"), "power_iterations": without(COUNT, "zero")},
        ),
        Entry("SGD", qpot.SGD, {}, {"momentum": NON_NEGATIVE + refused(one=lambda: 1.0)}),
    ]


def entries() -> list[Entry]:
    """All entries of the two wings."""
    return [*_samples(), *_problem()]


__all__ = ["entries", "functions", "total", "well"]
