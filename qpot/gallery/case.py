"""GalleryCase: a system together with its known answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.gallery.travelling import let_travel, made
from qpot.problem.system import System

# The reference of cases whose answer follows from the textbook's formulas for gradient systems.
FREIDLIN_WENTZELL = "M. I. Freidlin, A. D. Wentzell, Random Perturbations of Dynamical Systems, 3rd ed., Springer 2012"
# The reference of cases in which the covariance alone decides between equal minima.
HU_ZHU_XIONG_HUAN = (
    "W. Hu, Z. Zhu, H. Xiong, J. Huan, Quasi-potential as an implicit regularizer for the loss function in SGD, 2019"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class GalleryCase:
    """A system with its known answer.

    Attributes
    ----------
    name : str
        The name of the function that returns the case.
    system : System
    bounds : tuple of (low, high)
        A box that holds all minima and saddles, one pair for each coordinate.
    minima : array (k, d)
        The minima, in the order in which `qpot.find_minima` returns them.
    saddles : array (m, d)
    costs : array (k, k) or None
        Exact V(i, j), summed along routes through other minima; None where they are not known.
    accuracy : float
        Relative accuracy of `costs` as they are given here.
    quasipotential : callable (n, d) -> (n,) or None
        Exact V(minima[0], x), if it has a closed form.
    reference : str
    parameters : dict
        The arguments with which the case was made.
    """

    name: str
    system: System
    bounds: tuple[tuple[float, float], ...]
    minima: Array
    saddles: Array
    costs: Array | None
    accuracy: float = 1e-12
    quasipotential: Callable[[Array], Array] | None = None
    reference: str = FREIDLIN_WENTZELL
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        let_travel(self.system, self.name, self.parameters)

    def __reduce__(self) -> tuple[Any, ...]:
        return made, (self.name, self.parameters)

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
        return f"GalleryCase({self.name}({values}), {len(self.minima)} minima, dimension {self.system.dimension})"


def two_costs(forth: float, back: float) -> Array:
    """The matrix of costs of two minima, from the first to the second and back."""
    return np.array([[0.0, forth], [back, 0.0]])


def diagonal(values: Array) -> Array:
    """Diagonal matrices (n, d, d) from their diagonals (n, d)."""
    result = np.zeros((*values.shape, values.shape[1]))
    index = np.arange(values.shape[1])
    result[:, index, index] = values
    return result
