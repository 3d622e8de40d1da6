"""Minima: a multi-start finds them, Newton's method polishes them, and the Jacobian verifies them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from qpot._core.arrays import Array, BoundsLike, NonFiniteError, as_bounds, as_count, as_points, as_rng, format_point
from qpot._core.progress import ProgressCallback, ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot._core.types import SeedLike
from qpot.landscape.by_products import minima_from
from qpot.landscape.passes import without_passes
from qpot.landscape.points import FLAT, SAME, Minimum, as_minimum, tidy
from qpot.landscape.symmetry import Symmetry, as_symmetry, distinct_modulo
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.solvers.landscape.flow import AT_REST, relax_freely
from qpot.solvers.landscape.stationary_points import distinct, find_roots

# Up to this many parameters all starts of a model descend together, since a call costs the same for one point or many.
_TOGETHER = 50


@in_natural_units("starts")
def find_minima(
    system: System,
    bounds: BoundsLike,
    *,
    rng: SeedLike = None,
    starts: int | ArrayLike | None = None,
    symmetries: Symmetry | Sequence[ArrayLike] | None = None,
    progress: ProgressLike = None,
) -> tuple[Minimum, ...]:
    """All minima (attracting fixed points) that a multi-start finds within a box.

    Parameters
    ----------
    system : System
    bounds : (low, high) pair for each coordinate, or `scipy.optimize.Bounds`
    rng : numpy.random.Generator or seed, optional
        It draws the scrambled Sobol starts; the same generator state gives the same result. None is seed 0.
    starts : int or array (n, d), optional
        The number of starting points; by default it is ``64 d``, at least 128 and at most 1024. There is no certificate
        that a multi-start has found all minima: pass a larger number where the landscape is rough. An array holds the
        starting points themselves, and no others are tried. That is the way in many dimensions, for example from the ends
        of training runs.
    symmetries : SignedPermutations, dense_layer_symmetries(...) or (permutations, signs), optional
        Minima that are images of one another count as one, of which the first found is kept. Loss and noise must both have
        the symmetries, which is checked at random points.
    progress : callable, True, "auto" or None

    Returns
    -------
    tuple of Minimum
        The minima sorted by coordinates; the position in the tuple is the id by which all other functions refer to one.

    Raises
    ------
    ValueError
        For bad bounds, or a user function that returns NaN at every start.
    SolveError
        If no minimum is found (status NO_MINIMUM).

    Notes
    -----
    A loss is minimised by `scipy.optimize.minimize` (L-BFGS-B); a general drift, and the loss of a PyTorch or JAX model of
    up to 50 parameters, is followed by an adaptive linearly implicit flow, all starts together. Newton's method polishes
    the ends, and the eigenvalues of the Jacobian show which of them attract. Fixed points closer than 1e-6 of the box are
    one.

    Examples
    --------
    >>> import qpot
    >>> well = qpot.gallery.separable_double_well().system
    >>> qpot.find_minima(well, [(-2, 2), (-1, 1)])
    (Minimum((-1, 0), loss 0), Minimum((1, 0), loss 0))
    """
    d = system.dimension
    lower, upper = as_bounds(bounds, dimension=d)
    given = as_starts(starts, dimension=d)
    group = as_symmetry(symmetries, system, lower, upper)
    minima: list[Minimum]
    if given is not None:
        n = given.shape[0]
        minima = minima_from(system, given, lower, upper)
        if group is not None:
            points = np.array([m.point for m in minima])
            minima = [minima[k] for k in distinct_modulo(points, group, upper - lower, tolerance=SAME)]
    else:
        n = min(max(64 * d, 128), 1024) if starts is None else as_count(starts, name="starts")
        with reporting(progress, "minima") as report:
            ends = _descend(system, scattered(lower, upper, n, as_rng(rng)), lower, upper, report)
            tolerant = NaNDrift(system)
            roots, found = find_roots(tolerant, system.unchecked.jacobian, ends, lower=lower, upper=upper)
        inside = found & (roots >= lower).all(axis=1) & (roots <= upper).all(axis=1)
        candidates = roots[inside]
        minima = []
        candidates = candidates[distinct(candidates / (upper - lower), tolerance=SAME)]
        if group is not None:
            candidates = candidates[distinct_modulo(candidates, group, upper - lower, tolerance=SAME)]
        for candidate in candidates:
            minimum = as_minimum(system, candidate)
            if minimum.rates.real.min() > -FLAT * np.abs(minimum.rates).max():
                minima.append(minimum)
        minima = without_passes(system, minima, lower, upper)
    if not minima:
        raise SolveError(
            f"no attracting fixed point within the bounds {format_point(lower)} to {format_point(upper)} from {n} "
            "starts; widen bounds or raise starts",
            status=Status.NO_MINIMUM,
            partial=(),
        )
    minima.sort(key=lambda m: tuple(np.round((m.point - lower) / (upper - lower), 6)))
    return tuple(minima)


def as_starts(starts: int | ArrayLike | None, *, dimension: int) -> Array | None:
    """The starting points (n, d), or None where ``starts`` is their number or None."""
    if starts is None or np.ndim(starts) == 0:
        return None
    return as_points(starts, dimension=dimension, name="starts")


def polish_fixed_point(system: System, point: Array, *, reach: float) -> Array | None:
    """The fixed point to which Newton's method leads from a point (d,), or None where it is not within ``reach``."""
    scale = 1.0 + float(np.abs(point).max())
    near = max(reach, 1e-9 * scale)
    # The box is the unit of length in which a root counts as found. A box of size ``reach`` would ask for less than the
    # rounding of a mean of large per-sample gradients.
    box = np.full(point.size, max(near, 1e-2 * scale))
    roots, found = find_roots(
        NaNDrift(system),
        system.unchecked.jacobian,
        point[None],
        lower=point - box,
        upper=point + box,
        max_iterations=30,
    )
    return tidy(roots[0]) if found[0] and (np.abs(roots[0] - point) <= near).all() else None


def scattered(lower: Array, upper: Array, n: int, rng: np.random.Generator) -> Array:
    """Scrambled Sobol points in a box, (n, d)."""
    from scipy.stats import qmc  # Its import takes longer than all others together.

    sampler = qmc.Sobol(lower.size, scramble=True, rng=rng)
    points: Array = qmc.scale(sampler.random_base2(int(np.ceil(np.log2(n))))[:n], lower, upper)
    return points


def _descend(system: System, points: Array, lower: Array, upper: Array, report: ProgressCallback) -> Array:
    """The points at which descents from the starts end; a start at which a user's function fails is left out."""
    n = points.shape[0]
    together = isinstance(system.finite_sum, ModelSum) and system.dimension <= _TOGETHER
    if not system.gradient_drift or system.loss is None or together:
        report(0, n, "flow")
        return rest_points(system, points, lower, upper)
    ends, failure = [], None
    loss = system.unchecked.loss
    for k, start in enumerate(points):
        report(k, n, "descents")
        try:
            result = minimize(
                lambda x: (float(loss(x[None])[0]), system.unchecked.gradient(x[None])[0]),
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=list(zip(lower, upper, strict=True)),
                options={"maxiter": 500, "gtol": 1e-10, "ftol": 1e-15},
            )
            ends.append(result.x)
        except NonFiniteError as error:
            failure = error
    if not ends and failure is not None:
        raise failure
    report(n, n, "descents")
    return np.array(ends)


def rest_points(system: System, points: Array, lower: Array, upper: Array) -> Array:
    """The points at which the flow comes to rest, without those of the starts that it carries away.

    Where it carries all of them away, the points that it has reached are returned.
    """
    size = float(np.linalg.norm(upper - lower))
    drift = NaNDrift(system)
    typical = float(np.median(np.linalg.norm(_finite(drift(points), "drift", points), axis=1)))
    ends, status = relax_freely(
        drift,
        system.unchecked.jacobian,
        points,
        escape_centre=0.5 * (lower + upper),
        escape_radius=2.0 * size,
        rest_speed=1e-9 * typical,
        scale=0.1 * size,
    )
    return ends[status == AT_REST] if (status == AT_REST).any() else ends


def _finite(values: Array, name: str, points: Array) -> Array:
    rows = np.isfinite(values).all(axis=1)
    if not rows.any():
        raise NonFiniteError(
            f"{name} returned NaN or infinity at every start, for example at {format_point(points[0])}; "
            "restrict bounds to where it is finite",
            points[0],
        )
    return values[rows]
