"""Where escapes go and where they cross the basin's boundary, beside the predicted routes and saddles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot.landscape.images import images_near
from qpot.prediction.finite_rate import corrected_costs
from qpot.prediction.result import Prediction
from qpot.problem.system import System
from qpot.simulation.arrhenius import EscapeMeasurement
from qpot.solvers.common.held import stationary_covariance


@dataclass(frozen=True, kw_only=True, eq=False)
class EscapePoints(Drawn, Saved, figure="plot_escape_routes"):
    """Escapes from one minimum at one noise level against the predicted routes.

    Attributes
    ----------
    home : int
        The minimum that is left.
    epsilon : float
        Noise level of the measurement.
    shares, predicted : ``(k,)``
        Measured and predicted shares of the minima reached; predicted in proportion to A_ij exp(-V_ij / epsilon).
    escapes : float
        How many independent escapes the measured shares are worth.
    allowances : ``(k,)``
        Standard deviation of ``predicted`` through the next term of every rate, as in `OccupationCheck`.
    points : ``(n, d)``
        Escape points: where replicas crossed the boundary of the basin. Empty where they were not recorded.
    nearest : ``(n,)`` int
        The saddle to which each of them is nearest, as an index into ``prediction.saddles``.
    distances : ``(n,)``
        Distance to it along the boundary in standard deviations of the local Gaussian law at that saddle (Mahalanobis):
        of order one if escapes concentrate at saddles, zero on a line, empty without escape points or the system.
    """

    home: int
    epsilon: float
    shares: Array
    predicted: Array
    escapes: float
    allowances: Array
    points: Array
    nearest: NDArray[np.int64]
    distances: Array

    @property
    def deviations(self) -> Array:
        """(share - predicted) in standard errors ``(k,)``; zero where both are certain."""
        variance = self.predicted * (1.0 - self.predicted) / self.escapes + self.allowances**2
        # Half a count is added, because a share of 0 or 1 has an error, too.
        variance += 0.25 / self.escapes**2
        return np.asarray((self.shares - self.predicted) / np.sqrt(variance))

    @property
    def share_near_saddles(self) -> float:
        """Share of escape points no farther from a saddle than 99.7 % of a Gaussian law; NaN without escape points."""
        from scipy.stats import chi2, norm

        if not self.distances.size:
            return np.nan
        degrees = max(self.points.shape[1] - 1, 1)
        return float((self.distances**2 < chi2.isf(2.0 * norm.sf(3.0), degrees)).mean())

    def __repr__(self) -> str:
        to = ", ".join(
            f"to {j}: {s:.3f} (predicted {p:.3f})"
            for j, (s, p) in enumerate(zip(self.shares, self.predicted, strict=True))
            if s > 0 or p > 1e-3
        )
        near = f"; {self.share_near_saddles:.1%} of the escape points near a saddle" if self.distances.size else ""
        return f"EscapePoints(from minimum {self.home}, epsilon {self.epsilon:.4g}, {to}{near})"


def escape_points_of(
    prediction: Prediction,
    measurement: EscapeMeasurement,
    home: int,
    ids: NDArray[np.int64],
    system: System | None,
    *,
    allowance: float,
    finite_rate: bool,
) -> EscapePoints:
    """Hold one measurement against the routes; ``ids`` maps its minima to those of the prediction."""
    k = len(prediction.minima)
    counts = np.zeros(k)
    for j, weight in measurement.arrivals.items():
        counts[ids[j]] += weight
    escapes = max(float(counts.sum()), 1e-300)
    costs = prediction.costs
    if finite_rate and not measurement.momentum:
        costs = corrected_costs(costs, measurement.time_step)
    eps = measurement.epsilon
    off = np.isfinite(costs.direct[home]) & (np.arange(k) != home)
    row = np.ones(k) if prediction.prefactors is None else prediction.prefactors_at(eps)[home]
    known = not np.isnan(row[off]).any()
    log_rates = np.full(k, -np.inf)
    with np.errstate(divide="ignore"):
        log_rates[off] = (np.log(row[off]) if known else 0.0) - costs.direct[home, off] / eps
    predicted = np.exp(log_rates - np.logaddexp.reduce(log_rates))
    spread = np.zeros(k)
    spread[off] = allowance * eps / costs.direct[home, off] if known else 1.0
    # The shares change with the rates by d p_i / d log A_j = p_i (delta_ij - p_j).
    slopes = np.diag(predicted) - np.outer(predicted, predicted)
    points = np.empty((0, prediction.minima[0].point.size))
    if measurement.escape_points is not None:
        points = measurement.escape_points[np.isfinite(measurement.escape_points).all(axis=1)]
    nearest, distances = _distances(prediction, measurement.system or system, points, home, eps)
    return EscapePoints(
        home=home,
        epsilon=eps,
        shares=counts / escapes,
        predicted=predicted,
        escapes=escapes,
        allowances=np.sqrt((slopes**2) @ spread**2),
        points=points,
        nearest=nearest,
        distances=distances,
    )


def _distances(
    prediction: Prediction, system: System | None, points: Array, home: int, epsilon: float
) -> tuple[NDArray[np.int64], Array]:
    """The nearest saddle of the home basin for every point, and how far along the boundary, in deviations."""
    saddles = prediction.saddles
    own = [n for n, s in enumerate(saddles) if home in s.connects]
    if not points.shape[0] or not own or system is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    group = prediction.symmetries
    # Modulo symmetries a point is compared with the nearest image of a saddle: its own image next to the saddle is.
    beside = [points if group is None else images_near(points, saddles[n].point, group) for n in own]
    away = np.array([np.linalg.norm(near - saddles[n].point, axis=1) for n, near in zip(own, beside, strict=True)])
    nearest = np.array(own)[away.argmin(axis=0)]
    distances = np.zeros(points.shape[0])
    for n, near in zip(own, beside, strict=True):
        rows = nearest == n
        saddle = saddles[n].point[None]
        dual, inner = boundary_law(system.unchecked.jacobian(saddle)[0], system.unchecked.covariance(saddle)[0])
        if dual.shape[0]:
            offset = (near[rows] - saddles[n].point) @ dual.T
            distances[rows] = np.sqrt(np.einsum("ni,ij,nj->n", offset, np.linalg.inv(inner), offset) / epsilon)
    return nearest, distances


def boundary_law(jacobian: Array, covariance: Array) -> tuple[Array, Array]:
    """The linear motion within the stable directions of a saddle: coordinates ``(d - 1, d)`` and their covariance.

    The boundary of the basin is tangent to the stable directions. A deviation is taken onto them along the unstable
    direction, which makes its motion autonomous; its covariance per epsilon solves Lyapunov's equation.
    """
    values, vectors = np.linalg.eig(jacobian.T)
    normal = np.real(vectors[:, [int(values.real.argmax())]])  # this left eigenvector is orthogonal to the boundary
    tangent = np.linalg.qr(np.hstack([normal, np.eye(normal.size)]))[0][:, 1 : normal.size]
    # Deviations are projected along the unstable right eigenvector, so that their motion on the boundary is autonomous.
    values, vectors = np.linalg.eig(jacobian)
    direction = np.real(vectors[:, int(values.real.argmax())])
    onto = np.eye(normal.size) - np.outer(direction, normal[:, 0]) / (normal[:, 0] @ direction)
    coordinates = tangent.T @ onto
    if not coordinates.shape[0]:
        return coordinates, np.empty((0, 0))
    inner = stationary_covariance(coordinates @ jacobian @ tangent, coordinates @ covariance @ coordinates.T)
    return coordinates, np.asarray(inner)
