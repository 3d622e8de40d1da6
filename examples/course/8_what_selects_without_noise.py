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
# # 8. What selects without noise
#
# *The course: 1 what a quasi-potential is · 2 your own system · 3 your own loss · 4 your own network · 5 noise ·
# 6 where is SGD after n steps? · 7 checking against the real algorithm · **8 what selects without noise**.*
#
# So far the noise made the choice. Often there is no choice to make by noise: the training is short, the learning rate
# small, or the loss has no minimum at all. Then something else selects. Three cases: the *flow*, that is the start and the
# optimiser; the *margin*, where the loss sinks for ever; and the *path kernel*, which says what each training picture has
# contributed. Reading takes about 12 minutes.

# %%
import os
import pathlib
import sys

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

try:
    from sklearn.datasets import load_digits
except ImportError as error:
    raise SystemExit("this notebook needs scikit-learn: python -m pip install 'qpot[ml]'") from error

import qpot
from qpot.plots.axes import BLUE, ORANGE, VERMILION

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
OUTPUT = HERE / "output"
OUTPUT.mkdir(exist_ok=True)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## Flows: the start selects
#
# Without noise and with small steps an optimiser is a *flow*, a differential equation. Gradient flow is $\dot x = -\nabla
# L$; along it the loss obeys the law $dL/dt = -|\nabla L|^2$. The sign flow moves every parameter at speed one, $\dot x =
# -\mathrm{sign}\,\nabla L$, with the law $dL/dt = -|\nabla L|_1$. Here is the double well with a valley that lies at an
# angle.

# %%


def loss(x):
    return (x[:, 0] ** 2 - 1) ** 2 / 4 + (x[:, 1] - x[:, 0] / 2) ** 2


def gradient(x):
    across = 2 * (x[:, 1] - x[:, 0] / 2)
    return np.stack([x[:, 0] ** 3 - x[:, 0] - across / 2, across], axis=1)


wells = qpot.System.from_loss(loss, gradient, 1.0, dimension=2)
FLOWS = {"gradient": qpot.GradientFlow(), "sign": qpot.SignFlow()}
METHODS = {"gradient": qpot.EventDriven(), "sign": qpot.FixedStep(step=0.005)}
STARTS = [np.array([0.3, -1.2]), np.array([0.5, -1.3]), np.array([-0.2, 1.5])]
courses = {
    name: [qpot.integrate_flow(wells, x, flow=FLOWS[name], duration=15.0, method=METHODS[name]) for x in STARTS]
    for name in FLOWS
}
for name, runs in courses.items():
    for run in runs:
        print(f"{name:9s} flow from {run.points[0].round(2)} ends at {run.end.round(3)}")
ends = {name: np.array([run.end for run in runs]) for name, runs in courses.items()}
kept = max(np.abs(run.law_residuals).max() for run in courses["gradient"])
print(f"the law dL/dt = -|grad L|^2 of the gradient flow holds to {kept:.0e}")
assert kept < 1e-3
assert np.allclose(ends["gradient"][:, 0], [-1, 1, 1], atol=0.02)
assert np.allclose(ends["sign"][:, 0], [-1, -1, 1], atol=0.02)

# %% [markdown]
# From the second start the two flows end at *different* minima. Nothing random happened: each optimiser has basins of its
# own. Without noise the start and the optimiser select, and neither depth nor flatness is asked.
#
# ## The minimum at infinity: the margin selects
#
# Now the threes and eights again, 60 of them by two principal components, and a linear classifier: the sign of
# $\langle\theta, x\rangle$, with a third component of $x$ that is one. If a line separates the classes, the logistic loss
# $\sum_i\log(1+e^{-y_i\langle\theta,x_i\rangle})$ has no minimum: a longer $\theta$ is always better. Gradient flow runs
# off to infinity, but its direction converges, to the line with the largest distance from the nearest samples: the
# **hard-margin** support vector machine. We keep 60 pictures that a line separates.

# %%
digits = load_digits()
chosen = np.isin(digits.target, (3, 8))
pixels, labels = digits.data[chosen] / 16, np.where(digits.target[chosen] == 8, 1.0, -1.0)
picked = np.random.default_rng(0).permutation(len(labels))[:200]
pixels, labels = pixels[picked], labels[picked]
mean = pixels.mean(axis=0)
plane = (pixels - mean) @ np.linalg.svd(pixels - mean, full_matrices=False)[2][:2].T
plane /= plane.std(axis=0)
# The pictures nearest to the border are left out, so that a line separates the others.
guide = np.linalg.lstsq(np.column_stack([plane, np.ones(200)]), labels, rcond=None)[0]
clear = np.flatnonzero(labels * (np.column_stack([plane, np.ones(200)]) @ guide) > 0.3)[:60]
points, y = plane[clear], labels[clear]
Z = np.column_stack([points, np.ones(60)])
flow = qpot.margin_flow(Z, y, log_time=np.log(1e100), start=[-1.0, 2.0, 0.0])
machine = flow.svm
print(flow)
print(f"support vectors of the flow {sorted(flow.support)} and of the machine {sorted(machine.support)}")
assert set(flow.support) == set(machine.support)


def angle(weights):
    """The angle between the flow's line and the machine's, in degrees."""
    cosine = weights @ machine.normal / np.linalg.norm(weights) / np.linalg.norm(machine.normal)
    return np.degrees(np.arccos(min(cosine, 1.0)))


log10 = flow.log_times / np.log(10.0)
at = {k: flow.weights[np.argmin(np.abs(log10 - k))] for k in (0, 2, 6, 100)}
angles = {k: angle(w) for k, w in at.items()}
print("angle to the machine at t = 10^k:", {k: round(float(v), 2) for k, v in angles.items()})
assert angles[100] < 1 < angles[0]

# %% [markdown]
# The convergence is slow, like $1/\log t$; the library integrates in $\log t$, so that $t = 10^{100}$ takes a moment. Only
# a few pictures, the **support vectors**, decide in the end. They are those next to the border, not the typical ones.

# %%
figure, axes = plt.subplots(1, 2, figsize=(13.5, 5.6), layout="constrained")
ax = axes[0]
side = np.linspace(-1.7, 1.7, 141)
grid = np.stack(np.meshgrid(side, side), axis=2)
ax.contour(side, side, loss(grid.reshape(-1, 2)).reshape(141, 141), levels=np.geomspace(0.02, 4, 12), colors="0.75")
for name, colour, style in (("gradient", BLUE, "-"), ("sign", VERMILION, "--")):
    for k, run in enumerate(courses[name]):
        ax.plot(*run.points.T, style, color=colour, linewidth=3, label=f"{name} flow" if k == 0 else None)
for k, x in enumerate(STARTS):
    ax.plot(*x, "o", color="black", markersize=9)
    ax.annotate(f"start {k + 1}", x, xytext=(10, 4 - 8 * k), textcoords="offset points")
ax.plot([-1, 1], [-0.5, 0.5], "*", color="white", markeredgecolor="black", markersize=20, linestyle="", label="minima")
ax.set(xlabel="x", ylabel="y", xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
ax.set_title("From start 2 the optimisers end at different minima")
ax.legend(loc="upper right", fontsize=12)
ax = axes[1]
for sign, marker, colour, name in ((-1, "o", BLUE, "threes"), (1, "s", ORANGE, "eights")):
    ax.plot(*points[y == sign].T, marker, color=colour, markersize=7, label=name)
ax.plot(
    *points[machine.support].T,
    "o",
    color="black",
    fillstyle="none",
    markersize=17,
    linestyle="",
    label="support vectors",
)
span = np.array([-3.0, 3.0])
for k, shade in ((0, "0.7"), (2, "0.4")):
    a, b, c = at[k]
    ax.plot(span, -(a * span + c) / b, color=shade, linewidth=2, linestyle="--", label=f"flow at t = 10^{k}")
a, b, c = at[100]
ax.plot(span, -(a * span + c) / b, color=VERMILION, linewidth=4, label="flow at t = 10^100")
a, b, c = machine.normal
ax.plot(span, -(a * span + c) / b, color="black", linewidth=1.3, label="hard margin")
ax.set(xlim=(-2.4, 2.6), ylim=(-4.4, 2.8), xlabel="first component", ylabel="second component")
ax.set_title("The flow turns into the hard margin")
ax.legend(loc="lower left", fontsize=10, ncols=2)
figure.savefig(OUTPUT / "8_what_selects_without_noise.png", dpi=100)

# %% [markdown]
# ## The path kernel: what each picture has contributed
#
# A small network learns threes against eights by gradient flow. Along the way every training picture pulls at the
# parameters, and its pulls change the output for a test picture. Added up over the training, these contributions *are* the
# output: $f_T(x) = f_0(x) + \sum_i c_i(x)$. The kernel behind this sum is called the **path kernel**.

# %%
X = pixels[:60] - pixels[:60].mean(axis=0)
X_test, y_test = pixels[60:] - pixels[:60].mean(axis=0), labels[60:]
network = qpot.dense_network(64, 4)
start = np.random.default_rng(1).normal(scale=0.3, size=network.dimension)
path = qpot.train_flow(
    network, X, labels[:60], loss=qpot.MarginError(loss=qpot.Logistic()), start=start, step=0.25, steps=120, order=2
)
explanation = path.explain(X_test)
accuracy = (np.sign(explanation.prediction[:, 0]) == y_test).mean()
print(f"{network.dimension} parameters, accuracy on {len(y_test)} test pictures {accuracy:.3f}")
print(explanation)
assert accuracy > 0.9
assert explanation.error < 0.05 * np.abs(explanation.prediction).max()
doubtful = int(np.abs(explanation.prediction[:, 0]).argmin())
ranking = explanation.ranking(doubtful, top=6)

# %%
figure, panels = plt.subplots(1, 7, figsize=(13.5, 3.2), layout="constrained")
value = explanation.prediction[doubtful, 0]
panels[0].imshow(pixels[60 + doubtful].reshape(8, 8), cmap="gray_r")
panels[0].set_title(f"test picture\nf = {value:+.2f}\n(it is {'an 8' if y_test[doubtful] > 0 else 'a 3'})", fontsize=12)
for panel, (i, part) in zip(panels[1:], ranking, strict=True):
    panel.imshow(pixels[i].reshape(8, 8), cmap="gray_r")
    panel.set_title(
        f"{'an 8' if labels[i] > 0 else 'a 3'}\nadds {part:+.2f}", color=BLUE if part > 0 else VERMILION, fontsize=12
    )
for panel in panels:
    panel.set(xticks=[], yticks=[])
figure.suptitle("The most doubtful test picture and the six training pictures that moved it most")
figure.savefig(OUTPUT / "8_what_selects_without_noise_2.png", dpi=100)

# %% [markdown]
# ## What to remember
#
# - Without noise the start and the optimiser select.
# - On separable data the loss has no minimum, and the margin selects the direction.
# - A trained model is the sum of what its training pictures have contributed.
#
# ## Exercises
#
# **1.** Does the scale of a parameter matter to a flow? Start the gradient flow at start 2 for the loss of $y' = 2y$, that
# is $L(x, y'/2)$.
#
# <details><summary>Answer</summary>
#
# Yes, it does: gradient flow depends on the units of the parameters. In the new units it ends at $(-1, -0.5)$, the left
# minimum, where it ended at the right minimum before.
#
# </details>
#
# **2.** Remove a sample that is no support vector. How does the hard margin change?
#
# <details><summary>Answer</summary>
#
# Not at all: the machine's line depends on its support vectors only. (The flow at a finite time does change a little.)
#
# </details>
#
# **3.** Which share of the sum of all $|c_i|$ behind the doubtful picture belongs to the six pictures that are shown?
#
# <details><summary>Answer</summary>
#
# 45 %: a good part, but more comes from the other 54, each with a little.
#
# </details>

# %%
# The numbers of the answers.
scaled = qpot.System.from_loss(lambda x: loss(x / [1, 2]), lambda x: gradient(x / [1, 2]) / [1, 2], 1.0, dimension=2)
moved = qpot.integrate_flow(
    scaled, STARTS[1] * [1, 2], flow=qpot.GradientFlow(), duration=40.0, method=qpot.EventDriven()
)
assert np.allclose(moved.end / [1, 2], [-1, -0.5], atol=1e-2)
print("1:", (moved.end / [1, 2]).round(3))
rest = [i for i in range(60) if i != next(k for k in range(60) if k not in set(machine.support))]
again = qpot.separate(Z[rest], y[rest])
print("2: normals differ by", np.abs(again.normal - machine.normal).max())
assert np.allclose(again.normal, machine.normal, rtol=1e-6)
everything = np.abs([part for _, part in explanation.ranking(doubtful, top=60)])
share = np.abs([part for _, part in ranking]).sum() / everything.sum()
assert round(share, 2) == 0.45
print(f"3: {share:.2f}")
print(f"figures: {OUTPUT / '8_what_selects_without_noise.png'} and ..._2.png")
