"""The end of a path that is free on the stable manifold of a saddle, along which the drift carries it for nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]


@dataclass(frozen=True)
class FreeEnd:
    r"""The plane that touches the stable manifold of a saddle with one unstable direction.

    An extremal that tends to the saddle S at rest lies on the stable manifold of (S, 0) under Hamilton's equations. Where the
    noise at S has no part along the normal n, which is the left eigenvector of the unstable rate mu, its tangent space is
    x - S in the stable directions of the drift and p = c n: the end is free on the plane n.(x - S) = 0, and p is across it
    (transversality). In a time t the position then decays like exp(J t) and the momentum like exp(-mu t).

    Attributes
    ----------
    saddle : array (d,)
    jacobian : array (d, d)
        J at the saddle.
    frame : array (d, d)
        Orthonormal columns, of which the last is the normal n.
    rate : float
        The unstable rate mu.
    """

    saddle: Array
    jacobian: Array
    frame: Array
    rate: float

    @classmethod
    def of(cls, saddle: Array, jacobian: Array) -> FreeEnd | None:
        """The plane at a saddle; None if it has not exactly one unstable direction."""
        values, vectors = np.linalg.eig(jacobian.T)
        unstable = np.flatnonzero(values.real > 0.0)
        if unstable.size != 1 or not (np.delete(values.real, unstable) < 0.0).all():
            return None
        normal = vectors[:, unstable[0]].real
        frame = np.linalg.svd(normal[None], full_matrices=True)[2]
        return cls(saddle, jacobian, np.roll(frame, -1, axis=0).T, float(values.real[unstable[0]]))

    @property
    def normal(self) -> Array:
        """The unit normal n (d,) of the plane."""
        return np.asarray(self.frame[:, -1])

    @cached_property
    def slowest(self) -> float:
        """The slowest rate at which the drift brings points of the plane to the saddle, positive."""
        along = self.frame[:, :-1]
        return float(np.abs(np.linalg.eigvals(along.T @ self.jacobian @ along).real).min())

    def projected(self, x: Array) -> Array:
        """The point of the plane that is next to a point (d,)."""
        return np.asarray(x - self.normal * float(self.normal @ (x - self.saddle)))

    def coasting(self, x: Array, p: Array, times: Array) -> tuple[Array, Array]:
        """Positions and momenta (n, d) of the linear extremal from x, p (d,) on the plane, times (n,) later."""
        # The plane is invariant; what rounding takes off it would grow.
        along = self.frame[:, :-1]
        within = along.T @ self.jacobian @ along
        y = along.T @ (x - self.saddle)
        positions = np.array([self.saddle + along @ (expm(t * within) @ y) for t in times])
        momenta = float(self.normal @ p) * np.exp(-self.rate * times)[:, None] * self.normal
        return positions, momenta

    def left(self, drift: BatchFunction, covariance: BatchFunction, x: Array, p: Array) -> float:
        """How much the action of a path that ends at x, p (d,) may differ from that of the one that goes on for ever.

        The noise beyond x moves the path by at most n.a n / (2 mu) across the plane for every unit of momentum, and the
        manifold is bent away from the plane by about n.b / mu; both are worth the momentum.
        """
        momentum = float(self.normal @ p)
        spread = float(self.normal @ covariance(x[None])[0] @ self.normal) / (2.0 * self.rate)
        bent = abs(float(self.normal @ drift(x[None])[0])) / self.rate
        across = np.linalg.norm(p - momentum * self.normal) * np.linalg.norm(x - self.saddle)
        return 0.5 * momentum**2 * spread + abs(momentum) * bent + float(across)


@dataclass(frozen=True)
class Plane:
    """The plane of a free end as a surface on which the end of a path moves, see `qpot.solvers.paths.free_ends`."""

    end: FreeEnd

    def normal(self, x: Array) -> Array:
        """The normal (d,), the same everywhere."""
        del x
        return self.end.normal

    def curvature(self, x: Array) -> Array:
        """Zero (d, d)."""
        return np.zeros((x.size, x.size))

    def projected(self, x: Array) -> Array:
        """The nearest point of the plane."""
        return self.end.projected(x)
