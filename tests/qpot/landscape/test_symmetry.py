"""Symmetries: groups, alignment, and predictions on classes of minima against those on all of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qpot
from qpot.landscape.symmetric_saddles import saddles_modulo
from qpot.landscape.symmetry import apply, as_symmetry, distinct_modulo
from qpot.prediction.costs import disagreements
from qpot.prediction.opinion import with_field_opinion


def network(sizes: tuple[int, ...], theta: Any, X: Any, activation: Any) -> Any:
    """A dense network, weights (out, in) and biases in order; nothing of the library's."""
    at, h = 0, X
    for k, (inside, out) in enumerate(itertools.pairwise(sizes)):
        W = theta[at : at + out * inside].reshape(out, inside)
        b = theta[at + out * inside : at + out * inside + out]
        at += out * inside + out
        h = h @ W.T + b
        h = h if k == len(sizes) - 2 else activation(h)
    return h


@given(st.sampled_from([(2, 3, 1), (3, 4, 2), (2, 3, 4, 2), (1, 2, 2, 2, 1)]), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_elements_do_not_change_the_network_and_are_undone_by_alignment(
    sizes: tuple[int, ...], odd: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    group = qpot.dense_layer_symmetries(sizes, odd=odd)
    theta, X = rng.normal(size=group.dimension), rng.normal(size=(5, sizes[0]))
    image = apply(group.random(rng), theta)
    activation = np.tanh if odd else (lambda z: np.maximum(z, 0.0))
    assert np.allclose(network(sizes, image, X, activation), network(sizes, theta, X, activation), rtol=0, atol=1e-12)
    assert np.array_equal(group.image(image, theta), theta)
    assert distinct_modulo(np.stack([theta, image, theta + 1.0]), group, np.ones(theta.size), tolerance=1e-6) == [0, 2]


def test_alignment_of_one_hidden_layer_is_the_nearest_image() -> None:
    group, rng = qpot.dense_layer_symmetries((1, 3, 1), odd=True), np.random.default_rng(0)
    assert group.order == 48

    def exchanged(theta: Any, order: Any, flips: Any) -> Any:
        parts = theta[:3], theta[3:6], theta[6:9]
        return np.concatenate([*(flips * part[list(order)] for part in parts), theta[9:]])

    for _ in range(20):
        theta, target = rng.normal(size=(2, 10))
        images = [
            exchanged(theta, order, np.array(flips))
            for order in itertools.permutations(range(3))
            for flips in itertools.product([-1.0, 1.0], repeat=3)
        ]
        nearest = min(np.linalg.norm(image - target) for image in images)
        assert np.linalg.norm(group.image(theta, target) - target) == pytest.approx(nearest, rel=1e-12)


def test_groups_are_generated() -> None:
    assert len(qpot.SignedPermutations([[1, 0, 2], [0, 2, 1]])) == math.factorial(3)
    hyperoctahedral = qpot.SignedPermutations([[1, 0, 2], [0, 2, 1], [0, 1, 2]], [[1, 1, 1], [1, 1, 1], [-1, 1, 1]])
    assert len(hyperoctahedral) == 48
    cyclic = qpot.SignedPermutations([[1, 2, 3, 0]])
    assert len(cyclic) == 4
    assert np.array_equal(cyclic.image([1.0, 2.0, 3.0, 4.0], [4.1, 1.0, 2.0, 3.0]), [4.0, 1.0, 2.0, 3.0])
    assert np.array_equal(hyperoctahedral.image([1.0, 2.0, -3.0], [-3.1, 0.9, -2.0]), [-3.0, 1.0, -2.0])


def test_a_layout_gives_the_same_group_as_sizes() -> None:
    layout = qpot.ParameterLayout(
        names=("0.weight", "0.bias", "2.weight", "2.bias"), shapes=((3, 2), (3,), (1, 3), (1,))
    )
    by_layout, by_sizes = (qpot.dense_layer_symmetries(x, odd=True) for x in (layout, (2, 3, 1)))
    assert (by_layout.sizes, by_layout.weights, by_layout.biases) == (by_sizes.sizes, by_sizes.weights, by_sizes.biases)
    assert qpot.dense_layer_symmetries((2, 3, 1), odd=True, bias=False).dimension == 9


def phase_retrieval() -> tuple[qpot.System, list[tuple[float, float]]]:
    """Symmetric under x -> -x."""
    rng = np.random.default_rng(4)
    A = rng.normal(size=(30, 2))
    y = (A @ np.array([1.0, 0.5])) ** 2 + 0.3 * rng.normal(size=30)
    return qpot.System.from_finite_sum(qpot.phase_retrieval_sum(A, y)), [(-2.0, 2.0), (-2.0, 2.0)]


FLIP = ([[0, 1]], [[-1, -1]])


def test_opposite_minima_of_phase_retrieval_are_one() -> None:
    system, bounds = phase_retrieval()
    every = qpot.find_minima(system, bounds)
    classes = qpot.find_minima(system, bounds, symmetries=FLIP)
    assert len(every) == 2 * len(classes) == 2
    assert any(np.allclose(classes[0].point, m.point, rtol=0, atol=1e-8) for m in every)
    saddles = qpot.find_saddles(system, classes, bounds, symmetries=FLIP)
    assert len(saddles) * 2 == len(qpot.find_saddles(system, every, bounds))
    # every saddle connects the minimum with its own opposite: within the class
    assert {saddle.connects for saddle in saddles} == {(0, 0)}


def four_wells(depth: float = 0.3) -> tuple[qpot.System, list[tuple[float, float]]]:
    """Wells at (+-1, 0) and (0, +-1), symmetric under x -> -x; the second pair is shallower and its noise stronger."""

    def loss(x: Any) -> Any:
        return (
            (x**4).sum(axis=1) / 4 - (x**2).sum(axis=1) / 2 + 1.5 * (x[:, 0] * x[:, 1]) ** 2 + depth * x[:, 1] ** 2 / 2
        )

    def gradient(x: Any) -> Any:
        g = x**3 - x + 3.0 * (x * x[:, ::-1]) * x[:, ::-1]
        g[:, 1] += depth * x[:, 1]
        return g

    def covariance(x: Any) -> Any:
        return (1.0 + 0.5 * x[:, 1] ** 2)[:, None, None] * np.array([[1.0, 0.3], [0.3, 0.8]])

    return qpot.System.from_loss(loss, gradient, covariance, dimension=2), [(-1.6, 1.6), (-1.5, 1.7)]


def test_predictions_on_classes_are_those_on_all_minima() -> None:
    system, bounds = four_wells()
    every = qpot.predict(system, bounds, second_opinion=False, progress=None)
    classes = qpot.predict(system, bounds, symmetries=FLIP, second_opinion=False, progress=None)
    assert (len(every.minima), len(classes.minima)) == (4, 2)
    assert 2 * len(classes.saddles) == len(every.saddles) == 4
    kind = [int(abs(m.point[1]) > abs(m.point[0])) for m in every.minima]
    own = [int(abs(m.point[1]) > abs(m.point[0])) for m in classes.minima]
    for a, b in ((0, 1), (1, 0)):
        cheapest = min(
            every.costs.values[i, j] for i in range(4) for j in range(4) if (kind[i], kind[j]) == (own[a], own[b])
        )
        assert classes.costs.values[a, b] == pytest.approx(cheapest, rel=1e-7)
        path = classes.costs.paths[a, b]
        # it starts at the representative and ends at a copy of the other
        assert np.allclose(path.start, classes.minima[a].point, rtol=0, atol=1e-6)
        assert np.allclose(np.abs(path.end), np.abs(classes.minima[b].point), rtol=0, atol=1e-3)
    assert {own[k] for k in classes.selected} == {kind[k] for k in every.selected}
    assert classes.margin == pytest.approx(max(every.stationary_costs), rel=1e-6)
    # prefactors of one class are those of one of its minima
    assert classes.prefactors is not None
    assert every.prefactors is not None
    assert np.isfinite(classes.prefactors).all()
    # one saddle of each class leads from a representative to the other class: its own prefactor
    known = every.prefactors[every.prefactors > 0]
    for value in classes.prefactors[classes.prefactors > 0]:
        assert np.isclose(known, value, rtol=1e-3).any()


def wells_in_two_coordinates(d: int) -> tuple[qpot.System, qpot.SignedPermutations]:
    """Four minima (+-1, +-1, 0 ...) and four saddles, one of the two coordinates zero: one of each modulo the group."""
    stiff = 3.0 + np.arange(d) / d  # slower modes would be climbed first, and lead nowhere

    def gradient(x: Any) -> Any:
        g = stiff * x
        g[:, :2] = x[:, :2] ** 3 - x[:, :2]
        return g

    def hessian_product(x: Any, p: Any) -> Any:
        g = stiff * p
        g[:, :2] = (3 * x[:, :2] ** 2 - 1) * p[:, :2]
        return g

    system = qpot.System.from_loss(
        lambda x: ((x[:, :2] ** 2 - 1) ** 2).sum(axis=1) / 4 + (x[:, 2:] ** 2) @ stiff[2:] / 2,
        gradient,
        1.0,
        dimension=d,
        hessian_product=hessian_product,
    )
    swap, stay = np.arange(d), np.arange(d)
    swap[:2] = 1, 0
    flip = np.ones(d)
    flip[0] = -1.0
    return system, qpot.SignedPermutations([swap, stay], [np.ones(d), flip])


def test_modes_are_climbed_modulo_symmetries() -> None:
    """Above 16 dimensions."""
    d = 18
    system, group = wells_in_two_coordinates(d)
    box = [(-2.0, 2.0)] * d
    minima = qpot.find_minima(system, box, starts=6, symmetries=group)
    assert len(minima) == 1
    saddles = qpot.find_saddles(system, minima, box, symmetries=group)
    assert [s.connects for s in saddles] == [(0, 0)]
    assert np.sort(np.abs(saddles[0].point)) == pytest.approx(np.eye(d)[-1], abs=1e-8)
    assert saddles[0].views is not None
    for view in saddles[0].views:
        assert view is not None
        assert np.linalg.norm(view.point - minima[0].point) == pytest.approx(1.0, abs=1e-8)
    every = qpot.find_minima(system, box, starts=[[a, b, *np.zeros(d - 2)] for a in (-1, 1) for b in (-1, 1)])
    assert len(every) == 4
    assert len(qpot.find_saddles(system, every, box)) == 4


@pytest.mark.slow
def test_given_starts_in_very_many_dimensions_modulo_symmetries() -> None:
    """Without Hessians, which are not formed there."""
    d = 2001
    system, group = wells_in_two_coordinates(d)
    box = [(-2.0, 2.0)] * d
    corner, start = np.zeros(d), np.full(d, 0.01)
    corner[:2], start[:2] = 1.0, (-0.9, 0.3)
    minima = qpot.find_minima(system, box, starts=corner[None], symmetries=group)
    saddles = qpot.find_saddles(system, minima, box, starts=start[None], symmetries=group)
    assert [(s.connects, s.hessian.shape) for s in saddles] == [((0, 0), (0, 0))]
    # the swap of the two coordinates is a symmetry: which of the two is zero is not said
    assert np.sort(np.abs(saddles[0].point)) == pytest.approx(np.eye(d)[-1], abs=1e-8)


@pytest.mark.slow
def test_fields_agree_with_the_costs_between_classes() -> None:
    system, bounds = four_wells()
    costs = qpot.predict(system, bounds, symmetries=FLIP, audit=False, progress=None).costs
    # The default budget is in seconds, of which a busy machine takes more.
    costs = with_field_opinion(system, costs, budget=200.0)
    assert costs.field is not None
    assert costs.field.known[0, 1]
    assert costs.field.known[1, 0]
    assert disagreements(costs) == ()


@pytest.mark.slow
def test_a_network_has_its_minima_modulo_units() -> None:
    """Two tanh units: 8 copies of every minimum without a symmetry of its own."""
    rng = np.random.default_rng(0)
    X = np.linspace(-2.0, 2.0, 12)[:, None]
    y = np.tanh(2 * X[:, 0] - 1) - 0.8 * np.tanh(X[:, 0] + 1.5) + 0.05 * rng.normal(size=12)
    bare = qpot.training_sum(qpot.dense_network(1, 2), X, y)
    decay = 0.02
    total = qpot.FiniteSum(
        sample_losses=lambda x: bare.losses_at(x) + 0.5 * decay * (x**2).sum(axis=1)[:, None],
        sample_gradients=lambda x: bare.gradients_at(x) + decay * x[:, None, :],
        n_samples=12,
        dimension=7,
    )
    system = qpot.System.from_finite_sum(total)
    group = qpot.dense_layer_symmetries((1, 2, 1), odd=True)
    bounds = [(-3.0, 3.0)] * 7
    every = qpot.find_minima(system, bounds, starts=32)
    classes = qpot.find_minima(system, bounds, starts=32, symmetries=group)
    assert len(classes) < len(every)
    losses = np.array([m.loss for m in every])
    for minimum in classes:
        assert np.abs(losses - minimum.loss).min() < 1e-9
    for minimum in every:
        images = [group.image(minimum.point, other.point) - other.point for other in classes]
        assert min(np.linalg.norm(difference) for difference in images) < 1e-4


BAD_GROUPS: list[tuple[Any, str]] = [
    (lambda: qpot.SignedPermutations([[0, 0]]), "contain 0 ... d - 1 once each"),
    (lambda: qpot.SignedPermutations([[0, 1]], [[1, 2]]), r"must be \+1 and -1"),
    (lambda: qpot.SignedPermutations([[*range(1, 9), 0], [1, 0, *range(2, 9)]]), "more than 20000 elements"),
    (lambda: qpot.dense_layer_symmetries((2, 1), odd=True), "no hidden layer"),
    (lambda: qpot.dense_layer_symmetries((2, 3, 1), odd="tanh"), "odd must be True"),  # type: ignore[arg-type]
    (
        lambda: qpot.dense_layer_symmetries(qpot.ParameterLayout(names=("a", "b"), shapes=((3, 2), (2, 2))), odd=True),
        r"shape \(2, 2\) does not follow \[2, 3\]",
    ),
    (
        lambda: qpot.dense_layer_symmetries(
            qpot.ParameterLayout(names=("a", "b"), shapes=((3, 2), (1, 3)), frozen=("c",)), odd=True
        ),
        "break the symmetry",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD_GROUPS)
def test_groups_that_are_none_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_symmetries_that_the_system_does_not_have_are_refused() -> None:
    system, bounds = four_wells()
    with pytest.raises(ValueError, match="the drift is not symmetric"):
        qpot.find_minima(system, bounds, symmetries=([[1, 0]], [[1, 1]]))
    loss, gradient = system.loss, system.gradient
    assert loss is not None
    one_sided = qpot.System.from_loss(
        loss, gradient, lambda x: (2.0 + np.tanh(x[:, :1, None])) * np.eye(2), dimension=2
    )
    with pytest.raises(ValueError, match="the covariance is not symmetric"):
        qpot.find_minima(one_sided, bounds, symmetries=FLIP)
    with pytest.raises(ValueError, match="act on 3 coordinates"):
        qpot.find_minima(system, bounds, symmetries=qpot.SignedPermutations([[0, 1, 2]]))
    with pytest.raises(ValueError, match="symmetries must be"):
        qpot.find_minima(system, bounds, symmetries="flip")


def test_sides_of_saddles_that_lead_to_no_known_minimum_are_followed_together() -> None:
    """The same saddles as with known sides, and no more rounds of the flow than the slowest of them takes."""
    calls: list[int] = []
    system, bounds = four_wells()
    given = system.unchecked.drift

    def counted(x: Any) -> Any:
        calls.append(len(x))
        return given(x)

    observed = qpot.System(
        drift=counted, covariance=system.unchecked.covariance, jacobian=system.unchecked.jacobian, dimension=2
    )
    every = qpot.find_minima(observed, bounds)
    attractors = np.array([m.point for m in every])
    saddles = qpot.find_saddles(observed, every, bounds)
    lower, upper = np.array(bounds).T
    group = as_symmetry(FLIP, observed, lower, upper)
    assert group is not None
    known = saddles_modulo(saddles, observed, every[:2], attractors, group, lower, upper)
    blind = [replace(s, connects=(None, None)) for s in saddles]

    def rounds(some: list[qpot.Saddle]) -> int:
        calls.clear()
        saddles_modulo(some, observed, every[:2], attractors, group, lower, upper)
        return len(calls)

    found = saddles_modulo(blind, observed, every[:2], attractors, group, lower, upper)
    assert len(saddles) == 4
    assert [s.connects for s in found] == [s.connects for s in known]
    for one, other in zip(found, known, strict=True):
        assert one.point == pytest.approx(other.point, abs=1e-7)
    assert rounds(blind) <= 1.5 * max(rounds([s]) for s in blind)


@pytest.mark.parametrize("seed", range(8))
def test_a_wrong_exchange_is_refused_whatever_is_drawn(seed: int) -> None:
    """A group of two elements is half identity, which every system has."""
    rng = np.random.default_rng(seed)
    stiff = rng.uniform(1.0, 2.0, 3)
    system = qpot.System.from_loss(lambda x: 0.5 * x**2 @ stiff, lambda x: x * stiff, 1.0, dimension=3)
    i, j = rng.choice(3, size=2, replace=False)
    permutation = np.arange(3)
    permutation[[i, j]] = permutation[[j, i]]
    with pytest.raises(ValueError, match="symmetries: the drift is not symmetric"):
        as_symmetry((permutation[None], np.ones((1, 3))), system, np.full(3, -2.0), np.full(3, 2.0))
