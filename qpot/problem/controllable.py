"""The directions that the noise reaches at a fixed point, directly or carried on by the drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_point, format_point
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.types import PointLike
from qpot.problem.checked_system import check_system
from qpot.problem.covariance import RANK_TOLERANCE
from qpot.problem.system import System

# A direction whose component orthogonal to the basis is shorter than this fraction of the drift's Jacobian counts as already
# spanned.
_NEW_DIRECTION = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Controllability(Drawn, Saved, figure="plot_controllability"):
    """The directions that the noise reaches near a fixed point, by Kalman's rank condition.

    Attributes
    ----------
    rank : int
        The rank of the covariance at the point.
    steps : int
        The number of times that the drift must carry the noise on until no direction is added. It is 0 where the covariance
        alone spans all that is reached, and 1 for momentum, where the noise acts on velocities and these move positions.
    reached : array (d, m)
        An orthonormal basis of the directions that are reached.
    missed : array (d, d - m)
        An orthonormal basis of the other directions; it is empty where the linearised system is controllable.
    eigenvalues : array (d,)
        The eigenvalues of the covariance at the point, ascending.
    """

    rank: int
    steps: int
    reached: Array
    missed: Array
    eigenvalues: Array

    @property
    def complete(self) -> bool:
        """Whether every direction is reached, so that paths exist between any two points near the fixed point."""
        return bool(self.missed.shape[1] == 0)


@interruptible
def controllability(system: System, point: PointLike) -> Controllability:
    """The directions that the noise reaches at a fixed point, which are the span of sigma, J sigma, J^2 sigma, ...

    Parameters
    ----------
    system : System
    point : array (d,) or Minimum
        A fixed point; J is the Jacobian of the drift there.

    Returns
    -------
    Controllability

    Notes
    -----
    This is Kalman's rank condition of linear control (E. D. Sontag, Mathematical Control Theory, Springer 1998, section
    3.2). Where it holds, V is finite near a minimum even if the covariance is singular: SGD with momentum, for example, has
    noise on the velocities only, and still a finite cost for every position.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> kinetic = qpot.System(
    ...     drift=lambda z: np.stack([z[:, 1], z[:, 0] - z[:, 0] ** 3 - z[:, 1]], axis=1),
    ...     covariance=np.diag([0.0, 2.0]), dimension=2)
    >>> found = qpot.controllability(kinetic, (-1, 0))
    >>> found.rank, found.steps, found.complete
    (1, 1, True)
    """
    check_system(system)
    x = as_point(point, dimension=system.dimension, name="point")
    values, vectors = np.linalg.eigh(system.covariance(x[None])[0])
    noisy = values > RANK_TOLERANCE * max(float(values[-1]), np.finfo(float).tiny)
    basis = vectors[:, noisy]
    rank = basis.shape[1]
    J = system.jacobian(x[None])[0]
    scale = max(float(np.linalg.norm(J, 2)), np.finfo(float).tiny)
    steps, new = 0, basis
    while new.shape[1] > 0 and basis.shape[1] < x.size:
        image = (J @ new) / scale
        image -= basis @ (basis.T @ image)
        image -= basis @ (basis.T @ image)
        u, sizes, _ = np.linalg.svd(image, full_matrices=False)
        new = u[:, sizes > _NEW_DIRECTION]
        if new.shape[1]:
            basis, _ = np.linalg.qr(np.concatenate([basis, new], axis=1))
            steps += 1
    complete = np.linalg.svd(basis, full_matrices=True)[0] if basis.shape[1] else np.eye(x.size)
    missed = complete[:, basis.shape[1] :]
    return Controllability(rank=rank, steps=steps, reached=basis, missed=missed, eigenvalues=values)


def unreachable_reason(system: System, found: Controllability, start: Array, end: Array) -> str:
    """The reason why no path exists from ``start`` (d,) to ``end`` (d,), or an empty string where that is not certain.

    It is certain where the coordinates y = w.x along the missed directions w move by themselves: the noise does not act on
    them, and their drift depends on y alone, which is checked at points all around. Then y stays at its start forever.
    """
    W = found.missed
    if W.shape[1] == 0 or not found.eigenvalues[-1] > 0.0:
        return ""
    size = float(np.linalg.norm(end - start))
    offset = W.T @ (end - start)
    if np.abs(offset).max() <= 1e-7 * size:
        return ""
    points = np.random.default_rng(0).uniform(-1.0, 1.0, size=(64, start.size)) * size + 0.5 * (start + end)
    points = np.concatenate([points, start + np.linspace(0.0, 1.0, 17)[:, None] * (end - start)])
    a = system.covariance(points)
    if np.abs(a @ W).max() > 1e-10 * np.abs(a).max():
        return ""
    J = system.jacobian(points)
    coupling = np.einsum("iw,nij,jr->nwr", W, J, found.reached)
    if np.abs(coupling).max() > 1e-7 * np.abs(J).max():
        return ""
    w = W[:, int(np.argmax(np.abs(offset)))]
    return (
        f"the coordinate along {format_point(w)} moves by itself: the noise does not act on it and nothing that the noise "
        f"moves does, so it rests at {w @ start:.6g} and never becomes {w @ end:.6g}"
    )


def uncontrollable(found: Controllability, point: Array, *, everywhere: bool) -> ValueError:
    """The error for a covariance whose noise does not reach every direction."""
    where = "everywhere" if everywhere else f"at {format_point(point)}"
    low, high = found.eigenvalues[0], found.eigenvalues[-1]
    return ValueError(
        f"covariance is singular {where} (eigenvalues {low:.3g} to {high:.3g}) and the drift does not carry the noise on: "
        f"at {format_point(point)} nothing reaches the direction {format_point(found.missed[:, 0])}, so the action is "
        "infinite for most curves. Ways out: reduce the system to the coordinates that carry noise, or add an explicit "
        "floor with qpot.covariance.with_floor (the costs are then those of the floored noise)"
    )


def check_noise(system: System, points: Array) -> None:
    """Refuse a constant covariance that is singular and whose noise the drift does not carry into every direction.

    A point that cannot be reached from another of the ``points`` is no reason to refuse: the cost to it is infinite.

    Raises
    ------
    ValueError
        If it is refused; the message names a direction that is missed.
    """
    constant = system.noise.constant is not None
    if constant and system.noise.singular_at(points[0]):
        for point in points:
            found = controllability(system, point)
            if not found.complete and not any(unreachable_reason(system, found, point, q) for q in points):
                raise uncontrollable(found, point, everywhere=True)
    elif constant:
        system.noise.lagrangian(system.unchecked)
