"""The kinds of random problems by name, and the problem with a given seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .classics import classics
from .cycles import cycles
from .degenerate import degenerate
from .edges import edges
from .kinked import kinked
from .kinked_noise import kinked_noise
from .lattices import rastrigin, torus
from .prescribed import prescribed
from .problem import Problem
from .rotating import rotating
from .separable import other_units, separable
from .tori import tori
from .wells import narrow_wells, wells
from .whirls import whirls

KINDS: Mapping[str, Callable[[np.random.Generator], Problem]] = {
    "wells": wells,
    "narrow wells": narrow_wells,
    "prescribed": prescribed,
    "separable": separable,
    "other units": other_units,
    "degenerate": degenerate,
    "kinked": kinked,
    "edges": edges,
    "classics": classics,
    "rastrigin": rastrigin,
    "torus": torus,
    "tori": tori,
    "cycles": cycles,
    "kinked noise": kinked_noise,
    "rotating": rotating,
    "whirls": whirls,
}


def draw(kind: str, seed: int, number: int) -> Problem:
    """The problem with this number: the same for the same seed, whatever else is drawn."""
    return KINDS[kind](np.random.default_rng([seed, list(KINDS).index(kind), number]))
