"""A finite sum on an affine subspace of its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.quotient import Quotient
from qpot.samples.quotient_functions import reduced_functions


@dataclass(frozen=True, eq=False)
class Subspace:
    """The linear map of an orthonormal basis, x = basis z.

    Parameters
    ----------
    basis : array (d, m)
        Orthonormal columns.
    """

    basis: Array

    @property
    def reduced(self) -> int:
        """The number m of coordinates."""
        return int(self.basis.shape[1])

    def lift(self, z: Array) -> Array:
        """The points basis z of rows, ``(n, m)`` to ``(n, d)``."""
        return np.asarray(z @ self.basis.T)

    def project(self, x: Array) -> Array:
        """The coordinates of rows, ``(n, d)`` to ``(n, m)``."""
        return np.asarray(x @ self.basis)


def restricted_sum(total: FiniteSum, subspace: Subspace, offset: Array) -> FiniteSum:
    """The sum on the affine subspace offset + basis z, which no sample's noise and no mean gradient may leave."""
    return Quotient(
        **reduced_functions(total, subspace, offset),
        n_samples=total.n_samples,
        dimension=subspace.reduced,
        whole=total,
        gauges=subspace,
        offset=offset,
        rates=(),
        directions=(f"{total.dimension - subspace.reduced} directions across an invariant subspace",),
    )
