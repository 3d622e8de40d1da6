"""What is special about JAX: trees of parameters and data, precision, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot

jax = pytest.importorskip("jax", reason="needs the extra qpot[jax]")
jnp = pytest.importorskip("jax.numpy", reason="needs the extra qpot[jax]")

X = np.random.default_rng(0).normal(size=(5, 3))
Y = np.random.default_rng(1).normal(size=5)


def loss(params: Any, x: Any, y: Any) -> Any:
    return (params["w"] @ x * params["degree"] + params["b"] - y) ** 2


PARAMS = {"w": np.ones(3, dtype=np.float32), "b": 0.5, "degree": 2}


def test_trees_keep_their_names_types_and_constants() -> None:
    total = qpot.from_jax(loss, PARAMS, (X, Y))
    assert total.layout.names == ("['b']", "['w']")
    assert total.layout.frozen == ("['degree']",)
    tree = total.model_at(total.initial_point)
    assert tree["w"].dtype == np.float32
    assert int(tree["degree"]) == 2
    assert np.allclose(total.losses_at(total.initial_point)[0], [loss(PARAMS, x, y) for x, y in zip(X, Y, strict=True)])


def test_data_may_be_any_tree() -> None:
    by_name = qpot.from_jax(lambda p, s: loss(p, s["x"], s["y"]), PARAMS, {"x": X, "y": jnp.asarray(Y)})
    point = np.full((1, 4), 0.2)
    # a JAX array made without 64 bits has single precision
    assert np.allclose(by_name.losses_at(point), qpot.from_jax(loss, PARAMS, (X, Y)).losses_at(point), rtol=1e-5)


def test_double_precision_without_touching_the_global_setting() -> None:
    before = jax.config.jax_enable_x64
    total = qpot.from_jax(loss, PARAMS, (X, Y))
    x, h = np.full((1, 4), 0.2), 1e-6
    e = np.array([[0.0, 1.0, 0.0, 0.0]])
    difference = (total.loss(x + h * e) - total.loss(x - h * e)) / (2 * h)
    assert abs(difference[0] - total.gradient(x)[0, 1]) < 1e-8
    assert jax.config.jax_enable_x64 == before
    single = qpot.from_jax(loss, PARAMS, (X, Y), dtype=np.float32)
    assert 0.0 < np.abs(single.gradient(x) - total.gradient(x)).max() < 1e-5


def test_a_chosen_device() -> None:
    used: list[Any] = []

    def noted(params: Any, x: Any, y: Any) -> Any:
        used.append(jax.config.jax_default_device)
        return loss(params, x, y)

    device = jax.devices("cpu")[0]
    there, anywhere = (qpot.from_jax(noted, PARAMS, (X, Y), device=where) for where in (device, None))
    point = there.initial_point
    used.clear()
    values = there.gradient(point)
    assert set(used) == {device}
    used.clear()
    np.testing.assert_allclose(values, anywhere.gradient(point), rtol=1e-12)
    assert set(used) == {None}


BAD: list[tuple[Any, Any, Any, str]] = [
    (loss, PARAMS, (X[:0], Y[:0]), "data is empty"),
    (loss, PARAMS, (), "data is empty"),
    (loss, PARAMS, (X, Y[:3]), r"have \[5, 3\] rows"),
    (loss, PARAMS, (np.where(X[2, 1] == X, np.nan, X), Y), "sample 2 of part 0 is NaN"),
    (loss, {"w": 1}, (X, Y), "no leaf of floating-point numbers"),
    (lambda p, x, y: p["w"] * x, PARAMS, (X, Y), r"must return one number for one sample, it returns \(3,\)"),
    (lambda p, x, y: jnp.where(y == Y[3], jnp.nan, p["b"]), PARAMS, (X, Y), "NaN or infinity for sample 3"),
    (None, PARAMS, (X, Y), "loss_fn must be a function"),
]


@pytest.mark.parametrize(("function", "params", "data", "message"), BAD)
def test_what_is_no_finite_sum_is_refused(function: Any, params: Any, data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.from_jax(function, params, data)


def test_the_type_is_a_floating_point_type() -> None:
    with pytest.raises(ValueError, match="dtype must be a floating-point type"):
        qpot.from_jax(loss, PARAMS, (X, Y), dtype=np.int64)


def test_a_gradient_that_is_none_is_refused() -> None:
    def straight_through(p: Any, x: Any, y: Any) -> Any:
        h = x @ p["w"]
        return (h + jax.lax.stop_gradient(jax.numpy.sign(h) - h) + p["b"] - y) ** 2

    X, y = np.random.default_rng(0).normal(size=(4, 2)), np.arange(4.0)
    with pytest.raises(ValueError, match=r"gradient with respect to .*'w'.* is not that of the loss"):
        qpot.from_jax(straight_through, {"w": np.ones(2), "b": 0.5}, (X, y))


def test_a_wrong_second_derivative_is_refused() -> None:
    @jax.custom_jvp  # type: ignore[untyped-decorator]
    def square(h: Any) -> Any:
        return h**2

    @square.defjvp  # type: ignore[untyped-decorator]
    def tangent(given: Any, directions: Any) -> Any:
        h, v = given[0], directions[0]
        return h**2, 2.0 * jax.lax.stop_gradient(h) * v

    X, y = np.random.default_rng(0).normal(size=(4, 2)), np.arange(4.0)
    with pytest.raises(ValueError, match="products with the Hessian differ"):
        qpot.from_jax(lambda w, x, t: square(x @ w - t), np.ones(2), (X, y))


def test_what_fails_when_it_is_traced_is_told() -> None:
    with pytest.raises(ValueError, match="loss_fn fails for one sample of shapes"):
        qpot.from_jax(lambda w, x: float(w) * x, 1.0, (np.ones(3),))


def test_nested_trees_agree_with_a_loop() -> None:
    tree = {"layers": [(np.ones((2, 3)), np.zeros(3)), (np.full((3, 1), 0.5), None)], "count": 3, "scale": {"s": 2.0}}

    def loss(p: Any, sample: Any) -> Any:
        (w, b), (u, _) = p["layers"]
        return ((p["scale"]["s"] * jax.numpy.tanh(sample["x"] @ w + b) @ u)[0] - sample["y"]) ** 2 * p["count"]

    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(3, 2)), "y": rng.normal(size=3)}
    total = qpot.from_jax(loss, tree, data)
    assert total.dimension == 13
    assert total.layout.frozen == ("['count']",)
    x = rng.normal(size=(3, 13))
    single = np.concatenate([total.gradients_at(point[None]) for point in x])
    assert np.abs(total.gradients_at(x) - single).max() < 1e-12
    qpot.check_gradients(total, x)


@jax.tree_util.register_pytree_with_keys_class
class Layer:
    """A module as Equinox makes them: a tree whose leaves are arrays and a function."""

    def __init__(self, w: Any, act: Any) -> None:
        self.w, self.act = w, act

    def tree_flatten_with_keys(self) -> tuple[Any, None]:
        names = ("w", "act")
        return tuple((jax.tree_util.GetAttrKey(n), getattr(self, n)) for n in names), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: Any) -> Layer:
        return cls(*children)

    def __call__(self, x: Any) -> Any:
        return self.act(x @ self.w)


def test_a_module_with_functions_among_its_leaves_is_a_tree() -> None:
    rng = np.random.default_rng(3)
    w, X = rng.normal(size=3), rng.normal(size=(5, 3))
    total = qpot.from_jax(lambda m, x: m(x) ** 2, Layer(w, jnp.tanh), (X,))
    assert total.layout is not None
    assert total.layout.names == (".w",)
    assert total.layout.frozen == (".act",)
    np.testing.assert_allclose(total.losses_at(w[None])[0], np.tanh(X @ w) ** 2, rtol=1e-12)
    assert float(total.model_at(w)(X[0])) == pytest.approx(float(np.tanh(X[0] @ w)), rel=1e-5)


@pytest.mark.parametrize("library", ["equinox", "flax.nnx"])
def test_modules_of_other_libraries(library: str) -> None:
    module: Any = pytest.importorskip(library, reason=f"a test of modules of {library}, which is not needed otherwise")
    X = np.random.default_rng(4).normal(size=(6, 2))
    if library == "equinox":
        model = module.nn.MLP(2, 1, 2, 1, activation=jnp.tanh, key=jax.random.PRNGKey(0))
    else:
        model = module.Linear(2, 1, rngs=module.Rngs(0))
    total = qpot.from_jax(lambda m, x: jnp.sum(m(x) ** 2), model, (X,))
    assert total.initial_point is not None
    expected = [float(jnp.sum(model(jnp.asarray(x, dtype=jnp.float32)) ** 2)) for x in X]
    assert list(total.losses_at(total.initial_point[None])[0]) == pytest.approx(expected, rel=1e-4)
