r"""Finite learning rate: the first correction of the costs, for every kind of noise.

Backward error analysis says that a discrete step of size eta is the time-eta map not of the Hamiltonian H but of
H - (eta / 2) <H_p, H_x> + O(eta^2). For steps x - eta g with Gaussian noise of constant covariance a, this amounts to
the modified loss f + (eta / 4) |grad f|^2 together with the modified covariance a + (eta / 2) (Hess a + a Hess). A
covariance that depends on x and the exact noise of minibatches bring further terms, which the formula in H contains.
Along a minimum action path dx = H_p dt and dp = -H_x dt, and to first order a minimal value changes as the functional
does at its minimiser:

    V(eta) = V + eta V_1,    V_1 = -(1/2) int <x', p'> dt.

The change of the exponent V / epsilon is (eta / epsilon) V_1 = batch size x V_1, which does not vanish as eta -> 0 at a
fixed batch size. Times of SGD therefore differ from those of its diffusion by a constant factor, however small the
learning rate is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, as_positive
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import TransitionCosts, sums_of_legs
from qpot.prediction.unfinished import lowest


def cost_correction(path: PathSolution) -> float:
    """V_1 of one path: its cost at learning rate eta is ``action + eta * V_1``.

    Parameters
    ----------
    path : PathSolution
        A path with its momenta and times. Free descents contribute nothing, since p = 0 there.

    Returns
    -------
    float
        V_1, computed by differences between the points of the path and good to about four digits.

    Notes
    -----
    V_1 is zero for constant isotropic noise between critical points, because <x', p'> dt is then the differential of a
    multiple of |grad f|^2. The terms of the modified equation are derived by Barrett and Dherin, ICLR 2021 (loss), and by
    Li, Tai and E, JMLR 2019 (covariance).

    Examples
    --------
    For the gradient a x and Gaussian noise s^2 the cost is exactly V(eta) = (a / s^2) (1 - eta a / 2) x^2:

    >>> import qpot
    >>> from qpot.prediction.finite_rate import cost_correction
    >>> system = qpot.System.from_loss(lambda x: x[:, 0] ** 2, lambda x: 2 * x, 3.0, dimension=1)
    >>> path = qpot.minimum_action_path(system, [0.0], [1.5])
    >>> round(path.action, 6), round(cost_correction(path), 3)
    (1.5, -1.5)
    """
    steps = path.uphill[1:] & path.uphill[:-1]
    elapsed = np.diff(path.times)
    moving = steps & (elapsed > 0.0)
    product = np.einsum("ni,ni->n", np.diff(path.points, axis=0), np.diff(path.momenta, axis=0))
    return float(-0.5 * (product[moving] / elapsed[moving]).sum())


def corrected_costs(costs: TransitionCosts, learning_rate: float) -> TransitionCosts:
    """Costs at a finite learning rate, to first order in it: the cost of every leg changes by ``learning_rate * V_1``.

    Parameters
    ----------
    costs : TransitionCosts
    learning_rate : float
        The size of one step in time: the learning rate without momentum, or the time step of a diffusion.

    Returns
    -------
    TransitionCosts
        The curves of ``costs`` with corrected actions, and the routes that are cheapest with these.

    Raises
    ------
    ValueError
        If a cost would not stay positive, which means that the learning rate is too large for a first correction.
    """
    eta = as_positive(learning_rate, name="learning_rate")

    def changed(path: PathSolution) -> PathSolution:
        action = path.action
        if np.isfinite(action):
            action += eta * cost_correction(path)
            if action <= 0.0:
                raise ValueError(
                    f"learning_rate={eta:g} changes the cost {path.action:.4g} to {action:.4g}: it is too large for the "
                    "first correction; use a smaller one, or leave the costs as they are"
                )
        # The bound of a leg that was not solved holds for small learning rates only.
        return replace(
            path, action=action, least=0.0, alternatives=tuple(changed(other) for other in path.alternatives)
        )

    k = len(costs.minima)
    direct, errors = np.full((k, k), np.inf), np.zeros((k, k))
    paths, parallel = {}, {}
    for pair, path in costs.paths.items():
        legs = sorted((changed(leg) for leg in costs.parallel.get(pair, (path,))), key=lambda leg: leg.action)
        paths[pair] = legs[0]
        direct[pair], errors[pair] = legs[0].action, legs[0].error
        if len(legs) > 1:
            parallel[pair] = tuple(legs)
    low = np.full((k, k), np.inf)
    for pair, path in paths.items():
        low[pair] = lowest(parallel.get(pair, (path,)))
    values, summed = sums_of_legs(direct, errors, None if costs.solved else low)
    np.fill_diagonal(direct, 0.0)
    ways = tuple(way if way.path is None else replace(way, path=changed(way.path)) for way in costs.ways_out)
    return replace(costs, values=values, errors=summed, direct=direct, paths=paths, parallel=parallel, ways_out=ways)


def correction_matrix(costs: TransitionCosts) -> Array:
    """V_1 of the cheapest leg of every pair, ``(k, k)``; zero where no saddle connects the two minima."""
    result = np.zeros(costs.direct.shape)
    for pair, path in costs.paths.items():
        result[pair] = cost_correction(path) if np.isfinite(path.action) else 0.0
    return result
