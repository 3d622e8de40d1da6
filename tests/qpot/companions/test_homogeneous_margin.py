"""Homogeneous models on separable data: the check value, machines by LP and QP, KKT points, PyTorch, JAX, SGD, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import linprog, minimize

import qpot
from qpot.companions import HomogeneousModel, NormMachine, PredictionModel
from qpot.companions.direction_limits import direction_limit
from qpot.companions.homogeneous_models import as_margins

X3 = np.array([[2.0, 1.0], [1.5, 3.0], [3.0, 0.2]])
ONES = np.ones(3)


def toy(seed: int, n: int, p: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    w = rng.normal(size=p)
    X = rng.normal(size=(n, p))
    return X, np.sign(X @ w)


def test_the_check_value_and_the_l1_machine() -> None:
    """w(10) of the mean exponential loss, which is the sum at the time 10 / 3, and the limit (0.8, 0.2)."""
    model, start = qpot.diagonal_network(2), [0.1] * 4
    early = qpot.margin_flow(
        X3, ONES, model=model, start=start, loss=qpot.Exponential(), log_time=np.log(10 / 3), rtol=1e-10
    )
    np.testing.assert_allclose(early.predictors[-1], [2.447567, 0.550701], atol=1e-6)
    late = qpot.margin_flow(X3, ONES, model=model, start=start, loss=qpot.Exponential())
    limit = late.predictor_limit()
    gap = np.abs(limit.direction - [0.8, 0.2]).sum()
    assert gap < limit.error < 1e-5
    assert limit.power == pytest.approx(1.0, abs=0.05)
    assert np.abs(limit.extrapolated - [0.8, 0.2]).sum() < limit.extrapolation_error + 1e-8
    assert late.bounds().gap < 1e-5
    assert late.conditions().worst < 1e-5
    assert late.support.tolist() == [0, 1]
    assert late.degree == pytest.approx(2.0)
    # The parameters' own limit: u^2 is along (0.8, 0.2), and v vanishes.
    np.testing.assert_allclose(late.limit().direction, [np.sqrt(0.8), np.sqrt(0.2), 0, 0], atol=1e-5)


@pytest.mark.parametrize("loss", [qpot.Exponential(), qpot.Logistic()], ids=repr)
def test_the_flow_is_the_ordinary_one(loss: Any) -> None:
    """Against an integration in ordinary time at 1e-11, at every time of the result, for a network with a hidden layer."""
    model = qpot.deep_linear_network(3, (2, 2))
    X, y = toy(3, 6, 3)
    start = np.random.default_rng(1).normal(size=model.dimension)
    flow = qpot.margin_flow(X, y, model=model, start=start, loss=loss, log_time=np.log(300.0), rtol=1e-10)

    def right(t: float, theta: Any) -> Any:
        z = y * model.outputs_at(theta, X)[:, 0]
        return -(loss.derivative(z) * y) @ model.jacobian_at(theta, X)[:, 0]

    times = np.exp(flow.log_times)
    plain = solve_ivp(right, (0, times[-1]), start, t_eval=times, rtol=1e-11, atol=1e-12, method="DOP853")
    np.testing.assert_allclose(flow.parameters, plain.y.T, atol=1e-7)
    np.testing.assert_allclose(flow.log_losses, np.log(loss.value(flow.margins).sum(axis=1)), rtol=1e-9)


def l1_by_hand(Z: Any) -> Any:
    """The l1 machine by a linear programme in other variables than the library's: |w_j| <= b_j."""
    n, p = Z.shape
    rows = np.block([[-Z, np.zeros((n, p))], [np.eye(p), -np.eye(p)], [-np.eye(p), -np.eye(p)]])
    solution = linprog(
        np.append(np.zeros(p), np.ones(p)),
        A_ub=rows,
        b_ub=np.append(-np.ones(n), np.zeros(2 * p)),
        bounds=[(None, None)] * (2 * p),
    )
    w = solution.x[:p]
    return w / np.abs(w).sum()


def l2_by_hand(Z: Any) -> Any:
    """The l2 machine by sequential quadratic programming."""
    solution = minimize(
        lambda w: 0.5 * w @ w,
        np.linalg.lstsq(Z, np.ones(len(Z)), rcond=None)[0],
        jac=lambda w: w,
        constraints=[{"type": "ineq", "fun": lambda w: Z @ w - 1, "jac": lambda w: Z}],
        options={"ftol": 1e-14, "maxiter": 500},
        method="SLSQP",
    )
    return solution.x / np.linalg.norm(solution.x)


@pytest.mark.parametrize("seed", [0, 1])
def test_diagonal_networks_tend_to_the_l1_machine(seed: int) -> None:
    X, y = toy(seed, 5, 3)
    flow = qpot.margin_flow(X, y, model=qpot.diagonal_network(3), start=[0.3] * 6, rtol=1e-7)
    machine = l1_by_hand(y[:, None] * X)
    limit = flow.predictor_limit()
    assert np.abs(limit.direction - machine).sum() < limit.error < 1e-2
    bounds = flow.bounds()
    assert bounds.margin <= (y * (X @ machine)).min() * (1 + 1e-9) <= bounds.largest * (1 + 2e-9)
    np.testing.assert_allclose(qpot.norm_machine(X, y).direction, machine, atol=1e-8)


def test_a_saddle_at_which_the_direction_rests_for_long_is_told() -> None:
    """The weight of the second feature starts small. The direction stays without it, and the machine has it."""
    X, y = np.array([[1.0, 0.0], [0.4, 0.9]]), np.ones(2)
    machine, model = qpot.norm_machine(X, y).direction, qpot.diagonal_network(2)
    early = qpot.margin_flow(X, y, model=model, start=[0.5, 1e-4, 0.5, 1e-4], log_time=1e3, rtol=1e-7)
    w = early.predictors[-1] / np.abs(early.predictors[-1]).sum()
    np.testing.assert_allclose(w, [1, 0], atol=1e-3)
    np.testing.assert_allclose(machine, [0.6, 0.4], atol=1e-9)
    assert early.predictor_limit().error == early.limit().error == np.inf
    # The second weight grows like the pull along it, eta = 0.9 / 0.4 = 2.25 here.
    assert early.least_curvature() == pytest.approx(1 - 2.25, abs=0.01)
    late = qpot.margin_flow(X, y, model=model, start=[0.5, 1e-2, 0.5, 1e-2], rtol=1e-7)
    assert late.least_curvature() > 0
    assert np.abs(late.predictor_limit().direction - machine).sum() < late.predictor_limit().error < 1e-5


def test_a_limit_that_is_none_is_doubted() -> None:
    """The guard itself: a direction that has settled is doubted at a saddle, and where its margin contradicts it."""
    X, y = np.array([[1.0, 0.0], [0.4, 0.9]]), np.ones(2)
    model = qpot.diagonal_network(2)
    flow = qpot.margin_flow(X, y, model=model, start=[0.5, 1e-4, 0.5, 1e-4], log_time=1e3, rtol=1e-7)
    settled = direction_limit(flow.log_times, np.column_stack([1 / flow.log_times, 1 + 0 * flow.log_times]), 2)
    assert settled.error < np.inf
    doubted = flow._guarded(settled)
    assert "saddle" in doubted.doubt
    assert doubted.error == doubted.extrapolation_error == np.inf
    assert "saddle" in repr(doubted)
    near = qpot.margin_flow(X, y, model=model, start=[0.5, 1e-2, 0.5, 1e-2], log_time=3e3, rtol=1e-7)
    assert near.least_curvature() > 0
    assert "margin may lack" in near._guarded(replace(settled, error=1e-9)).doubt


@pytest.mark.parametrize(("seed", "widths"), [(0, (2,)), (1, (3, 2))])
def test_deep_linear_networks_tend_to_the_l2_machine(seed: int, widths: tuple[int, ...]) -> None:
    X, y = toy(seed + 10, 6, 3)
    model = qpot.deep_linear_network(3, widths)
    start = 0.7 * np.random.default_rng(seed).normal(size=model.dimension)
    flow = qpot.margin_flow(X, y, model=model, start=start, rtol=1e-7)
    machine = l2_by_hand(y[:, None] * X)
    limit = flow.predictor_limit()
    assert np.linalg.norm(limit.direction - machine) < limit.error + 1e-6
    assert limit.error < 1e-3
    assert flow.bounds().gap < 1e-5
    np.testing.assert_allclose(qpot.norm_machine(X, y, norm="l2").direction, machine, atol=1e-6)
    assert flow.degree == pytest.approx(len(widths) + 1.0)


def test_factorised_matrices_tend_to_the_machine_of_the_nuclear_norm() -> None:
    """Duality bounds its margin without any solver, and on diagonal matrices it is the l1 machine."""
    X, y = toy(21, 5, 4)
    model = qpot.matrix_factorisation(2, 2, 2)
    start = 0.3 * np.random.default_rng(2).normal(size=model.dimension)
    flow = qpot.margin_flow(X, y, model=model, start=start, rtol=1e-7)
    assert 0.0 <= flow.bounds().gap < 1e-2
    W = flow.predictors[-1].reshape(2, 2)
    assert flow.bounds().margin == pytest.approx((y * (X @ W.ravel())).min() / np.linalg.svd(W)[1].sum())
    diagonal = np.zeros((3, 4))
    diagonal[:, [0, 3]] = X3
    machine = qpot.margin_flow(diagonal, ONES, model=model, start=start, rtol=1e-7)
    w = machine.predictors[-1]
    # What stands off the diagonal is not seen by the data; it does not change the nuclear norm, and the limit is not unique.
    np.testing.assert_allclose(w[[0, 3]] / np.linalg.svd(w.reshape(2, 2))[1].sum(), [0.8, 0.2], atol=1e-4)
    assert machine.bounds().gap < 1e-5


def test_a_relu_network_tends_to_a_kkt_point() -> None:
    """XOR, which no linear model separates. Units come to rest at kinks, so that the conditions are those of the steps."""
    X = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    y = np.array([1.0, 1.0, -1.0, -1.0])
    model = qpot.relu_network(3, 6)
    start = np.random.default_rng(0).normal(size=model.dimension)
    run = qpot.margin_steps(X, y, model=model, start=start, loss=qpot.Exponential(), steps=8000, relative_rate=0.9)
    assert run.normalised_margins[-1] == pytest.approx(np.sqrt(2) / 8, rel=1e-3)
    separated = run.log_losses < 0
    assert (np.diff(run.smoothed_margins[separated]) > 0).all()
    assert run.conditions().complementarity < 1e-4
    assert run.stationarity_of_steps() < 0.05
    with pytest.raises(ValueError, match="linear in its inputs"):
        _ = run.predictors
    assert not qpot.separability(X, y).falls_for_ever
    found = qpot.separability(X, y, model=model, start=run.parameters[-1])
    assert found.falls_for_ever
    # The implicit method cannot slide along a kink, and says so.
    with pytest.raises(qpot.SolveError, match="margin_steps"):
        qpot.companions.homogeneous_margin_flow(X, y, model=model, start=start, max_steps=300)


def test_torch_gives_the_same_flow() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 1, bias=False)).double()
    flow = qpot.margin_flow(X3, ONES, model=module, log_time=1e3)
    theta = np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])
    same = qpot.margin_flow(X3, ONES, model=qpot.deep_linear_network(2, (3,)), start=theta, log_time=1e3)
    np.testing.assert_allclose(flow.parameters, same.parameters, rtol=1e-6, atol=1e-7)
    biased = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).double()
    with pytest.raises(ValueError, match="not homogeneous"):
        qpot.margin_flow(X3, ONES, model=biased)


def test_jax_gives_the_same_flow() -> None:
    pytest.importorskip("jax")

    def network(params: Any, x: Any) -> Any:
        u, v = params
        return (u * u - v * v) @ x

    flow = qpot.margin_flow(X3, ONES, model=(network, (np.full(2, 0.1), np.full(2, 0.1))), log_time=1e3)
    same = qpot.margin_flow(X3, ONES, model=qpot.diagonal_network(2), start=[0.1] * 4, log_time=1e3)
    np.testing.assert_allclose(flow.margins, same.margins, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "start", "limit", "order"),
    [(None, None, [2 / 3, 1 / 3], 1), (qpot.diagonal_network(2), [0.1] * 4, [0.8, 0.2], 1)],
    ids=["linear", "diagonal"],
)
def test_sgd_has_the_same_limit(model: Any, start: Any, limit: list[float], order: int) -> None:
    for seed in range(3):
        run = qpot.margin_steps(
            X3, ONES, model=model, start=start, steps=6000, batch_size=1, relative_rate=0.2, rng=seed
        )
        w = run.predictors[-1]
        assert np.abs(w / np.linalg.norm(w, ord=order) - limit).sum() < 3e-3
    assert run.log_times[-1] > 500


def test_gradient_descent_at_a_constant_rate_follows_the_flow() -> None:
    rate = 1e-3
    run = qpot.margin_steps(
        X3, ONES, model=qpot.diagonal_network(2), start=[0.1] * 4, steps=2000, learning_rate=rate, points=5
    )
    flow = qpot.margin_flow(X3, ONES, model=qpot.diagonal_network(2), start=[0.1] * 4, log_time=1.0, points=4)
    half = qpot.margin_steps(
        X3,
        ONES,
        model=qpot.diagonal_network(2),
        start=[0.1] * 4,
        steps=round(np.e / rate),
        learning_rate=rate,
        points=5,
    )
    assert run.log_times[-1] == pytest.approx(np.log(2000 * rate))
    np.testing.assert_allclose(half.parameters[-1], flow.parameters[-1], atol=5e-3)


def test_ready_made_models_are_differentiated_correctly() -> None:
    rng = np.random.default_rng(4)
    models: list[PredictionModel] = [
        qpot.diagonal_network(3),
        qpot.diagonal_network(3, depth=3),
        qpot.deep_linear_network(3, (2, 4)),
        qpot.matrix_factorisation(1, 3, 2),
        qpot.relu_network(3, 4),
    ]
    for model in models:
        theta, X = rng.normal(size=model.dimension), rng.normal(size=(4, model.features))
        J = model.jacobian_at(theta, X)[:, 0]
        for j in range(model.dimension):
            h = 1e-6 * np.eye(model.dimension)[j]
            slope = (model.outputs_at(theta + h, X) - model.outputs_at(theta - h, X))[:, 0] / 2e-6
            np.testing.assert_allclose(slope, J[:, j], atol=1e-7)
        if isinstance(model, HomogeneousModel):
            assert model.predictor is not None
            np.testing.assert_allclose(X @ model.predictor(theta), model.outputs_at(theta, X)[:, 0], rtol=1e-12)
    assert qpot.diagonal_network(3, depth=3).norm is None
    degrees = [as_margins(np.ones((2, m.features)), [1, 1], m).degree(rng.normal(size=m.dimension)) for m in models]
    np.testing.assert_allclose(degrees, [2, 3, 3, 2, 2], rtol=1e-10)


def test_a_limit_is_estimated_for_powers_and_refused_for_slower_approaches() -> None:
    s = 1e6 * 4.0 ** (-np.arange(40, -1, -1) / 8)
    for power in (0.3, 0.5, 1.0):
        values = np.column_stack([1 + 0.3 * s**-power, 0.5 - s ** (-1.5 * power)])
        limit = direction_limit(s, values, 2)
        true = float(np.linalg.norm(values[-1] - [1, 0.5]))
        assert true < limit.error < 5 * true
        left = float(np.linalg.norm(limit.extrapolated - [1, 0.5]))
        assert left < 0.3 * true
        assert left < limit.extrapolation_error
        assert limit.power == pytest.approx(power, abs=0.1)
    slow = np.column_stack([1 / np.log(s), s**-1.0])
    assert direction_limit(s, slow, 2).error == np.inf
    assert direction_limit(s[-5:], slow[-5:], 2).error == np.inf
    still = np.ones((s.size, 2))
    assert direction_limit(s, still, 2).error < 1e-12
    assert "log t" in repr(limit)


def test_unseparated_data_keep_the_flow_so_far() -> None:
    X = np.array([[1.0], [2.0], [3.0]])
    with pytest.raises(qpot.SolveError, match="does not separate") as caught:
        qpot.margin_flow(X, [1, -1, 1], model=qpot.diagonal_network(1), start=[0.5, 0.4], log_time=20.0)
    assert caught.value.partial.margins.shape[1] == 3
    assert "not separated" in repr(caught.value.partial)
    with pytest.raises(ValueError, match="need all to be positive"):
        caught.value.partial.conditions()
    with pytest.raises(qpot.SolveError, match="max_steps") as few:
        qpot.companions.homogeneous_margin_flow(
            X3, ONES, model=qpot.diagonal_network(2), start=[0.1] * 4, max_steps=400
        )
    assert 0 < few.value.partial.log_times.size < 80
    with pytest.raises(qpot.SolveError, match="smaller rate"):
        qpot.margin_steps(
            X3, -ONES, model=qpot.diagonal_network(2, depth=4), start=[9.0, 9.0, 0.1, 0.1], steps=50, learning_rate=9.0
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "net"}, "model"),
        ({"model": qpot.dense_network(2, 2), "start": np.arange(9.0)}, "not homogeneous"),
        ({"model": qpot.linear_model(2, outputs=2)}, "outputs"),
        ({"model": qpot.diagonal_network(3)}, "X"),
        ({"start": None}, "start"),
        ({"start": [0.0] * 4}, "start"),
        ({"start": [1.0]}, "start"),
        ({"log_time": 0.5}, "log_time"),
        ({"log_time": 1e12}, "log_time"),
        ({"loss": qpot.Hinge()}, "loss"),
        ({"y": [1, 0, 1]}, "y must be"),
        ({"points": 2}, "points"),
        ({"model": qpot.diagonal_network(1200), "X": np.ones((3, 1200)), "start": [1.0] * 2400}, "2000"),
    ],
)
def test_bad_input_names_the_argument(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"X": X3, "y": ONES, "model": qpot.diagonal_network(2), "start": [0.1] * 4}
    with pytest.raises(ValueError, match=message):
        qpot.margin_flow(**{**good, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.1}, "either"),
        ({"relative_rate": None}, "either"),
        ({"relative_rate": 1.5}, "below 1"),
        ({"batch_size": 4}, "batch_size"),
        ({"batch_size": 1}, "rng"),
        ({"steps": 0}, "steps"),
        ({"loss": qpot.Hinge()}, "loss"),
        ({"model": qpot.diagonal_network(2)}, "start"),
    ],
)
def test_bad_steps_are_refused(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"steps": 10, "relative_rate": 0.1}
    with pytest.raises(ValueError, match=message):
        qpot.margin_steps(X3, ONES, **{**good, **arguments})


def test_norm_machines_refuse_what_they_cannot_do() -> None:
    with pytest.raises(ValueError, match="norm"):
        qpot.norm_machine(X3, ONES, norm="nuclear")
    with pytest.raises(ValueError, match="not linearly separable"):
        qpot.norm_machine([[1.0, 0.0], [-1.0, 0.1], [0.0, -1.0]], [1, 1, 1])
    machine: NormMachine = qpot.norm_machine(X3, ONES)
    assert machine.gap == pytest.approx(0.0, abs=1e-12)
    assert machine.value == pytest.approx(1 / 1.8)
    flow = qpot.margin_flow(X3, ONES, model=qpot.diagonal_network(2, depth=3), start=[0.5] * 4, log_time=10.0)
    with pytest.raises(ValueError, match="no norm"):
        flow.bounds()
