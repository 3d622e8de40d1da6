"""Write docs/claims.md: what is said about the selection by training, what is true of it, and the number that shows it.

    python tools/claims.py            # compute all numbers and write the page (about a minute, needs qpot[ml])
    python tools/claims.py --check    # compute them and compare with the page

Numbers are rounded so that they are the same on other processors.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.integrate import cumulative_simpson, quad
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

import qpot

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "claims.md"
SEPARABLE = np.array([[2.0, 1.0], [1.5, 3.0], [3.0, 0.2]])


class Claim(NamedTuple):
    """A saying, what is true of it, the function that computes the number in the sentence, and where more is."""

    said: str
    verdict: str
    number: Callable[[], str]
    where: str


def isotropy() -> str:
    """The paper's own example with the sign of the anisotropy turned."""
    kept = []
    for s in (0.5, -0.5):
        out, back = (
            quad(lambda x, s=s: 2.0 * abs(x**3 - x) / (1.0 + s * (1.0 + np.tanh(2.0 * x)) / 2.0), *ends)[0]
            for ends in ((-1.0, 0.0), (0.0, 1.0))
        )
        kept.append("isotropic" if out > back else "anisotropic")
        kept.append(f"{out:.4f} against {back:.4f}")
    return (
        f"Two equal wells, isotropic noise at the left one and diag(1 + s, 1 - s) at the right one: costs "
        f"{kept[1]} for s = 0.5 "
        f"({kept[0]} selected), {kept[3]} for s = -0.5 ({kept[2]} selected)."
    )


def transverse() -> str:
    """Noise across the way out changes nothing."""
    costs = []
    for across in (1.0, 0.1):
        system = qpot.System.from_loss(
            lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 / 2,
            lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1),
            np.diag([1.0, across]),
            dimension=2,
        )
        costs.append(qpot.minimum_action_path(system, [-1.0, 0.0], [0.0, 0.0]).action)
    return f"With noise 1 or 0.1 across the pass of a double well the cost is {costs[0]:.4f} and {costs[1]:.4f}."


def ball_or_level() -> str:
    """Isotropic noise is slowest out of a sublevel set, anisotropic noise out of a ball."""
    A, values = np.diag([1.0, 4.0]), []
    for D in (np.eye(2), np.diag([0.4, 1.6])):
        S = D @ np.linalg.inv(A) / 2.0
        values.append((0.5 / np.linalg.eigvalsh(S @ A).max(), 0.5 / np.linalg.eigvalsh(S).max()))
    return (
        f"L = (x^2 + 4 y^2) / 2, noise of trace 2. Out of L < 1/2: {values[0][0]:.3f} isotropic, "
        f"{values[1][0]:.3f} for noise "
        f"like the Hessian. Out of the unit ball: {values[0][1]:.3f} and {values[1][1]:.3f}."
    )


def flat() -> str:
    """The mean loss at a minimum does not know its curvature."""
    excess = []
    for k in (1.0, 100.0):
        bowl = qpot.System.from_finite_sum(qpot.quadratic_sum(k, [1.0 / k, -1.0 / k]))
        excess.append(qpot.local_law(bowl, [0.0]).loss_excess)
    return (
        f"At curvature 1 and 100 and the same noise the mean loss is {excess[0]:.4g} and {excess[1]:.4g} epsilon above the "
        "minimum, and a barrier of height h costs 2 h at both."
    )


def _mean_time(eps: float, low: float, high: float) -> tuple[float, float]:
    """The mean time of dX = -X dt + sqrt(eps) dW from 0 out of an interval, and the share that leaves at its upper end."""
    x = np.linspace(low, high, 40_001)
    up = cumulative_simpson(np.exp(x**2 / eps), x=x, initial=0.0)
    m = cumulative_simpson(np.exp(-(x**2) / eps) * 2.0 / eps, x=x, initial=0.0)
    nested = cumulative_simpson(np.exp(x**2 / eps) * m, x=x, initial=0.0)
    share = np.interp(0.0, x, up) / up[-1]
    return float(share * nested[-1] - np.interp(0.0, x, nested)), float(share)


def exits() -> str:
    """Mean exit times grow like exp(V / eps)."""
    times = [_mean_time(eps, -1.0, 1.0)[0] for eps in (0.2, 0.1)]
    return (
        f"L = x^2 / 2 out of (-1, 1), where V = 2 h = 1: {times[0]:.2f} at epsilon 0.2 and {times[1]:.0f} at "
        f"0.1. The logarithm "
        f"grows by {np.log(times[1] / times[0]):.3f}, of which V gives 5 and the prefactor sqrt(epsilon) the rest."
    )


def lowest_exit() -> str:
    """The exit is at the lowest point of the boundary, with probability one only in the limit."""
    return f"Out of (-1, 1.1) at epsilon 0.1 the share {_mean_time(0.1, -1.0, 1.1)[1]:.4f} leaves at the higher end."


def traverses() -> str:
    """Bounded noise cannot cross every place."""
    n = qpot.FiniteSum(
        sample_losses=lambda x: (x**2 - 1) ** 2 / 4 + 0.1 * x * np.array([1.0, -1.0]),
        sample_gradients=lambda x: (x**3 - x + 0.1 * np.array([1.0, -1.0]))[:, :, None],
        n_samples=2, dimension=1,
    )  # fmt: skip
    gaussian = qpot.minimum_action_path(qpot.System.from_finite_sum(n), [-1.0], [0.0]).action
    exact = qpot.minimum_action_path(qpot.System.from_finite_sum(n, noise="exact"), [-1.0], [0.0], throw=False).action
    return (
        f"Two samples (x^2 - 1)^2 / 4 +- 0.1 x: SGD never leaves a minimum (the cost is {exact}), although Gaussian noise of "
        f"the same covariance would at the cost {gaussian:.1f}. Elsewhere it takes exp(V / epsilon) steps: at V "
        f"= 1 / 2 that is "
        f"{np.exp(5.0):.0f} at epsilon 0.1 and {np.exp(50.0):.0e} at 0.01."
    )


def near_the_flow() -> str:
    """E |x - flow|^2 is of order epsilon."""
    bowl = qpot.System.from_loss(lambda x: x[:, 0] ** 2 / 2, lambda x: x, 1.0, dimension=1)
    return f"L = x^2 / 2 from 1: the largest E |x - flow|^2 is {qpot.flow_deviation(bowl, [1.0], [0.0]).largest:.3f} epsilon."


def modified_loss() -> str:
    """The modified loss has the wrong sign alone."""
    a, eta = 1.0, 0.2
    # x <- x - eta (a x + s xi): V x^2 with the stationary variance eta s^2 / (a (2 - eta a)).
    exact = 0.5 * eta / (eta / (a * (2.0 - eta * a)))
    return (
        f"L = x^2 / 2, rate 0.2: the exact exponent is {exact:.2f} x^2, the modified loss says "
        f"{1 + eta / 2:.2f}, none says 1."
    )


def svm() -> str:
    """Gradient flow tends to the hard-margin machine, as slowly as 1 / log t."""
    flow = qpot.margin_flow(SEPARABLE, np.ones(3), log_time=np.log(1e100))
    places = [int(np.argmin(np.abs(flow.log_times - np.log(10.0) * k))) for k in (25, 100)]
    products = [float(flow.angles[k] * flow.log_times[k]) for k in places]
    laws = flow.laws()
    return (
        "Samples (2, 1), (1.5, 3), (3, 0.2): the angle to the machine's direction times log t is "
        f"{products[0]:.2f} at t = 1e25 and {products[1]:.2f} at 1e100, where it is "
        f"{np.degrees(flow.angles[-1]):.2f} degrees; "
        f"the norm grows like {laws.norm_slope.fitted:.3f} log t, where 1 / margin is {laws.norm_slope.theory:.3f}."
    )


def other_norm() -> str:
    """The machine depends on the model."""
    l1 = qpot.norm_machine(SEPARABLE, np.ones(3), norm="l1").weights
    l2 = qpot.separate(SEPARABLE, np.ones(3)).normal
    l1, l2 = l1 / np.abs(l1).sum(), l2 / np.abs(l2).sum()
    return (
        f"The linear model turns to ({l2[0]:.3f}, {l2[1]:.3f}), the same predictor as <u * u - v * v, z> to "
        f"({l1[0]:.3f}, {l1[1]:.3f}), the machine of the l1 norm."
    )


def _network_path(steps: int) -> tuple[qpot.TrainingTrajectory, np.ndarray]:
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(12, 2)), rng.normal(size=(6, 2))
    network = qpot.dense_network(2, 6)
    start = rng.normal(size=network.dimension)
    return qpot.train_flow(network, X, np.sin(X[:, 0]), start=start, step=8.0 / steps, steps=steps), new


def kernel_machine() -> str:
    """The sum over samples is exact for the flow, of order one in the step."""
    errors = []
    for steps in (40, 80):
        path, new = _network_path(steps)
        errors.append(path.explain(new).error)
    return (
        f"A network of 25 parameters: the sum over samples misses its output by {errors[0]:.1e} with 40 steps and by "
        f"{errors[1]:.1e} with 80."
    )


def constant_weights() -> str:
    """The weights depend on the input."""
    path, new = _network_path(40)
    weights = path.explain(new).weights[:, :, 0]
    spread = weights.std(axis=0) / np.abs(weights).mean(axis=0)
    least = np.linalg.eigvalsh(path.gram(path.X))
    return (
        f"The weight of one sample varies by up to {100 * spread.max():.0f} % (standard deviation over six inputs). The path "
        f"kernel is positive semidefinite (least eigenvalue {'not ' if least[0] < -1e-10 * least[-1] else ''}above -1e-10 of "
        "the largest)."
    )


def incremental() -> str:
    """New samples by kernel terms."""
    path, new = _network_path(80)
    gaps = []
    for duration in (0.1, 10.0):
        update = qpot.kernel_update(path, new, np.cos(new[:, 0]), duration=duration)
        there = update.retrained().predict(new)
        gaps.append(float(np.abs(update.predict(new) - there).max() / np.abs(there - path.predict(new)).max()))
    return (
        f"Six new samples: against retraining the terms miss {100 * gaps[0]:.2f} % of the change after the time 0.1 and "
        f"{100 * gaps[1]:.0f} % after 10. For linear models they are exact."
    )


def representer() -> str:
    """The coefficients tend to those of the representer theorem."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4, 6)), rng.normal(size=4)
    exact = np.linalg.solve(X @ X.T, y)
    gaps = [
        float(np.abs(_linear(X, y, n).coefficients[:, 0] - exact).max() / np.abs(exact).max()) for n in (10, 50, 200)
    ]
    return f"Least squares: coefficients are {', '.join(f'{g:.0e}' for g in gaps)} off after 10, 50 and 200 steps."


def _linear(X: np.ndarray, y: np.ndarray, steps: int) -> qpot.TrainingTrajectory:
    return qpot.train_flow(qpot.linear_model(X.shape[1]), X, y, start=np.zeros(X.shape[1]), step=0.2, steps=steps)


def never_rests() -> str:
    """The steps of the sign method jump, its flow rests."""
    x, ends = 1.0, []
    for _ in range(200):
        x -= 0.03 * np.sign(x)
        ends.append(x)
    low, high = min(ends[-4:]), max(ends[-4:])
    return f"L = x^2 / 2, steps of 0.03: it ends in jumps between {low:.2f} and {high:.2f}. The flow rests at 0."


def polyak() -> str:
    """L = L0 exp(-t) until a local minimum of positive loss."""
    x, t, h = 4.0, 0.0, 1e-4

    def loss(z: float) -> float:
        return z * (z - 1.0) * (z - 3.0) ** 2 + 1.62276

    def slope(z: float) -> float:
        return 4 * z**3 - 21 * z**2 + 30 * z - 9.0

    begun = loss(x)
    while x > 3.05 and t < 10.0:
        x, t = x - h * loss(x) / slope(x), t + h
    return (
        "From x = 4 on L = x (x - 1) (x - 3)^2 + 1.62276: at x = 3.05 L / (L_0 exp(-t)) is "
        f"{loss(x) / (begun * np.exp(-t)):.3f}. At x = 3, a minimum with L = 1.62, the law ends while exp(-t) would go on."
    )


def chaos() -> str:
    """One trajectory of a bounded Polyak step tells nothing of the next one."""
    wells = qpot.gallery_companions.QuarticWells()
    starts = 4.0 + 1e-13 * np.arange(40)[:, None]
    runs = qpot.flow_ensemble(wells.system, starts, flow=qpot.PolyakFlow(bound=1000.0), step=0.01, steps=2500)
    left = runs.ends[:, 0] < wells.saddle
    found = "some end left of the pass and some right of it" if 0 < left.sum() < left.size else "all end on one side"
    return f"Of 40 starts within 4e-12 of x = 4, {found}; only shares of starts, with an interval, are statements."


def adagrad() -> str:
    """AdaGrad's flow rests at critical points only."""
    x, G, h = 1.0, 0.0, 1e-3
    for _ in range(20_000):
        G += h * x * x
        x -= h * x / np.sqrt(G)
    return f"L = x^2 / 2 from 1: at t = 20 the flow is at {x:.0e}. Its rate has a positive limit, {1 / np.sqrt(G):.2f} here."


def origin() -> str:
    """The soft margin with an intercept of its own is another machine."""
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    digits = load_digits()
    rows = np.random.default_rng(0).permutation(digits.target.size)[:120]
    pixels, y = digits.data[rows] / 16.0, np.where(digits.target[rows] % 2 == 1, 1.0, -1.0)
    X = np.column_stack([pixels - pixels.mean(axis=0), np.ones(120)])
    own = SVC(kernel="linear", C=0.1).fit(X, y)
    through = SVC(kernel="linear", C=0.05, tol=1e-8).fit(np.concatenate([X, -X]), np.concatenate([y, -y]))
    hard = qpot.separate(X, y).direction
    angles = [np.degrees(np.arccos(m.coef_[0] @ hard / np.linalg.norm(m.coef_))) for m in (own, through)]
    return (
        f"Even and odd digits with a column of ones: {angles[0]:.4f} degrees from the hard margin with SVC's intercept, "
        f"{angles[1]:.4f} through the origin."
    )


def mercer() -> str:
    """Radial functions that are no Mercer kernels."""
    r = cdist(*2 * [np.random.default_rng(0).normal(size=(60, 2))])
    grams = {"r": r, "sqrt(1 + r^2)": np.sqrt(1 + r**2), "exp(-r^2)": np.exp(-(r**2))}
    least = {name: np.linalg.eigvalsh(K)[0] for name, K in grams.items()}
    return (
        "Least eigenvalues of Gram matrices of 60 points: "
        + ", ".join(
            f"{value:.1f} for {name}" if value < -1e-9 else f"not negative for {name}" for name, value in least.items()
        )
        + "."
    )


def joint() -> str:
    """Three classes in the plane: both joint machines, the second as a machine of two classes on x_i (e_y - e_m)."""
    from sklearn.svm import SVC, LinearSVC

    rng = np.random.default_rng(0)
    centres, classes = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.5]]), np.repeat(np.arange(3), 20)
    D = np.column_stack([centres[classes] + rng.normal(size=(60, 2)), np.ones(60)])
    C = 0.03
    crammer = LinearSVC(multi_class="crammer_singer", fit_intercept=False, C=C, tol=1e-9, max_iter=1_000_000)
    first = crammer.fit(D, classes).coef_
    pairs = [(v, c, m) for v, c in zip(D, classes, strict=True) for m in range(3) if m != c]
    vectors = np.array([np.outer(np.eye(3)[c] - np.eye(3)[m], v).ravel() for v, c, m in pairs])
    both = np.concatenate([vectors, -vectors])
    machine = SVC(kernel="linear", C=C / 2, tol=1e-9).fit(both, np.repeat([1, -1], len(vectors)))
    second = machine.coef_[0].reshape(3, 3)
    apart = np.linalg.norm(second - first) / np.linalg.norm(first)
    return (
        f"Crammer and Singer take the largest violation of a sample, Weston and Watkins their sum: on three classes in the "
        f"plane at C = 0.03 their W differ by {100 * apart:.0f} %."
    )


def entropy() -> str:
    """Maximum entropy discrimination with a Gaussian prior tends to the support vector machine."""
    exact, gaps = qpot.separate(SEPARABLE, np.ones(3)).normal, []
    for c in (10.0, 1000.0):
        a = minimize(
            lambda a, c=c: (
                0.5 * np.sum((a @ SEPARABLE) ** 2) - a.sum() - np.log1p(-a / c).sum(),
                SEPARABLE @ (a @ SEPARABLE) - 1.0 + 1.0 / (c - a),
            ),
            np.zeros(3), jac=True, bounds=[(0.0, 0.99 * c)] * 3, method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-12},
        ).x  # fmt: skip
        gaps.append(np.linalg.norm(a @ SEPARABLE - exact) / np.linalg.norm(exact))
    return (
        f"With the prior c exp(-c (1 - g)) of margins g its mean is {100 * gaps[0]:.0f} % off the hard margin's "
        f"w at c = 10 and "
        f"{100 * gaps[1]:.1f} % at c = 1000."
    )


def pegasos() -> str:
    """The law of steps c / k."""
    mean = qpot.quadratic_sum(1.0, [1.0, -1.0])
    laws = [float(qpot.decreasing_steps_law(mean, [0.0], scale=c).covariance[0, 0]) for c in (1.0, 4.0)]
    return (
        f"k times the variance tends to {laws[0]:.2f} for steps 1 / k and to {laws[1]:.2f} for 4 / k on the mean "
        f"of +-1. At the "
        "kinks of a hinge sum that holds along them, and the distance across falls like 1 / k."
    )


SECTIONS: dict[str, list[Claim]] = {
    "Noise selects (Hu, Zhu, Xiong, Huan 2019; Freidlin and Wentzell)": [
        Claim(
            "SGD selects the global minimum whose noise is closer to isotropic.",
            "False as a law.",
            isotropy,
            "examples/symmetric_minima.py, examples/sharp_or_flat.py",
        ),
        Claim(
            "All of the covariance counts.",
            "False: what counts is the noise along the way out.",
            transverse,
            "examples/sharp_or_flat.py",
        ),
        Claim(
            "Anisotropic noise escapes faster.",
            "True of level sets of a quadratic loss, false of balls.",
            ball_or_level,
            "docs/theory.md",
        ),
        Claim(
            "SGD prefers flat minima.",
            "False as a law: it is what the noise makes of the barrier.",
            flat,
            "examples/sharp_or_flat.py",
        ),
        Claim(
            "The mean exit time grows like exp(V / epsilon).", "True.", exits, "tests/qpot/prediction/test_exit_law.py"
        ),
        Claim(
            "SGD leaves at the lowest point of the boundary.",
            "True in the limit.",
            lowest_exit,
            "tests/qpot/prediction/test_exit_law.py",
        ),
        Claim(
            "SGD traverses all minima.",
            "False where noise is bounded; elsewhere in exponentially long times.",
            traverses,
            "tests/qpot/problem/test_discrete_steps.py",
        ),
        Claim(
            "SGD stays within O(sqrt epsilon) of gradient descent.",
            "True of finite times in a basin.",
            near_the_flow,
            "tests/qpot/prediction/test_around_minimum.py",
        ),
        Claim(
            "A finite learning rate is the modified loss.",
            "False alone: the noise changes too, and by more.",
            modified_loss,
            "tests/qpot/prediction/test_finite_rate.py",
        ),
    ],
    "The minimum at infinity (Soudry et al. 2018; Nacson et al. 2019)": [
        Claim(
            "On separable data gradient flow tends to the hard-margin machine, like 1 / log t.",
            "True.",
            svm,
            "examples/margin.py",
        ),
        Claim(
            "Deep models tend to the same machine.",
            "False: the machine's norm is that of the model.",
            other_norm,
            "examples/margin_of_networks.py",
        ),
    ],
    "The path kernel (Domingos 2020)": [
        Claim(
            "Every model that gradient descent learns is a kernel machine.",
            "True of the flow as a sum over samples; of steps up to their size.",
            kernel_machine,
            "examples/path_kernel.py",
        ),
        Claim(
            "Its weights are those of a kernel machine.",
            "False: they depend on the input.",
            constant_weights,
            "tests/qpot/companions/test_path_kernel.py",
        ),
        Claim(
            "New samples are learnt by adding kernel terms.",
            "True of linear models; an approximation for others.",
            incremental,
            "tests/qpot/companions/test_kernel_updates.py",
        ),
        Claim(
            "In convex problems the representer theorem is the limit.",
            "True.",
            representer,
            "tests/qpot/companions/test_kernel_updates.py",
        ),
    ],
    "Optimisers as flows": [
        Claim(
            "The sign method and RMSprop never rest.",
            "True of steps, false of flows.",
            never_rests,
            "examples/flows.py",
        ),
        Claim(
            "Polyak's flow has L = L_0 exp(-t).",
            "True until a local minimum of positive loss.",
            polyak,
            "examples/flows.py",
        ),
        Claim(
            "A bounded Polyak step leaves for the better minimum.",
            "True of a share of starts: the steps are chaotic.",
            chaos,
            "examples/flows.py",
        ),
        Claim(
            "AdaGrad stops too early.",
            "False of its flow; with noise its steps shrink like 1 / sqrt N.",
            adagrad,
            "docs/flows.md",
        ),
    ],
    "The family of support vector machines": [
        Claim(
            "Every linear machine goes through the origin of the data with a column of ones.",
            "False of the soft margin with an intercept of its own.",
            origin,
            "examples/sgd_and_svm.py",
        ),
        Claim(
            "Linear radial functions and multiquadrics are kernels.",
            "False: they are no Mercer kernels.",
            mercer,
            "examples/machines_on_the_same_data.py",
        ),
        Claim(
            "There is one joint machine for several classes.",
            "False: there are two, and they differ.",
            joint,
            "examples/machines_on_the_same_data.py",
        ),
        Claim(
            "Maximum entropy discrimination with a Gaussian prior is the support vector machine.",
            "True in the limit of hard margins.",
            entropy,
            "examples/machines_on_the_same_data.py",
        ),
        Claim(
            "SGD with steps c / k comes as close as 1 / sqrt k.",
            "True if c times the least rate is above 1/2.",
            pegasos,
            "tests/qpot/companions/test_decreasing_steps.py",
        ),
    ],
}

HEAD = """# Claims, and what is true of them

The texts from which this project began, and the papers that they rest on, say a number of things about what training selects.
Here is what is true of each, the number that shows it, and where it is tested or drawn. `python tools/claims.py` computes the
numbers and writes this page.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, claims in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| said | true of it | the number | where |\n|---|---|---|---|\n")
        parts += [f"| {c.said} | **{c.verdict}** | {escaped(c.number())} | {links(c.where)} |\n" for c in claims]
    return "".join(parts)


def escaped(text: str) -> str:
    """A text for a cell of a table."""
    return text.replace("|", "\\|").replace("*", "\\*")


def links(where: str) -> str:
    """Links to files, from the folder of the page."""
    names = where.split(", ")
    return ", ".join(
        f"[{name[5:]}]({name[5:]})" if name.startswith("docs/") else f"[{name.split('/')[-1]}](../{name})"
        for name in names
    )


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    text = page()
    if parser.parse_args().check:
        same = PAGE.read_text() == text
        sys.stdout.write("the page is what the script writes\n" if same else "the page differs: run tools/claims.py\n")
        return 0 if same else 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
