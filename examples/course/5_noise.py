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
# # 5. Noise: measured, Gaussian or not, flat or sharp
#
# *The course: 1 what a quasi-potential is · 2 your own system · 3 your own loss · 4 your own network · **5 noise** ·
# 6 where is SGD after n steps? · 7 checking against the real algorithm · 8 what selects without noise.*
#
# The noise of SGD decides, so look at it. How strong is it, in which directions, and does it know of the curvature of the
# loss? Is it Gaussian enough? And does SGD really prefer flat minima? Reading takes about 12 minutes.

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
# ## Measured
#
# A linear classifier of 200 threes and eights by ten principal components, with the logistic loss $L_i(\theta) =
# \log(1+e^{-y_i\langle\theta, x_i\rangle}) + \frac{\lambda}{2}|\theta|^2$. At its only minimum `measure_noise` finds the
# covariance $C$ of one sample's gradient and compares it with the Hessian $H$ of the loss.

# %%
digits = load_digits()
chosen = np.isin(digits.target, (3, 8))
pixels, y = digits.data[chosen] / 16, np.where(digits.target[chosen] == 8, 1.0, -1.0)
picked = np.random.default_rng(0).permutation(len(y))[:200]
pixels, y = pixels[picked], y[picked]
centred = pixels - pixels.mean(axis=0)
X = centred @ np.linalg.svd(centred, full_matrices=False)[2][:10].T
X /= X[:, 0].std()
total = qpot.margin_sum(X, y, loss=qpot.Logistic(), penalty=0.05)
system = qpot.System.from_finite_sum(total)
theta = np.zeros(10)
for _ in range(50):
    theta = theta - np.linalg.solve(-system.jacobian(theta[None])[0], total.gradient(theta[None])[0])
assert np.abs(total.gradient(theta[None])).max() < 1e-10
noise = qpot.measure_noise(total, theta, learning_rate=0.1)
print(noise)

# %% [markdown]
# - The **effective rank** says how many directions share the noise, $(\mathrm{tr}\,C)^2 / \|C\|^2$.
# - The **alignment** $\mathrm{tr}(CH)/(\|C\|\,\|H\|)$ is one if $C$ is a multiple of $H$.
#
# It is often said that the covariance *is* the Hessian. For a well specified model at the best fit the two are equal on
# average; here there is a penalty, and the samples near the border make most of the noise.

# %%
H = -system.jacobian(theta[None])[0]
C = system.covariance(theta[None])[0]
alignment = np.trace(C @ H) / np.linalg.norm(C) / np.linalg.norm(H)
print(f"alignment {noise.alignment:.3f}, by hand {alignment:.3f}; effective rank {noise.effective_rank:.2f} of 10")
assert np.isclose(noise.alignment, alignment)
along = np.array([[v @ C @ v, v @ H @ v] for v in np.linalg.eigh(H)[1].T[::-1]])
print("C / H along the directions of H:", (along[:, 0] / along[:, 1]).round(3))

# %% [markdown]
# ## Gaussian or not
#
# Minibatch noise is a draw from a finite set of gradients. By default qpot takes it as Gaussian with the exact covariance,
# which is good for many small steps. With `noise="exact"` the cost is that of the steps that SGD really takes. Where the
# samples are skewed the two differ. Take the double well $L = (x^2-1)^2/4$ with five samples $L + v_i x$, one large and
# four small $v_i$:

# %%
v = 2.0 * np.array([2.0, -0.5, -0.5, -0.5, -0.5])
assert v.sum() == 0
assert np.isclose((v**2).mean(), 4.0)
skewed = qpot.FiniteSum(
    sample_losses=lambda x: (x**2 - 1) ** 2 / 4 + x * v,
    sample_gradients=lambda x: (x**3 - x + v)[:, :, None],
    drawn_gradients=lambda x, i: (x**3 - x + v[i])[:, :, None],
    n_samples=5, dimension=1,
)  # fmt: skip
box = [(-2, 2)]
gaussian = qpot.predict(qpot.System.from_finite_sum(skewed), box, second_opinion=False)
exact = qpot.predict(qpot.System.from_finite_sum(skewed, noise="exact"), box, second_opinion=False)
for name, prediction in (("Gaussian", gaussian), ("exact", exact)):
    V = prediction.costs.values
    print(f"{name:9s} costs: left to right {V[0, 1]:.5f}, right to left {V[1, 0]:.5f}; selected {prediction.selected}")
assert gaussian.selected == (0, 1)
assert exact.selected == (0,) or exact.selected == (1,)
verdict = qpot.check_gaussianity(skewed, gaussian.costs.path(0, 1))
print(verdict)

# %% [markdown]
# By symmetry the Gaussian costs tie. The exact costs do not: the large step goes one way, four small ones the other. Ask
# SGD: escapes from both minima, at three learning rates. The log of the ratio of the times should grow with the slope
# $V(0,1)-V(1,0)$ in $1/\varepsilon$.

# %%
RATES = np.array([0.035, 0.045, 0.06])
log_ratio, error = [], []
for k, rate in enumerate(RATES):
    runs = [
        qpot.escape_times(
            gaussian.system, start=m, minima=gaussian.minima, learning_rate=rate, replicas=200, rng=10 * k + i,
            steps=int(3 * gaussian.escape_steps(rate)[i]),
        )
        for i, m in enumerate(gaussian.minima)
    ]  # fmt: skip
    log_ratio.append(np.log(runs[0].mean_steps / runs[1].mean_steps))
    error.append(np.sqrt(sum(1 / r.events for r in runs)))
    print(f"learning rate {rate}: left / right {np.exp(log_ratio[-1]):.2f}, {[r.events for r in runs]} escapes")
log_ratio, error = np.array(log_ratio), np.array(error)
gap = exact.costs.values[0, 1] - exact.costs.values[1, 0]
print("predicted by exact costs:", np.exp(gap / RATES).round(2))
assert np.all(np.abs(log_ratio - gap / RATES) < 4 * error)
assert np.all(np.abs(log_ratio) > 2 * error)

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
ax = axes[0]
directions = np.arange(1, 11)
ax.plot(
    directions, along[:, 1], "s--", color=ORANGE, linewidth=2, markersize=9, label="curvature: H along its directions"
)
ax.plot(
    directions, along[:, 0], "o-", color=BLUE, linewidth=2, markersize=9, label="noise: C along the same directions"
)
ax.set(yscale="log", xlabel="direction of the Hessian, stiffest first", ylabel="value", xticks=directions)
ax.set_title("The noise is not a multiple of the Hessian")
ax.legend(frameon=False)
ax = axes[1]
fine = np.linspace(1 / RATES.max() - 2, 1 / RATES.min() + 2, 2)
ax.plot(fine, np.exp(gap * fine), color=VERMILION, linewidth=3, label=f"exact noise: slope {gap:.4f}")
ax.axhline(1, color="0.55", linewidth=3, linestyle="--", label="Gaussian noise: a tie")
ax.errorbar(1 / RATES, np.exp(log_ratio), yerr=np.exp(log_ratio) * np.array([1 - np.exp(-2 * error), np.exp(2 * error) - 1]),
            fmt="o", color="black", markersize=9, capsize=5, label="SGD (95 %)")  # fmt: skip
ax.set(yscale="log", xlabel="1 / learning rate", ylabel="time on the left / time on the right", ylim=(0.7, 8))
ax.set_yticks([1, 2, 4], ["1", "2", "4"])
ax.set_yticks([], minor=True)
ax.set_title("Skewed noise breaks the tie, as exact costs say")
ax.legend(frameon=False, loc="upper left")
figure.savefig(OUTPUT / "5_noise.png", dpi=100)

# %% [markdown]
# ## Flat or sharp
#
# "SGD prefers flat minima." Let us build two wells of the same depth and barrier, the right one 3.4 times as curved as the
# left one: $L = (u^2-1)^2/4$ where $u$ runs from slope 1 on the left to slope 2 on the right. The noise is $a$ on the left
# and $a'$ on the right.


# %%
def stretched(x):
    return 1.5 * x + np.logaddexp(2 * x, -2 * x) / 4 - np.log(2) / 4, 1.5 + np.tanh(2 * x) / 2


def loss(x):
    return (stretched(x)[0][:, 0] ** 2 - 1) ** 2 / 4


def gradient(x):
    u, slope = stretched(x)
    return (u**3 - u) * slope


def wells(flat, sharp):
    """Two wells of one depth with this noise at the flat one and at the sharp one."""
    covariance = lambda x: (flat + (sharp - flat) / (1 + np.exp(-8 * x)))[:, :, None]  # noqa: E731
    return qpot.System.from_loss(loss, gradient, covariance, dimension=1)


NOISES = {"noise grows with\ncurvature (1, 4)": (1.0, 4.0), "same noise\n(2, 2)": (2.0, 2.0),
          "less noise at the\nsharp one (2, 1)": (2.0, 1.0)}  # fmt: skip
predictions = {name: qpot.predict(wells(*pair), [(-1.8, 1.4)], second_opinion=False) for name, pair in NOISES.items()}
EPSILON = 0.05
shares = {}
for name, prediction in predictions.items():
    V = prediction.costs.values
    curvature = [m.hessian[0, 0] for m in prediction.minima]
    shares[name] = prediction.occupation(EPSILON)
    print(f"{' '.join(name.split())}: curvatures {np.round(curvature, 2)}, costs {V[0, 1]:.3f} and {V[1, 0]:.3f}, "
          f"share of the flat one {shares[name][0]:.3f}")  # fmt: skip
    assert curvature[1] > 3 * curvature[0]
answers = [p.selected for p in predictions.values()]
assert answers == [(0,), (0, 1), (1,)]

# %% [markdown]
# The flat minimum is selected where the noise grows with the curvature, the sharp one where it is quieter, and with the
# same noise the costs tie. So the rule is true where its premise is: in many networks the noise does grow with the
# curvature. With equal noise the flat one still gets a larger share, since it is wider; but that is a factor which does not
# grow as $\varepsilon$ gets small.

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
ax = axes[0]
line = np.linspace(-1.75, 1.05, 300)[:, None]
ax.plot(line[:, 0], loss(line), color="black", linewidth=3)
for m, colour, name in zip(next(iter(predictions.values())).minima, (BLUE, ORANGE), ("flat", "sharp"), strict=True):
    ax.plot(m.point[0], 0, "o", color=colour, markersize=15)
    ax.annotate(name, (m.point[0], 0), xytext=(0, -24), textcoords="offset points", ha="center")
ax.set(xlabel="x", ylabel="loss", ylim=(-0.06, 0.5))
ax.set_title("Two wells of equal depth, curvatures 2.1 and 7.3")
ax = axes[1]
flat = [share[0] for share in shares.values()]
ax.barh(range(3), flat, color=BLUE, label="share of the flat minimum")
ax.barh(range(3), [1 - f for f in flat], left=flat, color=ORANGE, label="of the sharp one")
for k, f in enumerate(flat):
    ax.text(0.5, k, f"{f:.1%} flat", ha="center", va="center", color="black",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 3})  # fmt: skip
ax.set(
    yticks=range(3), yticklabels=list(shares), xlim=(0, 1), xlabel=f"share of time at ε = {EPSILON}", ylim=(2.5, -1.0)
)
ax.set_title("The noise decides, not the curvature")
ax.legend(frameon=False, ncols=2, loc="upper center", fontsize=12)
figure.savefig(OUTPUT / "5_noise_2.png", dpi=100)

# %% [markdown]
# ## What to remember
#
# - Measure the noise: it is seldom isotropic and seldom a multiple of the Hessian.
# - `check_gaussianity` tells whether the covariance is enough; `noise="exact"` does without the approximation.
# - Flatness and isotropy matter as far as they change the cost of the way out.
#
# ## Exercises
#
# **1.** Batches of ten are drawn instead of single samples. What happens to $C$, to $\varepsilon$ and to the costs?
#
# <details><summary>Answer</summary>
#
# The covariance of a batch's gradient is $C/10$. This factor is in $\varepsilon = \eta/10$; $C$ in the costs stays that of
# one sample, and the costs do not change. `measure_noise(total, theta, batch_size=10).batch_factor` is 0.1.
#
# </details>
#
# **2.** In the skewed example, do larger batches make the noise Gaussian enough?
#
# <details><summary>Answer</summary>
#
# No. A larger batch is more nearly Gaussian, but escapes at the same $\varepsilon$ then need rarer batches.
# `check_gaussianity` gives the same change of the cost for a batch of one and of ten, +14.6 % to first order. The exact
# cost is 22 % higher.
#
# </details>
#
# **3.** By which factor does the flat minimum lead at $\varepsilon = 0.05$ and $0.025$ with the noise (2, 2)?
#
# <details><summary>Answer</summary>
#
# By 1.85 at both: the ratio of the widths, $\sqrt{H_{\rm sharp}/H_{\rm flat}}$. It is the prefactors' ratio and does not
# depend on $\varepsilon$.
#
# </details>

# %%
# The numbers of the answers.
assert np.isclose(qpot.measure_noise(total, theta, batch_size=10).batch_factor, 0.1)
ten = qpot.check_gaussianity(skewed, gaussian.costs.path(0, 1), batch_size=10)
print(f"2: {ten}; exact over Gaussian cost {exact.costs.values[0, 1] / gaussian.costs.values[0, 1]:.3f}")
assert round(exact.costs.values[0, 1] / gaussian.costs.values[0, 1], 2) == 1.22
same = list(predictions.values())[1]
leads = [float(np.divide(*same.occupation(e))) for e in (0.05, 0.025)]
widths = np.sqrt(same.minima[1].hessian[0, 0] / same.minima[0].hessian[0, 0])
print(f"3: {leads}, widths {widths:.3f}")
assert round(widths, 2) == 1.85
assert np.allclose(leads, widths, rtol=0.02)
print(f"figures: {OUTPUT / '5_noise.png'} and ..._2.png")
