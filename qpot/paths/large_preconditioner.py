"""The preconditioner of one leg in many dimensions, chosen by what is known of its system."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.flow_by_products import stiff_part
from qpot.landscape.linear_rates import CHUNK
from qpot.paths.methods import ProductMethod
from qpot.problem.system import System
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.subspace_preconditioner import StrongDirections, subspace_preconditioner
from qpot.solvers.paths.time_preconditioner import scalar_preconditioner, stiff_preconditioner

Product = Callable[[Array, Array], Array]


def leg_preconditioner(
    system: System,
    method: ProductMethod,
    times: Product,
    product: Product,
    strong: StrongDirections | None,
    path: ElementPath,
) -> Callable[[Array], Array]:
    """An approximate inverse of the action's Hessian at a path, as a function (n, d) -> (n, d) on the inner nodes.

    It is made of the method's linear part, if it has one; else of the strong directions, if there are any; else of one
    rate for all directions.

    Parameters
    ----------
    times, product : callable
        (x, p) -> a(x) p and (x, p) -> J(x)^T p, (n, d) each.
    strong : StrongDirections or None
    """
    d = system.dimension
    probe = np.random.default_rng(0).normal(size=d)
    probe /= np.linalg.norm(probe)
    if method.linear_part is not None:
        size = float(probe @ times(path.nodes[:1], probe[None])[0])
        return stiff_preconditioner(path, stiff_part(method.linear_part, d), size)

    def pieces(x: Array, p: Array) -> Iterator[Array]:
        rows = max(1, CHUNK // d)
        return (product(x[k : k + rows], p[k : k + rows]) for k in range(0, x.shape[0], rows))

    if strong is not None:
        return subspace_preconditioner(path, strong, lambda x, p: np.concatenate([*pieces(x, p)]), probe)
    # The products of all nodes at once would be too large, so that only the squared lengths of each piece are kept.
    probes = np.broadcast_to(probe, path.nodes.shape)
    squares = np.concatenate([(piece**2).sum(axis=1) for piece in pieces(path.nodes, probes)])
    return scalar_preconditioner(path, squares, system.noise.frozen(path.nodes[path.nodes.shape[0] // 2]))
