"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot._core.file_schema import Count, Flag, Maybe, Method, Number, Part, Schema, numbers, schemas
from qpot.problem.checked_system import check_system
from qpot.problem.controllable import Controllability
from qpot.problem.covariance_methods import CovarianceEstimate, CovarianceMethod
from qpot.problem.measured_noise import DirectionalNoise, NoiseStatistics

METHODS: tuple[type[Any], ...] = (CovarianceMethod,)
# A drift rests at a point if it is smaller than that at this distance, relative to 1 + |x|, at the largest rate there.
_NEAR = 1e-3


def hold_system(system: Any, points: Array, rates: Array | None, owner: str) -> None:
    """Refuse what is given as the system of a result, if its drift does not vanish where that of the system does.

    Parameters
    ----------
    system : object
    points : array (n, d)
        Equilibria of the drift.
    rates : array (n,) or None
        The largest rate at each of them; by default the norm of the drift's Jacobian.
    owner : str
        The class of the result, for the message.

    Raises
    ------
    ValueError
        If it is no system, or another one.
    """
    check_system(system)
    if not len(points):
        return
    drift = np.linalg.norm(system.drift(points), axis=1)
    if rates is None:
        rates = np.linalg.norm(system.unchecked.jacobian(points), axis=(1, 2))
    off = drift > _NEAR * rates * (1.0 + np.linalg.norm(points, axis=1))
    if off.any():
        n = int(np.flatnonzero(off)[0])
        raise ValueError(
            f"system= is not that of the {owner} in the file, whose drift vanishes at {format_point(points[n])}: there it is "
            f"{drift[n]:.3g}"
        )


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
