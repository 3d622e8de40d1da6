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
# # Which period does SGD lock on to?
#
# Fit one sinusoid $y = a\cos(\omega t) + b\sin(\omega t)$ to the yearly sunspot numbers of 1700 to 2008 by SGD on the
# squared loss. The best period is 11.0 years, but 10.5, 10.05 and 11.95 years are local minima as well. The noise is that
# of real per-sample gradients: its covariance depends on $(\omega, a, b)$ and nothing about it is isotropic.
#
# The prediction answers three questions: by which route does SGD leave each period, after how long, and where does it end
# up? Then SGD itself is asked.
#
# Data: yearly mean sunspot numbers 1700-2008 (public domain).

# %%
import os
import pathlib
import sys
import time

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot import plots

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
years, spots = np.loadtxt(HERE / "data" / "sunspots_yearly.csv", delimiter=",", skiprows=1, unpack=True)

# %% [markdown]
# ## The finite sum
# Standardised counts; time centred and divided by its standard deviation, which makes $(\omega, a, b)$ well scaled. One
# sample is one year: $L_i = (a\cos\omega t_i + b\sin\omega t_i - y_i)^2/2$.

# %%
t = (years - years.mean()) / years.std()
y = (spots - spots.mean()) / spots.std()
system = qpot.System.from_finite_sum(qpot.sinusoid_sum(t, y))


def period(w):
    return 2 * np.pi * years.std() / w


bounds = [(45.9, 57.3), (-1.0, 1.0), (-1.0, 1.0)]  # periods from 9.8 to 12.2 years

# %% [markdown]
# ## Predict
# Minima, saddles, paths, prefactors, chain: all found from the per-sample gradients. There are two minimisers of the
# action over every saddle, since the phase can turn either way; the cheaper one counts.

# %%
clock = time.perf_counter()
prediction = qpot.predict(system, bounds, method=qpot.GeometricAction(tolerance=1e-6))
print(prediction)
print(f"\nprediction: {time.perf_counter() - clock:.0f} s")
names = [f"{period(m.point[0]):.2f} years" for m in prediction.minima]
print("periods:", ", ".join(names))
best = min(range(len(names)), key=lambda i: prediction.minima[i].loss)
assert len(names) == 4 and abs(period(prediction.minima[best].point[0]) - 11.0) < 0.05
