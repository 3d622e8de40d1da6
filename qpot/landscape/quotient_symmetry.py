"""QuotientSymmetry: symmetries of a loss in the coordinates of which gauge directions were divided out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.symmetry import Integers, Symmetry, apply
from qpot.samples.quotient import Quotient


@dataclass(frozen=True, eq=False)
class QuotientSymmetry:
    """The symmetries of the whole sum, in the reduced coordinates of its `Quotient`.

    Units keep their places as rows and columns of the reduced parameters, so that their exchanges and signs are signed
    permutations of the reduced coordinates, too.

    Parameters
    ----------
    group : Symmetry
        The symmetries of all d parameters, for example `dense_layer_symmetries` of the whole layout.
    quotient : Quotient
        The reduced sum.

    Raises
    ------
    ValueError
        If the group acts on another number of parameters, or a random element is no signed permutation of the reduced
        coordinates (it exchanges inputs or outputs).

    Examples
    --------
    >>> import numpy as np, qpot
    >>> features = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 2.0], [0.0, 0.5, 1.0]])
    >>> total = qpot.network_sum(features, [0, 1, 0], hidden=2, weight_decay=0.1)
    >>> reduced = qpot.without_gauges(total)
    >>> group = qpot.QuotientSymmetry(qpot.dense_layer_symmetries((3, 2, 1), odd=True), reduced)
    >>> group.dimension
    9
    """

    group: Symmetry
    quotient: Quotient

    def __post_init__(self) -> None:
        if self.group.dimension != self.quotient.whole.dimension:
            raise ValueError(
                f"group acts on {self.group.dimension} parameters, but the whole sum has {self.quotient.whole.dimension}"
            )
        rng = np.random.default_rng(0)
        for _ in range(3):
            self.random(rng)

    @property
    def dimension(self) -> int:
        """The number m of reduced coordinates."""
        return self.quotient.dimension

    @property
    def order(self) -> int | None:
        """The number of elements of the group, if it is known."""
        order = getattr(self.group, "order", None)
        return order if order is None else int(order)

    def align(self, x: Array, target: Array) -> tuple[Integers, Array]:
        """The element ``(permutation, signs)`` that brings the reduced point x (m,) near to the target (m,)."""
        element = self.group.align(self.quotient.lift(x), self.quotient.lift(target))
        return self.quotient.reduced_element(*element)

    def random(self, rng: np.random.Generator) -> tuple[Integers, Array]:
        """A random element ``(permutation, signs)``."""
        return self.quotient.reduced_element(*self.group.random(rng))

    def image(self, x: Array, target: Array) -> Array:
        """The image (m,) of x that is near to the target."""
        point = np.asarray(x, dtype=float)
        return apply(self.align(point, np.asarray(target, dtype=float)), point)
