"""Method options: frozen values that check themselves, one class for each method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qpot._core.arrays import as_count, as_positive


@dataclass(frozen=True, kw_only=True)
class GeometricAction:
    """Minimum action over all speeds: spectral elements in time, Newton's method, adaptive mesh and time span.

    Parameters
    ----------
    tolerance : float
        Relative error asked of an action; between 1e-12 and 0.01.
    max_iterations : int
        Newton iterations on one mesh.
    max_elements : int
        Elements of degree 8 and 10 on one leg.
    starts : int
        Initial curves for one leg, besides those given: the reversed relaxation from the end, the straight line, curves
        bowed to different sides, along the axes of the local quadratic approximation at the start, and to random sides
        (always the same). All distinct minimisers are kept in ``PathSolution.alternatives``.

    Notes
    -----
    The action functional and its geometric form are those of Heymann and Vanden-Eijnden, Comm. Pure Appl. Math. 61
    (2008) 1052; minimising in time over a span that is lengthened until H = 0 holds avoids the singular
    parametrisation at fixed points and handles foci. ``ARCHITECTURE.md`` and ``docs/paths.md`` tell how.

    Examples
    --------
    >>> GeometricAction(tolerance=1e-7).starts
    8
    """

    tolerance: float = 1e-9
    max_iterations: int = 400
    max_elements: int = 400
    starts: int = 8

    def __post_init__(self) -> None:
        if not 1e-12 <= as_positive(self.tolerance, name="tolerance") <= 1e-2:
            raise ValueError(f"tolerance must lie between 1e-12 and 0.01, got {self.tolerance!r}")
        as_count(self.max_iterations, name="max_iterations")
        as_count(self.max_elements, name="max_elements", minimum=4)
        as_count(self.starts, name="starts")


@dataclass(frozen=True, kw_only=True)
class FixedTimeAction:
    """Minimum action over paths of a given duration, both ends fixed.

    The cost of being at ``end`` after the time T: the probability that SGD started at ``start`` is there after
    T / learning rate steps is exp(-S_T / epsilon) to leading order. Its infimum over T is the cost of `GeometricAction`;
    towards a fixed point of the drift S_T falls with T.

    Parameters
    ----------
    time : float
        T, in units of the flow: learning rate times number of steps.
    tolerance : float
        Relative error asked of an action; between 1e-12 and 0.01.
    max_iterations : int
        Newton iterations on one mesh.
    max_elements : int
    starts : int
        Initial curves besides those given; each is tried at constant speed and at the pace of the free motion.

    Examples
    --------
    >>> import math, qpot
    >>> bowl = qpot.System(drift=lambda x: -x, covariance=1.0, dimension=1)
    >>> path = qpot.minimum_action_path(bowl, [0.0], [1.0], method=FixedTimeAction(time=2.0))
    >>> round(path.action * (1 - math.exp(-4.0)), 9)  # S_T = 1 / (1 - exp(-2 T)) exactly
    1.0
    """

    time: float
    tolerance: float = 1e-9
    max_iterations: int = 400
    max_elements: int = 400
    starts: int = 3

    def __post_init__(self) -> None:
        as_positive(self.time, name="time")
        if not 1e-12 <= as_positive(self.tolerance, name="tolerance") <= 1e-2:
            raise ValueError(f"tolerance must lie between 1e-12 and 0.01, got {self.tolerance!r}")
        as_count(self.max_iterations, name="max_iterations")
        as_count(self.max_elements, name="max_elements", minimum=16)
        as_count(self.starts, name="starts")


@dataclass(frozen=True, kw_only=True, eq=False)
class LargeScaleAction:
    """Minimum action in many dimensions by products only: Newton's method with conjugate gradients in a trust region.

    Parameters
    ----------
    tolerance : float
        Relative error asked of the action; between 1e-9 and 0.1.
    max_iterations : int
        Newton steps on one mesh.
    max_products : int
        Hessian products (one gradient of the action each) in all; ``PathSolution.iterations`` counts them.
    max_elements : int
        Elements of degree 4 and 6 in time.
    starts : int
        Initial curves for one leg, besides one given: the reversed relaxation from a saddle, the straight line, and
        curves bowed to random sides. All are solved roughly, the cheapest to the end; like curves count once.
    linear_part : sparse (d, d) or array (d,), optional
        A symmetric stiff operator in the drift, for example a discretised Laplacian: the preconditioner then inverts
        -d^2/dt^2 + A^2 exactly and the number of products does not depend on the stiffness.

    Notes
    -----
    A leg from a minimum to a given saddle or point. It is taken by itself above 12 dimensions, where the covariance is
    constant, in factors or that of a finite sum's samples and leaves no direction out; below, `GeometricAction` looks into
    more minimisers to nine digits.

    Examples
    --------
    >>> LargeScaleAction(tolerance=1e-5).max_elements
    80
    """

    tolerance: float = 1e-6
    max_iterations: int = 60
    max_products: int = 3000
    max_elements: int = 80
    starts: int = 2
    linear_part: Any = None

    def __post_init__(self) -> None:
        if not 1e-9 <= as_positive(self.tolerance, name="tolerance") <= 0.1:
            raise ValueError(f"tolerance must lie between 1e-9 and 0.1, got {self.tolerance!r}")
        as_count(self.max_iterations, name="max_iterations")
        as_count(self.max_products, name="max_products")
        as_count(self.max_elements, name="max_elements", minimum=16)
        as_count(self.starts, name="starts")
