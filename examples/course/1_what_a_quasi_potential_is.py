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
# # 1. What a quasi-potential is
#
# *The course: **1 what a quasi-potential is** · 2 your own system · 3 your own loss · 4 your own network · 5 noise ·
# 6 where is SGD after n steps? · 7 checking against the real algorithm · 8 what selects without noise.*
#
# A ball rolls in a landscape with two valleys and is shaken while it rolls. In which valley is it found? The answer is not
# always the deeper one. If one valley is shaken harder than the other, the ball leaves it more often.
#
# This notebook defines the number that decides, the *quasi-potential*, and measures it in four ways: as an integral, as the
# price of a path, as the slope of escape times in a simulation, and by one call of qpot. You need a first course in
# probability and some Python. Reading takes about 12 minutes.

# %%
import os
import pathlib
import sys

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import quad

import qpot
from qpot.plots.axes import BLUE, ORANGE, VERMILION

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
OUTPUT = HERE / "output"
OUTPUT.mkdir(exist_ok=True)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## Drift and noise
#
# The position $x$ of the ball moves by
#
# $$ dX = b(X)\,dt + \sqrt{\varepsilon}\,\sigma(X)\,dW . $$
#
# - The **drift** $b$ is the velocity without noise. Here it is minus the slope of the landscape
#   $L(x) = (x^2-1)^2/4$, so that $b(x) = x - x^3$. The drift rests at the two **minima** $x=-1$ and $x=1$ and at the
#   **saddle** $x=0$ between them.
# - $W$ is Brownian motion: over a short time $dt$ it adds a normal random number of variance $dt$.
# - The **covariance** $a = \sigma\sigma^T$ says how strong the noise is at each place. Here it is a number, $a(x) = 1 +
#   x/2$: 0.5 at the left minimum and 1.5 at the right one.
# - The **noise level** $\varepsilon$ says how strong all of it is. It is kept apart from $a$ since we shall ask what
#   happens when it becomes small.
#
# The two valleys have the same depth and the same shape. Only the noise differs.


# %%
def loss(x):
    return (x[:, 0] ** 2 - 1) ** 2 / 4


def gradient(x):
    return x**3 - x


def covariance(x):
    # Outside of the part that is ever visited the noise is kept positive.
    return np.clip(1 + x / 2, 0.1, 2.0)[:, :, None]


system = qpot.System.from_loss(loss, gradient, covariance, dimension=1)

# %% [markdown]
# All functions take many points at once: an array of shape `(n, d)`, a row for each point and a column for each coordinate.
# The loss returns `(n,)`, the gradient `(n, d)` and the covariance `(n, d, d)`. Here $d = 1$.
#
# Before any theory, let us watch. These lines are the equation above with a small time step (the method of Euler and
# Maruyama), for 100 balls at once.

# %%
EPSILON, TIME_STEP, STEPS, BALLS = 0.15, 0.05, 30_000, 100
rng = np.random.default_rng(0)
x = np.where(np.arange(BALLS) % 2 == 0, -1.0, 1.0)[:, None]
seen = np.empty((STEPS, BALLS))
for k in range(STEPS):
    push = np.sqrt(EPSILON * TIME_STEP * covariance(x)[:, 0]) * rng.normal(size=x.shape)
    x = x - gradient(x) * TIME_STEP + push
    seen[k] = x[:, 0]
late = seen[STEPS // 5 :]
left_share = (late < 0).mean()
print(f"share of time in the left valley: {left_share:.3f}")
assert left_share > 0.8

# %% [markdown]
# The balls spend more than 80 % of their time in the left valley, though both are equally deep. They do not roll "towards
# less noise": they hop out of both valleys, and out of the right one more often.
#
# ## The price of a path
#
# To leave a valley the noise must push against the drift. A path $\varphi(t)$ that the drift alone would not follow has a
# price, its **action**
#
# $$ S[\varphi] = \frac12\int_0^T \frac{(\dot\varphi - b(\varphi))^2}{a(\varphi)}\,dt , $$
#
# the squared push that it needs, over the noise that is there to push. Where does this formula come from? In a time step
# the push $\dot\varphi - b$ asks a normal random number of variance $\varepsilon a/dt$ to take that value, and the
# logarithm of its density is $-(\dot\varphi-b)^2 dt/(2\varepsilon a)$. The steps are independent, so the logarithms add up:
# the probability to see a path like $\varphi$ is about $e^{-S[\varphi]/\varepsilon}$. When $\varepsilon$ is small the
# cheapest path is overwhelmingly more probable than any other.
#
# A path that follows the drift costs nothing. That is why only the way *up* to the saddle counts; the way down on the other
# side is free. Let us compute the action of some paths from $-1$ to $0$: at constant speed, for several durations $T$.


# %%
def action(positions, times):
    """The action of a path that is given by its positions at increasing times."""
    middle, dt = (positions[1:] + positions[:-1]) / 2, np.diff(times)
    push = np.diff(positions) / dt - (middle - middle**3)
    return 0.5 * np.sum(push**2 / (1 + middle / 2) * dt)


durations = np.geomspace(0.5, 40, 60)
straight = np.array([action(np.linspace(-1, 0, 2001), np.linspace(0, T, 2001)) for T in durations])
best_straight = straight.min()
print(f"the cheapest path at constant speed takes T = {durations[straight.argmin()]:.1f} and costs {best_straight:.4f}")

# %% [markdown]
# Hurrying is expensive because the push must be strong. Dawdling is expensive because one must hold out against the drift
# for a long time. But why keep to one speed? Expanding the square,
#
# $$ \frac{(\dot\varphi-b)^2}{2a} = \frac{(\dot\varphi+b)^2}{2a} - \frac{2\,\dot\varphi\, b}{a}, $$
#
# shows that no path from $-1$ to $0$ is cheaper than $\int 2\,L'(x)/a(x)\,dx$, and that the path with $\dot\varphi = -b$
# costs exactly this: *the cheapest way up is the way down, run backwards*. (In one dimension, that is. In more dimensions
# and with a drift that circles it is not; the next notebook has an example.)
#
# > The **quasi-potential** $V(A, x)$ is the least action of all paths from the minimum $A$ to the point $x$, whatever
# > time they take. The **cost** $V(i, j)$ is the quasi-potential from one minimum to another.


# %%
def integral(start, end):
    """V from a minimum to a point of its own valley, in closed form."""
    return quad(lambda s: 2 * (s**3 - s) / (1 + s / 2), start, end)[0]


V_left, V_right = integral(-1, 0), integral(1, 0)
path = qpot.minimum_action_path(system, [-1.0], [0.0])
print(f"cost of leaving the left valley:  integral {V_left:.8f}, qpot {path.action:.8f} +- {path.error:.0e}")
print(f"cost of leaving the right valley: integral {V_right:.8f}")
assert abs(path.action - V_left) <= path.error + 1e-10
assert V_left < best_straight < 1.3 * V_left
# The library's path is the reversed descent: its velocity is minus the drift.
up = np.interp(np.linspace(-0.95, -0.05, 50), path.points[:, 0], path.momenta[:, 0])
inside = np.linspace(-0.95, -0.05, 50)
assert np.allclose(up, 2 * (inside**3 - inside) / (1 + inside / 2), atol=1e-4)

# %% [markdown]
# The library solved for the **minimum action path**, the cheapest one, without knowing the trick with the square. Its
# `error` is an estimate of how far off the action may be.

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
ax = axes[0]
ax.plot(durations, straight, color=ORANGE, linewidth=3)
ax.annotate("constant speed", (durations[-1], straight[-1]), xytext=(-10, 12), textcoords="offset points", ha="right",
            color="#9a6a00")  # fmt: skip
ax.axhline(V_left, color=BLUE, linewidth=3)
ax.annotate(f"cheapest of all paths: V = {V_left:.3f}", (0.55, V_left), xytext=(0, -18), textcoords="offset points",
            color=BLUE)  # fmt: skip
ax.set(xscale="log", xlabel="duration T of the path from −1 to 0", ylabel="action", ylim=(0.5, 3.0))
ax.set_title("Hurrying and dawdling cost more than V")
ax = axes[1]
for start, colour, label in ((-1.0, BLUE, "V from the left minimum"), (1.0, VERMILION, "V from the right minimum")):
    inner = np.linspace(start, 0.0, 100)
    values = [integral(start, s) for s in inner]
    beyond = np.linspace(0.0, -start, 100)
    ax.plot(np.r_[inner, beyond], np.r_[values, np.full(100, values[-1])], color=colour, linewidth=3, label=label)
grid = np.linspace(-1.25, 1.25, 300)
ax.plot(grid, loss(grid[:, None]), color="0.45", linewidth=2, linestyle="--", label="loss L")
ax.annotate("free way down", (0.5, V_left), xytext=(0, 7), textcoords="offset points", ha="center", color=BLUE)
ax.annotate("free way down", (-0.78, V_right), xytext=(0, 8), textcoords="offset points", ha="center", color=VERMILION)
ax.set(xlabel="x", ylabel="cost", ylim=(0, 1.05))
ax.set_title("Leaving the quiet valley costs 1.75 times as much")
ax.legend(frameon=False, loc="upper right", fontsize=11)
figure.savefig(OUTPUT / "1_what_a_quasi_potential_is.png", dpi=100)
assert round(V_left / V_right, 2) == 1.75

# %% [markdown]
# ## What the cost is good for
#
# **Escape times.** If one attempt succeeds with a probability of about $e^{-V/\varepsilon}$, the mean time until the ball
# has left is about $e^{V/\varepsilon}$, up to a factor that changes slowly. Against $1/\varepsilon$ the logarithm of the
# mean time is a straight line whose slope is the cost. Here 250 simulated balls at each of five noise levels test this.

# %%
minima = np.array([[-1.0], [1.0]])
levels = {0: np.array([0.14, 0.17, 0.21, 0.27, 0.36]), 1: np.array([0.08, 0.095, 0.115, 0.15, 0.2])}
costs = {0: V_left, 1: V_right}
measured, slopes = {}, {}
for home, epsilons in levels.items():
    runs = [
        qpot.escape_times(system, start=minima[home], minima=minima, epsilon=e, time_step=TIME_STEP, steps=60_000,
                          replicas=250, rng=10 * home + k)
        for k, e in enumerate(epsilons)
    ]  # fmt: skip
    assert all(run.events > 230 for run in runs)
    measured[home] = np.array([run.mean_time for run in runs])
    slopes[home] = np.polyfit(1 / epsilons, np.log(measured[home]), 1)[0]
    print(f"out of minimum {home}: cost {costs[home]:.3f}, slope of the simulated log times {slopes[home]:.3f}")
    # 250 escapes know a mean to 6 %, and at these noise levels the slowly changing factor bends the line a little.
    assert abs(slopes[home] / costs[home] - 1) < 0.25

# %% [markdown]
# **Which valley?** In the long run the ball is in the valley that is left more rarely. The ratio of the two times is about
# $e^{(V_{\rm left}-V_{\rm right})/\varepsilon}$, so that the smaller $\varepsilon$ is, the more lopsided the shares are:
# the minimum with the higher cost is **selected**. One call does it all: it searches for minima and saddles, solves for the
# paths, computes the factor in front (the **prefactor**), and says what it is sure of.

# %%
prediction = qpot.predict(system, bounds=[(-1.6, 1.6)])
print(prediction)
predicted_share = prediction.occupation(EPSILON)[0]
print(
    f"\nshare of time on the left at epsilon = {EPSILON}: predicted {predicted_share:.3f}, simulated {left_share:.3f}"
)
assert prediction.selected == (0,)
assert np.allclose(prediction.costs.values, [[0, V_left], [V_right, 0]], atol=1e-8)
assert abs(predicted_share - left_share) < 0.06

# %% [markdown]
# How to read the report:
#
# - `costs V(i, j)` is the table of the costs, each with its error. They contain no $\varepsilon$: the same numbers serve
#   all noise levels.
# - `W - min W` ranks the minima. For two minima it is the difference of the two costs; notebook 6 explains it for more. The
#   share of time at a minimum is about $e^{-W/\varepsilon}$, so the minimum with the least $W$ is selected.
# - The *second opinion* is a second computation of the costs by another method.
#
# (`occupation` wants a learning rate: it was written for the training of neural networks, where $\varepsilon$ is the
# learning rate over the batch size. With batch size one, the default, the argument is simply $\varepsilon$.)

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
ax = axes[0]
for home, colour, marker, name in ((0, BLUE, "o", "left"), (1, VERMILION, "s", "right")):
    fine = np.linspace(1 / levels[home].max(), 1 / levels[home].min(), 50)
    ax.plot(1 / levels[home], measured[home], marker, color=colour, markersize=9,
            label=f"out of the {name} valley, simulated: slope {slopes[home]:.2f}")  # fmt: skip
    law = np.exp(costs[home] * fine) / prediction.prefactors[home, 1 - home]
    ax.plot(fine, law, color=colour, linewidth=2, label=f"predicted: slope V = {costs[home]:.2f}")
ax.set(yscale="log", xlabel="1 / ε", ylabel="mean time until it has left", ylim=(10, 1e4))
ax.set_title("The cost is the slope of the log escape times")
ax.legend(frameon=False, fontsize=11, loc="upper left")
ax = axes[1]
edges = np.linspace(-1.8, 2.0, 77)
counts = np.histogram(late, edges, density=True)[0]
ax.bar(edges[:-1], counts, np.diff(edges), align="edge", color=np.where(edges[:-1] < 0, BLUE, VERMILION), alpha=0.8)
ax.text(-0.55, 1.7, f"{left_share:.0%} of the time\n(predicted {predicted_share:.0%})", ha="left", color=BLUE)
ax.text(1.05, 0.42, f"{1 - left_share:.0%} of the time", ha="center", color=VERMILION)
ax.set(xlabel="x", ylabel="density of positions", ylim=(0, 2.6))
ax.set_title(f"Valleys of equal depth, unequal shares (ε = {EPSILON})")
figure.savefig(OUTPUT / "1_what_a_quasi_potential_is_2.png", dpi=100)

# %% [markdown]
# ## What to remember
#
# - The noise pays an *action* for pushing against the drift; the quasi-potential is the least action. Going with the drift
#   is free.
# - Costs are *exponents*: escape times grow like $e^{V/\varepsilon}$. A cost that is off by 10 % is of little use at small
#   $\varepsilon$, and so errors are given.
# - The loss alone does not decide. Where the noise is the same everywhere, $a = 1$, the quasi-potential is twice the
#   difference of the losses; the noise changes this.
#
# ## Exercises
#
# **1.** Double the covariance everywhere. What happens to the two costs, to the selected minimum, and to the mean escape
# time out of the left valley at $\varepsilon = 0.1$, if you leave the prefactor aside?
#
# <details><summary>Answer</summary>
#
# The action has $a$ in the denominator, so all costs are halved: 0.3489 and 0.1989 instead of 0.6978 and 0.3978. The
# selected minimum stays the left one, because the difference keeps its sign. The mean time shrinks by the factor $e^{3.49}
# = 33$. Doubling the covariance is the same as doubling $\varepsilon$.
#
# </details>
#
# **2.** Now make the right valley deeper instead of noisier or quieter: how much deeper would it have to be to be selected
# although its noise is stronger? Take the loss $L(x) - h\,(3x - x^3)/4$ for $h > 0$, which leaves the minima at $\pm1$
# and the difference of their losses is $h$, and find $h$ with equal costs both ways.
#
# <details><summary>Answer</summary>
#
# The difference of the costs is $\int_{-1}^{1} 2L'/a\,dx$, from left to right. The loss contributes $0.6978 - 0.3978 =
# 0.3000$, and the tilt $-h\int_{-1}^1 \frac{3}{2}\,(1-x^2)/(1+x/2)\,dx = -2.1125\,h$. So $h = 0.1420$: the right minimum
# must lie 0.142 below the left one. That is 57 % of the height of the original saddle, 0.25.
#
# </details>
#
# **3.** In the simulation above, how much rarer are escapes from the left valley at $\varepsilon = 0.05$ than at
# $\varepsilon = 0.15$? How long would you have to simulate to see one?
#
# <details><summary>Answer</summary>
#
# The rate changes by $e^{-V(1/0.05 - 1/0.15)} = e^{-0.6978\cdot 13.33} = e^{-9.30}$, a factor of 11 000. With the
# prefactor, `prediction.escape_steps(0.05) * 0.05` gives a mean time of 7.2 million, which are 145 million of our steps.
# Rare escapes are the reason to compute costs instead of waiting; notebook 7 shows how to measure such times all the same.
#
# </details>

# %%
# The numbers of the answers.
halved = qpot.predict(
    qpot.System.from_loss(loss, gradient, lambda x: 2 * covariance(x), dimension=1), [(-1.6, 1.6)], second_opinion=False
)
assert np.allclose(halved.costs.values, prediction.costs.values / 2, atol=1e-8)
assert halved.selected == (0,)
tilt = quad(lambda s: 1.5 * (1 - s**2) / (1 + s / 2), -1, 1)[0]
h = (V_left - V_right) / tilt
ratio = np.exp(V_left * (1 / 0.05 - 1 / 0.15))
mean_time = prediction.escape_steps(0.05)[0] * 0.05
assert np.allclose([V_left / 2, V_right / 2, tilt, h], [0.3489, 0.1989, 2.1125, 0.1420], atol=6e-5)
assert round(ratio, -3) == 11_000
assert round(mean_time / 1e6, 1) == 7.2
print(f"1: costs {V_left / 2:.4f} and {V_right / 2:.4f}, times shrink by {np.exp(V_left / 2 / 0.1):.0f}")
print(f"2: tilt integral {tilt:.4f}, h = {h:.4f}")
print(f"3: {ratio:.0f} times as rare, mean time {mean_time:.3g}, {mean_time / TIME_STEP:.3g} steps")
print(f"figures: {OUTPUT / '1_what_a_quasi_potential_is.png'} and ..._2.png")
