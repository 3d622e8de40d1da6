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
# differ only by swaps and signs of units are counted once. Which one does the noise leave more easily, and how?
#
# One call finds the minima, their symmetries, the pass between them and the two costs; no matrix of 10 749 x 10 749 entries
# is formed. `noise="low rank"` freezes the noise at the pass: its leading directions, as many as hold 99 % of it, and a floor
# in all others, the largest variance among them.
#
# **How far is SGD's own noise from it?** With 150 samples the directions of the noise turn along the way, and the report says
# what the samples' own covariance, with the same floor, costs along the same paths: more than ten times as much, and most
# of that is paid to the floor. The frozen noise crosses between the two networks; SGD hardly does. This example needs
# PyTorch: `pip install 'qpot[torch]'`.

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
import torch
from sklearn.datasets import load_digits

import qpot

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
CLASSES, SAMPLES = (3, 5, 8, 9), 150
digits = load_digits()
some = np.isin(digits.target, CLASSES)
order = np.random.default_rng(0).permutation(some.sum())
pixels, labels = digits.data[some][order] / 16.0, np.searchsorted(CLASSES, digits.target[some][order])
first, second = np.triu_indices(pixels.shape[1])
features = np.concatenate([pixels, pixels[:, first] * pixels[:, second]], axis=1)
features -= features[:SAMPLES].mean(axis=0)
features /= 0.5 * np.sqrt((features[:SAMPLES] ** 2).sum(axis=1).mean())

# %% [markdown]
# ## One call
# Eight training runs and two minima keep this example short; by default there would be more of both.

# %%
torch.manual_seed(0)
torch.set_num_threads(1)
network = torch.nn.Sequential(torch.nn.Linear(features.shape[1], 5), torch.nn.Tanh(), torch.nn.Linear(5, len(CLASSES)))
loss = qpot.from_torch(
    network, torch.nn.functional.cross_entropy, (features[:SAMPLES], labels[:SAMPLES]), weight_decay=0.01
)
prediction = qpot.predict(loss, noise="low rank", starts=8, max_minima=2)
print(prediction)

# %% [markdown]
# ## The picture

# %%
A, B = prediction.minima
saddle = min((s for s in prediction.saddles if set(s.connects) == {0, 1}), key=lambda s: s.loss)
legs = {"A": prediction.costs.paths[0, 1], "B": prediction.costs.paths[1, 0]}
climbs = {name: (leg.points[leg.uphill], leg.action) for name, leg in legs.items()}
ratio = legs["A"].action / legs["B"].action
heights = (saddle.loss - A.loss) / (saddle.loss - B.loss)
BLUE, ORANGE = "#0072B2", "#D55E00"
plt.rcParams.update({"font.size": 18})
figure, axes = plt.subplots(1, 3, figsize=(21, 7.5), layout="constrained")
figure.suptitle(
    f"{loss.dimension:,} parameters, noise frozen at the pass: leaving A costs {ratio:.2f} times as much as leaving B "
    f"(isotropic noise: {heights:.2f})",
    fontsize=23,
)
# Each climb ends at its own image of the saddle, where the noise is turned with it.
noises = {
    name: qpot.estimate_covariance(loss, points[-1], method=qpot.LowRankCovariance(rank=64), rng=0)
    for name, (points, _) in climbs.items()
}
noise = noises["A"]


def along(points):
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def thousandths(points):
    return 1e3 * (loss.loss(points) - min(A.loss, B.loss))


ax = axes[0]
for name, m, colour, sign in (("A", A, BLUE, -1), ("B", B, ORANGE, 1)):
    points, cost = climbs[name]
    s = along(points)
    at, height = sign * (s[-1] - s), thousandths(points)
    ax.plot(at, height, color=colour, linewidth=4)
    ax.plot(at[0], height[0], "o", color=colour, markersize=17)
    ax.annotate(
        f"{name}: loss {m.loss:.4f}\ncost {cost:.2f}", (at[0], height[0]), xytext=(75 if sign < 0 else 12, -30 - 14 * sign),
        textcoords="offset points", ha="left" if sign < 0 else "right", va="center", color=colour, fontweight="bold",
    )  # fmt: skip
top = thousandths(saddle.point[None])[0]
ax.plot(0.0, top, "X", color="black", markersize=16, zorder=3)
ax.annotate("saddle", (0.0, top), xytext=(0, 14), textcoords="offset points", ha="center")
ax.set(xlabel="length along the path, from the saddle", ylabel="loss, in thousandths above the lower minimum")
ax.set_title("The way out of B comes to the pass from above", fontsize=18)
ax.margins(y=0.15)

ax = axes[1]
ax.semilogy(np.arange(1, noise.eigenvalues.size + 1), noise.eigenvalues, "o", color="black", markersize=8)
ax.set(xlabel="direction", ylabel="variance of one sample's gradient")
ax.set_title(f"{noise.eigenvalues.size} directions hold {noise.captured:.1%} of the noise", fontsize=18)

ax = axes[2]
mean_shares = {}
for name, colour, style in (("A", BLUE, "-"), ("B", ORANGE, "--")):
    points = climbs[name][0]
    away = points - points[0]
    far = np.linalg.norm(away, axis=1)
    seen = far > 0.02 * far[-1]
    share = np.linalg.norm(away[seen] @ noises[name].eigenvectors, axis=1) ** 2 / far[seen] ** 2
    ax.plot(far[seen] / far[-1], share, style, color=colour, linewidth=4, label=f"out of {name}")
    mean_shares[name] = share.mean()
ax.set(xlabel="distance from the minimum, over the saddle's", ylabel="share of the way in these directions")
ax.set_title("The way out of A runs more with the noise,\nand costs less than its height says", fontsize=18)
ax.set_ylim(bottom=0.0)
ax.legend(frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "large_network.png", dpi=100)
print(f"figure: {output / 'large_network.png'}")

# %% [markdown]
# ## What was found, checked
# On a minimum action path H = 0, so that the cost of a climb is also the integral of p dx, taken here by the trapezoidal rule
# on the path's nodes.

# %%
for name, m in (("A", A), ("B", B)):
    leg = legs[name]
    points, momenta = leg.points[leg.uphill], leg.momenta[leg.uphill]
    again = 0.5 * ((momenta[1:] + momenta[:-1]) * np.diff(points, axis=0)).sum()
    outputs = loss.model_at(m.point).double()(torch.tensor(features[SAMPLES:]))
    accuracy = float((outputs.argmax(1).numpy() == labels[SAMPLES:]).mean())
    print(
        f"out of {name} (loss {m.loss:.6f}, test accuracy {accuracy:.3f}, {saddle.loss - m.loss:.6f} below the pass): "
        f"cost {leg.action:.4f} +- {leg.error:.1g}, by p dx {again:.4f}"
    )
    assert leg.status.ok
    assert leg.error <= 1e-2 * leg.action
    assert abs(again / leg.action - 1) < 0.03
print(f"cost of leaving A over that of leaving B: {ratio:.2f}; isotropic noise: {heights:.2f}")
assert 1.0 < ratio < heights
assert thousandths(climbs["B"][0]).max() > 1.02 * top
assert thousandths(climbs["A"][0]).max() < 1.001 * top
assert mean_shares["A"] > 1.2 * mean_shares["B"]
assert prediction.selected == (0,)
assert any("the samples' covariance with that floor costs" in note for note in prediction.costs.notes)
