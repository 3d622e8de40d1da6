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
# # A small network: which of its minima does SGD select?
#
# The data are five principal components of 200 handwritten digits (scikit-learn) in ten classes. The network has one hidden
# layer of two tanh units, 39 parameters in all, and weight decay. Turning a unit's signs or swapping the units changes
# nothing, so minima and saddles are counted modulo that group of eight elements.
#
# **The minimum that the chain selects is not the one of least loss.** Two minima are nearly tied in loss, and nearly tied in
# W in the opposite order; the third is worse in both. The example predicts this from the exact minibatch noise and compares
# it with 4800 runs of SGD, whose shares of time follow W.
#
# Costs are exponents, and these runs are far from the limit in which they hold: the costs are 3 to 6 times the learning rate,
# and the cloud of SGD's positions around a minimum (0.9 wide) nearly reaches the saddle (1.1 away). The slopes of the log
# escape times are up to a fifth, or two standard errors, below the costs. What the minima have in common cancels in the
# shares.
#
# Two units tell few digits apart (39 % of unseen pictures are classified correctly), but the minima can be counted.
# Prefactors are not computed for such noise above 16 dimensions, so no absolute time is predicted here.

# %%
import os
import pathlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # For small matrices several BLAS threads are slower than one.
    os.environ.setdefault(variable, "1")

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import logm
from sklearn.datasets import load_digits

import qpot

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
# The number of training images.
SAMPLES = 200
# The number of principal components that the network sees.
FEATURES = 5
# The number of tanh units.
HIDDEN = 2
# The coefficient of the weight decay.
DECAY = 0.02
clock, wall = time.process_time(), time.perf_counter()

# %% [markdown]
# ## The model

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
train, test = order[:SAMPLES], order[SAMPLES:]
centre = digits.data[train].mean(axis=0)
axes_of_data = np.linalg.svd(digits.data[train] - centre, full_matrices=False)[2][:FEATURES]
features = (digits.data - centre) @ axes_of_data.T
features /= features[train].std(axis=0)
network = qpot.network_sum(features[train], digits.target[train], hidden=HIDDEN, weight_decay=DECAY)
system = qpot.System.from_finite_sum(network)
d = system.dimension
group = qpot.dense_layer_symmetries((FEATURES, HIDDEN, 9), odd=True)


def test_accuracy(x):
    W1, b1, W2, b2 = np.split(x, np.cumsum([HIDDEN * FEATURES, HIDDEN, 9 * HIDDEN]))
    units = np.tanh(features[test] @ W1.reshape(HIDDEN, -1).T + b1)
    logits = np.column_stack([units @ W2.reshape(9, -1).T + b2, np.zeros(len(test))])
    return (logits.argmax(axis=1) == digits.target[test]).mean()


# %% [markdown]
# ## Minima, saddles, costs
# The chain consists of the three lowest minima and the lowest saddles that join them. (Another, higher saddle leads directly
# from the second minimum to the third. It does not change the costs, and takes 20 s more.)

# %%
bounds = [(-6, 6)] * d
everything = sorted(qpot.find_minima(system, bounds, starts=24, rng=0, symmetries=group), key=lambda m: m.loss)
minima = tuple(everything[:3])
print(
    f"{d} parameters, {len(everything)} minima modulo the symmetries, losses {[round(m.loss, 5) for m in everything]}"
)
saddles = qpot.find_saddles(system, minima, bounds, symmetries=group)
between, joined = {}, [{k} for k in range(3)]
for s in sorted(saddles, key=lambda s: s.loss):
    sides = [next((part for part in joined if k in part), None) for k in s.connects]
    if None not in sides and sides[0] is not sides[1]:
        between[s.connects] = s
        joined = [part for part in joined if part not in sides] + [sides[0] | sides[1]]
assert set(between) == {(0, 1), (0, 2)}
print(f"{len(saddles)} saddles around them ({time.process_time() - clock:.0f} s)")
method = qpot.LargeScaleAction(tolerance=1e-3, starts=1)
# The executor makes this faster and does not change the result.
with ThreadPoolExecutor(2) as executor:
    costs = qpot.transition_costs(system, minima, saddles=tuple(between.values()), method=method, executor=executor)
print(costs, f"({time.process_time() - clock:.0f} s)")

# %% [markdown]
# ## The chain

# %%
W = qpot.stationary_costs(costs)
W -= W.min()
selected = int(W.argmin())
accuracy = [test_accuracy(m.point) for m in minima]
for k, m in enumerate(minima):
    print(f"minimum {k}: loss {m.loss:.5f}, test accuracy {accuracy[k]:.3f}, W {W[k]:.4f}")
assert minima[selected].loss > min(m.loss for m in minima), "the chain does not select the minimum of least loss"

# %% [markdown]
# ## Ask SGD
# There are 400 runs with single samples from every minimum, at four learning rates. A run is labelled with the minimum to
# which a descent from its position leads, whichever copy it is. All runs are labelled once when they have forgotten that they
# started exactly at a minimum, and again some time later. The share that went from i to j in between is an entry of a
# stochastic matrix. Its logarithm holds the rates, returns and detours included, and its fixed vector the shares of time.

# %%
# The number of runs from each minimum.
RUNS = 400
# The time (learning rate x steps) after which a run has forgotten its start.
FORGET = 150.0
# The time between the two labels, by 1 / learning rate.
WHILE = {8.5: 1000.0, 10.0: 1700.0, 11.5: 2300.0, 13.0: 3200.0}
rng = np.random.default_rng(0)
copies = [[m.point] for m in everything]
for k in range(len(copies)):
    while len(copies[k]) < group.order:
        permutation, signs = group.random(rng)
        x = signs * everything[k].point[permutation]
        if min(np.linalg.norm(x - y) for y in copies[k]) > 1e-3:
            copies[k].append(x)
# The axes are minima, copies and coordinates.
copies = np.array(copies)


def labels(x):
    """The minimum at which a descent, accelerated by momentum, arrives; -1 where it has not arrived."""
    v = np.zeros_like(x)
    for _ in range(80):
        v = 0.65 * v - 2.5 * network.gradient(x)
        x = x + v
    away = np.linalg.norm(x[:, None, None] - copies, axis=3).min(axis=2)
    return np.where(away.min(axis=1) < 0.4, away.argmin(axis=1), -1)


def transitions(inverse_rate, start):
    """The labels of all runs at both times."""
    steps = [round(t * inverse_rate) for t in (FORGET, FORGET + WHILE[inverse_rate])]
    runs = qpot.simulate_sgd(
        system, learning_rate=1 / inverse_rate, batch_size=1, steps=steps[1], start=minima[start], replicas=RUNS,
        rng=start, record=steps,
    )  # fmt: skip
    return [labels(x) for x in runs.points]


jobs = [(inverse, start) for inverse in WHILE for start in range(3)]
with ThreadPoolExecutor(2) as executor:
    outcomes = list(executor.map(lambda job: transitions(*job), jobs))
counts = {inverse: np.zeros((3, 3)) for inverse in WHILE}
lost = 0
for (inverse, _), (before, after) in zip(jobs, outcomes, strict=True):
    known = (before >= 0) & (before < 3) & (after >= 0) & (after < 3)
    lost += (~known).sum()
    np.add.at(counts[inverse], (before[known], after[known]), 1)
total_runs = RUNS * len(jobs)
print(f"{total_runs} runs, {lost} at higher minima or undecided ({time.process_time() - clock:.0f} s)")
assert lost < 0.01 * total_runs


def rates_and_shares(table, time_between):
    P = table / table.sum(axis=1, keepdims=True)
    values, vectors = np.linalg.eig(P.T)
    share = vectors[:, values.real.argmax()].real
    return logm(P).real / time_between, share / share.sum()


def resampled(table):
    return np.array([rng.multinomial(int(row.sum()), row / row.sum()) for row in table], dtype=float)


def slope(inverse, log_rates, weights):
    x = inverse - np.average(inverse, weights=weights)
    return -(weights * x * log_rates).sum() / (weights * x**2).sum()


inverses = np.array(list(WHILE))
measured = [rates_and_shares(counts[x], WHILE[x]) for x in inverses]
spread = [[rates_and_shares(resampled(counts[x]), WHILE[x]) for _ in range(300)] for x in inverses]
log_error = {}
found = {}
for i, j in ((0, 1), (1, 0), (2, 0)):
    logs = np.log([rate[i, j] for rate, _ in measured])
    # The axes are learning rates and draws.
    many = np.log([[rate[i, j] for rate, _ in draws] for draws in spread])
    log_error[i, j] = many.std(axis=1)
    weights = log_error[i, j] ** -2.0
    error = np.std([slope(inverses, column, weights) for column in many.T])
    found[i, j] = (slope(inverses, logs, weights), error, logs)
    V, value = costs.values[i, j], found[i, j][0]
    sigma = (value - V) / error
    print(f"minimum {i} to {j}: cost {V:.4f}, slope of SGD's log rates {value:.3f} +- {error:.3f} ({sigma:+.1f} s.e.)")
    assert abs(value / V - 1) < 1 / 3
shares = np.array([share for _, share in measured])
share_errors = np.array([np.std([share for _, share in draws], axis=0) for draws in spread])
for x, share, error in zip(inverses, shares, share_errors, strict=True):
    print(f"learning rate {1 / x:.3f}: shares of time {share.round(3)} +- {error.round(3)}")

# %% [markdown]
# SGD is at the selected minimum most of the time, by more than three standard errors over the four learning rates together,
# although its loss is the larger one; isotropic noise would select the other minimum. The log of the ratio of shares is as
# predicted from W alone, so the prefactors hardly differ.

# %%
other = 1 - selected
lead = np.mean(np.log(shares[:, selected] / shares[:, other]))
draws = [[np.log(share[selected] / share[other]) for _, share in many] for many in spread]
lead_error = np.std(np.mean(draws, axis=0))
expected = np.mean((W[other] - W[selected]) * inverses)
print(f"log of the selected minimum's share over the other's: {lead:.2f} +- {lead_error:.2f}, W alone: {expected:.2f}")
assert (shares.argmax(axis=1) == selected).all()
assert lead > 3 * lead_error
assert abs(lead - expected) < 3 * lead_error
assert (shares[:, 2] < 0.5 * shares[:, selected]).all()

# %% [markdown]
# ## The picture

# %%
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
COLOURS, MARKERS = (BLUE, ORANGE, GREEN), ("o", "s", "^")
NAMES = ("A", "B", "C")
plt.rcParams.update({"font.size": 16})
figure, axes = plt.subplots(1, 3, figsize=(19, 7), layout="constrained")
figure.suptitle(
    f"{d} parameters: SGD is most often at minimum {NAMES[selected]}, which has neither the least loss nor the best test",
    fontsize=21,
)

ax = axes[0]
places = {1: 0.0, 0: 1.0, 2: 2.0}
for k, m in enumerate(minima):
    ax.plot(places[k], m.loss, MARKERS[k], color=COLOURS[k], markersize=20, zorder=3)
    ax.annotate(
        f"{NAMES[k]}: loss {m.loss:.4f}\ntest {accuracy[k]:.1%}\nW = {W[k]:.3f}",
        (places[k], m.loss), xytext=(0, -22), textcoords="offset points", ha="center", va="top",
    )  # fmt: skip
for pair in ((0, 1), (0, 2)):
    s = between[pair]
    middle = 0.5 * (places[pair[0]] + places[pair[1]])
    for k in pair:
        u = np.linspace(0.0, 1.0, 60)
        rise = minima[k].loss + (s.loss - minima[k].loss) * np.sin(0.5 * np.pi * u) ** 2
        ax.plot(places[k] + (middle - places[k]) * u, rise, color="0.6", linewidth=2)
        away = pair[1] if k == pair[0] else pair[0]
        ax.annotate(
            f"{costs.values[k, away]:.2f}", (0.55 * middle + 0.45 * places[k], rise[33]), color=COLOURS[k],
            ha="right" if places[k] < middle else "left", va="bottom", fontsize=17, fontweight="bold",
            xytext=(-6 if places[k] < middle else 6, 0), textcoords="offset points",
        )  # fmt: skip
    ax.plot(middle, s.loss, "X", color="black", markersize=13, zorder=3)
ax.set(xticks=[], ylabel="loss", xlim=(-0.6, 2.6), ylim=(1.7208, 1.7395))
ax.set_title("Minima, saddles (X) and costs of leaving")

ax = axes[1]
fine = np.array([8.1, 13.4])
for i, j in found:
    value, error, logs = found[i, j]
    ax.errorbar(
        inverses, np.exp(-logs), yerr=np.exp(-logs) * log_error[i, j], fmt=MARKERS[i] if (i, j) != (1, 0) else "s",
        color=COLOURS[i], markersize=10, capsize=5,
    )  # fmt: skip
    V = costs.values[i, j]
    shift = np.average(-logs - V * inverses, weights=log_error[i, j] ** -2.0)
    ax.plot(
        fine, np.exp(shift + V * fine), color=COLOURS[i], linewidth=3, linestyle={0: "-", 1: "--", 2: ":"}[i],
        label=f"{NAMES[i]} to {NAMES[j]}: cost {V:.3f}, SGD's slope {value:.2f} ± {error:.2f}",
    )  # fmt: skip
ax.set_yscale("log")
ax.set(xlabel="1 / learning rate", ylabel="learning rate x steps until SGD leaves")
ax.set_title("Costs (lines) and SGD's escape times")
ax.legend(loc="upper left", fontsize=14)
ax.set_ylim(top=ax.get_ylim()[1] * 2.2)

ax = axes[2]
predicted = np.exp(-W * inverses[:, None])
predicted /= predicted.sum(axis=1, keepdims=True)
for k in range(3):
    ax.errorbar(
        inverses, shares[:, k], yerr=share_errors[:, k], fmt=MARKERS[k], color=COLOURS[k], markersize=12, capsize=5,
        label=f"{NAMES[k]}: SGD",
    )  # fmt: skip
    ax.plot(
        inverses, predicted[:, k], color=COLOURS[k], linewidth=3, linestyle=("-", "--", ":")[k],
        label=f"{NAMES[k]}: predicted",
    )  # fmt: skip
ax.set(xlabel="1 / learning rate", ylabel="share of time", ylim=(0, 0.95))
ax.set_title("Shares of time: without prefactors")
ax.legend(ncols=2, fontsize=14, loc="upper center")
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "small_network.png", dpi=100)
print(
    f"figure: {output / 'small_network.png'} ({time.process_time() - clock:.0f} s of CPU, {time.perf_counter() - wall:.0f} s)"
)
