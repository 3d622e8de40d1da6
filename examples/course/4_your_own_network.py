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
# # 4. Your own network
#
# *The course: 1 what a quasi-potential is · 2 your own system · 3 your own loss · **4 your own network** · 5 noise ·
# 6 where is SGD after n steps? · 7 checking against the real algorithm · 8 what selects without noise.*
#
# A network is a loss over samples, too: `from_torch(model, loss, data)` does for a PyTorch model what we did by hand in
# notebook 3, and `predict` needs no bounds for it. Two things are new. A network has *symmetries*: exchanging two units
# changes nothing, so that each minimum has copies. And before one asks which minimum SGD selects one has to know whether
# there is more than one. Here we ask it of a small network that tells threes from eights. Reading takes about 10 minutes;
# PyTorch is used if it is installed.

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

try:
    from sklearn.datasets import load_digits
except ImportError as error:
    raise SystemExit("this notebook needs scikit-learn: python -m pip install 'qpot[ml]'") from error
try:
    import torch
except ImportError:
    torch = None

import qpot
from qpot.plots.axes import BLUE, ORANGE, VERMILION

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
OUTPUT = HERE / "output"
OUTPUT.mkdir(exist_ok=True)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## Data and model
#
# 60 threes and eights by two principal components, and a network with two tanh units: nine parameters. **Weight decay**
# adds $\frac{w}{2}|x|^2$ to the loss; without it the loss of separable data has no minimum (notebook 8).

# %%
digits = load_digits()
chosen = np.isin(digits.target, (3, 8))
pixels, eight = digits.data[chosen] / 16, (digits.target[chosen] == 8).astype(int)
picked = np.random.default_rng(0).permutation(len(eight))
train, test = picked[:60], picked[60:]
mean = pixels[train].mean(axis=0)
features = (pixels - mean) @ np.linalg.svd(pixels[train] - mean, full_matrices=False)[2][:2].T
features /= features[train].std(axis=0)
X, y = features[train], eight[train]
DECAY = 0.02


def network(decay):
    """The network's loss as a finite sum; from PyTorch where that is installed, from qpot's own network otherwise."""
    # Class 1 is the three: qpot's network has a logit of zero for its last class.
    own = qpot.network_sum(X, 1 - y, hidden=2, weight_decay=decay)
    if torch is None:
        return own
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))

    def loss(outputs, targets):
        return torch.nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets)

    total = qpot.from_torch(model, loss, (X, y.astype(float)), weight_decay=decay)
    # Both have the parameters in the same order, so that their losses can be compared.
    points = np.random.default_rng(1).normal(size=(5, 9))
    assert np.allclose(total.loss(points), own.loss(points), atol=1e-12)
    assert np.allclose(total.gradient(points), own.gradient(points), atol=1e-12)
    return total


total = network(DECAY)
print(type(total).__name__, "with", total.dimension, "parameters and", total.n_samples, "samples")

# %% [markdown]
# ## One call

# %%
prediction = qpot.predict(total)
print(prediction)

# %% [markdown]
# How to read this report:
#
# - *Training runs* from many random starts all ended at the same minimum, and the report says how sure one can be of that:
#   "with 95 % confidence fewer than ... of such runs end at others".
# - *Symmetries*: the two units may be exchanged, and each may change the sign of all its weights. That makes $2\cdot2\cdot2
#   = 8$ images of every point with the same loss. The minimum is counted once.
# - There is nothing to select. That is an answer: at this size, on these data, the start and the noise do not matter for
#   where SGD ends up, up to symmetry.
#
# Let us see it with our own eyes: 40 plain gradient descents from random starts.

# %%
rng = np.random.default_rng(2)
x = 2 * rng.normal(size=(40, 9))
curves = [total.loss(x)]
for _ in range(4000):
    x = x - 0.5 * total.gradient(x)
    curves.append(total.loss(x))
curves = np.array(curves)
best = prediction.minima[0]
print(f"losses at the ends: {curves[-1].min():.5f} to {curves[-1].max():.5f}, at the minimum {best.loss:.5f}")
assert len(prediction.minima) == 1


def signature(points):
    """Numbers that do not change when units are exchanged or flipped: the sorted sizes of the units' weights."""
    W1, b1, w2 = points[:, :4].reshape(-1, 2, 2), points[:, 4:6], points[:, 6:8]
    sizes = np.sqrt((W1**2).sum(axis=2) + b1**2 + w2**2)
    return np.sort(sizes, axis=1)


arrived = np.abs(curves[-1] - best.loss) < 1e-5
different = len(np.unique(np.sign(x[arrived][:, [0, 2]]), axis=0))
print(f"{arrived.sum()} of 40 arrived; their first weights have {different} sign patterns")
assert arrived.sum() >= 36
assert np.allclose(signature(x[arrived]), signature(best.point[None]), atol=0.02)
W1, b1, w2 = best.point[:4].reshape(2, 2), best.point[4:6], best.point[6:8]
print("weights of the units:", W1.round(3).tolist(), "outgoing", w2.round(3))
twins = np.allclose(np.abs(W1[0]), np.abs(W1[1]), atol=1e-4)
print("the two units do the same:", twins)
assert twins

# %% [markdown]
# All 40 runs reached an image of the one minimum. And there the two units are *twins*: they have the same weights. This
# network uses two units as one, since weight decay makes two small weights cheaper than one large one.
#
# Twins have a consequence. Every sample moves both units alike, so that the noise cannot tell them apart and SGD never
# separates them again. Do twins depend on the weight decay? Let us predict for others.

# %%
DECAYS = (0.05, 0.02, 0.003)


def accuracy(point, where):
    """The share of pictures that the network with these parameters classifies correctly."""
    units = np.tanh(features[where] @ point[:4].reshape(2, 2).T + point[4:6])
    return ((units @ point[6:8] + point[8] > 0) == eight[where]).mean()


found = {}
for decay in DECAYS:
    minima = (prediction if decay == DECAY else qpot.predict(network(decay))).minima
    lowest = min(minima, key=lambda m: m.loss)
    W1, b1, w2 = lowest.point[:4].reshape(2, 2), lowest.point[4:6], lowest.point[6:8]
    # Flipped so that both units speak for the eight.
    units = np.column_stack([W1, b1, w2]) * np.sign(w2)[:, None]
    apart = np.linalg.norm(units[0] - units[1]) / np.linalg.norm(units[0])
    found[decay] = (lowest, units, apart, accuracy(lowest.point, test))
    print(f"weight decay {decay}: {len(minima)} minimum, loss {lowest.loss:.4f}, units apart by {apart:.1%}, "
          f"test accuracy {found[decay][3]:.1%}")  # fmt: skip
assert all(apart < 1e-3 for _, _, apart, _ in found.values())
assert found[0.05][0].loss > found[0.02][0].loss > found[0.003][0].loss
assert found[0.05][3] > found[0.003][3]

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 5.2), layout="constrained")
ax = axes[0]
ax.plot(np.arange(len(curves)), curves, color="0.6", linewidth=1)
ax.axhline(best.loss, color=VERMILION, linewidth=3, linestyle="--")
ax.annotate(
    f"the minimum: {best.loss:.4f}", (1.2, best.loss), xytext=(0, -16), textcoords="offset points", color=VERMILION
)
ax.set(xscale="log", xlabel="steps of gradient descent", ylabel="loss", xlim=(1, 4000), ylim=(0.1, 2.0))
ax.set_title("40 random starts, one minimum up to symmetry")
ax = axes[1]
for kind, marker, colour, name in ((0, "o", BLUE, "threes"), (1, "s", ORANGE, "eights")):
    ax.plot(*X[y == kind].T, marker, color=colour, markersize=7, label=name)
side = np.linspace(-2.6, 2.6, 161)
grid = np.stack(np.meshgrid(side, side), axis=2).reshape(-1, 2)
for decay, style, colour in ((0.02, "-", "black"), (0.003, "--", VERMILION)):
    point = found[decay][0].point
    score = np.tanh(grid @ point[:4].reshape(2, 2).T + point[4:6]) @ point[6:8] + point[8]
    ax.contour(side, side, score.reshape(161, 161), levels=[0.0], colors=[colour], linestyles=[style], linewidths=3)
    ax.plot([], [], style, color=colour, linewidth=3, label=f"border, weight decay {decay}")
ax.set(xlabel="first component", ylabel="second component", xlim=(-2.6, 2.6), ylim=(-2.6, 4.2))
ax.set_title("Threes and eights, and the networks' borders")
ax.legend(loc="upper center", ncols=2, fontsize=12)
figure.savefig(OUTPUT / "4_your_own_network.png", dpi=100)

# %% [markdown]
# ## The noise of the network
#
# At the minimum the noise has directions and strengths, too. The twins are two equal units, and along the direction that
# would make them different there is no noise at all.

# %%
noise = qpot.measure_noise(total, best.point)
print(noise)
C = total.covariance(best.point[None])[0]
# The direction that changes the two units oppositely (with the signs that they have).
signs = np.sign(best.point[6:8])
split = np.zeros(9)
split[:4] = np.concatenate([signs[0] * W1[0], -signs[1] * W1[0]])
split /= np.linalg.norm(split)
together = np.zeros(9)
together[:4] = np.concatenate([signs[0] * W1[0], signs[1] * W1[0]])
together /= np.linalg.norm(together)
values = np.linalg.eigvalsh(C)[::-1]
print(f"variance along 'together' {together @ C @ together:.4f}, along 'apart' {split @ C @ split:.1e}")
assert split @ C @ split < 1e-8
assert together @ C @ together > 1e-4
silent = int((values < 1e-9 * values[0]).sum())
print(f"{silent} of 9 directions carry no noise")
assert silent == 4

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
ax = axes[0]
loud = values[values > 1e-9 * values[0]]
ax.bar(np.arange(1, len(loud) + 1), loud, color=BLUE)
ax.set(yscale="log", xlabel="direction, strongest noise first", ylabel="variance of one sample's gradient", xlim=(0.3, 9.7),
       xticks=range(1, 10))  # fmt: skip
ax.text(
    7.5, np.sqrt(loud[0] * loud[-1]), f"no noise in\n{silent} directions:\nunits apart", ha="center", color=VERMILION
)
ax.set_title("The noise does not reach every direction")
ax = axes[1]
places = np.arange(len(DECAYS))
ax.bar(places, [found[d][0].loss for d in DECAYS], color=ORANGE, width=0.5)
for k, d in enumerate(DECAYS):
    ax.annotate(f"test accuracy\n{found[d][3]:.1%}", (k, found[d][0].loss), xytext=(0, 6), textcoords="offset points",
                ha="center")  # fmt: skip
ax.set(xticks=places, xticklabels=[f"weight decay {d}" for d in DECAYS], ylabel="loss at the minimum", ylim=(0, 0.45))
ax.set_title("Less decay: a lower loss, no better test")
figure.savefig(OUTPUT / "4_your_own_network_2.png", dpi=100)

# %% [markdown]
# ## Where to go from here
#
# With more classes and more data there are several minima: `examples/your_network.py` has a PyTorch network with two,
# `examples/small_network.py` one on all ten digits with three, and `examples/large_network.py` one of 10 749 parameters.
# There the reports have costs, and `prediction.check(budget=60)` asks SGD itself (notebook 7).
#
# ## What to remember
#
# - `predict(from_torch(model, loss, data, weight_decay=...))` needs no more arguments.
# - Minima are counted up to symmetries. One minimum is an answer: there is nothing to select.
# - Equal units stay equal under SGD.
#
# ## Exercises
#
# **1.** How many images does a minimum of a network with three tanh units have?
#
# <details><summary>Answer</summary>
#
# $3!\cdot 2^3 = 48$: exchanges of three units and a sign for each. (Images may coincide: with twins an exchange changes
# nothing.)
#
# </details>
#
# **2.** 96 training runs have ended at one minimum. What is the largest share of starts that could lead elsewhere, with 95
# % confidence, if all runs were independent? The report says 6.1 %; which number of runs gives that?
#
# <details><summary>Answer</summary>
#
# If a share $q$ of the starts led elsewhere, all of 96 runs would miss it with probability $(1-q)^{96}$. That is 5 % for
# $q = 3.1\,\%$. The 6.1 % of the report is the value for 48 runs: it does not count all of them as evidence.
#
# </details>
#
# **3.** What does `qpot.network_sum` say to `weight_decay=0`?
#
# <details><summary>Answer</summary>
#
# It refuses: "weight_decay must be a finite number > 0". Without weight decay separable data have no minimum, and units that
# nothing needs have flat directions.
#
# </details>

# %%
# The numbers of the answers.
assert np.allclose([1 - 0.05 ** (1 / 96), 1 - 0.05 ** (1 / 48)], [0.031, 0.061], atol=6e-4)
try:
    qpot.network_sum(X, y, hidden=2, weight_decay=0.0)
except ValueError as error:
    refused = str(error)
    print("3:", refused)
assert "weight" in refused
print(f"figures: {OUTPUT / '4_your_own_network.png'} and ..._2.png")
