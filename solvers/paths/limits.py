"""Limits of a refinement: the accuracy that is asked for, and the work that may be spent on it."""

from __future__ import annotations

import math
from typing import NamedTuple


class Limits(NamedTuple):
    """What a refinement has to reach, and where it stops.

    Attributes
    ----------
    tolerance : float
        Relative error of the action that is asked for.
    max_iterations : int
        Newton iterations on one mesh.
    max_elements : int
        Elements of a mesh.
    total : int or None
        Newton iterations, or in many dimensions products, on all meshes together, after which no other mesh is tried;
        None: any number.
    scale : float
        An action below this size needs no more digits than one of this size. A piece of a longer path has that path's action
        here, since it may cost next to nothing itself.
    ceiling : float
        A path that is seen to cost more is not solved further.
    """

    tolerance: float
    max_iterations: int
    max_elements: int
    total: int | None = None
    scale: float = 0.0
    ceiling: float = math.inf
