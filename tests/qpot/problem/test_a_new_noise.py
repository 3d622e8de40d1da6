"""A kind of noise that the library does not know, added as one class: jumps of a fixed size at Poisson times.

The system jumps by +-h epsilon along each axis at the rate lambda / (2 epsilon), so that

    H(x, p) = b.p + lambda sum_i (cosh(h p_i) - 1),

with the covariance lambda h^2 I of its diffusion approximation. Nothing but the class `PoissonJumps` is written for it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq

import qpot
from qpot.problem.functions import UncheckedFunctions
from qpot.problem.noise import Noise
from qpot.solvers.problem.lagrangian import Expansion, second_differences

Array = NDArray[np.float64]
RATE, SIZE = 2.0, 0.8


class PoissonJumps(Noise):
    """Jumps of one size along the axes."""

    gaussian = False

    def __init__(self, rate: float, size: float, dimension: int) -> None:
        self.rate, self.size = rate, size
        self.constant = rate * size**2 * np.eye(dimension)

    def covariance(self, x: Array) -> Array:
        assert self.constant is not None
        return np.broadcast_to(self.constant, (x.shape[0], *self.constant.shape)).copy()

    def lagrangian(self, functions: UncheckedFunctions) -> JumpLagrangian:
        return JumpLagrangian(functions, self.rate, self.size)


class JumpLagrangian:
    """L(x, v) = sup_p <p, v> - H(x, p), coordinate by coordinate: sinh(h p_i) = (v_i - b_i) / (lambda h)."""

    def __init__(self, functions: UncheckedFunctions, rate: float, size: float) -> None:
        self.functions, self.rate, self.size = functions, rate, size

    def bounded(self) -> None:
        """However fast a motion is, there are jumps enough for it."""
        return

    def value(self, x: Array, v: Array) -> Array:
        p = self.momentum(x, v)
        return np.asarray((p * v).sum(axis=1) - self.hamiltonian(x, p))

    def momentum(self, x: Array, v: Array) -> Array:
        return np.asarray(np.arcsinh((v - self.functions.drift(x)) / (self.rate * self.size)) / self.size)

    def metric(self, x: Array, v: Array) -> Array:
        H_pp = self.rate * self.size**2 * np.cosh(self.size * self.momentum(x, v))
        return np.asarray(np.eye(x.shape[1]) / H_pp[:, :, None])

    def hamiltonian(self, x: Array, p: Array) -> Array:
        b = self.functions.drift(x)
        return np.asarray((b * p).sum(axis=1) + self.rate * (np.cosh(self.size * p) - 1.0).sum(axis=1))

    def speed(self, x: Array, direction: Array) -> Array:
        return np.asarray(np.linalg.norm(self.functions.drift(x), axis=1))

    def geometric(self, x: Array, v: Array) -> Array:
        """min over s of L(x, s v) / s, where H(x, p(s v)) = 0."""
        low, high = np.full(x.shape[0], 1e-12), np.full(x.shape[0], 1e12)
        for _ in range(200):
            s = np.sqrt(low * high)
            slow = self.hamiltonian(x, self.momentum(x, s[:, None] * v)) < 0.0
            low, high = np.where(slow, s, low), np.where(slow, high, s)
        s = np.sqrt(low * high)
        return np.asarray(self.value(x, s[:, None] * v) / s)

    def expand(self, x: Array, v: Array) -> Expansion:
        p, J, L_vv = self.momentum(x, v), self.functions.jacobian(x), self.metric(x, v)
        whitened = L_vv @ J
        return Expansion(
            value=self.value(x, v),
            x=-np.einsum("nij,ni->nj", J, p),
            v=p,
            xx=np.swapaxes(J, 1, 2) @ whitened - second_differences(self.hamiltonian, x, p),
            xv=-np.swapaxes(whitened, 1, 2),
            vv=L_vv,
        )


def climb(slope: float) -> float:
    """The momentum p > 0 at which the jumps hold a loss of this slope: lambda (cosh(h p) - 1) = slope p."""
    if slope <= 0.0:
        return 0.0
    return float(brentq(lambda p: RATE * (np.cosh(SIZE * p) - 1.0) - slope * p, 1e-9, 50.0, xtol=1e-14))


def wells(dimension: int, tilt: float = 0.2) -> qpot.System:
    """A tilted double well in x[0] and bowls beside it, shaken by the jumps."""

    def loss(x: Array) -> Array:
        return np.asarray(
            (x[:, 0] ** 2 - 1) ** 2 / 4 + tilt * x[:, 0] ** 3 / 3 - tilt * x[:, 0] + (x[:, 1:] ** 2).sum(1)
        )

    def drift(x: Array) -> Array:
        b = -2.0 * x
        b[:, 0] = -(x[:, 0] ** 2 - 1) * (x[:, 0] + tilt)
        return np.asarray(b)

    return qpot.System(
        drift=drift, noise=PoissonJumps(RATE, SIZE, dimension), dimension=dimension, loss=loss, gradient_drift=True
    )


@pytest.mark.parametrize("dimension", [1, 2])
def test_costs_are_the_integrals_of_the_momentum(dimension: int) -> None:
    system = wells(dimension)
    bounds = [(-1.8, 1.8), *[(-1.0, 1.0)] * (dimension - 1)]
    minima = qpot.find_minima(system, bounds)
    costs = qpot.transition_costs(system, minima, bounds=bounds)
    tilt = 0.2
    left = quad(lambda x: climb((x**2 - 1) * (x + tilt)), -1.0, -tilt, epsabs=1e-13)[0]
    right = quad(lambda x: climb(-(x**2 - 1) * (x + tilt)), -tilt, 1.0, epsabs=1e-13)[0]
    assert costs.values[0, 1] == pytest.approx(left, rel=1e-7)
    assert costs.values[1, 0] == pytest.approx(right, rel=1e-7)
    assert abs(costs.values[0, 1] - left) <= costs.errors[0, 1] + 1e-9
    # the diffusion of the same covariance pays 2 dL / a, which is something else
    barrier = float(system.loss(np.eye(1, dimension) * -tilt)[0]) - minima[0].loss  # type: ignore[misc]
    assert abs(2.0 * barrier / (RATE * SIZE**2) - left) > 1e-3


def test_predict_takes_it_as_any_other_noise() -> None:
    prediction = qpot.predict(wells(2), [(-1.8, 1.8), (-1.0, 1.0)])
    assert prediction.selected == (1,)
    assert prediction.prefactors is not None
    assert np.isnan(prediction.prefactors[0, 1])  # the formula is for diffusions
    assert prediction.costs.field is not None
    assert "Gaussian noise" in prediction.costs.field.reasons[0, 1]


class Wrong(Noise):
    """A Gaussian noise whose parts a test replaces by wrong ones."""

    def __init__(self, matrix: Array, constant: Array | None = None) -> None:
        self.matrix, self.constant = np.asarray(matrix), constant

    def covariance(self, x: Array) -> Array:
        return np.broadcast_to(self.matrix, (x.shape[0], *self.matrix.shape)).copy()


class NoLagrangian(Wrong):
    """Noise that says it is not Gaussian, and nothing more."""

    gaussian = False


class EmptyLagrangian(NoLagrangian):
    """Noise whose Lagrangian is None."""

    def lagrangian(self, functions: UncheckedFunctions) -> None:  # type: ignore[override]
        """Return nothing."""


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (Wrong(np.full((2, 2), np.nan)), r"Wrong.covariance returned NaN"),
        (Wrong(np.array([[1.0, 0.3], [0.0, 1.0]])), r"Wrong.covariance is not symmetric"),
        (Wrong(np.eye(3)), r"Wrong.covariance returned"),
        (Wrong(np.eye(2), constant=2.0 * np.eye(2)), r"Wrong.covariance differs from Wrong.constant by 1 "),
        (Wrong(np.eye(2), constant=np.eye(3)), r"Wrong.constant must be None or a finite matrix \(2, 2\)"),
        (Wrong(np.eye(2), constant=-np.eye(2)), r"Wrong.constant"),
        (NoLagrangian(np.eye(2)), r"has no method lagrangian"),
        (EmptyLagrangian(np.eye(2)), r"EmptyLagrangian.lagrangian returned None, which lacks value"),
    ],
)
def test_wrong_kinds_of_noise_are_named(noise: Noise, message: str) -> None:
    """The same mistakes in ``covariance=`` are named too; a wrong matrix must not become a cost."""

    def path() -> qpot.PathSolution:
        system = qpot.System(drift=lambda x: -x, noise=noise, dimension=2)
        return qpot.minimum_action_path(system, [0.0, 0.0], [1.0, 0.0])

    with pytest.raises(ValueError, match=message):
        path()


def test_parts_of_a_system_are_replaced() -> None:
    system = qpot.System(drift=lambda x: -x, covariance=np.eye(2), dimension=2)
    other = replace(system, covariance=2.0 * np.eye(2))  # type: ignore[arg-type]
    assert other.constant_covariance is not None
    np.testing.assert_array_equal(other.constant_covariance, 2.0 * np.eye(2))
    jumps = qpot.System(drift=lambda x: -x, noise=PoissonJumps(RATE, SIZE, 2), dimension=2)
    faster = replace(jumps, drift=lambda x: -2.0 * x)  # type: ignore[arg-type]
    assert faster.noise is jumps.noise
    np.testing.assert_array_equal(faster.drift([[1.0, 2.0]]), [[-2.0, -4.0]])
    assert "PoissonJumps" in repr(jumps)
