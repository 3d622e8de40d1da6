# %% [markdown]
# # Where is SGD after n steps?
#
# Training stops after a finite number of steps, so the minimum that SGD selects at infinite time is only half of the answer.
# This landscape has five minima, and SGD starts in A, the highest one. With the number of steps the answer changes twice: it
# is first A, then C, which has the lowest loss, and in the end E, which lies higher than C but has less noise, so that SGD
# rarely gets out again.

# %%
import os
import pathlib

import matplotlib as mpl

if not os.environ.get("DISPLAY"):
    mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import quad
from scipy.interpolate import BPoly
from scipy.linalg import eigh_tridiagonal

import qpot
from qpot.chain.cycles import cycle_hierarchy, metastable_state
from qpot.chain.graphs import loss_costs
from qpot.chain.passage import mean_first_passage_times
from qpot.chain.relaxation import occupation_after
from qpot.chain.training_time import training_time_diagram
from qpot.plots.chain import plot_disconnectivity, plot_training_time, state_colours
from qpot.prediction.kramers import eyring_kramers

NAMES = ["A", "B", "C", "D", "E"]
OUTPUT = (pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()) / "output"
OUTPUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The landscape
#
# The loss has given heights and curvatures at its minima and saddles, and the gradient noise is smaller around E.

# %%
# The factor by which all heights are scaled.
SCALE = 0.5
minima = np.array([0.0, 2.0, 4.0, 6.0, 8.0])
saddles = np.array([1.0, 3.0, 5.0, 7.0])
loss_at_minima = SCALE * np.array([0.655, 0.53, 0.0, 0.20, 0.085])
loss_at_saddles = SCALE * np.array([0.78, 0.63, 0.45, 0.30])
knots = np.concatenate([[-1.0], np.sort(np.concatenate([minima, saddles])), [9.0]])
heights = np.concatenate(
    [
        [SCALE * 1.6],
        np.stack([loss_at_minima[:4], loss_at_saddles], 1).ravel(),
        loss_at_minima[4:],
        [SCALE * 1.2],
    ]
)
steps_down = np.minimum(np.abs(np.diff(heights))[:-1], np.abs(np.diff(heights))[1:])
curvatures = 4.0 * steps_down * np.where(np.arange(9) % 2 == 0, 1.0, -1.0)
slopes = np.zeros(11)
slopes[[0, -1]] = [-2.5 * SCALE, 2.5 * SCALE]
bends = np.concatenate([[2.5 * SCALE], curvatures, [2.5 * SCALE]])
spline = BPoly.from_derivatives(knots, np.stack([heights, slopes, bends], 1))
slope_of, bend_of = spline.derivative(), spline.derivative(2)


# Interpolation in tables makes the three functions fast enough for some 10^8 SGD steps.
table = np.linspace(-1.0, 9.0, 20_001)
loss_table, slope_table, noise_table = (
    spline(table),
    slope_of(table),
    0.3 + 0.7 / (1.0 + np.exp(4.0 * (table - 7.0))),
)


def loss(x):
    beyond = x[:, 0] - np.clip(x[:, 0], -1.0, 9.0)
    return np.interp(x[:, 0], table, loss_table) + 2.5 * SCALE * np.abs(beyond) + 1.25 * SCALE * beyond**2


def gradient(x):
    return np.interp(x, table, slope_table) + 2.5 * SCALE * (x - np.clip(x, -1.0, 9.0))


def noise(x):
    return np.interp(x, table, noise_table)


system = qpot.System.from_loss(loss, gradient, lambda x: noise(x)[:, :, None], dimension=1)

# %% [markdown]
# ## The chain of minima
#
# In one dimension the cost of the transition to a neighbour is the integral of 2 L' / D uphill, and the prefactor is
# Kramers'.

# %%
k = len(minima)
costs = np.full((k, k), np.inf)
prefactors = np.ones((k, k))
np.fill_diagonal(costs, 0)
for i in range(k):
    for j, s in ((i - 1, i - 1), (i + 1, i)):
        if 0 <= j < k:
            costs[i, j] = quad(lambda x: 2 * slope_of(x) / noise(x), minima[i], saddles[s])[0]
            prefactors[i, j] = eyring_kramers(
                float(bend_of(minima[i])),
                float(bend_of(saddles[s])),
                covariance=float(noise(minima[i])),
                covariance_at_saddle=float(noise(saddles[s])),
            )
print("costs V(i, j):")
print(costs.round(3))
print(cycle_hierarchy(costs).text())

W = qpot.stationary_costs(costs)
assert W.argmin() == 4, "E is selected at infinite time"
assert loss_at_minima.argmin() == 2, "but C has the lowest loss"

# %% [markdown]
# ## Three budgets
#
# The first budget ends before A is left, the second between that time and the one at which C is left, the third after it.

# %%
learning_rate = 0.08
epsilon = system.epsilon(learning_rate=learning_rate)
steps_to_c = mean_first_passage_times(costs, epsilon, 2, prefactors=prefactors)[0] / learning_rate
steps_to_e = mean_first_passage_times(costs, epsilon, 4, prefactors=prefactors)[2] / learning_rate
budgets = [int(steps_to_c / 20), int(np.sqrt(steps_to_c * steps_to_e)), int(2.5 * steps_to_e)]
log_times = [epsilon * np.log(n * learning_rate) for n in budgets]
predicted = np.array([occupation_after(costs, epsilon, c, 0, prefactors=prefactors) for c in log_times])

replicas = 250
ensemble = qpot.simulate_sgd(
    system,
    learning_rate=learning_rate,
    steps=budgets[-1],
    start=minima[:1],
    replicas=replicas,
    record=budgets,
    rng=1,
)
labels = np.searchsorted(saddles, ensemble.points[:, :, 0])
simulated = np.array([np.bincount(row, minlength=k) / replicas for row in labels])

print(f"\nlearning rate {learning_rate}, mean steps: {steps_to_c:.0f} from A to C, {steps_to_e:.0f} from C to E")
for n, law, counted in zip(budgets, predicted, simulated, strict=True):
    print(f"{n:8d} steps  predicted {law.round(2)}  simulated {counted.round(2)}  -> {NAMES[law.argmax()]}")

# The answer changes twice, and the simulation agrees each time.
assert [NAMES[i] for i in predicted.argmax(axis=1)] == ["A", "C", "E"]
assert [NAMES[i] for i in simulated.argmax(axis=1)] == ["A", "C", "E"]
# The bound is three binomial standard errors, plus 0.08 for the error of the rates at finite epsilon.
assert np.all(np.abs(predicted - simulated) < 3 * np.sqrt(predicted * (1 - predicted) / replicas) + 0.08)
# The exponents alone, without prefactors, give the answers in the limit epsilon -> 0, which are A, C and E.
assert [metastable_state(costs, c, 0) for c in (0.1, 0.3, 0.8)] == [(0,), (2,), (4,)]

# %% [markdown]
# ## Where prediction and simulation differ
#
# After the second budget E is predicted with 0.16 and simulated with 0.24, which is more than chance. The rates are those of
# Kramers, which hold for small noise; at this noise the barriers are only a few times as high as epsilon. The exact law of
# the diffusion, from its generator on a grid, has no such error and agrees with the simulation.

# %%
grid = np.linspace(-1.0, 9.0, 1001)
spacing = grid[1] - grid[0]
spread, push = epsilon * noise(grid) / (2 * spacing**2), -gradient(grid) / (2 * spacing)
onwards, back = (spread + push)[:-1], (spread - push)[1:]
log_weight = np.concatenate([[0.0], np.cumsum(np.log(onwards / back))])
# In the coordinates of the square root of the stationary law the generator is symmetric.
diagonal = -np.concatenate([onwards, [0.0]]) - np.concatenate([[0.0], back])
decay, modes = eigh_tridiagonal(diagonal, np.sqrt(onwards * back))
first = int(np.abs(grid - minima[0]).argmin())
tilt = np.exp(0.5 * (log_weight - log_weight[first]))
home = np.searchsorted(saddles, grid)
exact = np.empty((len(budgets), k))
for row, n in enumerate(budgets):
    law = tilt * (modes @ (np.exp(decay * n * learning_rate) * modes[first]))
    exact[row] = np.bincount(home, weights=law, minlength=k)
for n, law in zip(budgets, exact, strict=True):
    print(f"{n:8d} steps  exact law of the diffusion {law.round(2)}")
assert np.all(np.abs(exact - simulated) < 3.5 * np.sqrt(exact * (1 - exact) / replicas) + 0.02)

# %% [markdown]
# ## The picture to take away

# %%
colours = state_colours(k)
figure = plt.figure(figsize=(13, 8), constrained_layout=True)
top, bottom = figure.subfigures(2, 1, height_ratios=[1.15, 1])
landscape, diagram_ax = top.subplots(1, 2, width_ratios=[1, 1.1])
left, right, bars = bottom.subplots(1, 3, width_ratios=[0.8, 0.8, 1.5])

x = np.linspace(-0.75, 8.8, 500)
height = loss(x[:, None])
landscape.plot(x, height, color="black", linewidth=2)
width = 0.028 * np.sqrt(noise(x))
landscape.fill_between(x, height - width, height + width, color="0.8", label="width: gradient noise (std)")
for i in range(k):
    landscape.plot(minima[i], loss_at_minima[i], "o", color=colours[i], markersize=15, markeredgecolor="black")
    landscape.annotate(NAMES[i], (minima[i], loss_at_minima[i]), ha="center", va="center", color="white", weight="bold")
landscape.annotate("start", (0, loss_at_minima[0]), xytext=(0, -34), textcoords="offset points", ha="center",
                   arrowprops={"arrowstyle": "-"})  # fmt: skip
landscape.annotate("lowest loss", (4, 0), xytext=(0, -32), textcoords="offset points", ha="center")
landscape.annotate("least noise", (8, loss_at_minima[4]), xytext=(0, -32), textcoords="offset points", ha="center")
landscape.set(xlabel="parameter", ylabel="loss", ylim=(-0.12, 0.62), title="five minima")
landscape.legend(loc="upper right", frameon=False)

diagram = training_time_diagram(
    costs,
    learning_rates=np.geomspace(0.02, 0.15, 90),
    steps=np.geomspace(1e2, 1e9, 90),
    start=0,
    prefactors=prefactors,
)
plot_training_time(diagram, labels=NAMES, ax=diagram_ax)
diagram_ax.plot([learning_rate] * 3, budgets, "o", color="black", markerfacecolor="white", markersize=9)
for number, n in enumerate(budgets, 1):
    diagram_ax.annotate(f"{number}", (learning_rate, n), xytext=(9, -4), textcoords="offset points", weight="bold")
diagram_ax.set_title("where SGD is (pale: not decided)")

plot_disconnectivity(
    loss_costs(loss_at_minima, [(i, i + 1, loss_at_saddles[i]) for i in range(4)]),
    labels=NAMES,
    ylabel="loss",
    ax=left,
)
left.set_title("by loss: C is lowest")
plot_disconnectivity(costs, labels=NAMES, ax=right)
right.set_title("by quasi-potential: E is lowest")

positions = np.arange(3)[:, None] * (k + 1.5) + np.arange(k)
error = 1.96 * np.sqrt(simulated * (1 - simulated) / replicas)
for i in range(k):
    bars.bar(positions[:, i], predicted[:, i], color=colours[i], edgecolor="black", label=NAMES[i])
bars.errorbar(
    positions.ravel(), simulated.ravel(), yerr=error.ravel(), label="simulated SGD",
    fmt="D", color="black", markerfacecolor="white", markersize=5, capsize=3,
)  # fmt: skip
bars.plot(positions.ravel(), exact.ravel(), "_", color="black", markersize=11, markeredgewidth=2,
          label="diffusion, exact")  # fmt: skip
bars.set_xticks(positions.mean(axis=1), [f"{number}: {n:,} steps" for number, n in enumerate(budgets, 1)])
bars.set(
    ylabel="probability",
    ylim=(0, 1.32),
    title=f"predicted (bars) and simulated, learning rate {learning_rate};\nE in 2: Kramers' rates are for smaller noise",
)
bars.legend(frameon=False, ncols=3, loc="upper center")
figure.savefig(OUTPUT / "where_is_sgd_after_n_steps.png", dpi=110)
print(f"\nfigure: {OUTPUT / 'where_is_sgd_after_n_steps.png'}")
