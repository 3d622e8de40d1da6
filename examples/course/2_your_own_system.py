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
# # 2. Your own system: a switch of two genes
#
# *The course: 1 what a quasi-potential is · **2 your own system** · 3 your own loss · 4 your own network · 5 noise ·
# 6 where is SGD after n steps? · 7 checking against the real algorithm · 8 what selects without noise.*
#
# Two genes suppress each other: the protein of each stops the production of the other. Such a *toggle switch* remembers:
# either the first protein is abundant or the second. But cells are small, and molecules are made and lost at random. How
# long does the memory last, which state is preferred, and how does the switch flip when it flips?
#
# There is no loss and no learning rate here, only a drift and a noise. This notebook shows how to hand such a system to
# qpot: it may come from a cell, an ecosystem, a laser or a chemical reactor. Reading takes about 12 minutes.

# %%
import os
import pathlib
import sys

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot.plots.axes import BLUE, GREEN, VERMILION

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
OUTPUT = HERE / "output"
OUTPUT.mkdir(exist_ok=True)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## Drift
#
# Let $x$ and $y$ be the concentrations of the two proteins. Each is produced at a rate that the other one lowers, and
# decays:
#
# $$ b(x, y) = \Big(\frac{3.1}{1+y^2} - x,\; \frac{3.0}{1+x^2} - y\Big). $$
#
# The first gene is a little stronger. A function of the drift takes points of shape `(n, 2)` and returns velocities of the
# same shape.
#
# ## Noise
#
# In a cell of volume $\Omega$ there are $\Omega x$ molecules of the first protein. Production and decay are independent
# random events, and in a time $dt$ the variance of a count of independent events is their mean number. So the variances of
# production and decay *add*, where the drift subtracts them:
#
# $$ a = \mathrm{diag}\Big(\frac{3.1}{1+y^2} + x,\; \frac{3.0}{1+x^2} + y\Big), \qquad \varepsilon = \frac{1}{\Omega}. $$
#
# In a large cell $\varepsilon$ is small. The same bookkeeping serves elsewhere: births and deaths in ecology with
# $\varepsilon = 1/$population size, or Brownian motion in a force field with $a = 1$ and $\varepsilon = 2k_BT$ (in units of
# the friction).

# %%
STRENGTH = np.array([3.1, 3.0])


def production(z):
    return STRENGTH / (1 + z[:, ::-1] ** 2)


def drift(z):
    return production(z) - z


def covariance(z):
    return (production(z) + z)[:, :, None] * np.eye(2)


system = qpot.System(drift=drift, covariance=covariance, dimension=2)
bounds = [(0.05, 5.0), (0.05, 5.0)]
prediction = qpot.predict(system, bounds)
print(prediction)

# %% [markdown]
# `bounds` is the box in which states are searched for. We keep it off the axes, because concentrations do not become
# negative.
#
# How to read the report (it says "SGD" for the noisy system, since the library was first written for the training of
# networks):
#
# - "Minimum" stands for an attracting state of rest: 0 has little $x$ and much $y$, and 1 the other way round. The loss is
#   "-" as there is none.
# - There is one **saddle** between them.
# - The costs are unequal: 0.0646 against 0.1389. The state of the stronger gene is **selected**: the smaller $\varepsilon$
#   is, the larger its share of time.
# - The *second opinion* computes the costs again from a field on a grid. It confirms one of them and says that it has
#   nothing to say on the other.

# %%
V = prediction.costs.values
assert prediction.selected == (1,)
assert np.allclose(V, [[0, 0.0646], [0.1389, 0]], atol=5e-5)
assert 2.1 < V[1, 0] / V[0, 1] < 2.2

# %% [markdown]
# **A small advantage counts twice.** The first gene is 3 % stronger, and its state is left at 2.15 times the cost.
#
# ## The route
#
# In notebook 1 the cheapest way up was the way down, run backwards. That holds in one dimension, and for a gradient under
# noise that is the same everywhere. Here neither is the case. How far are the way up, which the noise pays for, and the
# free way down apart?

# %%
up = {}
for i, j in ((0, 1), (1, 0)):
    path = prediction.costs.path(i, j)
    up[i] = path.points[path.uphill]
    print(f"from {i} to {j}: cost {path.action:.6f} +- {path.error:.0e}, over the saddle at {path.via[0].round(3)}")
saddle = prediction.saddles[0].point

# Behind the saddle the path from the other state falls freely.
down = {i: (p := prediction.costs.path(1 - i, i)).points[~p.uphill] for i in (0, 1)}


def distance(curve, other):
    """The largest distance from a point of one curve to the other curve."""
    return np.sqrt(((curve[:, None] - other[None]) ** 2).sum(axis=2).min(axis=1)).max()


gaps = {i: distance(up[i], down[i]) for i in (0, 1)}
print(f"up and down are apart by up to {gaps[0]:.3f} (minimum 0) and {gaps[1]:.3f} (minimum 1)")
assert all(np.linalg.norm(down[i][-1] - prediction.minima[i].point) < 1e-2 for i in (0, 1))
assert np.linalg.norm(down[0][0] - saddle) < 0.05
assert all(0.01 < gap < 0.03 for gap in gaps.values())

# %% [markdown]
# By about 0.02: hardly at all. This switch has one slow direction, and all traffic is squeezed into it. Do not take that
# for a law, though; the ecosystem below behaves quite differently.
#
# ## The landscape
#
# `qpot.quasipotential` computes $V$ from one state to every node of a grid, here from state 1. It is the nearest thing to a
# landscape that a system without a loss has: the drift never climbs it, and the noise pays for every step uphill.

# %%
field = qpot.quasipotential(system, prediction.minima[1], qpot.Grid((0.05, 0.05), (5.0, 3.2), (181, 121)))
at_saddle = field.at(saddle[None])
print(f"V at the saddle: field {float(np.squeeze(at_saddle)):.5f}, path {V[1, 0]:.5f}")
assert abs(float(np.squeeze(at_saddle)) / V[1, 0] - 1) < 2e-3

figure, axes = plt.subplots(1, 2, figsize=(13.5, 6), layout="constrained")


def stream(ax, drift, low, high):
    """The drift as grey streamlines."""
    side = [np.linspace(a, b, 40) for a, b in zip(low, high, strict=True)]
    X, Y = np.meshgrid(*side)
    velocity = drift(np.stack([X.ravel(), Y.ravel()], axis=1)).reshape(40, 40, 2)
    ax.streamplot(X, Y, velocity[..., 0], velocity[..., 1], color="0.78", density=0.9, linewidth=0.8, arrowsize=0.8)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def states(ax, minima, saddle):
    """Attracting states as numbered discs and the saddle as a cross."""
    for i, (m, colour) in enumerate(zip(minima, (BLUE, VERMILION), strict=True)):
        ax.plot(*m.point, "o", color=colour, markersize=20, markeredgecolor="white", zorder=6)
        ax.annotate(str(i), m.point, ha="center", va="center", color="white", weight="bold", zorder=7)
    ax.plot(*saddle, "X", color="black", markersize=13, markeredgecolor="white", zorder=6)
    ax.annotate("saddle", saddle, xytext=(-22, 14), textcoords="offset points", weight="bold", zorder=7,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})  # fmt: skip


ax = axes[0]
stream(ax, drift, (0.02, 0.02), (3.6, 3.6))
for i, colour in ((0, BLUE), (1, VERMILION)):
    ax.plot(*up[i].T, color=colour, linewidth=4, label=f"way out of state {i}: cost {V[i, 1 - i]:.4f}", zorder=4)
states(ax, prediction.minima, saddle)
ax.set(xlabel="x, protein of the first gene", ylabel="y, protein of the second gene")
ax.set_title("The stronger gene's state costs twice as much to leave")
ax.legend(loc="upper right", fontsize=12)
ax = axes[1]
qpot.plots.plot_field(field, levels=16, ax=ax)
states(ax, prediction.minima, saddle)
ax.set(xlabel="x, protein of the first gene", ylabel="y, protein of the second gene")
ax.set_title("V from state 1 (blank: not known on this grid)")
figure.savefig(OUTPUT / "2_your_own_system.png", dpi=100)

# %% [markdown]
# ## How long does the memory last?
#
# The mean time until a switch in state $i$ has flipped is about $e^{V/\varepsilon}/A$, with a **prefactor** $A$ that
# `predict` computes along the path: `mean_escape_times(epsilon)` is the mean time until a state is left.
# Its unit is the lifetime of a protein, since we set the decay rate to one.
#
# Beside it we simulate the equation itself.


# %%
def mean_times(epsilon):
    """The predicted mean time until each state is left."""
    return prediction.mean_escape_times(epsilon)


epsilons = np.array([0.018, 0.022, 0.027, 0.034])
TIME_STEP = 0.05
simulated, low, high = [], [], []
for k, epsilon in enumerate(epsilons):
    times = qpot.escape_times(
        system, start=prediction.minima[0], minima=prediction.minima, epsilon=epsilon, time_step=TIME_STEP,
        steps=int(3 * mean_times(epsilon)[0] / TIME_STEP), replicas=200, rng=k,
    )  # fmt: skip
    simulated.append(times.mean_time)
    ends = [TIME_STEP * steps for steps in times.interval(0.99)]
    low.append(ends[0])
    high.append(ends[1])
    print(f"volume {1 / epsilon:5.1f}: simulated {simulated[-1]:6.0f} ({ends[0]:.0f} to {ends[1]:.0f}), "
          f"predicted {mean_times(epsilon)[0]:6.0f}")  # fmt: skip
simulated, low, high = np.array(simulated), np.array(low), np.array(high)
ratio = simulated / [mean_times(e)[0] for e in epsilons]
assert np.all((ratio > 0.8) & (ratio < 1.6))

# %% [markdown]
# The simulated times are 12 to 25 % longer than predicted. At these noise levels the costs are only two to four times
# $\varepsilon$, and the theory holds for small $\varepsilon$; the slope, which is the cost, fits. Now the theory goes where
# no simulation can: a volume of 250, in which the abundant protein has some 700 molecules.

# %%
for volume in (50, 100, 250):
    times = mean_times(1 / volume)
    print(f"volume {volume}: mean lifetime of state 0 {times[0]:.2g}, of state 1 {times[1]:.2g} protein lifetimes")
slope = np.polyfit(1 / epsilons, np.log(simulated), 1)[0]
print(f"slope of the simulated log times: {slope:.4f}, cost {V[0, 1]:.4f}")
assert abs(slope / V[0, 1] - 1) < 0.2
assert mean_times(1 / 250)[1] > 1e16

# %% [markdown]
# ## An ecosystem: where the way out spirals
#
# A consumer eats a resource (example 1 of the R package QPot, The R Journal 8(2), 2016; `qpot.gallery` has this system and
# sixteen others with known answers). One of its two states is a *focus*: the drift comes in on a spiral. The way out
# spirals too, and it is not the reversed way in. Published grid values of its cost are 15 % off.

# %%
ecosystem = qpot.gallery.consumer_resource()
lake = qpot.predict(ecosystem.system, ecosystem.bounds, second_opinion=False)
print(lake.answer())
out, back = lake.costs.path(0, 1), lake.costs.path(1, 0)
way_out, way_in = out.points[out.uphill], back.points[~back.uphill]
gap = distance(way_out, way_in)
print(
    f"cost of leaving the focus: {out.action:.10f} +- {out.error:.0e}; way out and way in are apart by up to {gap:.2f}"
)
assert abs(out.action - 0.0122596493) < 1e-9
assert lake.selected == (0,)
assert gap > 0.2

# %%
figure, axes = plt.subplots(1, 2, figsize=(13.5, 5.6), layout="constrained")
ax = axes[0]
ax.errorbar(1 / epsilons, simulated, yerr=[simulated - low, high - simulated], fmt="o", color=BLUE, markersize=9,
            capsize=5, label="state 0, simulated (99 %)")  # fmt: skip
volumes = np.linspace(25, 260, 60)
for i, colour in ((0, BLUE), (1, VERMILION)):
    ax.plot(volumes, [mean_times(1 / v)[i] for v in volumes], color=colour, linewidth=3, label=f"state {i}, predicted")
ax.set(yscale="log", xlabel="volume 1 / ε", ylabel="mean lifetime / lifetime of a protein")
ax.set_title("The lifetime grows exponentially with the volume")
ax.legend(frameon=False, loc="upper left", fontsize=12)
ax = axes[1]
stream(ax, ecosystem.system.drift, (0.8, 2.0), (5.6, 4.8))
ax.plot(*way_in.T, color=GREEN, linewidth=2.5, linestyle="--", label="free way in, from the saddle to 0", zorder=4)
ax.plot(*way_out.T, color=BLUE, linewidth=3.5, label=f"way out of 0: cost {out.action:.5f}", zorder=4)
states(ax, lake.minima, lake.saddles[0].point)
ax.set(xlabel="resource", ylabel="consumer")
ax.set_title("The way out is not the way in, run backwards")
ax.legend(loc="lower right", fontsize=12)
figure.savefig(OUTPUT / "2_your_own_system_2.png", dpi=100)

# %% [markdown]
# ## What to remember
#
# - `qpot.System(drift=..., covariance=..., dimension=...)` takes any drift; both functions take many points at once.
# - Decide what $\varepsilon$ is *before* you write the covariance, and keep it out of it.
# - For counts of things, rates of gain and loss add up in the covariance.
# - Keep the box where the equation makes sense. This noise is Gaussian and knows nothing of single molecules; near zero,
#   where single molecules count, it is the wrong model. Exercise 3 tests where that is.
#
# ## Exercises
#
# **1.** Give both genes the strength 3.1, but let the second protein be produced and decay five times as fast (multiply
# drift and covariance of $y$ by 5). The states do not move. Is there still a tie between them?
#
# <details><summary>Answer</summary>
#
# No. The costs are 0.1028 for leaving state 0 (much of the fast protein $y$) and 0.1116 for leaving state 1 (much of the
# slow $x$): state 1, that of the slow protein, is selected. The drift alone cannot tell this.
#
# </details>
#
# **2.** By which factor do the mean lifetimes of the two states differ at a volume of 100, with and without prefactors?
#
# <details><summary>Answer</summary>
#
# Without: $e^{(0.13890-0.06461)\cdot 100} = e^{7.43} = 1686$. With: $A_{01}/A_{10} = 0.03807/0.04343$, so 1478.
#
# </details>
#
# **3.** One gene alone, with constant production $c$, has $b = c - x$ and $a = c + x$. What does it cost to fall from $x =
# c$ to zero? And with molecules that are counted one by one, where the exact answer is $V(0) = c$ (the number of molecules
# has a Poisson law with the mean $c\,\Omega$, and $P(0) = e^{-c\,\Omega}$)?
#
# <details><summary>Answer</summary>
#
# $V(0) = \int_0^c 2\,(c-x)/(c+x)\,dx = 2c\,(2\ln 2 - 1) = 0.7726\,c$, which is 23 % below the exact $c$. Gaussian noise
# makes extinction much too likely: it is a model of many small fluctuations, not of the last molecule. In the switch the
# saddle is at (1.12, 1.33), far from zero, and neither way out comes closer to an axis than its state does.
#
# </details>

# %%
# The numbers of the answers.
RATES = np.array([1.0, 5.0])
equal = qpot.System(
    drift=lambda z: RATES * (3.1 / (1 + z[:, ::-1] ** 2) - z),
    covariance=lambda z: (RATES * (3.1 / (1 + z[:, ::-1] ** 2) + z))[:, :, None] * np.eye(2),
    dimension=2,
)
fast = qpot.predict(equal, bounds, second_opinion=False)
one = qpot.System(drift=lambda x: 1 - x, covariance=lambda x: (1 + x)[:, :, None], dimension=1)
to_zero = qpot.minimum_action_path(one, [1.0], [0.0]).action
plain, full = np.exp((V[1, 0] - V[0, 1]) * 100), mean_times(0.01)[1] / mean_times(0.01)[0]
assert np.allclose(fast.costs.values, [[0, 0.1028], [0.1116, 0]], atol=6e-5)
assert fast.selected == (1,)
assert (round(plain), round(full)) == (1686, 1478)
assert abs(to_zero - 2 * (2 * np.log(2) - 1)) < 1e-8
print(f"1: costs {fast.costs.values.round(4).tolist()}, selected {fast.selected}")
print(f"2: {plain:.0f} without and {full:.0f} with prefactors")
print(f"3: {to_zero:.4f}")
closest = min(curve.min() for curve in up.values())
assert closest > min(m.point.min() for m in prediction.minima) - 0.01
print(f"figures: {OUTPUT / '2_your_own_system.png'} and ..._2.png")
