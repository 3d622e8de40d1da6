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
# # 7. Checking against the real algorithm
#
# *The course: 1 what a quasi-potential is · 2 your own system · 3 your own loss · 4 your own network · 5 noise ·
# 6 where is SGD after n steps? · **7 checking against the real algorithm** · 8 what selects without noise.*
#
# A prediction for small $\varepsilon$ is worth what a run of the real algorithm says about it. But the interesting escapes
# are too rare to be seen. This notebook shows three ways to check all the same: one call that does everything, a comparison
# of runs of your own, and *splitting*, which measures mean times that no run would live to see. Reading takes about 10
# minutes.

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
from qpot.plots.axes import BLUE, VERMILION

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
OUTPUT = HERE / "output"
OUTPUT.mkdir(exist_ok=True)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## The system
#
# The double well of notebook 1 in two dimensions, as a sum of six samples: the loss is $(x^2-1)^2/4 + y^2/2$, and the
# samples' gradients have the covariance $I$ at the left minimum and $\mathrm{diag}(1.5, 0.5)$ at the right one. It is one
# of the library's compiled sums, so that SGD on it takes millions of steps in a second.

# %%
total = qpot.embedded_double_well_sum(0.5)
system = qpot.System.from_finite_sum(total)
prediction = qpot.predict(system, [(-2, 2), (-1.5, 1.5)])
print(prediction)
V = prediction.costs.values
assert prediction.selected == (0,)
assert np.allclose(V, [[0, 0.4695], [0.3494, 0]], atol=1e-4)

# %% [markdown]
# ## One call
#
# `check` chooses learning rates at which escapes can be seen, runs SGD within a budget of CPU seconds, and compares.

# %%
verdict = prediction.check(budget=25, rng=0)
print(verdict)
# On a slow machine too few escapes may be seen in this time for a verdict.
assert verdict.agrees is not False

# %% [markdown]
# The numbers behind the sentence: for each minimum the slope of the log escape times against $1/\varepsilon$, beside the
# cost. The errors contain what the simulation does not know (few escapes) and what the theory leaves out (a next term at
# finite $\varepsilon$).

# %%
for law in verdict.arrhenius:
    print(
        f"out of minimum {law.home}: cost {law.cost:.4f}, predicted slope {law.predicted_slope:.4f}, "
        f"SGD's slope {law.slope:.4f} +- {law.slope_error:.4f}"
    )
    assert abs(law.slope - law.predicted_slope) < 3.5 * law.slope_error

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 5.2), layout="constrained")
ax = axes[0]
for law, colour, marker in zip(verdict.arrhenius, (BLUE, VERMILION), "os", strict=False):
    x = law.inverse_epsilon
    times, factor = np.exp(law.log_times), np.exp(2.6 * law.log_errors)
    ax.errorbar(x, times, yerr=(times - times / factor, times * factor - times), fmt=marker, color=colour, markersize=9,
                capsize=5)  # fmt: skip
    shift = np.average(law.log_times - law.predicted_slope * x, weights=law.log_errors**-2.0)
    ends = np.array([x.min(), x.max()])
    ax.plot(ends, np.exp(shift + law.predicted_slope * ends), color=colour, linewidth=2.5,
            label=f"out of {law.home}: V = {law.cost:.3f}, SGD's slope {law.slope:.3f} ± {law.slope_error:.3f}")  # fmt: skip
ax.set(yscale="log", xlabel="1 / ε", ylabel="mean time until SGD leaves")
ax.set_ylim(top=ax.get_ylim()[1] * 8)
ax.set_title("SGD's escape times (points), predicted slopes (lines)")
ax.legend(frameon=False, loc="upper left", fontsize=12)

# %% [markdown]
# ## Runs of your own
#
# `compare` takes whatever you have simulated: ensembles, escape times, both. Here 200 runs, half of them from each minimum,
# at two learning rates, are held against the predicted shares of time.

# %%
RATES = (0.1, 0.14)
ensembles = [
    qpot.simulate_sgd(
        system, learning_rate=rate, steps=60_000, start=np.repeat([m.point for m in prediction.minima], 100, axis=0),
        replicas=200, rng=1, minima=prediction.minima,
    )
    for rate in RATES
]  # fmt: skip
comparison = qpot.compare(prediction, *ensembles, burn_in=0.5)
print(comparison)
assert comparison.agrees
seen = [e.occupation(burn_in=0.5, confidence=0.99) for e in ensembles]
ax = axes[1]
for k, (rate, occupation) in enumerate(zip(RATES, seen, strict=True)):
    predicted = prediction.occupation(rate)[0]
    low, high = occupation.intervals[0]
    share = occupation.fractions[0]
    print(
        f"learning rate {rate}: share at minimum 0 predicted {predicted:.3f}, SGD {share:.3f} ({low:.3f} to {high:.3f})"
    )
    assert low - 0.03 < predicted < high + 0.03
    ax.bar(k, predicted, 0.5, color=BLUE, label="predicted" if k == 0 else None)
    ax.errorbar(k, share, yerr=[[share - low], [high - share]], fmt="D", color="black", markerfacecolor="white",
                markersize=10, capsize=8, label="SGD (99 %)" if k == 0 else None)  # fmt: skip
ax.axhline(0.5, color="0.6", linewidth=1)
ax.set(
    xticks=[0, 1],
    xticklabels=[f"learning rate {r}" for r in RATES],
    ylabel="share of time at minimum 0",
    ylim=(0, 1.15),
)
ax.set_title("The left minimum has the predicted share of time")
ax.legend(frameon=False, ncols=2, loc="upper center")
figure.savefig(OUTPUT / "7_checking_against_the_real_algorithm.png", dpi=100)

# %% [markdown]
# ## Splitting
#
# At a learning rate of 0.02 minimum 0 is left once in some $4\cdot 10^{12}$ steps. Nobody can wait for that. **Splitting**
# breaks the rare event into a series of events that are not rare: many *clones* of SGD set out from the minimum; those that
# come the least far are replaced by branches of those that came farther; and so on, level by level. The product of the
# shares that survive is an unbiased estimate of the probability to arrive. It uses the real steps of SGD and no theory,
# except for the *coordinate* that says how far a clone has come, and a bad choice of that costs time, not correctness.

# %%
split_rates = np.array([0.1, 0.06, 0.035, 0.02])
means, lower, upper = [], [], []
for k, rate in enumerate(split_rates):
    rare = qpot.splitting_times(
        system, start=prediction.minima[0], minima=prediction.minima, learning_rate=rate,
        coordinate=prediction.costs.path(0, 1), clones=150, repetitions=5, rng=k,
    )  # fmt: skip
    ends = rare.interval()
    means.append(rare.mean_steps)
    lower.append(ends[0])
    upper.append(ends[1])
    print(f"learning rate {rate}: mean steps {means[-1]:.3g} ({ends[0]:.2g} to {ends[1]:.2g}), predicted "
          f"{prediction.escape_steps(rate)[0]:.3g}")  # fmt: skip
means, lower, upper = np.array(means), np.array(lower), np.array(upper)
plain = qpot.escape_times(
    system, start=prediction.minima[0], minima=prediction.minima, learning_rate=0.1, steps=60_000, replicas=300, rng=0
)
print(f"plain runs at learning rate 0.1: {plain.mean_steps:,.0f} steps, splitting {means[0]:,.0f}")
ratio = means / [prediction.escape_steps(r)[0] for r in split_rates]
print("splitting / predicted:", ratio.round(2))
assert abs(np.log(means[0] / plain.mean_steps)) < 0.6
assert np.all(np.abs(np.log(ratio)) < 1.0)
assert means[-1] > 1e11
slope = np.polyfit(1 / split_rates[1:], np.log(means[1:] * split_rates[1:]), 1)[0]
print(f"slope of the log times: {slope:.3f}, cost {V[0, 1]:.3f}")
assert abs(slope / V[0, 1] - 1) < 0.08

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 5.2), layout="constrained")
ax = axes[0]
fine = np.linspace(1 / split_rates.max(), 1 / split_rates.min(), 50)
ax.plot(fine, [prediction.escape_steps(1 / f)[0] for f in fine], color=BLUE, linewidth=3, label="predicted")
ax.errorbar(1 / split_rates, means, yerr=[means - lower, upper - means], fmt="o", color="black", markersize=9, capsize=5,
            label="SGD, by splitting (95 %)")  # fmt: skip
ax.plot(1 / 0.1, plain.mean_steps, "s", color=VERMILION, markersize=16, fillstyle="none", markeredgewidth=2.5,
        label="SGD, plain runs")  # fmt: skip
ax.set(yscale="log", xlabel="1 / learning rate", ylabel="mean steps until minimum 0 is left")
ax.set_title("From thousands of steps to a million million")
ax.legend(frameon=False, loc="upper left")
ax = axes[1]
ax.axhline(1, color=BLUE, linewidth=3, label="predicted")
ax.errorbar(1 / split_rates, ratio, yerr=ratio * np.array([1 - lower / means, upper / means - 1]), fmt="o", color="black",
            markersize=9, capsize=5, label="SGD, by splitting (95 %)")  # fmt: skip
ax.set(xlabel="1 / learning rate", ylabel="mean steps / predicted", ylim=(0, 2.5))
ax.set_title("The factor to the prediction stays near one")
ax.legend(frameon=False, loc="upper left")
figure.savefig(OUTPUT / "7_checking_against_the_real_algorithm_2.png", dpi=100)

# %% [markdown]
# ## What to remember
#
# - Check a prediction at noise levels where escapes can be seen, then trust the slope where they cannot.
# - "Agrees" is a statement with errors: of counting, of the solver, and of what the theory leaves out.
# - Splitting needs no theory to be right, and a good coordinate to be fast.
#
# ## Exercises
#
# **1.** How many steps would plain runs need to see 100 escapes from minimum 0 at a learning rate of 0.02? How long is that
# at 20 million steps a second?
#
# <details><summary>Answer</summary>
#
# 100 times `prediction.escape_steps(0.02)[0]`, 3.9e14 steps, which take 224 days.
#
# </details>
#
# **2.** Someone hands you a cost that is 5 % too high. By which factor is the mean time at a learning rate of 0.1 off, and
# at 0.02?
#
# <details><summary>Answer</summary>
#
# By $e^{0.05 V/\varepsilon}$ with $V = 0.4695$: a factor of 1.26 at 0.1 and of 3.2 at 0.02. The rarer the escapes, the
# sharper the test.
#
# </details>
#
# **3.** A wrong prediction must be found out. Hold the ensembles against the prediction for the mirrored noise
# (`qpot.embedded_double_well_sum(-0.5)`). What does `compare` say?
#
# <details><summary>Answer</summary>
#
# It disagrees: that prediction has a share of time of 0.02 at minimum 0 at a learning rate of 0.1, and SGD on our sum
# has 0.8.
#
# </details>

# %%
# The numbers of the answers.
needed = 100 * prediction.escape_steps(0.02)[0]
off = [np.exp(0.05 * V[0, 1] / rate) for rate in (0.1, 0.02)]
other = qpot.predict(
    qpot.System.from_finite_sum(qpot.embedded_double_well_sum(-0.5)), [(-2, 2), (-1.5, 1.5)], second_opinion=False
)
mirrored = qpot.compare(other, *ensembles, burn_in=0.5)
print(f"1: {needed:.2g} steps, {needed / 20e6 / 86400:.0f} days")
print(f"2: {off[0]:.2f} and {off[1]:.2f}")
print(f"3: share {other.occupation(0.1)[0]:.3f}; {mirrored.sentence}")
assert round(needed / 20e6 / 86400) == 224
assert round(other.occupation(0.1)[0], 2) == 0.02
assert np.allclose(off, [1.26, 3.23], atol=0.01)
assert mirrored.agrees is False
print(f"figures: {OUTPUT / '7_checking_against_the_real_algorithm.png'} and ..._2.png")
