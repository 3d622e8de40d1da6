r"""Finite learning rate: the first correction of the costs, for every kind of noise.

A discrete step of size eta is not the time-eta map of the Hamiltonian H, but, by backward error analysis, that of
H - (eta / 2) <H_p, H_x> + O(eta^2). For steps x - eta g with Gaussian noise of covariance a this is the modified loss
f + (eta / 4) |grad f|^2 together with the modified covariance a + (eta / 2) (Hess a + a Hess); with a covariance that
depends on x there are terms beyond these two, and for the exact noise of minibatches more, all contained in H. Along a
minimum action path dx = H_p dt and dp = -H_x dt, and the first change of a minimum is the change along the minimiser:

    V(eta) = V + eta V_1,    V_1 = -(1/2) int <x', p'> dt.

In an exponent the change is (eta / epsilon) V_1 = batch size x V_1: a factor that stays as eta -> 0 at a fixed batch
size. Times of SGD therefore differ from those of its diffusion by a constant factor, whatever the learning rate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, as_positive
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import TransitionCosts, sums_of_legs


def cost_correction(path: PathSolution) -> float:
    """V_1 of one path: its cost at learning rate eta is ``action + eta * V_1``.

    Parameters
    ----------
    path : PathSolution
        Free descents add nothing, since p = 0 there.

    Returns
    -------
    float
        From the points of the path by differences: about four digits.

    Notes
    -----
    Zero for isotropic constant noise between critical points, where <x', p'> dt is the differential of |grad f|^2.
    Terms of the modified equation: Barrett and Dherin, ICLR 2021 (loss); Li, Tai and E, JMLR 2019 (covariance).

    Examples
    --------
    Gradient a x and Gaussian noise s^2, exactly V(eta) = (a / s^2) (1 - eta a / 2) x^2:

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
    """Costs at a finite learning rate, to first order in it: every leg changes by ``learning_rate * V_1``.

    Parameters
    ----------
    costs : TransitionCosts
    learning_rate : float
        The size of one step in time: the learning rate without momentum, or the time step of a diffusion.

    Returns
    -------
    TransitionCosts
        With the curves of ``costs``, their changed actions, and routes chosen again.

    Raises
    ------
    ValueError
        If a cost would not stay positive: the learning rate is too large for a first correction.
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
        return replace(path, action=action, alternatives=tuple(changed(other) for other in path.alternatives))

    k = len(costs.minima)
    direct, errors = np.full((k, k), np.inf), np.zeros((k, k))
    paths, parallel = {}, {}
    for pair, path in costs.paths.items():
        legs = sorted((changed(leg) for leg in costs.parallel.get(pair, (path,))), key=lambda leg: leg.action)
        paths[pair] = legs[0]
        direct[pair], errors[pair] = legs[0].action, legs[0].error
        if len(legs) > 1:
            parallel[pair] = tuple(legs)
    values, summed = sums_of_legs(direct, errors)
    np.fill_diagonal(direct, 0.0)
    return replace(costs, values=values, errors=summed, direct=direct, paths=paths, parallel=parallel)


def correction_matrix(costs: TransitionCosts) -> Array:
    """V_1 of the cheapest direct leg of every pair, ``(k, k)``; zero where there is none."""
    result = np.zeros(costs.direct.shape)
    for pair, path in costs.paths.items():
        result[pair] = cost_correction(path) if np.isfinite(path.action) else 0.0
    return result
