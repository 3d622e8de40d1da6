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
# # Which of two symmetric minima does SGD select?
#
# The loss $L = (x^2-1)^2/4 + y^2/2$ has two global minima that are mirror images. The gradient noise has no such symmetry: it
# is isotropic at the left minimum and $\mathrm{diag}(1+s,\, 1-s)$ at the right one, with the same total noise.
# It is often said that SGD prefers the minimum whose noise is closer to isotropic. That is right for $s > 0$ and
# **wrong for $s < 0$**: what counts is the noise along the way out, which is $1+s$ here.
#
# The system is a finite sum of six samples, whose per-sample gradients have exactly this covariance, and the prediction is
# compared with SGD itself (batch size one, drawn with replacement).

# %%
import os
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot import plots

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
# The two values of s, and what they mean.
SHAPES = {0.5: "right minimum noisier along x", -0.5: "right minimum noisier along y"}
# The learning rates of the simulations, with batch size one.
LEARNING_RATES = (0.1, 0.14)

# %% [markdown]
# ## Predict
# One call finds the minima and the saddle, solves for the minimum action paths, builds the chain and names the selected
# minimum.

# %%
cases = {s: qpot.gallery.embedded_double_well(s) for s in SHAPES}
predictions = {s: qpot.predict(case.system, case.bounds) for s, case in cases.items()}

for s, prediction in predictions.items():
    print(f"==== s = {s:+}: {SHAPES[s]}\n")
    print(prediction, "\n")
    for rate in LEARNING_RATES:
        steps = prediction.escape_steps(rate)
        print(f"learning rate {rate}: expected steps to leave minimum 0: {steps[0]:,.0f}, minimum 1: {steps[1]:,.0f}")
    print()

# %% [markdown]
# ## Check against the closed form
# The x-motion is autonomous, so $V = \int 2(x^3-x)/(1+s\,h(x))\,dx$ with $h = (1+\tanh 2x)/2$, exactly.

# %%
for s, prediction in predictions.items():
    exact = cases[s].costs
    difference = np.abs(prediction.costs.values - exact)
    assert (difference <= prediction.costs.errors + 1e-10 * exact).all(), difference
    assert (difference <= 1e-8).all(), difference
assert predictions[0.5].selected == (0,), "the isotropic minimum is selected for s > 0"
assert predictions[-0.5].selected == (1,), "the anisotropic minimum is selected for s < 0"

# %% [markdown]
# ## Compare with SGD
# 200 independent replicas start half in each minimum and run for many escape times.

# %%
# The executor makes this faster and does not change the result.
with ThreadPoolExecutor(2) as executor:
    ensembles = {
        s: [
            qpot.simulate_sgd(
                cases[s].system,
                learning_rate=rate,
                batch_size=1,
                steps=30_000 if s > 0 else 70_000,
                start=np.repeat(cases[s].minima, 100, axis=0),
                replicas=200,
                rng=1,
                minima=predictions[s].minima,
                executor=executor,
            )
            for rate in LEARNING_RATES
        ]
        for s in SHAPES
    }

# %%
print(f"{'s':>5} {'rate':>6} {'predicted at 0':>15} {'simulated at 0':>15} {'99.9 % interval':>20}")
for s, prediction in predictions.items():
    for ensemble in ensembles[s]:
        occupation = ensemble.occupation(burn_in=0.5, confidence=0.999)
        predicted = prediction.occupation(ensemble.learning_rate)[0]
        low, high = occupation.intervals[0]
        print(
            f"{s:+5} {ensemble.learning_rate:6} {predicted:15.4f} {occupation.fractions[0]:15.4f} {low:10.4f}{high:10.4f}"
        )
        # The law is a limit epsilon -> 0, and at these noise levels corrections of relative order epsilon remain.
        slack = 0.3 * ensemble.epsilon * predicted * (1 - predicted)
        assert low - slack <= predicted <= high + slack, (s, ensemble.learning_rate, predicted, low, high)

# %% [markdown]
# ## The picture

# %%
figure, axes = plt.subplots(2, 3, figsize=(15, 8.4), layout="constrained", width_ratios=(1.5, 0.8, 1.1))
bounds = [(-1.7, 1.7), (-0.95, 0.95)]
for row, (s, prediction) in zip(axes, predictions.items(), strict=True):
    chosen = prediction.selected[0]
    V = prediction.costs.values
    plots.plot_prediction(cases[s].system, prediction, bounds, ax=row[0])
    row[0].set_title(f"Same loss, {SHAPES[s]} (s = {s:+})", fontsize=12)
    for i, x in ((0, -1.0), (1, 1.0)):
        row[0].annotate(
            f"leaving costs {V[i, 1 - i]:.3f}", (x, -0.55), ha="center", fontsize=11, weight="bold", color="white"
        )
    plots.plot_chain(
        prediction.costs, epsilon=LEARNING_RATES[0], prefactors=prediction.prefactors + np.eye(2),
        positions=[(0, 0), (1, 0)], ax=row[1],
    )  # fmt: skip
    row[1].set_title(f"Chain at epsilon = {LEARNING_RATES[0]}\n(disc: time spent, arrow: rate)", fontsize=12)
    plots.plot_occupation(
        prediction, ensembles[s], labels=["left, isotropic", "right, anisotropic"], burn_in=0.5, ax=row[2]
    )
    kind = "isotropic" if chosen == 0 else "anisotropic"
    row[2].set_title(f"SGD prefers the {kind} side, as predicted", fontsize=12)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "symmetric_minima.png", dpi=110)
print(f"figure: {output / 'symmetric_minima.png'}")
