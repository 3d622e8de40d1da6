"""Half-stable rests: fixed points that attract from one side and repel on the other, where the slightest noise moves on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# A point is moved on by these parts of the scale, the first that will do. The longest is longer than the distance at which a
# flow towards a half-stable rest seems to stand still.
_REACHES = (1e-2, 1e-3, 1e-4)
# The drift is looked at in so many places on either side.
_PLACES = 33


def moved_on(
    drift: BatchFunction, jacobian: BatchFunction, points: Array, *, scale: float, rest_speed: float
) -> tuple[Array, NDArray[np.bool_]]:
    """The points just beyond half-stable rests, and which of the given points lie at one.

    At such a rest the rate along one direction vanishes, and the drift along it has the same sign on both sides. The way
    on costs no action, since the drift opposes it nowhere.

    Parameters
    ----------
    drift, jacobian : ``(m, d) -> (m, d)``, ``(m, d) -> (m, d, d)``
    points : ``(n, d)``
        Points at which the flow rests, or seems to.
    scale : float
        The size of the neighbourhoods of the attractors.
    rest_speed : float
        A drift below this speed counts as none.

    Returns
    -------
    beyond : ``(n, d)``
        A point behind the rest, from which the flow goes on; the point itself where it is no half-stable rest.
    half_stable : ``(n,)`` of bool
    """
    beyond, half_stable = points.copy(), np.zeros(points.shape[0], dtype=bool)
    for k, point in enumerate(points):
        try:
            rates, vectors = np.linalg.eig(jacobian(point[None])[0])
            rows = np.linalg.inv(vectors)
        except np.linalg.LinAlgError:
            continue  # A matrix without a full set of eigenvectors has no direction of its own for the vanishing rate.
        slowest = int(np.argmin(np.abs(rates)))
        if rates[slowest].imag != 0.0:
            continue
        v, w = vectors[:, slowest].real, rows[slowest].real
        for reach in _REACHES:
            s = scale * reach * np.linspace(-1.0, 1.0, _PLACES)
            speeds = drift(point + s[:, None] * v) @ w
            # A parabola of the drift, whose ends are well above what counts as rest, is the mark of a half-stable rest.
            for sign in (1.0, -1.0):
                pushed = sign * speeds
                if (pushed >= -rest_speed).all() and pushed[[0, -1]].min() > 10.0 * rest_speed:
                    beyond[k], half_stable[k] = point + sign * s[-1] * v, True
            if half_stable[k]:
                break
    return beyond, half_stable
