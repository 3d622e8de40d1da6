"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from typing import Any

from qpot._core.file_schema import Count, Flag, Maybe, Method, Number, Part, Schema, numbers, schemas
from qpot.problem.controllable import Controllability
from qpot.problem.covariance_methods import CovarianceEstimate, CovarianceMethod
from qpot.problem.measured_noise import DirectionalNoise, NoiseStatistics

METHODS: tuple[type[Any], ...] = (CovarianceMethod,)

SCHEMAS = schemas(
    Schema(
        CovarianceEstimate,
        {
            "point": numbers("d"),
            "gradient": numbers("d"),
            "diagonal": numbers("d"),
            "trace": Number(),
            "matrix": Maybe(numbers("d", "d")),
            "eigenvalues": numbers("r"),
            "eigenvectors": numbers("d", "r"),
            "captured": Number(finite=False),
            "method": Method(("problem",)),
            "trace_error": Number(finite=False),
            "errors": Maybe(numbers("d", "d", finite=False)),
        },
    ),
    Schema(
        DirectionalNoise,
        {
            "direction": numbers("d"),
            "variance": Number(low=0.0),
            "anisotropy": Number(finite=False),
            "curvature": Number(),
            "skewness": Number(finite=False),
            "excess_kurtosis": Number(finite=False),
        },
    ),
    Schema(
        NoiseStatistics,
        {
            "covariance": Part(CovarianceEstimate),
            "loss": Number(),
            "batch_size": Count(low=1),
            "replacement": Flag(),
            "batch_factor": Number(low=0.0),
            "effective_rank": Number(finite=False),
            "stable_rank": Number(finite=False),
            "alignment": Number(finite=False),
            "overlaps": numbers("k", finite=False),
            "hessian_eigenvalues": numbers("n"),
            "largest_learning_rate": Number(finite=False, low=0.0),
            "along": Maybe(Part(DirectionalNoise)),
        },
    ),
    Schema(
        Controllability,
        {
            "rank": Count(),
            "steps": Count(),
            "reached": numbers("d", "m"),
            "missed": numbers("d", "n"),
            "eigenvalues": numbers("d"),
        },
    ),
)
