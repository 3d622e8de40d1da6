# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sharp or flat, isotropic or not: which minimum does SGD select?
#
# Two rules are often quoted: SGD prefers *flat* minima, and among symmetric minima it prefers the one whose gradient
# noise is *closer to isotropic*. Here both are tested, together with the theorem behind the second one and six
# counter-examples to it, each of them a finite sum on which SGD itself is run:
#
# - (a) more noise along the way out at the anisotropic minimum, at equal trace;
# - (b) more noise in total at the isotropic minimum;
# - (c) the exit from a ball instead of a level set;
# - (d) a bent valley with one covariance everywhere;
# - (e) skewed noise with one covariance everywhere;
# - (f) noise that differs across the way out only: a tie.
#
# The answer: SGD selects the minimum that is costliest to leave. To leading order the cost is
# $\int 2\,|\nabla L|\,(n^T a^{-1} n)\,$ along the way out, so that what counts is how high the saddle is and **how strong the
# noise is along the way**. Isotropy, total noise and flatness matter only as far as they change that.

# %%
import os
import pathlib
import sys
import time
from dataclasses import dataclass

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import solve_continuous_lyapunov
from scipy.special import expit, ndtri
from scipy.stats import chi2
from scipy.stats import f as f_law

import qpot

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
sys.path.insert(0, str(HERE))
from figures.sharp_or_flat import draw

# The level of all confidence intervals.
CONFIDENCE = 0.999
clock = time.perf_counter()

# %% [markdown]
# ## Finite sums with the noise we want
# Every smooth covariance is the covariance of a finite sum. For $a = \mathrm{diag}(a_1(x), a_2(x))$ the six samples are
# $L \pm \sqrt3\,h_k$ with $h = (\int\!\sqrt{a_1 - r'^2},\; r\cos y,\; r\sin y)$ and $r = \sqrt{a_2}$: the covariance of
# their gradients is exactly $a$.


# %%
def two_noises(left, right):
    """Two equal wells at x = -1 and x = 1, where the covariance is diag(left) and diag(right)."""
    (l1, l2), (r1, r2) = left, right

    def slopes(x):
        q = expit(4 * x)
        r = np.sqrt(l2 + (r2 - l2) * q)
        dr = 2 * q * (1 - q) * (r2 - l2) / r
        return np.sqrt(l1 + (r1 - l1) * q - dr**2), r, dr

    grid = np.linspace(-6, 6, 4001)
    first = CubicSpline(grid, slopes(grid)[0]).antiderivative()

    def losses(z):
        x, y = z.T
        r = slopes(x)[1]
        h = np.sqrt(3) * np.stack([first(x), r * np.cos(y), r * np.sin(y)], axis=1)
        return wells(z)[:, None] + np.concatenate([h, -h], axis=1)

    def drawn(z, index):
        x, y = z.T[:, :, None]
        g, r, dr = slopes(x)
        c, s = np.cos(y), np.sin(y)
        sign = np.where(index < 3, np.sqrt(3), -np.sqrt(3))
        along = np.choose(index % 3, [g, dr * c, dr * s])
        across = np.choose(index % 3, [0 * g, -r * s, r * c])
        return np.stack([x**3 - x + sign * along, y + sign * across], axis=2)

    return finite_sum(losses, drawn, 6, 2)


def wells(z):
    return (z[:, 0] ** 2 - 1) ** 2 / 4 + (z[:, 1:] ** 2).sum(axis=1) / 2


def wells_slope(z):
    return np.concatenate([z[:, :1] ** 3 - z[:, :1], z[:, 1:]], axis=1)


def constant_noise(loss, gradient, vectors):
    """The samples L + <v_i, x>, whose noise is the same everywhere."""
    return finite_sum(
        lambda x: loss(x)[:, None] + x @ vectors.T, lambda x, i: gradient(x)[:, None] + vectors[i], *vectors.shape
    )


def sharp_and_flat(flat_noise, sharp_noise):
    """The loss (u^2 - 1)^2 / 4 with u' = 1 on the left and 2 on the right: two wells of one depth, with curvatures 1 to 4.

    The sixteen samples are L + c_k h(x), where the c_k are normal quantiles and h'^2 is the variance that is wanted.
    """
    c = ndtri((np.arange(16) + 0.5) / 16)
    c /= c.std()
    deviation = lambda x: np.sqrt(flat_noise + (sharp_noise - flat_noise) * expit(8 * x))  # noqa: E731
    grid = np.linspace(-6, 6, 4001)
    h = CubicSpline(grid, deviation(grid)).antiderivative()

    def slope(x):
        u, du = stretched(x)
        return (u**3 - u) * du

    return finite_sum(
        lambda x: (stretched(x)[0] ** 2 - 1) ** 2 / 4 + c * h(x),
        lambda x, i: (slope(x) + c[i] * deviation(x))[..., None],
        16,
        1,
    )


def stretched(x):
    return 1.5 * x + np.logaddexp(2 * x, -2 * x) / 4 - np.log(2) / 4, 1.5 + np.tanh(2 * x) / 2


def finite_sum(losses, drawn, N, d):
    return qpot.FiniteSum(
        sample_losses=losses,
        sample_gradients=lambda x: drawn(x, np.broadcast_to(np.arange(N), (len(x), N))),
        drawn_gradients=drawn,
        n_samples=N,
        dimension=d,
    )


def noise_vectors(a):
    """Twelve vectors on an ellipse, whose mean is zero and whose covariance is the matrix a."""
    angle = np.pi / 6 * np.arange(12)
    size, axes = np.linalg.eigh(a)
    return np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.sqrt(size) @ axes.T


curved = qpot.gallery.curved_valley()
tilted = curved.system.covariance(np.zeros((1, 2)))[0]
# These vectors have mean 0 and variance 4; four of the five are small.
skewed = 2.0 * np.array([[2.0], [-0.5], [-0.5], [-0.5], [-0.5]])
assert abs(skewed.mean()) < 1e-15

# %% [markdown]
# ## Two wells: which one is selected?
# Escapes of SGD out of each well are timed. The share of time that is spent in a well is its mean escape time divided by the
# sum of both. The confidence interval is that of a ratio of means of exponential variables.


# %%
@dataclass
class Duel:
    """Two minima, the prediction for them, and how long SGD stayed at each, for some learning rates."""

    system: qpot.System
    prediction: qpot.Prediction
    rates: tuple
    # The share of time at the left minimum, simulated.
    share: list
    interval: list
    predicted: list


def duel(total, bounds, rates, replicas=500):
    system = qpot.System.from_finite_sum(total)
    # Runs of SGD are compared with the prediction, so no second opinion is needed.
    prediction = qpot.predict(system, bounds, second_opinion=False)
    assert len(prediction.minima) == 2
    share, interval, predicted = [], [], []
    for k, rate in enumerate(rates):
        limit = 2 * prediction.escape_steps(rate)
        exits = [
            qpot.escape_times(
                system, start=m, minima=prediction.minima, learning_rate=rate, steps=int(limit[i]), replicas=replicas,
                rng=100 * k + i,
            )
            for i, m in enumerate(prediction.minima)
        ]  # fmt: skip
        stay, events = [e.mean_steps for e in exits], [e.events for e in exits]
        odds = stay[0] / stay[1] / f_law.ppf([0.5, (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], *(2 * np.array(events)))
        odds[0] = stay[0] / stay[1]
        share.append(odds[0] / (1 + odds[0]))
        interval.append((odds / (1 + odds))[1:])
        predicted.append(prediction.occupation(rate)[0])
    return Duel(system, prediction, rates, share, interval, predicted)


plane, line = [(-2, 2), (-1.5, 1.5)], [(-2, 2)]
duels = {
    "noise along": duel(qpot.embedded_double_well_sum(0.5), plane, (0.12,)),
    "noise across": duel(qpot.embedded_double_well_sum(-0.5), plane, (0.14,)),
    "other total": duel(two_noises((2, 2), (1, 0.1)), plane, (0.1,)),
    "only across": duel(two_noises((1, 1), (1, 0.2)), plane, (0.13, 0.18)),
    "curved": duel(constant_noise(curved.system.loss, curved.system.gradient, noise_vectors(tilted)), plane, (0.1,)),
    "skewed": duel(constant_noise(wells, wells_slope, skewed), line, (0.032, 0.038, 0.046, 0.06)),
    "flat: less noise": duel(sharp_and_flat(4.0, 16.0), line, (0.025,)),
    "flat: same noise": duel(sharp_and_flat(8.0, 8.0), line, (0.016, 0.022)),
    "flat: more noise": duel(sharp_and_flat(8.0, 4.0), line, (0.025,)),
}

# %% [markdown]
# ### Every claim, asserted
# The prediction holds in the limit of small learning rates, and corrections of relative order epsilon / cost remain. The odds
# may lie outside the interval by that much.

# %%
print(f"{'':18}{'costs to leave':>20}{'rate':>8}{'share of the left minimum: predicted':>40}{'SGD':>8}{'interval':>17}")
for name, d in duels.items():
    V = d.prediction.costs.values
    for rate, share, (low, high), predicted in zip(d.rates, d.share, d.interval, d.predicted, strict=True):
        print(f"{name:18}{V[0, 1]:10.4f}{V[1, 0]:10.4f}{rate:8}{predicted:40.3f}{share:8.3f}{low:10.3f}{high:7.3f}")
        # The covariance of the skewed noise predicts a tie, which is examined below.
        if name != "skewed":
            slack = np.exp(0.5 * rate / min(V[0, 1], V[1, 0]))
            low_odds, high_odds = low / (1 - low) / slack, high / (1 - high) * slack
            assert low_odds < predicted / (1 - predicted) < high_odds, name

LEFT, RIGHT = (0,), (1,)
expected = {
    "noise along": LEFT, "noise across": RIGHT, "other total": RIGHT, "curved": RIGHT, "flat: less noise": LEFT,
    "flat: more noise": RIGHT,
}  # fmt: skip
for name, winner in expected.items():
    assert duels[name].prediction.selected == winner, name
    low, high = duels[name].interval[0]
    assert high < 0.5 if winner == RIGHT else low > 0.5, name
for name in ("only across", "flat: same noise"):
    assert duels[name].prediction.selected == (0, 1), "equal costs: a tie"
for low, high in duels["only across"].interval:
    assert low < 0.5 < high
for low, high in duels["flat: same noise"].interval:
    assert 0.5 < low < high < 0.75, "the flat minimum has its width in its favour, at every noise level, and no more"

# %% [markdown]
# ### Skewed noise
# The covariance is the same everywhere and the loss is symmetric, so a theory of covariances predicts equal shares. But the
# exact costs of the discrete steps (`noise="exact"`) differ, and the odds of SGD grow at the rate that follows from them.

# %%
d = duels["skewed"]
exact = qpot.predict(qpot.System.from_finite_sum(d.system.finite_sum, noise="exact"), line, second_opinion=False)
difference = exact.costs.values[0, 1] - exact.costs.values[1, 0]
log_odds = np.log(np.array(d.share) / (1 - np.array(d.share)))
half = np.array([np.diff(np.log(i / (1 - i)))[0] / 2 for i in d.interval])
sigma = half / -ndtri((1 - CONFIDENCE) / 2)
# By symmetry the prefactors are equal to leading order.
d.predicted = [expit(difference / rate) for rate in d.rates]
design = np.stack([1 / np.array(d.rates), np.ones(len(d.rates))], axis=1) / sigma[:, None]
slope_error = np.sqrt(np.linalg.inv(design.T @ design)[0, 0])
slope = np.linalg.lstsq(design, log_odds / sigma, rcond=None)[0][0]
print(
    f"skewed noise: costs differ by {difference:.4f} (exact), 0 (covariance); from SGD {slope:.4f} +- {slope_error:.4f}"
)
assert abs(slope - difference) < 3.5 * slope_error
assert slope > 3.5 * slope_error, "not a tie"
assert all(low < p < high for p, (low, high) in zip(d.predicted, d.interval, strict=True))

# %% [markdown]
# ## Leaving a domain
# The theorem behind the claim says that the cost of the exit from a *level set* of a quadratic is
# $V = \Delta/\lambda_{\max}(SA)$ with $AS + SA = a$, and that at equal trace no noise has a larger one than isotropic noise.
# For the exit from a *ball* the opposite can happen.
#
# For a comparison with SGD the exit rate is needed with its prefactor, which is the flux
# $\oint \rho\, n\!\cdot\!(b + a\nabla V)\,e^{-V/\epsilon}$ through the boundary. Since SGD is observed only after whole
# steps, the boundary is effectively 0.583 standard deviations of one step farther out.

# %%
# The Hessian of the quadratic.
A = np.diag([1.0, 3.0])
# The trace of every covariance.
TRACE = 200.0
turn = np.array([[np.cos(0.8), -np.sin(0.8)], [np.sin(0.8), np.cos(0.8)]])
shapes = {
    "isotropic": np.eye(2) / 2,
    "along the flat axis": np.diag([0.9, 0.1]),
    "along the steep axis": np.diag([0.1, 0.9]),
    "tilted": turn @ np.diag([0.9, 0.1]) @ turn.T,
    "like the Hessian": A / np.trace(A),
}
angle = 2 * np.pi * np.arange(720) / 720
circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)


@dataclass
class Exit:
    """Exits of SGD from a domain, and the prediction for them."""

    cost: float
    predicted: float
    mean: float
    interval: tuple
    points: np.ndarray


def predicted_steps(a, border, rate):
    S = solve_continuous_lyapunov(A, a)
    Q = np.linalg.inv(S)
    tangent = (np.roll(border, -1, axis=0) - np.roll(border, 1, axis=0)) / 2
    area = np.linalg.norm(tangent, axis=1)
    n = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) / area[:, None]
    y = border + 0.583 * rate * np.sqrt(np.einsum("ni,ij,nj->n", n, a, n))[:, None] * n
    density = np.sqrt(np.linalg.det(Q)) / (2 * np.pi * rate) * np.exp(-np.einsum("ni,ij,nj->n", y, Q, y) / (2 * rate))
    speed = np.einsum("ni,ni->n", n, y @ (Q @ a - A))
    return 1 / (rate * (density * speed * area).sum())


def leave(a, inside, border, boundary, rate, replicas=400, chunk=4000):
    total = qpot.quadratic_sum(np.tile(np.diag(A), (12, 1)), -noise_vectors(a) / np.diag(A))
    system = qpot.System.from_finite_sum(total)
    generator = np.random.default_rng(1)
    x, alive = np.zeros((replicas, 2)), np.arange(replicas)
    steps, points = np.zeros(replicas), np.zeros((replicas, 2))
    done = 0
    while alive.size:
        run = qpot.simulate_sgd(
            system, learning_rate=rate, steps=chunk, start=x[alive], replicas=alive.size, rng=generator, record=1
        )
        out = ~inside(run.points)
        gone = out.any(axis=0)
        when = out.argmax(axis=0)[gone]
        steps[alive[gone]] = done + when
        points[alive[gone]] = run.points[when, np.flatnonzero(gone)]
        x[alive], alive, done = run.points[-1], alive[~gone], done + chunk
    q = chi2.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], 2 * replicas)
    return Exit(
        cost=qpot.exit_cost(system, [0.0, 0.0], boundary=boundary(total)).cost,
        predicted=predicted_steps(a, border, rate),
        mean=steps.mean(),
        interval=tuple(2 * steps.sum() / q),
        points=points,
    )


level_set = {
    name: leave(
        TRACE * a,
        lambda x: (x**2 @ np.diag(A)) < 2,
        circle * np.sqrt(2 / np.diag(A)),
        lambda total: qpot.LossLevel(level=1 + total.loss([[0.0, 0.0]])[0]),
        0.0025,
    )
    for name, a in shapes.items()
}
ball = {
    name: leave(TRACE * shapes[name], lambda x: (x**2).sum(axis=2) < 1, circle, lambda _: qpot.Ball(radius=1.0), 0.0025)
    for name in ("isotropic", "like the Hessian")
}

# %%
print(f"\n{'leaving':12}{'noise':22}{'cost':>8}{'predicted steps':>17}{'SGD':>10}{'interval':>20}")
for domain, exits in {"a level set": level_set, "a ball": ball}.items():
    for name, e in exits.items():
        print(
            f"{domain:12}{name:22}{e.cost:8.4f}{e.predicted:17,.0f}{e.mean:10,.0f}{e.interval[0]:11,.0f}{e.interval[1]:9,.0f}"
        )
        slack = np.exp(0.5 * 0.0025 / e.cost)
        assert e.interval[0] / slack < e.predicted < e.interval[1] * slack, (domain, name)
for name, a in shapes.items():
    S = solve_continuous_lyapunov(A, TRACE * a)
    closed_form = 1 / np.linalg.eigvals(S @ A).real.max()
    assert abs(level_set[name].cost - closed_form) < 1e-8
    if name != "isotropic":
        assert level_set[name].cost < level_set["isotropic"].cost, "the theorem"
        assert level_set[name].interval[1] < level_set["isotropic"].interval[0], "and SGD"
assert abs(ball["isotropic"].cost - 2 / TRACE) < 1e-8
assert abs(ball["like the Hessian"].cost - 4 / TRACE) < 1e-8
assert ball["like the Hessian"].interval[0] > ball["isotropic"].interval[1], "out of a ball it is the other way round"

# %% [markdown]
# ## The picture

# %%
borders = circle * np.sqrt(2 / np.diag(A)), circle
figure = draw(duels, level_set, ball, borders, shapes, CONFIDENCE)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "sharp_or_flat.png", dpi=90)
print(f"figure: {output / 'sharp_or_flat.png'} ({time.perf_counter() - clock:.0f} s)")
