"""The same network in NumPy, PyTorch and JAX: gradients against differences, products against matrices."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sums_models import DIMENSION, FEATURES, HIDDEN, SAMPLES, data, jax_sum, numpy_sum, points, torch_sum

import qpot
from qpot._core.parallel import process_executor

BUILDERS: dict[str, Callable[..., qpot.FiniteSum]] = {"numpy": numpy_sum, "torch": torch_sum, "jax": jax_sum}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def total(request: pytest.FixtureRequest) -> qpot.FiniteSum:
    return BUILDERS[request.param]()


@pytest.fixture(scope="module", params=["torch", "jax"])
def model_sum(request: pytest.FixtureRequest) -> Any:
    return BUILDERS[request.param]()


def test_sample_gradients_are_the_derivatives_of_the_losses(total: qpot.FiniteSum) -> None:
    x, h = points(3), 1e-6
    differences = np.stack(
        [(total.losses_at(x + h * e) - total.losses_at(x - h * e)) / (2 * h) for e in np.eye(DIMENSION)], axis=-1
    )
    # central differences: h^2 and rounding / h
    assert np.abs(total.gradients_at(x) - differences).max() < 1e-8
    qpot.check_gradients(total, x[0], points=2)


def test_the_backends_agree(model_sum: Any) -> None:
    own, x = numpy_sum(), points(4)
    assert np.allclose(model_sum.losses_at(x), own.losses_at(x), rtol=0, atol=1e-13)
    assert np.allclose(model_sum.gradients_at(x), own.gradients_at(x), rtol=0, atol=1e-13)
    assert np.allclose(model_sum.covariance(x), own.covariance(x), rtol=0, atol=1e-12)


def test_products_are_those_of_the_matrices(model_sum: Any) -> None:
    x, v = points(3), points(3, seed=2)
    w = np.random.default_rng(0).normal(size=(3, SAMPLES))
    g = model_sum.gradients_at(x)
    assert np.allclose(model_sum.gradient(x), g.mean(axis=1), rtol=0, atol=1e-14)
    assert np.allclose(model_sum.derivatives_along(x, v), np.einsum("nki,ni->nk", g, v), rtol=0, atol=1e-13)
    assert np.allclose(model_sum.combined_gradient(x, w), np.einsum("nki,nk->ni", g, w), rtol=0, atol=1e-13)
    C = np.stack([np.cov(rows.T, bias=True) for rows in g])
    assert np.allclose(model_sum.covariance_product(x, v), np.einsum("nij,nj->ni", C, v), rtol=0, atol=1e-13)


def test_hessians_are_the_derivatives_of_the_gradients(model_sum: Any) -> None:
    x, v, h = points(2), points(2, seed=2), 1e-6
    H = model_sum.hessian(x)
    differences = np.stack(
        [(model_sum.gradient(x + h * e) - model_sum.gradient(x - h * e)) / (2 * h) for e in np.eye(DIMENSION)], axis=-1
    )
    assert np.abs(H - differences).max() < 1e-8
    assert np.array_equal(H, np.swapaxes(H, 1, 2))
    assert np.allclose(model_sum.hessian_vector_product(x, v), np.einsum("nij,nj->ni", H, v), rtol=0, atol=1e-13)
    w = np.random.default_rng(0).normal(size=(2, SAMPLES))
    weighted = model_sum.weighted_hessian_product(x, v, w)
    change = model_sum.combined_gradient(x + h * v, w) - model_sum.combined_gradient(x - h * v, w)
    assert np.abs(weighted - change / (2 * h)).max() < 1e-7


def test_a_system_has_the_exact_hessian(model_sum: Any) -> None:
    system = qpot.System.from_finite_sum(model_sum)
    x = points(1)
    assert np.array_equal(system.jacobian(x), -model_sum.hessian(x))
    assert system.jacobian_transpose_product is not None


def test_minibatches_are_means_of_samples(model_sum: Any) -> None:
    x, index = points(5), np.random.default_rng(0).integers(SAMPLES, size=(5, 3))
    drawn = np.take_along_axis(model_sum.gradients_at(x), index[:, :, None], axis=1)
    assert np.allclose(model_sum.drawn_gradients(x, index), drawn, rtol=0, atol=1e-14)
    assert np.allclose(model_sum.batch_gradient(x, index), drawn.mean(axis=1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_memory_bounds_change_nothing(name: str) -> None:
    wide: Any
    narrow: Any
    wide, narrow = BUILDERS[name](), BUILDERS[name](memory=10000.0)
    x, v = points(4), points(4, seed=2)
    w = np.random.default_rng(0).normal(size=(4, SAMPLES))
    index = np.random.default_rng(0).integers(SAMPLES, size=(4, 3))
    pairs = [
        (
            f.losses_at(x),
            f.gradients_at(x),
            f.gradient(x),
            f.derivatives_along(x, v),
            f.combined_gradient(x, w),
            f.hessian(x),
            f.hessian_vector_product(x, v),
            f.batch_gradient(x, index),
            f.drawn_gradients(x, index),
        )
        for f in (wide, narrow)
    ]
    for one, other in zip(*pairs, strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_weight_decay_moves_the_drift_and_not_the_covariance(name: str) -> None:
    bare, decayed, x = BUILDERS[name](), BUILDERS[name](weight_decay=0.3), points(2)
    assert np.allclose(decayed.loss(x), bare.loss(x) + 0.15 * (x**2).sum(axis=1))
    assert np.allclose(decayed.gradient(x), bare.gradient(x) + 0.3 * x)
    assert np.allclose(decayed.covariance(x), bare.covariance(x), rtol=0, atol=1e-12)


def test_simulation_runs_the_minibatches_of_the_model(model_sum: Any) -> None:
    """The same draws give the same run as the NumPy network, whose gradients are unrelated code."""
    options: dict[str, Any] = {
        "learning_rate": 0.05,
        "batch_size": 2,
        "steps": 40,
        "start": points(1),
        "replicas": 6,
        "rng": 5,
    }
    own = qpot.simulate_sgd(qpot.System.from_finite_sum(numpy_sum()), **options)
    run = qpot.simulate_sgd(qpot.System.from_finite_sum(model_sum), **options)
    assert np.allclose(run.points, own.points, rtol=0, atol=1e-10)
    assert run.points[-1].std(axis=0).max() > 1e-3


@pytest.mark.parametrize("sampling", ["independent", "without replacement", "epoch reshuffling"])
def test_threads_give_the_serial_run(model_sum: Any, sampling: str) -> None:
    system = qpot.System.from_finite_sum(model_sum)
    options: dict[str, Any] = {
        "learning_rate": 0.05,
        "batch_size": 2,
        "steps": 10,
        "start": points(1),
        "replicas": 2060,
        "rng": 1,
    }
    serial = qpot.simulate_sgd(system, sampling=sampling, **options)
    with ThreadPoolExecutor(2) as pool:
        threaded = qpot.simulate_sgd(system, executor=pool, sampling=sampling, **options)
    assert np.array_equal(serial.points, threaded.points)


def test_the_sum_can_be_sent(model_sum: Any) -> None:
    x = points(2)
    again = pickle.loads(pickle.dumps(model_sum))
    assert np.array_equal(again.gradient(x), model_sum.gradient(x))
    assert again.layout == model_sum.layout


def test_a_nan_loss_names_the_sample(model_sum: Any) -> None:
    x = points(1)
    x[0, -1] = 1e200  # squares to infinity
    with pytest.raises(ValueError, match="sample_losses returned NaN or infinity for sample 0 and 6 more"):
        model_sum.losses_at(x)


def test_a_bare_loss_function_names_the_sample() -> None:
    total = qpot.FiniteSum(
        sample_losses=lambda x: np.where(np.arange(3) == 1, np.nan, x),
        sample_gradients=lambda x: np.ones((len(x), 3, 1)),
        n_samples=3,
        dimension=1,
    )
    with pytest.raises(ValueError, match="for sample 1 at the point"):
        total.loss([[0.5]])


@pytest.mark.parametrize(("name", "module", "title"), [("from_torch", "torch", "PyTorch"), ("from_jax", "jax", "JAX")])
def test_without_the_library_the_error_says_how_to_install_it(
    name: str, module: str, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"qpot.{name} needs {title}.*pip install 'qpot\[{module}\]'"):
        getattr(qpot, name)(None, None, data())


def test_a_mean_gradient_that_is_not_the_mean_is_named() -> None:
    wrong = qpot.FiniteSum(
        sample_losses=lambda x: (x - np.array([1.0, 3.0])) ** 2 / 2,
        sample_gradients=lambda x: (x - np.array([1.0, 3.0]))[:, :, None],
        mean_gradient=lambda x: x - 2.0 + 0.1 * x,  # weight decay that the samples do not have
        n_samples=2,
        dimension=1,
    )
    with pytest.raises(
        ValueError, match=r"mean of sample_gradients is not mean_gradient at the point \(0.5\).*coordinate 0"
    ):
        wrong.gradient([[0.5]])


@pytest.mark.parametrize(
    ("part", "function", "message"),
    [
        ("sample_gradients", lambda x: 1.01 * (x - np.array([1.0, 3.0]))[:, :, None], "sample_gradients of sample 0"),
        ("drawn_gradients", lambda x, i: (x[:, None] - 1.0) + 0.0 * i[:, :, None], "drawn_gradients differs"),
        ("batch_gradient", lambda x, i: x - 2.0, "batch_gradient differs"),
        ("mean_gradient", lambda x: 2 * (x - 2.0), "is not mean_gradient"),
    ],
)
def test_parts_that_do_not_fit_are_found(part: str, function: Any, message: str) -> None:
    parts: dict[str, Any] = {
        "sample_losses": lambda x: (x - np.array([1.0, 3.0])) ** 2 / 2,
        "sample_gradients": lambda x: (x - np.array([1.0, 3.0]))[:, :, None],
    }
    qpot.check_gradients(qpot.FiniteSum(n_samples=2, dimension=1, **parts))
    with pytest.raises(ValueError, match=message):
        qpot.check_gradients(qpot.FiniteSum(n_samples=2, dimension=1, **{**parts, part: function}))


def test_a_large_covariance_is_not_formed() -> None:
    total = qpot.least_squares_sum(np.zeros((2, 5000)), np.zeros(2))
    with pytest.raises(ValueError, match="covariance_product"):
        total.covariance(np.zeros((1, 5000)))


@pytest.mark.slow
def test_processes_give_the_serial_run(model_sum: Any) -> None:
    """Every process imports the library and builds its own functions: seconds each."""
    system = qpot.System.from_finite_sum(model_sum)
    options: dict[str, Any] = {
        "learning_rate": 0.05,
        "batch_size": 2,
        "steps": 10,
        "replicas": 2060,
        "start": points(1),
    }
    serial = qpot.simulate_sgd(system, rng=1, **options)
    with process_executor(2) as pool:
        parallel = qpot.simulate_sgd(system, executor=pool, rng=1, **options)
    assert np.array_equal(serial.points, parallel.points)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_starts_of_a_model_descend_together(name: str) -> None:
    """To the minima, modulo symmetry, that one descent after another finds, in the calls of the slowest start."""
    box, group = [(-3.0, 3.0)] * DIMENSION, qpot.dense_layer_symmetries((FEATURES, HIDDEN, 1), odd=True)
    own = numpy_sum()
    apart = qpot.System.from_loss(
        lambda x: own.loss(x) + 0.05 * (x**2).sum(axis=1),
        lambda x: own.gradient(x) + 0.1 * x,
        1.0,
        dimension=DIMENSION,
    )
    expected = qpot.find_minima(apart, box, starts=8, rng=0, symmetries=group, coverage=None)
    together = BUILDERS[name](weight_decay=0.1)
    calls, gradient = 0, together.gradient

    def counted(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return gradient(x)

    object.__setattr__(together, "gradient", counted)
    found = qpot.find_minima(
        qpot.System.from_finite_sum(together, covariance=1.0), box, starts=8, rng=0, symmetries=group, coverage=None
    )
    losses = sorted(m.loss for m in expected)
    assert sorted(m.loss for m in found) == pytest.approx(losses, abs=1e-9)
    assert 20 < calls < 400
