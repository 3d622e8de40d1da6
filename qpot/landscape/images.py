"""Images: all points that a group of symmetries makes of one, with the neighbourhoods that attract there."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.basins import Neighbourhoods
from qpot.landscape.symmetry import Integers, Symmetry, apply
from qpot.solvers.landscape.stationary_points import distinct

# A point with more images than this is refused: a simulation compares every step with all of them.
MAX_IMAGES = 4096
# So many random elements generate a group with a subgroup of index two or more left out once in 2^40 at most.
_GENERATORS = 40
# Images closer than this, as a part of the point's size, are one: the point is its own image up to rounding.
_SAME = 1e-6


def images_of(point: Array, group: Symmetry, *, limit: int = MAX_IMAGES) -> tuple[Array, Integers, Array]:
    """All images of a point under a group, and elements that lead to them.

    Parameters
    ----------
    point : array (d,)
    group : Symmetry
    limit : int
        The largest number of images.

    Returns
    -------
    points, permutations, signs : arrays (n, d)
        The images, the point itself first, and an element for each: ``points[k] = signs[k] * point[permutations[k]]``.

    Raises
    ------
    ValueError
        If there are more images than ``limit``.

    Notes
    -----
    The orbit is closed under 40 random elements of the group, which generate it except with a probability of about 2^-40
    for each subgroup of index two.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> flip = qpot.SignedPermutations([[0, 1], [1, 0]], [[-1, -1], [1, 1]])
    >>> points, _, _ = images_of(np.array([1.0, 2.0]), flip)
    >>> points.shape, sorted(points[:, 0].tolist())
    ((4, 2), [-2.0, -1.0, 1.0, 2.0])
    """
    d, rng = point.size, np.random.default_rng(0)
    drawn = [group.random(rng) for _ in range(_GENERATORS)]
    moves, flips = np.array([p for p, _ in drawn]), np.array([s for _, s in drawn])
    own = np.asarray(point, dtype=np.float64) + 0.0
    # Entries are only moved and negated, so that equal images are equal bit for bit once -0.0 is 0.0.
    found = {own.tobytes(): (np.arange(d), np.ones(d))}
    queue = [own.tobytes()]
    while queue:
        permutation, signs = found[queue.pop()]
        onwards, turned = permutation[moves], flips * signs[moves]
        for k, image in enumerate(turned * own[onwards] + 0.0):
            key = image.tobytes()
            if key not in found:
                if len(found) == limit:
                    raise ValueError(
                        f"the symmetries make more than {limit} images of a minimum, too many to compare every step of a "
                        "simulation with; simulate a network with fewer hidden units"
                    )
                found[key] = onwards[k], turned[k]
                queue.append(key)
    permutations, all_signs = (np.array(part) for part in zip(*found.values(), strict=True))
    points = all_signs * own[permutations] + 0.0
    kept = distinct(points, tolerance=_SAME * (1.0 + float(np.abs(own).max())))
    return points[kept], permutations[kept], all_signs[kept]


def with_images(near: Neighbourhoods, group: Symmetry) -> tuple[Neighbourhoods, Integers]:
    """The neighbourhoods of all images of some minima, and the number of the minimum whose image each is, ``(n,)``.

    The first ones are those of the minima themselves.
    """
    orbits = [images_of(x, group, limit=MAX_IMAGES // len(near.points)) for x in near.points]
    classes = np.concatenate([np.full(len(points), i) for i, (points, _, _) in enumerate(orbits)])
    own = np.concatenate([np.arange(len(points)) == 0 for points, _, _ in orbits])
    metrics = np.concatenate(
        [
            near.metrics[i][permutations[:, :, None], permutations[:, None, :]]
            * (signs[:, :, None] * signs[:, None, :])
            for i, (_, permutations, signs) in enumerate(orbits)
        ]
    )
    points = np.concatenate([points for points, _, _ in orbits])
    order = np.argsort(~own, kind="stable")
    whole = Neighbourhoods(
        points=points[order],
        metrics=metrics[order],
        radii=near.radii[classes[order]],
        kinked=near.kinked,
        periods=near.periods,
    )
    return whole, np.asarray(classes[order], dtype=np.int64)


def images_near(points: Array, target: Array, group: Symmetry) -> Array:
    """The image of each of the points (n, d) that lies near to the target (d,), ``(n, d)``."""
    return np.array([apply(group.align(x, target), x) for x in points]).reshape(points.shape)
