"""A random problem of known answer, and how a change of units carries it over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qpot

Array = NDArray[np.float64]
BatchFunction = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A system whose minima and costs are known by construction or by a computation that shares no code with qpot.

    Attributes
    ----------
    name : str
        What was drawn, in a few words.
    drift, covariance : callables (n, d) -> (n, d) and (n, d) -> (n, d, d)
    loss, gradient : callables or None
        Given where drift = -gradient; the system is then built by `qpot.System.from_loss`.
    bounds : tuple of (low, high)
    minima : array (k, d)
        All minima within the bounds.
    costs : array (k, k)
        V(i, j): the cheapest sum of climbs. Zero on the diagonal, inf where there is no route.
    potential : callable (n, d) -> (n,)
        A function whose differences between minima are those of W; it decides the selection, also among minima beyond
        the bounds that are found in addition.
    constant : float or None
        The number c where the covariance is c times the identity everywhere.
    periodic : tuple of bool or None
        The axes that close on themselves.
    outside : bool
        Whether a pass or a minimum outside the bounds is part of the truth.
    orbits : tuple of arrays (m, d)
        Points close together on the limit cycles that are the last states; their rows of ``minima`` are points on them.
    only_stationary : bool
        Whether the stationary costs alone are known; ``costs`` then give the scale only.
    second_opinion : bool
        Whether the problem is solved with the second opinion; it is left out where it would only cost time.
    """

    name: str
    drift: BatchFunction
    covariance: BatchFunction
    bounds: tuple[tuple[float, float], ...]
    minima: Array
    costs: Array
    potential: BatchFunction
    loss: BatchFunction | None = None
    gradient: BatchFunction | None = None
    constant: float | None = None
    periodic: tuple[bool, ...] | None = None
    outside: bool = False
    orbits: tuple[Array, ...] = ()
    only_stationary: bool = False
    second_opinion: bool = True

    @property
    def dimension(self) -> int:
        return int(self.minima.shape[1])

    @property
    def system(self) -> qpot.System:
        """The problem as a user would pose it."""
        noise = self.covariance if self.constant is None else self.constant
        if self.loss is not None and self.gradient is not None:
            return qpot.System.from_loss(self.loss, self.gradient, noise, dimension=self.dimension)
        return qpot.System(drift=self.drift, covariance=noise, dimension=self.dimension)


def gradient_problem(
    *, loss: BatchFunction, gradient: BatchFunction, constant: float, minima: Array, costs: Array, **others: Any
) -> Problem:
    """A problem with drift = -gradient and the covariance ``constant`` times the identity, whose W is 2 loss / constant."""
    d = minima.shape[1]
    return Problem(
        drift=lambda x: -gradient(x),
        covariance=lambda x: np.broadcast_to(constant * np.eye(d), (len(x), d, d)).copy(),
        loss=loss,
        gradient=gradient,
        constant=constant,
        minima=minima,
        costs=costs,
        potential=lambda x: 2.0 * loss(x) / constant,
        **others,
    )


def in_other_units(
    problem: Problem, *, scale: Array, offset: Array, time: float = 1.0, noise: float = 1.0, turn: Array | None = None
) -> Problem:
    """The problem in coordinates ``offset + scale * (turn @ x)``, in other units of time and with ``noise`` times the noise.

    Costs are divided by ``noise``; nothing else changes them. A turn needs bounds that hold everything: here the corners'
    box.
    """
    d = problem.dimension
    Q = np.eye(d) if turn is None else turn

    def back(x: Any) -> Any:
        return ((x - offset) / scale) @ Q

    def there(x: Any) -> Any:
        return offset + scale * (x @ Q.T)

    def drift(x: Any) -> Any:
        return time * scale * (problem.drift(back(x)) @ Q.T)

    def covariance(x: Any) -> Any:
        a = Q @ problem.covariance(back(x)) @ Q.T
        return noise * time * a * scale[:, None] * scale[None, :]

    low, high = np.array(problem.bounds).T
    if turn is None:
        low, high = offset + scale * low, offset + scale * high
    else:
        half = np.linalg.norm(0.5 * (high - low)) * np.ones(d)
        middle = there(0.5 * (low + high)[None])[0]
        low, high = middle - scale * half, middle + scale * half
    uniform = bool(np.ptp(scale) == 0.0)
    loss, gradient = problem.loss, problem.gradient
    new_loss: BatchFunction | None = None
    new_gradient: BatchFunction | None = None
    if uniform and loss is not None and gradient is not None:
        s = float(scale[0])

        def new_loss(x: Any) -> Any:
            return time * s**2 * loss(back(x))

        def new_gradient(x: Any) -> Any:
            return time * s * (gradient(back(x)) @ Q.T)

    return replace(
        problem,
        drift=drift,
        covariance=covariance,
        loss=new_loss,
        gradient=new_gradient,
        constant=noise * time * float(scale[0]) ** 2 * problem.constant
        if uniform and problem.constant is not None
        else None,
        bounds=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        minima=there(problem.minima),
        costs=problem.costs / noise,
        potential=lambda x: problem.potential(back(x)) / noise,
    )


def random_turn(rng: np.random.Generator, d: int) -> Array:
    """A random rotation (d, d)."""
    Q, R = np.linalg.qr(rng.normal(size=(d, d)))
    return np.asarray(Q * np.sign(np.diag(R)))
