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
# # Ten thousand parameters: the way from one trained network to another
#
# A PyTorch network of 10 749 parameters tells the handwritten digits 3, 5, 8 and 9 apart (scikit-learn; 64 pixels and all
# their products, five tanh units, weight decay). Training from different seeds ends at different minima, even if minima that
# differ only by swaps and signs of units are counted once. Which one does the noise of SGD leave more easily, and how?
#
# No matrix of 10 749 x 10 749 entries is formed. The search for the saddle between the two uses Hessian-vector products; the
# noise is the covariance of single-sample gradients in its 48 leading directions, a number of our choice, with a floor in all
# others; and the minimum action path is found by products with the Hessian of the loss. This example needs PyTorch:
# `pip install 'qpot[torch]'`.

# %%
import itertools
import os
import pathlib
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # For small matrices several BLAS threads are slower than one.
    os.environ.setdefault(variable, "1")

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

import qpot

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
# The digits that the network tells apart.
CLASSES = (3, 5, 8, 9)
# The number of training images.
SAMPLES = 150
# The number of tanh units.
UNITS = 5
# The coefficient of the weight decay.
DECAY = 0.01
# The number of noise directions that are kept.
RANK = 48
clock = time.process_time()
torch.manual_seed(0)
torch.set_num_threads(1)


def seconds():
    return f"{time.process_time() - clock:.0f} s"


# %% [markdown]
# ## The model

# %%
digits = load_digits()
some = np.isin(digits.target, CLASSES)
order = np.random.default_rng(0).permutation(some.sum())
pixels, labels = digits.data[some][order] / 16.0, np.searchsorted(CLASSES, digits.target[some][order])
first, second = np.triu_indices(pixels.shape[1])
features = np.concatenate([pixels, pixels[:, first] * pixels[:, second]], axis=1)
features -= features[:SAMPLES].mean(axis=0)
features /= 0.5 * np.sqrt((features[:SAMPLES] ** 2).sum(axis=1).mean())
inputs = features.shape[1]

network = torch.nn.Sequential(torch.nn.Linear(inputs, UNITS), torch.nn.Tanh(), torch.nn.Linear(UNITS, len(CLASSES)))
loss = qpot.from_torch(
    network, torch.nn.functional.cross_entropy, (features[:SAMPLES], labels[:SAMPLES]), weight_decay=DECAY
)
group = qpot.dense_layer_symmetries((inputs, UNITS, len(CLASSES)), odd=True)
d = loss.dimension
print(f"{d} parameters, {SAMPLES} samples, {group.order} copies of every minimum")


def test_accuracy(x):
    outputs = loss.model_at(x).double()(torch.tensor(features[SAMPLES:]))
    return float((outputs.argmax(1).numpy() == labels[SAMPLES:]).mean())


# %% [markdown]
# ## Two trained solutions and the saddle between them
# Four seeds give four solutions. The first two of them that one saddle joins are taken; of the second one's copies it is the
# one nearest to the first.

# %%
box = [(-8, 8)] * d
spread = np.where(np.arange(d) < UNITS * inputs, 0.05, 1.0)
seeds = np.array([spread * np.random.default_rng(seed).normal(size=d) for seed in range(4)])
plain = qpot.System.from_finite_sum(loss, covariance=1.0)
trained = [m.point for m in qpot.find_minima(plain, box, starts=seeds)]
for first, second in itertools.combinations(trained, 2):
    pair = np.array([first, group.image(second, first)])
    A, B = minima = qpot.find_minima(plain, box, starts=pair)
    saddles = [s for s in qpot.find_saddles(plain, minima, box) if s.connects == (0, 1)]
    if saddles:
        break
saddle = saddles[0]
for name, m in (("A", A), ("B", B)):
    print(f"{name}: loss {m.loss:.6f}, test accuracy {test_accuracy(m.point):.3f}, {saddle.loss - m.loss:.6f} below")
print(f"the saddle, loss {saddle.loss:.6f}, slowest rates {saddle.rates[:2].real} ({seconds()})")

# %% [markdown]
# ## The noise
# The covariance is taken at the saddle, which favours neither of the two minima. In every direction that is left out the
# noise is a floor, the largest variance among them. Since this is an upper bound of the noise there, the costs are lower
# bounds of those without the floor.

# %%
noise = qpot.estimate_covariance(loss, saddle, method=qpot.LowRankCovariance(rank=RANK + 1), rng=0)
floor = float(noise.eigenvalues[-1])
print(noise, f"floor {floor:.2e}, largest {noise.eigenvalues[0]:.3f} ({seconds()})")
covariance = qpot.low_rank_covariance(loss, saddle, rank=RANK, floor=floor, rng=0)
system = qpot.System.from_finite_sum(loss, covariance=covariance)

# %% [markdown]
# ## The path
# There is one leg up to the saddle from each side; the free descent from there costs nothing.

# %%
method = qpot.LargeScaleAction(tolerance=1e-2, starts=1)
legs = {}
for name, m in (("A", A), ("B", B)):
    legs[name] = qpot.minimum_action_path(system, m, saddle, method=method)
    leg = legs[name]
    print(f"out of {name}: cost {leg.action:.4f} +- {leg.error:.1g}, {leg.iterations} products ({seconds()})")
    assert leg.status.ok
    assert leg.error <= 1e-3 * leg.action

# %% [markdown]
# Two checks are independent of the solver's own quadrature. On a minimum action path H = 0, so that the cost is also the
# integral of p dx, taken here by the trapezoidal rule on the path's nodes. And the cost lies between those under isotropic
# noise of the largest and of the smallest variance.

# %%
for name, m in (("A", A), ("B", B)):
    leg, rise = legs[name], 2.0 * (saddle.loss - m.loss)
    again = 0.5 * ((leg.momenta[1:] + leg.momenta[:-1]) * np.diff(leg.points, axis=0)).sum()
    print(
        f"{name}: {leg.action:.4f}, by p dx {again:.4f}, between {rise / noise.eigenvalues[0]:.3f} and {rise / floor:.3f}"
    )
    assert abs(again / leg.action - 1) < 0.03
    assert rise / noise.eigenvalues[0] < leg.action < rise / floor
ratio = legs["A"].action / legs["B"].action
heights = (saddle.loss - A.loss) / (saddle.loss - B.loss)
print(f"cost of leaving A over that of leaving B: {ratio:.2f}; isotropic noise: {heights:.2f}")
assert heights < 0.75 * ratio < 0.75, "the noise's shape makes up for much of the difference in height"

# %% [markdown]
# ## The picture

# %%
BLUE, ORANGE = "#0072B2", "#D55E00"
plt.rcParams.update({"font.size": 18})
figure, axes = plt.subplots(1, 3, figsize=(21, 7.5), layout="constrained")
easier, harder = sorted(legs, key=lambda name: legs[name].action)
figure.suptitle(
    f"{d:,} parameters: the exponent of leaving {easier} is {legs[easier].action / legs[harder].action:.0%} of that of "
    f"leaving {harder}; isotropic noise says {min(heights, 1 / heights):.0%}",
    fontsize=23,
)


def along(leg):
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(leg.points, axis=0), axis=1))])


def thousandths(points):
    return 1e3 * (loss.loss(points) - min(A.loss, B.loss))


ax = axes[0]
lengths = {name: along(leg)[-1] for name, leg in legs.items()}
for name, m, colour, sign in (("A", A, BLUE, -1), ("B", B, ORANGE, 1)):
    leg = legs[name]
    at, height = sign * (lengths[name] - along(leg)), thousandths(leg.points)
    ax.plot(at, height, color=colour, linewidth=4)
    ax.plot(at[0], height[0], "o", color=colour, markersize=17)
    ax.annotate(
        f"{name}: loss {m.loss:.4f}\ncost {leg.action:.3f} ± {leg.error:.0e}", (at[0], height[0]),
        xytext=(-8, -22) if sign < 0 else (-70, 16), textcoords="offset points", ha="left" if sign < 0 else "right",
        va="top" if sign < 0 else "center", color=colour, fontweight="bold",
    )  # fmt: skip
top = thousandths(saddle.point[None])[0]
ax.plot(0.0, top, "X", color="black", markersize=16, zorder=3)
ax.annotate("saddle", (0.0, top), xytext=(10, 10), textcoords="offset points")
segment = np.linspace(A.point, B.point, 41)
ends = -lengths["A"], lengths["B"]
ax.plot(np.linspace(*ends, 41), thousandths(segment), ":", color="0.5", linewidth=3, label="straight from A to B")
ax.set(xlabel="length along the path, from the saddle", ylabel="loss, in thousandths above the lower minimum")
ax.set_title("The path stays well below the segment", fontsize=18)
ax.set_ylim(-0.5, 1.25 * thousandths(segment).max())
ax.legend(loc="upper right", frameon=False)

ax = axes[1]
ax.semilogy(np.arange(1, RANK + 1), noise.eigenvalues[:RANK], "o", color="black", markersize=8)
ax.axhline(floor, color="0.5", linestyle="--", linewidth=3)
ax.annotate(
    f"floor {floor:.1e}, in {d - RANK:,} directions", (1, floor), xytext=(0, 8), textcoords="offset points"
)  # fmt: skip
ax.set(xlabel="direction", ylabel="variance of one sample's gradient", ylim=(0.6 * floor, None))
ax.set_title(f"{RANK + 1} directions hold {noise.captured:.1%} of the noise", fontsize=18)

ax = axes[2]
for name, colour, style in (("A", BLUE, "-"), ("B", ORANGE, "--")):
    away = legs[name].points - legs[name].points[0]
    far = np.linalg.norm(away, axis=1)
    seen = far > 0.02 * far[-1]
    share = np.linalg.norm(away[seen] @ noise.eigenvectors[:, :RANK], axis=1) ** 2 / far[seen] ** 2
    ax.plot(far[seen] / far[-1], share, style, color=colour, linewidth=4, label=f"out of {name}")
ax.set(xlabel="distance from the minimum, over the saddle's", ylabel="share of the way in the noisy directions")
ax.set_title(f"The way out of {harder} runs more with the noise", fontsize=18)
ax.set_ylim(bottom=0.0)
ax.legend(frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "large_network.png", dpi=100)
print(f"figure: {output / 'large_network.png'} ({seconds()} of CPU)")
