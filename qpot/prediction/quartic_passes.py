"""Rate prefactors over passes with one flat direction, along which the loss changes with the fourth power."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.gradient_climb import isotropic_strength
from qpot.problem.system import System

# A curvature below this part of the largest is that of a flat direction.
_FLAT = 1e-4
# The profile along the flat direction is taken at this part of the distance from the minimum, and at half of it.
_REACH = 0.05
# Newton steps to the ridge or valley line beside the pass.
_STEPS = 8
# The profile is quartic where the parts of other powers are below this part of it.
_QUARTIC = 0.1
# Above this dimension no Hessian is formed for it.
_MOST = 200


class PowerRate(NamedTuple):
    """The rate ``prefactor * epsilon**power * exp(-V / epsilon)`` over one pass, with a NaN where it is not known."""

    prefactor: float
    power: float


UNKNOWN = PowerRate(float("nan"), 0.0)


def quartic_rate(system: System, minimum: Minimum, saddle: Saddle) -> PowerRate:
    r"""The rate from a minimum over a pass with one flat direction, for the drift -grad L under isotropic noise c.

    With T = epsilon c / 2 the rate is T times the integrals of exp(-L / T) across the pass, over that of exp(L / T) along it
    and that of exp(-L / T) around the minimum. The Gaussian integral of a flat direction is replaced by that of C y^4:

    .. math:: \int e^{-C y^4 / T} dy = \tfrac12 \Gamma(\tfrac14) (T / C)^{1/4}

    Returns
    -------
    PowerRate
        The power of epsilon is 1/4 where the pass is flat along the way over it, and -1/4 where it is flat across. The
        prefactor is NaN for other drifts and noises, several flat directions, and profiles that are not quartic.

    Notes
    -----
    N. Berglund, B. Gentz, The Eyring-Kramers law for potentials with nonquadratic saddles, Markov Processes and Related
    Fields 16 (2010) 549.
    """
    c = isotropic_strength(system)
    if c is None or not system.gradient_drift or system.loss is None or minimum.hessian.size == 0:
        return UNKNOWN
    if system.dimension > _MOST:
        return UNKNOWN
    H = -system.unchecked.jacobian(saddle.point[None])[0]
    values, vectors = np.linalg.eigh(0.5 * (H + H.T))
    bottom = np.linalg.eigvalsh(minimum.hessian)
    size = float(max(np.abs(values).max(), bottom[-1]))
    flat = np.abs(values) <= _FLAT * size
    descends = int((values[~flat] < 0.0).sum())
    if flat.sum() != 1 or descends > 1 or bottom[0] <= _FLAT * size:
        return UNKNOWN
    reach = _REACH * float(np.linalg.norm(minimum.point - saddle.point))
    fourth = _fourth_power(system, saddle.point, vectors[:, flat][:, 0], vectors[:, ~flat], reach)
    if fourth is None or (fourth < 0.0) != (descends == 0):
        return UNKNOWN
    # The integral of exp(-|C| y^4), by the logarithms of determinants against overflow in many dimensions.
    quartic = 0.5 * math.gamma(0.25) * abs(fourth) ** -0.25
    across = values[~flat & (values > 0.0)]
    logs = 0.5 * float(np.log(bottom).sum() - np.log(across).sum())
    if descends == 0:
        return PowerRate((0.5 * c) ** 0.25 * math.exp(logs) / (math.sqrt(2.0 * math.pi) * quartic), 0.25)
    logs += 0.5 * math.log(float(-values[~flat].min()))
    return PowerRate((0.5 * c) ** -0.25 * math.exp(logs) * quartic * (2.0 * math.pi) ** -1.5, -0.25)


def _fourth_power(system: System, point: Array, flat: Array, others: Array, reach: float) -> float | None:
    """The coefficient C of the profile C y^4 along the line through the flat direction on which all other slopes vanish."""
    shares = np.array([-1.0, -0.5, 0.5, 1.0]) * reach
    x = point + shares[:, None] * flat
    functions = system.unchecked
    try:
        for _ in range(_STEPS if others.shape[1] else 0):
            J = functions.jacobian(x)
            inner = np.einsum("ia,nij,jb->nab", others, J, others)
            step = np.linalg.solve(inner, -(functions.drift(x) @ others)[..., None])[..., 0]
            x = x + step @ others.T
        assert system.loss is not None  # The caller has looked.
        rises = functions.loss(x) - functions.loss(point[None])
    except (NonFiniteError, np.linalg.LinAlgError):
        return None
    if np.linalg.norm(x - point, axis=1).max() > 2.0 * reach:
        return None
    near, far = 0.5 * (rises[1] + rises[2]), 0.5 * (rises[0] + rises[3])
    odd = max(abs(rises[2] - rises[1]) / abs(near), abs(rises[3] - rises[0]) / abs(far)) if near and far else np.inf
    # A part of y^2 or y^6 would change the ratio of 16; the extrapolation takes that of y^6 away.
    if not abs(far / (16.0 * near) - 1.0) <= _QUARTIC or not odd <= 2.0 * _QUARTIC:
        return None
    return float((64.0 * near - far) / (3.0 * reach**4))
