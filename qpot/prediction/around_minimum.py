"""The local law at one minimum: the stationary density around it, and how closely noise follows the flow to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from qpot._core.arrays import Array, as_point, as_points, as_positive, format_point
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike
from qpot.landscape.attractor import attracting_point
from qpot.paths.minimum_action import minimum_action_path
from qpot.prediction.along_paths import DEGENERATE, hessian_carried
from qpot.problem.arguments import a_point, a_positive, a_system, checked
from qpot.problem.system import System
from qpot.solvers.common.held import stationary_covariance

# Points nearer to the minimum than this many standard deviations at epsilon = 1e-6 of the noise have the density of the
# Gaussian, of which they cannot be told apart.
_NEAR = 1e-3
# The flow is followed until its speed is this part of what it was, and for so many of the slowest relaxation times at most.
_AT_REST, _LONGEST = 1e-8, 60.0
# Rates are compared with those at this part of the size of the coordinates from the minimum.
_AROUND = 0.1
# Relative tolerance of that integration, and the number of times that are returned.
_TOLERANCE, _TIMES = 1e-9, 400


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowDeviation(Drawn, Saved, figure="plot_flow_deviation"):
    r"""How far noise takes SGD from the flow x' = b(x) that starts at the same point, as epsilon -> 0.

    Attributes
    ----------
    times : array (n,)
    points : array (n, d)
        The flow.
    covariances : array (n, d, d)
        The limit of E (x - x_flow)(x - x_flow)^T / epsilon.
    """

    times: Array
    points: Array
    covariances: Array

    @property
    def variances(self) -> Array:
        r"""The limit of E \|x - x_flow\|^2 / epsilon at each time, ``(n,)``."""
        return np.asarray(np.einsum("nii->n", self.covariances))

    @property
    def largest(self) -> float:
        r"""The limit of max over t of E \|x - x_flow\|^2 / epsilon."""
        return float(self.variances.max())

    @property
    def at(self) -> float:
        """The time at which it is taken."""
        return float(self.times[self.variances.argmax()])

    def __repr__(self) -> str:
        return (
            f"FlowDeviation(from {format_point(self.points[0])} to {format_point(self.points[-1])}: E|x - flow|^2 is at most "
            f"{self.largest:.6g} epsilon, at time {self.at:.4g}, and {self.variances[-1]:.6g} epsilon at the end)"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalLaw(Drawn, Saved, figure="plot_local_law"):
    r"""The stationary law of noise around one minimum, to leading order in epsilon.

    Attributes
    ----------
    point : array (d,)
        The minimum.
    covariance : array (d, d)
        The stationary covariance over epsilon, S with J S + S J^T + a = 0.
    hessian : array (d, d)
        The Hessian of the quasi-potential at the minimum, the inverse of S.
    rates : array (d,), complex
        The eigenvalues of -J; the slowest one sets how long SGD takes to forget where it came from.
    loss_excess : float
        (E L - L(minimum)) / epsilon; NaN for a system without a loss. For a gradient system it is tr(a) / 4.
    system : System or None
        It is not saved.
    """

    point: Array
    covariance: Array
    hessian: Array
    rates: NDArray[np.complex128]
    loss_excess: float
    system: System | None = None

    @property
    def relaxation_time(self) -> float:
        """The slowest relaxation time, in units of the drift's time."""
        return float(1.0 / self.rates.real.min())

    def density(self, points: ArrayLike, epsilon: float) -> Array:
        r"""The stationary density z(x) exp(-V(x) / epsilon) of noise that stays in the basin, at points (n, d).

        Returns
        -------
        array (n,)
            Right up to a factor 1 + O(epsilon). V and the prefactor z come from a minimum action path to each point
            (`qpot.prediction.along_paths.hessian_carried`); the normalisation is z = sqrt(det Q) (2 pi epsilon)^(-d/2) at the
            minimum.

        Raises
        ------
        ValueError
            For a law that was loaded from a file, which has no system.
        SolveError
            If a path to one of the points fails.

        Examples
        --------
        >>> import numpy as np, qpot
        >>> bowl = qpot.System.from_loss(lambda x: x[:, 0]**2 / 2, lambda x: x, 1.0, dimension=1)
        >>> law = qpot.local_law(bowl, [0.0])
        >>> bool(np.allclose(law.density([[0.3]], 0.1), np.exp(-0.09 / 0.1) / np.sqrt(0.1 * np.pi)))
        True
        """
        if self.system is None:
            raise ValueError("this law was loaded from a file, and holds no system; make it anew: qpot.local_law(...)")
        level = as_positive(epsilon, name="epsilon")
        x = as_points(points, dimension=self.point.size, name="points")
        logs = np.array([self._log_density(y, level) for y in x])
        height = 0.5 * np.linalg.slogdet(self.hessian / (2.0 * np.pi * level))[1]
        return np.asarray(np.exp(height + logs))

    def _log_density(self, y: Array, epsilon: float) -> float:
        away = y - self.point
        quadratic = 0.5 * float(away @ self.hessian @ away)
        if quadratic <= 0.5 * _NEAR**2:
            return -quadratic / epsilon
        assert self.system is not None
        path = minimum_action_path(self.system, self.point, y)
        size = np.linalg.norm(path.points - self.point, axis=1)
        outer = path.uphill & (size > 1e-3 * np.linalg.norm(away))
        _, _, integral = hessian_carried(self.system, path.points[outer], path.momenta[outer], minimum=self.point)
        return -integral - path.action / epsilon

    def __repr__(self) -> str:
        spread = np.sqrt(np.linalg.eigvalsh(self.covariance))
        excess = "" if np.isnan(self.loss_excess) else f", mean loss {self.loss_excess:.6g} epsilon above it"
        return (
            f"LocalLaw(at {format_point(self.point)}: standard deviations {spread.min():.4g} to {spread.max():.4g} times "
            f"sqrt(epsilon){excess}, slowest relaxation time {self.relaxation_time:.4g})"
        )


@interruptible
@checked(system=a_system, minimum=a_point)
def local_law(system: System, minimum: PointLike) -> LocalLaw:
    r"""The stationary law of noise around one minimum.

    Parameters
    ----------
    system : System
    minimum : Minimum or array (d,)

    Returns
    -------
    LocalLaw

    Raises
    ------
    ValueError
        If the point does not attract, is degenerate, or the noise there does not reach every direction, so that there is no
        density: at an interpolating minimum SGD stays for ever.

    Notes
    -----
    W. Hu, C. J. Li, L. Li, J.-G. Liu, Ann. Math. Sci. Appl. 4 (2019) 3; for the covariance see C. Gardiner, Stochastic
    Methods (2009), section 4.5.6.

    Examples
    --------
    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: 2 * x[:, 0]**2, lambda x: 4 * x, 1.0, dimension=1)
    >>> law = qpot.local_law(bowl, [0.0])
    >>> law.covariance, law.loss_excess, law.relaxation_time
    (array([[0.125]]), 0.25, 0.25)
    """
    point, J, a = _at_minimum(system, minimum)
    try:
        S = stationary_covariance(J, a)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"the law around {format_point(point)} is not known: {error}") from error
    spread = np.linalg.eigvalsh(S)
    if spread[0] <= 1e-12 * spread[-1]:
        raise ValueError(
            f"the noise at {format_point(point)} does not reach every direction (variances from {spread[0]:.3g} to "
            f"{spread[-1]:.3g}): there is no density. Where it vanishes altogether SGD stays for ever"
        )
    # For a gradient system tr(H S) / 2 = tr(a) / 4, since H S + S H = a.
    excess = 0.5 * float(np.einsum("ij,ji->", -J, S)) if system.gradient_drift else np.nan
    return LocalLaw(
        point=point,
        covariance=S,
        hessian=np.asarray(np.linalg.inv(S), dtype=np.float64),
        rates=np.linalg.eigvals(-J).astype(np.complex128),
        loss_excess=excess,
        system=system,
    )


@interruptible
@checked(system=a_system, start=a_point, minimum=a_point, time=a_positive)
def flow_deviation(system: System, start: PointLike, minimum: PointLike, *, time: float | None = None) -> FlowDeviation:
    r"""The limit of E \|x(t) - x_flow(t)\|^2 / epsilon along the flow from a start to a minimum.

    Parameters
    ----------
    system : System
    start : object with ``.point`` or array (d,)
        A point that the drift carries to the minimum.
    minimum : Minimum or array (d,)
    time : float, optional
        How long the flow is followed, in units of the drift; None is until it rests.

    Returns
    -------
    FlowDeviation

    Raises
    ------
    ValueError
        If the minimum does not attract.
    SolveError
        If the flow from the start does not come to the minimum.

    Notes
    -----
    x = x_flow + sqrt(epsilon) xi + O(epsilon) with d xi = J(x_flow) xi dt + sigma(x_flow) dW, so that the covariance M of xi
    satisfies M' = J M + M J^T + a (M. Freidlin, A. Wentzell, Random Perturbations of Dynamical Systems, ch. 2, theorem 2.2).
    Its trace may be larger on the way than at the end: where curvature is negative differences grow.

    Examples
    --------
    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: x[:, 0]**2 / 2, lambda x: x, 1.0, dimension=1)
    >>> round(qpot.flow_deviation(bowl, [3.0], [0.0]).largest, 6)
    0.5
    """
    d = system.dimension
    x = as_point(start, dimension=d, name="start")
    point, J, _ = _at_minimum(system, minimum)
    slowest = float(-np.linalg.eigvals(J).real.max())
    length = None if time is None else as_positive(time, name="time")

    def rate(_: float, y: Array) -> Array:
        here = y[None, :d]
        M = y[d:].reshape(d, d)
        JM = system.unchecked.jacobian(here)[0] @ M
        return np.concatenate(
            [system.unchecked.drift(here)[0], (JM + JM.T + system.unchecked.covariance(here)[0]).ravel()]
        )

    times, states, done = [np.zeros(1)], [np.concatenate([x, np.zeros(d * d)])[None]], 0.0
    scale = max(float(np.linalg.norm(x - point)), 1e-300)
    longest = _LONGEST / slowest if length is None else length
    while done < longest:
        end = min(done + 10.0 / slowest, longest)
        run = solve_ivp(
            rate, (done, end), states[-1][-1], method="LSODA", rtol=_TOLERANCE, atol=1e-12,
            t_eval=np.linspace(done, end, _TIMES)[1:],
        )  # fmt: skip
        if not run.success or not np.isfinite(run.y).all():
            raise SolveError(f"the flow from {format_point(x)} was lost: {run.message}", status=Status.NON_FINITE)
        times.append(run.t)
        states.append(run.y.T)
        done = end
        if length is None and np.linalg.norm(states[-1][-1, :d] - point) <= _AT_REST * scale and done >= 20.0 / slowest:
            break
    t, y = np.concatenate(times), np.concatenate(states)
    if length is None and np.linalg.norm(y[-1, :d] - point) > 1e-3 * scale:
        raise SolveError(
            f"the flow from {format_point(x)} is at {format_point(y[-1, :d])} after the time {done:.4g} and "
            "does not come to the "
            f"minimum {format_point(point)}; pass the minimum of its basin, or time=",
            status=Status.NOT_CONVERGED,
        )
    return FlowDeviation(times=t, points=y[:, :d], covariances=y[:, d:].reshape(-1, d, d))


def _at_minimum(system: System, minimum: PointLike) -> tuple[Array, Array, Array]:
    """The point, Jacobian and covariance of an attracting minimum that is not degenerate."""
    given = as_point(minimum, dimension=system.dimension, name="minimum")
    point = attracting_point(system, given, reach=1e-3 * (1.0 + float(np.linalg.norm(given))), name="minimum")
    J, a = system.unchecked.jacobian(point[None])[0], system.unchecked.covariance(point[None])[0]
    rates = np.linalg.eigvals(J)
    # In one dimension the rate has no other one to be small beside, but for those at some distance.
    around = point + _AROUND * (1.0 + np.abs(point)) * np.vstack([np.eye(point.size), -np.eye(point.size)])
    typical = max(float(np.abs(np.linalg.eigvals(system.unchecked.jacobian(around))).max()), float(np.abs(rates).max()))
    if -rates.real.max() <= DEGENERATE * typical:
        raise ValueError(
            f"the minimum {format_point(point)} is degenerate: the rates of the flow are {(-rates).tolist()}"
        )
    return point, J, a
