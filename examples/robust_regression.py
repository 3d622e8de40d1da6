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
# # Robust regression: which of two competing lines does SGD choose?
#
# The data are the petal lengths and sepal widths of Fisher's 150 irises (Fisher 1936; they come with scikit-learn). Two
# answers are defensible. Within the two large-flowered species wider sepals go with longer petals; over all flowers they go
# with shorter ones (Simpson's paradox: the third species, *setosa*, has wide sepals and short petals). Welsch's robust loss
# $\rho(r) = \frac{c^2}{2}(1 - e^{-r^2/c^2})$, has a minimum for each: the rising line, for which *setosa* are 50
# outliers, and the falling one, a compromise.
#
# **The falling line has the smaller loss, and SGD selects the rising one.** The reason is the noise: at the rising line most
# flowers fit well and their gradients are small, whereas at the compromise nearly all of them are large. The example predicts
# this, says for which learning rates and batch sizes it holds, and compares the prediction with SGD.

# %%
import os
import pathlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import binomtest
from sklearn.datasets import load_iris

import qpot
from qpot import plots
from qpot.prediction.finite_rate import cost_correction

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
# The scale c of Welsch's loss, in standard deviations of the petal length.
SCALE = 1.05
# The coefficient of a weak weight decay, which is needed because Welsch's loss is flat far from all data.
DECAY = 0.01
clock = time.process_time()

# %% [markdown]
# ## The model
# Both quantities are measured in standard deviations; the parameters are slope and intercept.

# %%
iris = load_iris()
width, length = ((v - v.mean()) / v.std() for v in (iris.data[:, 1], iris.data[:, 2]))
features = np.column_stack([width, np.ones_like(width)])
irises = qpot.welsch_sum(features, length, scale=SCALE, weight_decay=DECAY)

# %% [markdown]
# ## Predict
# The costs are computed from the exact noise, that of the steps that SGD really takes, and for comparison from its covariance
# alone (Gaussian noise).

# %%
bounds = [(-1.5, 1.2), (-0.9, 1.4)]
method = qpot.GeometricAction(tolerance=1e-6, starts=1)
system = qpot.System.from_finite_sum(irises)
gaussian = qpot.predict(system, bounds, method=method, second_opinion=False)
exact = qpot.predict(qpot.System.from_finite_sum(irises, noise="exact"), bounds, method=method)
print(f"==== exact noise\n{exact}\n\n==== Gaussian noise\n{gaussian}\n")
falling, rising = (int(i) for i in np.argsort([m.point[0] for m in exact.minima]))
minima, V = exact.minima, exact.costs.values
NAMES = {falling: "falling line", rising: "rising line"}
assert len(minima) == 2
assert minima[falling].loss < minima[rising].loss, "the falling line is the global minimum"
for p in (exact, gaussian):
    assert p.selected == (rising,), "and SGD selects the other one"
    assert p.margin > 0.3

# %% [markdown]
# ## Ask SGD
# How long does SGD stay? Escapes from either line are timed at four learning rates with single samples, such that the costs
# are 5.5 to 8 epsilon.

# %%
# Every run ends after this many steps at the latest.
MOST = 1_200_000
# The number of runs from each line and for each learning rate.
REPLICAS = 150
# The executor makes this faster and does not change the result.
executor = ThreadPoolExecutor(2)
epsilons = {home: V[home, 1 - home] / np.array([5.5, 6.3, 7.1, 8.0]) for home in (falling, rising)}
escapes = {
    home: [
        qpot.escape_times(
            system, start=minima[home], minima=minima, learning_rate=epsilon, batch_size=1, steps=MOST, replicas=REPLICAS,
            rng=k, executor=executor,
        )
        for k, epsilon in enumerate(epsilons[home])
    ]
    for home in (falling, rising)
}  # fmt: skip
verdicts = {name: qpot.compare(p, *escapes.values()) for name, p in (("exact", exact), ("Gaussian", gaussian))}
for e in (*escapes[falling], *escapes[rising]):
    print(f"learning rate {e.learning_rate:.4f}: {e}")
for name, verdict in verdicts.items():
    print(f"==== {name} noise\n{verdict}\n")
assert verdicts["exact"].agrees, verdicts["exact"].sentence
slopes = {law.home: law for law in verdicts["exact"].arrhenius}

# %% [markdown]
# ### Learning rate and batch size
# To leading order only their ratio matters: at batch sizes 4 and 16, with learning rates four and sixteen times as large, the
# time (learning rate x steps) stays the same. The remaining difference is of first order in the learning rate, a factor
# exp(V_1 (B - 1)) that is known from the path.

# %%
epsilon = epsilons[falling][0]
# The batch sizes that are compared with single samples.
BATCHES = (4, 16)
batches = {
    B: qpot.escape_times(
        system, start=minima[falling], minima=minima, learning_rate=epsilon * B, batch_size=B, steps=MOST // B,
        replicas=REPLICAS, rng=10 + B, executor=executor,
    )
    for B in BATCHES
}  # fmt: skip
first_order = cost_correction(exact.costs.paths[falling, rising])
log_single, error_single = escapes[falling][0].log_mean_time
for B, e in batches.items():
    log_time, error = e.log_mean_time
    difference, expected = log_time - log_single, first_order * (B - 1)
    sigma = np.hypot(error, error_single)
    print(f"batch size {B}: log time {difference:+.2f} +- {sigma:.2f} from that at 1, to first order {expected:+.3f}")
    assert abs(difference - expected) < 3.3 * sigma

# %% [markdown]
# ### Where is SGD?
# After half a million steps at one learning rate, most replicas that started at the line of least loss have left for the
# other, and hardly any have left the other one.

# %%
rate, steps = epsilons[falling][1], 500_000
left = {}
for home in (falling, rising):
    e = qpot.escape_times(
        system, start=minima[home], minima=minima, learning_rate=rate, batch_size=1, steps=steps, replicas=REPLICAS,
        rng=20, executor=executor,
    )  # fmt: skip
    left[home] = binomtest(e.events, REPLICAS).proportion_ci(0.999)
    print(f"after {steps:,} steps at learning rate {rate:.3f}, {e.events} of {REPLICAS} have left the {NAMES[home]}")
assert left[falling].low > 0.5 > 0.1 > left[rising].high
assert exact.after(steps, rate, 1, start=falling) == (rising,)
executor.shutdown()

# %% [markdown]
# ## The picture

# %%
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.35"
COLOURS = {falling: BLUE, rising: ORANGE}
plt.rcParams.update({"font.size": 14})
figure, axes = plt.subplots(1, 3, figsize=(19, 6.8), layout="constrained", width_ratios=(1, 1.1, 1.05))
figure.suptitle(
    "Robust regression of irises: the falling line has the smaller loss, SGD chooses the rising one", fontsize=20
)

ax = axes[0]
markers = ("o", "^", "s")
for species, marker in enumerate(markers):
    mine = iris.target == species
    ax.plot(width[mine], length[mine], marker, color="0.55", markersize=6, label=str(iris.target_names[species]))
line = np.array([-2.6, 3.2])
for i, m in enumerate(minima):
    ax.plot(
        line, m.point[0] * line + m.point[1], color=COLOURS[i], linewidth=4,
        label=f"{NAMES[i]}: loss {m.loss:.3f}, W {exact.stationary_costs[i]:.2f}",
    )  # fmt: skip
ax.set(xlabel="sepal width (standard deviations)", ylabel="petal length (standard deviations)", ylim=(-3.4, 2.1))
ax.set_title("Two fits of Welsch's loss")
ax.legend(fontsize=12, loc="lower left")

ax = axes[1]
plots.plot_loss(system, [(-1.1, 0.8), (-0.5, 1.15)], ax=ax)
for home in (falling, rising):
    path = exact.costs.paths[home, 1 - home]
    up = path.uphill
    ax.plot(*path.points[up].T, color="white", linewidth=6)
    ax.plot(
        *path.points[up].T,
        color=COLOURS[home],
        linewidth=3.5,
        label=f"from the {NAMES[home]}: cost {V[home, 1 - home]:.2f}",
    )
for i, m in enumerate(minima):
    ax.plot(*m.point, "o", color=COLOURS[i], markeredgecolor="white", markeredgewidth=2, markersize=17, zorder=6)
ax.plot(*exact.saddles[0].point, "X", color="white", markeredgecolor="black", markersize=13, zorder=6, label="saddle")
ax.legend(fontsize=12, loc="lower right")
ax.set(xlabel="slope", ylabel="intercept", title="Leaving the rising line costs twice as much")

ax = axes[2]
for home in (falling, rising):
    law = slopes[home]
    for e in escapes[home]:
        low, high = (bound * e.time_step for bound in e.interval(0.999))
        ax.errorbar(
            1 / e.epsilon,
            e.mean_time,
            yerr=[[e.mean_time - low], [high - e.mean_time]],
            fmt="o",
            color=COLOURS[home],
            markersize=9,
            capsize=5,
        )
    inverse = np.array([5.0, 23.0]) if home == falling else np.array([5.0, 13.0])
    shift = np.mean(law.log_times - law.predicted_slope * law.inverse_epsilon)
    ax.plot(
        inverse,
        np.exp(shift + law.predicted_slope * inverse),
        color=COLOURS[home],
        linewidth=3,
        label=f"{NAMES[home]}: cost {law.predicted_slope:.2f}, SGD {law.slope:.2f} ± {law.slope_error:.2f}",
    )
for (B, e), marker in zip(batches.items(), ("D", "s"), strict=True):
    ax.plot(
        [1 / e.epsilon],
        [e.mean_time],
        marker,
        color="black",
        markerfacecolor="none",
        markeredgewidth=2,
        markersize=11 + B // 2,
        label=f"batch size {B}, learning rate {e.learning_rate:.2f}",
    )
ax.set_yscale("log")
ax.set(xlabel="batch size / learning rate", ylabel="learning rate x steps until SGD leaves")
ax.set_title("Learning rate / batch size decides")
ax.legend(fontsize=12, loc="upper left")
ax.set_ylim(top=ax.get_ylim()[1] * 30)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "robust_regression.png", dpi=100)
print(f"figure: {output / 'robust_regression.png'} ({time.process_time() - clock:.0f} s of CPU)")
