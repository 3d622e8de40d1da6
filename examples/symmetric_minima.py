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
# The loss $L = (x^2-1)^2/4 + y^2/2$ has two global minima that are mirror images. The gradient noise is not: it is
# isotropic at the left minimum and $\mathrm{diag}(1+s,\, 1-s)$ at the right one, with the same total noise.
# It is often said that SGD prefers the minimum whose noise is closer to isotropic. That is right for $s > 0$ and
# **wrong for $s < 0$**: what counts is the noise along the way out, which is $1+s$ here.
#
# The system is a real finite sum of six samples, whose per-sample gradients have exactly this covariance, and the
# prediction is held against SGD itself (batch size one, drawn with replacement).

# %%
import os
import pathlib
import sys

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot import plots

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
SHAPES = {0.5: "right minimum noisier along x", -0.5: "right minimum noisier along y"}
LEARNING_RATES = (0.08, 0.12)

# %% [markdown]
# ## Predict
# One call finds minima and saddle, solves the minimum action paths, builds the chain and chooses.

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
# 1000 independent replicas start half in each minimum and run for many escape times.

# %%
ensembles = {
    s: [
        qpot.simulate_sgd(
            cases[s].system,
            learning_rate=rate,
            batch_size=1,
            steps=40_000 if s > 0 else 100_000,
            start=np.repeat(cases[s].minima, 500, axis=0),
            replicas=1000,
            rng=1,
            minima=predictions[s].minima,
        )
        for rate in LEARNING_RATES
    ]
    for s in SHAPES
}
