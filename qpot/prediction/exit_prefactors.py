"""exit_law: the mean time to leave a domain with its prefactor, by which exits, and where on the boundary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array, BoundsLike, as_point, format_point
from qpot._core.interrupts import interruptible
from qpot._core.progress import ProgressLike
from qpot._core.status import SolveError
from qpot._core.types import PointLike, SeedLike
from qpot.landscape.points import Saddle
from qpot.paths.boundaries import Domain, surfaces
from qpot.paths.boundary_surfaces import Surface
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.geometric import GeometricAction
from qpot.prediction.along_paths import hessian_carried
from qpot.prediction.exit_rates import BoundaryExit, ExitLaw
from qpot.prediction.held_exits import exit_cost
from qpot.prediction.prefactors import carried_prefactor
from qpot.prediction.uniform_rates import shape_of_one
from qpot.problem.arguments import a_box, a_budget, a_point, a_seed, a_system, checked, some_saddles
from qpot.problem.system import System

# Parts of a path within this share of its length of the minimum are left out, since differences of nearly equal numbers
# would decide there; the linear flow takes their place. Two of them must give the same coefficient.
_CUTS = (1e-3, 1e-2, 1e-4, 3e-3)
_AGREEMENT = 0.03
# The boundary is a level set of V along directions whose curvature is below this share of that of V at the minimum.
_FLAT = 1e-4
# A point lies on a piece of the boundary, and two pieces meet in it, within this part of its distance from the minimum.
_ON = 1e-6


@interruptible
@checked(
    system=a_system,
    minimum=a_point,
    saddles=some_saddles,
    bounds=a_box,
    budget=a_budget,
    rng=a_seed,
)
def exit_law(
    system: System,
    minimum: PointLike,
    *,
    boundary: Domain | str,
    method: GeometricAction | None = None,
    saddles: Sequence[Saddle] | None = None,
    bounds: BoundsLike | None = None,
    budget: float | None = None,
    rng: SeedLike = None,
    progress: ProgressLike = None,
) -> ExitLaw:
    r"""The law of exits from a domain around a minimum under weak noise: mean time with prefactor, shares, exit points.

    Parameters
    ----------
    system : System
        Drift and Gaussian noise.
    minimum : Minimum or array (d,)
        An attracting fixed point inside the domain.
    boundary : Ball, Box, HalfSpace, LossLevel, Region or "basin"
        The boundary of the domain, through which the drift flows in; that of a basin is crossed at its saddles.
    method, saddles, bounds, budget, rng, progress
        As for `exit_cost`, which finds the exits.

    Returns
    -------
    ExitLaw
        ``rate(epsilon)``, ``mean_time(epsilon)``, ``shares(epsilon)``, ``spread(epsilon)``.

    Raises
    ------
    ValueError
        As for `exit_cost`; also for noise that is not Gaussian, whose prefactors are others.
    SolveError
        If no exit is found.

    Notes
    -----
    Where the drift crosses the boundary inwards, the quasi-stationary density is that without a boundary, rho = z exp(-V /
    epsilon), times 1 - exp(-2 v s / (n.a n epsilon)) at the distance s from it, with the speed v = n.(b + a grad V) at which
    the cheapest path leaves. Hence the flux through the boundary is rho v, and the rate is its integral (B. Matkowsky, Z.
    Schuss, SIAM J. Appl. Math. 33 (1977) 365, eq. 3.29; T. Naeh, M. Klosek, B. Matkowsky, Z. Schuss, SIAM J. Appl. Math. 50
    (1990) 595). By Laplace's method at each exit y with the cost V(y)

    .. math:: \lambda = \frac{v}{\sqrt{2\pi\epsilon}} \sqrt{\frac{\det Q_O}{\det H_T}}\, e^{-\int K dt - V(y)/\epsilon},
              \qquad H_T = T^T\Bigl(\nabla^2 V - \frac{|\nabla V|}{|\nabla g|} \nabla^2 g\Bigr) T

    with an orthonormal basis T of the tangent plane of the boundary g = 0. Exit points are normal there, with the covariance
    epsilon T H_T^{-1} T^T. At a saddle on the boundary of a basin the rate is twice that of arrivals in the other basin
    (`qpot.prediction.kramers.bouchet_reygner`), since half of those that come to the saddle go back.

    Examples
    --------
    The exact mean time is 66.23 at epsilon = 0.2 and 6546 at 0.1; the formula is right to leading order.

    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: x[:, 0]**2 / 2, lambda x: x, 1.0, dimension=1)
    >>> law = qpot.exit_law(bowl, [0.0], boundary=qpot.Box(lower=-1.0, upper=1.0))
    >>> round(law.mean_time(0.1)), [round(float(share), 6) for share in law.shares(0.1)]
    (6173, [0.5, 0.5])
    """
    if not system.noise.gaussian:
        raise ValueError(
            "the prefactor of exits is known for diffusions, and this system has the exact noise of discrete steps: build it "
            'with noise="gaussian", or take exit_cost, which needs no prefactor'
        )
    origin = as_point(minimum, dimension=system.dimension, name="minimum")
    found = exit_cost(
        system, minimum, boundary=boundary, method=method, saddles=saddles, bounds=bounds, budget=budget, rng=rng,
        progress=progress,
    )  # fmt: skip
    pieces = [] if isinstance(boundary, str) else surfaces(system, boundary, origin)
    exits = tuple(_exit(system, origin, one, pieces) for one in (found, *found.alternatives))
    return ExitLaw(minimum=origin, exits=exits, boundary=repr(boundary), solution=found)


def _exit(system: System, origin: Array, found: ExitSolution, pieces: Sequence[Surface]) -> BoundaryExit:
    """One exit with its coefficient; NaN, and the reason why, where it is not known."""
    d = system.dimension
    none = BoundaryExit(
        point=found.point, cost=found.cost, error=found.error, coefficient=np.nan, power=-0.5 if pieces else 0.0,
        covariance=np.full((d, d), np.nan), reason=found.reason,
    )  # fmt: skip
    try:
        value, off, covariance = _through(system, origin, found, pieces) if pieces else _over(system, origin, found)
    except (ValueError, SolveError) as error:
        return none.because(str(error))
    shape = shape_of_one(system, origin, found.point, found.cost, over_a_pass=not pieces)
    return none.known(value, off, covariance, shape)


def _over(system: System, origin: Array, found: ExitSolution) -> tuple[float, float, Array]:
    """The coefficient over a saddle of the basin, twice that of arrivals beyond it, and its error."""
    rate = carried_prefactor(system, found.path, origin, found.point)
    if np.isnan(rate.value):
        why = f": {rate.reason}" if rate.reason else ""
        raise ValueError(f"the prefactor over the saddle {format_point(found.point)} is not known{why}")
    return 2.0 * rate.value, 2.0 * rate.error, np.full((system.dimension,) * 2, np.nan)


def _through(
    system: System, origin: Array, found: ExitSolution, pieces: Sequence[Surface]
) -> tuple[float, float, Array]:
    """The coefficient of an exit through a smooth boundary, its error, and the covariance of exit points over epsilon.

    Raises
    ------
    ValueError
        If the exit lies on an edge of the boundary, or V has no strict minimum on the boundary there, or the path does not
        leave through the boundary at an angle.
    """
    y, path = found.point, found.path
    size = float(np.linalg.norm(y - origin))
    distances = [abs(value) / float(np.linalg.norm(n)) for value, n in (one.value_and_normal(y) for one in pieces)]
    near = [one for one, distance in zip(pieces, distances, strict=True) if distance <= _ON * size]
    if len(near) != 1:
        raise ValueError(
            f"the exit {format_point(y)} lies on {len(near)} pieces of the boundary, where it has no normal"
        )
    gradient = near[0].normal(y)
    slope = float(np.linalg.norm(gradient))
    n = gradient / slope
    x, p = path.points[path.uphill], path.momenta[path.uphill]
    values: list[tuple[float, Array]] = []
    reason: Exception | None = None
    for cut in _CUTS:
        outer = np.linalg.norm(x - origin, axis=1) > cut * size
        try:
            Q_O, Q, integral = hessian_carried(system, x[outer], p[outer], minimum=origin)
        except (ValueError, SolveError) as error:
            reason = error
            continue
        speed = float(n @ (system.unchecked.drift(y[None])[0] + system.unchecked.covariance(y[None])[0] @ p[-1]))
        inwards = -float(n @ system.unchecked.drift(y[None])[0])
        if inwards <= 0.0 or speed <= 0.0:
            raise ValueError(f"the drift at the exit {format_point(y)} does not point into the domain")
        T = _tangents(n)
        H = T.T @ (Q - float(np.linalg.norm(p[-1])) / slope * near[0].curvature(y)) @ T
        bent = np.linalg.eigvalsh(H) if H.size else np.ones(0)
        if (bent <= _FLAT * float(np.abs(np.linalg.eigvalsh(Q_O)).max())).any():
            raise ValueError(
                f"V has no strict minimum on the boundary at {format_point(y)} (curvatures {bent.tolist()} along it): exits "
                "are equally cheap on a curve, and the rate has another power of epsilon"
            )
        ratio = float(np.linalg.slogdet(Q_O)[1] - np.log(bent).sum())
        value = speed / np.sqrt(2.0 * np.pi) * float(np.exp(0.5 * ratio - integral))
        close = [abs(value - other) for other, _ in values if abs(value - other) <= _AGREEMENT * other]
        if close:
            return values[0][0], max(min(close), abs(value - values[0][0])), values[0][1]
        values.append((value, T @ np.linalg.inv(H) @ T.T if H.size else np.zeros((1, 1))))
    raise reason or ValueError(
        f"the prefactor of the exit {format_point(y)} differs between parts of the path by more than {_AGREEMENT:.0%}"
    )


def _tangents(n: Array) -> Array:
    """An orthonormal basis (d, d - 1) of the plane with the normal n."""
    basis: Array = np.linalg.svd(n[None])[2][1:].T
    return basis
