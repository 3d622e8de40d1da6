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
# # Your own network in three lines
#
# Put your model, your loss and your data into `from_torch`. `predict` finds the minima by training runs, divides out what no
# sample ever moves (here the common shift of the outputs), counts minima that differ by exchanges and signs of units once,
# finds the passes between them, and computes what the minibatch noise pays for each. Every choice that it makes by itself is
# a line at the end of the report, with the argument that overrides it. This example needs PyTorch:
# `pip install 'qpot[torch]'`.

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
from sklearn.datasets import load_wine

import qpot

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()

# %% [markdown]
# ## The three lines
#
# The model has two tanh units and tells three kinds of wine apart by two principal components of their chemical analyses.

# %%
data = load_wine()
chosen = np.random.default_rng(0).permutation(len(data.target))[:40]
scaled = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
inputs = scaled @ np.linalg.svd(scaled, full_matrices=False)[2][:2].T
inputs, targets = (inputs / inputs.std(axis=0))[chosen], data.target[chosen]
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 3))

total = qpot.from_torch(model, torch.nn.functional.cross_entropy, (inputs, targets), weight_decay=0.02)
prediction = qpot.predict(total)
print(prediction)

# %% [markdown]
# **The height of the pass is not what the noise pays.** It is 0.0036 above the minimum that is selected and 0.0016 above the
# other one, and the costs of leaving them are 2.6 and 2.0, several hundred times as much, and in another ratio.
#
# Neither path climbs straight to a pass. Single samples pull hardest where the loss is large, so that the noise is louder
# there: the cheapest ways rise far above the passes and come down to them for nothing. The library finds such ways by letting
# the noise leave both minima in a short simulation ("exits by noise" in the report). (`prediction.check(budget=...)` would
# hold the costs against real runs. They are several times any learning rate at which SGD is stable here, so that escapes are
# too rare to be seen in a minute, and it says so.)

# %%
losses = [m.loss for m in prediction.minima]
(selected,) = prediction.selected
assert len(losses) >= 2
other = next(k for k in range(len(losses)) if k != selected)
lowest = min(saddle.loss for saddle in prediction.saddles)
for home, away in ((selected, other), (other, selected)):
    way = prediction.costs.path(home, away)
    assert total.loss(way.points).max() - losses[home] > 3 * (lowest - losses[home]), (
        "the noise climbs straight to the pass"
    )
assert prediction.margin > 3 * prediction.margin_error

# %% [markdown]
# ## The picture

# %%
BLUE, ORANGE = "#0072B2", "#D55E00"
plt.rcParams.update({"font.size": 16})
figure, axes = plt.subplots(1, 2, figsize=(15, 6.5), layout="constrained")
figure.suptitle(
    f"A network of {total.dimension} parameters: the noise does not climb straight to the pass", fontsize=21
)
for home, away, colour in ((other, selected, BLUE), (selected, other, ORANGE)):
    path = prediction.costs.path(home, away)
    up = path.points[path.uphill]
    steps = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(up, axis=0), axis=1))]
    axes[0].plot(
        steps / steps[-1], total.loss(up), color=colour, linewidth=3,
        label=f"out of minimum {home}: cost {path.action:.2f} ± {path.error:.1g}",
    )  # fmt: skip
axes[0].axhline(lowest, color="0.4", linestyle="--", linewidth=2, label="loss at the lowest pass")
axes[0].set(xlabel="share of the way to the pass", ylabel="loss")
axes[0].set_title("The cheapest ways to the pass rise above it")
axes[0].legend(loc="upper left", fontsize=14)
axes[0].set_ylim(top=1.35 * axes[0].get_ylim()[1])
places = np.arange(len(losses))
bars = axes[1].bar(
    places, prediction.stationary_costs, yerr=prediction.stationary_errors, width=0.5, capsize=8,
    color=[ORANGE if k == selected else BLUE for k in places],
)  # fmt: skip
for k, bar in enumerate(bars):
    note = "selected" if k == selected else ""
    axes[1].annotate(
        f"loss {losses[k]:.4f}\n{note}", (k, bar.get_height()), xytext=(0, 12), textcoords="offset points", ha="center"
    )
axes[1].set(xticks=places, xticklabels=[f"minimum {k}" for k in places], ylabel="W: -epsilon log(share of time)")
axes[1].set_ylim(0, 1.3 * max(prediction.stationary_costs.max(), 0.1))
axes[1].set_title("Small W: where SGD is most of the time")
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "your_network.png", dpi=100)
print(f"figure: {output / 'your_network.png'}")
