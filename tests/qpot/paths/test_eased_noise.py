"""Eased noise: where there is a floor to begin with, and that every path costs less under it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.paths.eased_noise import eased_action
from qpot.problem.sample_noise import SampleNoise
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction
from qpot.solvers.paths.start_search import Eased

Array = np.ndarray[Any, np.dtype[np.float64]]

D, SAMPLES = 4, 16
START, END = -np.eye(D)[0], np.zeros(D)


def pushes() -> Array:
    vectors = np.random.default_rng(3).normal(size=(SAMPLES, D)) * np.array([1.0, 2.0, 0.5, 0.05])
    return np.asarray(vectors - vectors.mean(axis=0))


def varying_noise() -> qpot.FiniteSum:
    """A double well in x_0 whose samples push along x + sin(x) / 2, so that the covariance varies."""
    vectors = pushes()

    def losses(x: Array) -> Array:
        mean = (x[:, 0] ** 2 - 1.0) ** 2 / 4.0 + 0.5 * (x[:, 1:] ** 2).sum(axis=1)
        return np.asarray(mean[:, None] + (x + 0.5 * np.sin(x)) @ vectors.T)

    def gradients(x: Array) -> Array:
        mean = x.copy()
        mean[:, 0] = x[:, 0] ** 3 - x[:, 0]
        return np.asarray(mean[:, None] + vectors * (1.0 + 0.5 * np.cos(x[:, None])))

    return qpot.FiniteSum(sample_losses=losses, sample_gradients=gradients, n_samples=SAMPLES, dimension=D)


TOTAL = varying_noise()


def exact_action(system: qpot.System, noise: SampleNoise) -> LargeAction:
    motion = noise.local_operators()
    plain = LargeAction(system.unchecked.drift, lambda x, p: p, lambda x, r: r)
    return LargeAction(motion.drift, plain.transpose_product, motion.solve, force=motion.force)


def exact_and_eased() -> tuple[LargeAction, Eased]:
    system = qpot.System.from_finite_sum(TOTAL)
    noise = system.noise
    assert isinstance(noise, SampleNoise)
    exact = exact_action(system, noise)
    eased = eased_action(system, exact, START, END)
    assert eased is not None
    return exact, eased


def some_path(seed: int) -> ElementPath:
    s = np.linspace(0.0, 1.0, 33)[:, None]
    bends = np.random.default_rng(seed).normal(size=(2, D))
    nodes = START + s * (END - START) + 0.3 * (np.sin(np.pi * s) * bends[0] + np.sin(2.0 * np.pi * s) * bends[1])
    return ElementPath(np.linspace(0.0, 6.0, 9), nodes, 4)


@pytest.mark.parametrize("seed", range(4))
def test_every_path_is_cheaper_under_eased_noise(seed: int) -> None:
    exact, eased = exact_and_eased()
    path = some_path(seed)
    dear, cheap = exact.value(path, 6), eased.action.value(path, 6)
    assert 0.0 < cheap < dear
    # A hundredth of the largest eigenvalue halfway is added: by hand, with matrices.
    floor = 0.01 * float(np.linalg.eigvalsh(TOTAL.covariance(0.5 * (START + END)[None])[0])[-1])
    x, v, w = (part.reshape(-1, *part.shape[2:]) for part in path.at_quadrature(6))
    r = v + TOTAL.gradient(x)
    a = TOTAL.covariance(x) + floor * np.eye(D)
    by_hand = 0.5 * float(w @ np.einsum("ni,ni->n", r, np.linalg.solve(a, r[:, :, None])[..., 0]))
    assert cheap == pytest.approx(by_hand, rel=1e-9)


def test_the_eased_action_has_the_slope_of_its_values() -> None:
    eased = exact_and_eased()[1]
    path, h = some_path(7), 1e-5
    gradient = eased.action.value_and_gradient(path, 6)[1]
    move = np.random.default_rng(0).normal(size=gradient.shape)
    ends = []
    for sign in (1.0, -1.0):
        nodes = path.nodes.copy()
        nodes[1:-1] += sign * h * move
        ends.append(eased.action.value(ElementPath(path.breaks, nodes, path.degree), 6))
    assert np.sum(gradient * move) == pytest.approx((ends[0] - ends[1]) / (2.0 * h), rel=1e-6)


def test_its_linearisation_goes_with_it() -> None:
    """Products with the Hessian are symmetric, and those of the preconditioner positive."""
    eased = exact_and_eased()[1]
    assert eased.linearised is not None
    path = some_path(1)
    product, precondition = eased.linearised(path, 6)
    u, v = np.random.default_rng(1).normal(size=(2, len(path.nodes) - 2, D))
    assert np.sum(u * precondition(v)) == pytest.approx(np.sum(v * precondition(u)), rel=1e-8)
    assert np.sum(u * precondition(u)) > 0.0
    size = abs(np.sum(u * product(1e-4, u)))
    assert np.sum(u * product(1e-4, v)) == pytest.approx(np.sum(v * product(1e-4, u)), abs=1e-6 * size)


def test_a_constant_covariance_is_not_eased() -> None:
    total = TOTAL
    system = qpot.System.from_loss(total.loss, total.gradient, np.diag([1.0, 2.0, 3.0, 1e-9]), dimension=D)
    plain = LargeAction(system.unchecked.drift, lambda x, p: p, lambda x, r: r)
    assert eased_action(system, plain, START, END) is None


@pytest.mark.parametrize(("part", "none"), [(0.5, False), (2.0, True)])
def test_a_floor_that_is_higher_already_is_kept(part: float, none: bool) -> None:
    floor = part * 0.01 * float(np.linalg.eigvalsh(TOTAL.covariance(0.5 * (START + END)[None])[0])[-1])
    noise = SampleNoise(TOTAL, floor)
    system = qpot.System(drift=lambda x: -TOTAL.gradient(x), noise=noise, dimension=D)
    assert (eased_action(system, exact_action(system, noise), START, END) is None) == none
