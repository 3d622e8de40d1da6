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
# W in the opposite order; the third is worse in both. The example predicts this from the exact minibatch noise, and then lets
# SGD escape at learning rates of 0.07 to 0.16 to see whether it does what was predicted.
#
# Two units tell few digits apart (39 % of unseen pictures are classified correctly), but the minima can be counted.

# %%
import os
import pathlib
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # For small matrices several BLAS threads are slower than one.
    os.environ.setdefault(variable, "1")

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import qpot

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
train, test = order[:200], order[200:]
centred = digits.data - digits.data[train].mean(axis=0)
features = centred @ np.linalg.svd(centred[train], full_matrices=False)[2][:5].T
features /= features[train].std(axis=0)

# %% [markdown]
# ## One call
# The chain consists of the three lowest minima, which keeps this example short; by default there would be six.

# %%
network = qpot.network_sum(features[train], digits.target[train], hidden=2, weight_decay=0.02)
prediction = qpot.predict(network, max_minima=3)
print(prediction)

# %% [markdown]
# ## Ask SGD
# `check` chooses learning rates at which escapes happen, runs the real algorithm for two and a half minutes, and compares
# escape times and where the escapes lead to. Costs are exponents, and these runs are far from the limit in which they hold:
# the costs are 3 to 6 times epsilon, so that a slope is known to 25 % only.

# %%
verdict = prediction.check(budget=150, rng=0)
print(verdict)


def test_accuracy(x):
    W1, b1, W2, b2 = np.split(x, np.cumsum([10, 2, 18]))
    units = np.tanh(features[test] @ W1.reshape(2, 5).T + b1)
    logits = np.column_stack([units @ W2.reshape(9, 2).T + b2, np.zeros(len(test))])
    return (logits.argmax(axis=1) == digits.target[test]).mean()


accuracy = [test_accuracy(m.point) for m in prediction.minima]
losses = [m.loss for m in prediction.minima]
(selected,) = prediction.selected
assert losses[selected] > min(losses), "the chain selects the minimum of least loss"
assert prediction.margin > 3 * prediction.margin_error
# On a slow machine too few escapes may be seen in this time for a verdict.
assert verdict.agrees is not False, "SGD does not do what was predicted"

# %% [markdown]
# ## The picture

# %%
COLOURS, MARKERS = ("#0072B2", "#D55E00", "#009E73"), ("o", "s", "^")
plt.rcParams.update({"font.size": 16})
figure, axes = plt.subplots(1, 2, figsize=(16, 7), layout="constrained")
figure.suptitle(
    f"{network.dimension} parameters: SGD selects minimum {selected}, which has neither the least loss nor the best test",
    fontsize=20,
)
ax = axes[0]
for k, loss in enumerate(losses):
    W = prediction.stationary_costs[k]
    ax.errorbar(loss, W, yerr=prediction.stationary_errors[k], fmt=MARKERS[k], color=COLOURS[k], markersize=16)
    ax.annotate(
        f"minimum {k}\nloss {loss:.4f}, test {accuracy[k]:.1%}\nW = {W:.3f}", (loss, W),
        xytext=((14, 10), (18, 0), (-14, -10))[k], textcoords="offset points", ha=("left", "left", "right")[k],
        va=("bottom", "center", "top")[k], color=COLOURS[k],
    )  # fmt: skip
low, high = min(losses), max(losses)
ax.set(
    xlabel="loss", ylabel="W: -epsilon log(share of time)", xlim=(low - 0.1 * (high - low), high + 0.1 * (high - low))
)
ax.set_ylim(-0.06, 1.15 * prediction.stationary_costs.max())
ax.set_title("Least W is selected, not least loss")

ax = axes[1]
for law in verdict.arrhenius:
    x, fine = law.inverse_epsilon, np.linspace(law.inverse_epsilon.min(), law.inverse_epsilon.max(), 2)
    times, factor = np.exp(law.log_times), np.exp(2 * law.log_errors)
    ax.errorbar(
        x, times, yerr=(times - times / factor, times * factor - times), fmt=MARKERS[law.home], color=COLOURS[law.home],
        markersize=10, capsize=5,
    )  # fmt: skip
    shift = np.average(law.log_times - law.predicted_slope * x, weights=law.log_errors**-2.0)
    ax.plot(
        fine, np.exp(shift + law.predicted_slope * fine), color=COLOURS[law.home], linewidth=3,
        linestyle=("-", "--", ":")[law.home],
        label=f"out of {law.home}: cost {law.cost:.3f}, SGD's slope {law.slope:.2f} ± {law.slope_error:.2f}",
    )  # fmt: skip
ax.set_yscale("log")
ax.set(xlabel="1 / epsilon", ylabel="mean time until SGD leaves")
ax.set_title("Costs (lines) and SGD's escape times (points)")
ax.legend(loc="upper left", fontsize=14)
ax.set_ylim(top=ax.get_ylim()[1] * 5)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "small_network.png", dpi=100)
print(f"figure: {output / 'small_network.png'}")
