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
# # Phase retrieval: from +x to -x
#
# A detector behind a polariser at the angle $\theta_i$ measures the intensity $y_i = \langle a_i, x\rangle^2$ of a field
# $x$, but not its sign. SGD on $L = \frac{1}{4N}\sum_i(\langle a_i, x\rangle^2 - y_i)^2$ finds $x$ or $-x$, which fit
# equally well, and its noise takes it from one to the other. Which way does it take, and after how long?
#
# The gradient of a sample is $(\langle a_i,x\rangle^2 - y_i)\langle a_i,x\rangle a_i$. Its covariance depends strongly on
# $x$ and its law is not Gaussian, so the costs are taken from the steps that SGD really takes (`noise="exact"`).

# %%
import os
import pathlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse

import qpot
from qpot import plots

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
clock = time.perf_counter()

# %% [markdown]
# ## The measurement
# There are twelve angles. The intensities are alternately two units too high and two units too low, as under a flickering
# lamp, so that the field is recovered exactly although no sample is fitted.

# %%
field = np.array([1.0, 0.3])
angle = np.pi * np.arange(12) / 12 + 0.1
vectors = np.sqrt(2.0) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
intensities = (vectors @ field) ** 2 + np.where(np.arange(12) % 2, 2.0, -2.0)
total = qpot.phase_retrieval_sum(vectors, intensities)
system = qpot.System.from_finite_sum(total, noise="exact")

# %% [markdown]
# ## Predict

# %%
prediction = qpot.predict(system, [(-2.0, 2.0), (-2.0, 2.0)])
print(prediction)
minima, saddles = prediction.minima, prediction.saddles
cost, error = prediction.costs.values[0, 1], prediction.costs.errors[0, 1]
assert len(minima) == 2
assert len(saddles) == 2
np.testing.assert_allclose(minima[0].point, -minima[1].point, atol=1e-8)
np.testing.assert_allclose(abs(minima[0].point), field, atol=1e-6)
assert prediction.selected == (0, 1), "minima that are images of each other tie"
assert abs(cost - prediction.costs.values[1, 0]) <= error + prediction.costs.errors[1, 0]

# %% [markdown]
# ## Ask SGD
# At the learning rates of the first four measurements an escape takes $10^8$ to $10^{15}$ steps, and splitting measures its
# mean time nevertheless. The prediction is a law for small learning rates, and four larger ones show how it is approached.
# (Gradient descent is stable up to 0.61, but the loss of a single sample is several times as curved as the mean.)

# %%
# The executor makes this faster and does not change the result.
executor = ThreadPoolExecutor(2)
rule = {
    "start": minima[0], "minima": minima, "batch_size": 1, "coordinate": prediction.costs.path(0, 1),
    "clones": 1000, "repetitions": 16, "rng": 1, "executor": executor,
}  # fmt: skip
small = [qpot.splitting_times(system, learning_rate=cost / ratio, **rule) for ratio in (15.0, 19.0, 24.0, 30.0)]
large = [qpot.splitting_times(system, learning_rate=cost / ratio, **rule) for ratio in (6.0, 7.5, 9.5, 12.0)]
executor.shutdown()
for e in small:
    print(e)
verdict = qpot.compare(prediction, small)
print(verdict)
law, early = verdict.arrhenius[0], qpot.compare(prediction, large).arrhenius[0]
print(f"slope at small learning rates {law.slope:.3f} +- {law.slope_error:.3f}, predicted {cost:.3f}")
print(f"slope at large learning rates {early.slope:.3f} +- {early.slope_error:.3f}: not yet in the regime of the law")
assert abs(law.slope_deviation) < 3.0, verdict.sentence
assert law.slope_error < 0.06 * cost
assert small[-1].mean_steps > 1e12
assert early.slope > law.slope + 2.0 * (law.slope_error + early.slope_error)
assert verdict.escape_points[-1].share_near_saddles > 0.85

# %% [markdown]
# ### The way
# Single escapes of SGD at a large learning rate, each from the step at which it leaves the surroundings of $x$ for the last
# time, are compared with the predicted routes, and also with the straight line from $x$ to $-x$.

# %%
run = qpot.simulate_sgd(
    system, learning_rate=cost / 7.0, batch_size=1, steps=40_000, start=minima[0], replicas=400, rng=5, record=1
)
home = minima[0].point / np.linalg.norm(minima[0].point)
along = run.points @ home
crossed = np.flatnonzero((along < 0.0).any(axis=0))
ways = []
for k in crossed:
    last = int((along[:, k] < 0.0).argmax())
    inside = np.flatnonzero(along[:last, k] > 0.85 * np.linalg.norm(minima[0].point))
    ways.append(run.points[inside[-1] : last + 1, k])
# There is one route over each saddle.
routes = [leg.points for leg in prediction.costs.parallel[0, 1]]
assert len(routes) == 2


def distance(points, curve):
    """The distance of every point from the nearest point of a curve."""
    return np.linalg.norm(points[:, None] - curve[None], axis=2).min(axis=1)


half = [w[(w @ home > 0.0) & (w @ home < 0.7)] for w in ways]
chosen = [min(distance(w, r).mean() for r in routes) for w in half if len(w)]
straight = np.linspace(minima[0].point, minima[1].point, 400)
direct = [distance(w, straight).mean() for w in half if len(w)]
print(
    f"{len(ways)} escapes: {np.mean(chosen):.2f} from a predicted route on average, {np.mean(direct):.2f} from the line"
)
assert len(ways) > 50
assert np.mean(chosen) < 0.5 * np.mean(direct)

# %% [markdown]
# ## The picture

# %%
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
plt.rcParams.update({"font.size": 14})
figure, axes = plt.subplots(1, 3, figsize=(19, 6.6), layout="constrained", width_ratios=(0.85, 1.15, 1))
figure.suptitle(
    "Phase retrieval: SGD turns a field into its opposite, by the way and at the rate predicted", fontsize=20
)

ax = axes[0]
fine = np.linspace(0, np.pi + 0.1, 200)
rows = np.sqrt(2.0) * np.stack([np.cos(fine), np.sin(fine)], axis=1)
ax.plot(np.degrees(angle), intensities, "o", color="0.45", markersize=10, label="measured")
ax.plot(np.degrees(fine), (rows @ minima[0].point) ** 2, color=BLUE, linewidth=3.5, label="fit by x, and by −x")
ax.axhline(0.0, color="0.8", linewidth=1, zorder=0)
ax.set(xlabel="angle of the polariser (degrees)", ylabel="intensity", title="Two opposite fields fit equally well")
ax.legend(fontsize=13)

ax = axes[1]
plots.plot_loss(system, [(-1.6, 1.6), (-1.3, 1.3)], ax=ax)
for w in ways[:40]:
    ax.plot(*w.T, color="white", linewidth=0.8, alpha=0.55)
for k, curve in enumerate(routes):
    ax.plot(*curve.T, color=ORANGE, linewidth=4, label=None if k else "predicted")
ax.plot([], [], color="0.6", linewidth=1.5, label="SGD, as far as it climbs")
noise = qpot.System.from_finite_sum(total)
for m in minima:
    size, turn = np.linalg.eigh(noise.covariance(m.point[None])[0])
    width, height = 0.16 * np.sqrt(size[::-1])
    ax.add_patch(
        Ellipse(
            m.point, width, height, angle=np.degrees(np.arctan2(turn[1, 1], turn[0, 1])), facecolor="none",
            edgecolor="white", linewidth=2.5, zorder=5,
        )
    )  # fmt: skip
    ax.plot(*m.point, "o", color=BLUE, markeredgecolor="white", markersize=19, zorder=6)
    name = "x" if m is minima[0] else "−x"
    ax.annotate(name, m.point, color="white", weight="bold", ha="center", va="center", zorder=7)
for saddle in saddles:
    ax.plot(*saddle.point, "X", color="white", markeredgecolor="black", markersize=13, zorder=6)
ax.plot([], [], "X", color="white", markeredgecolor="black", markersize=11, label="saddles")
ax.legend(fontsize=12, loc="lower right")
ax.set(xlim=(-1.6, 1.6), ylim=(-1.3, 1.3))
ax.set(xlabel="first component", ylabel="second component", title="By which way: over the saddles, not straight")

ax = axes[2]
for measured, colour, label in ((small, "black", "SGD, by splitting"), (large, GREEN, "SGD at larger learning rates")):
    x = np.array([1 / e.epsilon for e in measured])
    times = np.array([e.mean_time for e in measured])
    low, high = np.array([e.interval(0.999) for e in measured]).T * np.array([e.time_step for e in measured])
    ax.errorbar(x, times, yerr=[times - low, high - times], fmt="o", color=colour, markersize=9, capsize=5, label=label)
shift = np.mean(law.log_times - law.predicted_slope * law.inverse_epsilon)
x = np.array([8.0, law.inverse_epsilon.max() * 1.04])
ax.plot(
    x, np.exp(shift + law.predicted_slope * x), color=ORANGE, linewidth=3.5, zorder=0,
    label=f"predicted slope {cost:.3f}, height fitted",
)  # fmt: skip
ax.set_yscale("log")
ax.set(xlabel="batch size / learning rate", ylabel="learning rate × steps until −x is reached")
ax.set_title(f"After how long: slope {law.slope:.3f} ± {law.slope_error:.3f}")
ax.legend(fontsize=13, loc="upper left")
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "phase_retrieval.png", dpi=100)
print(f"figure: {output / 'phase_retrieval.png'} ({time.perf_counter() - clock:.0f} s)")
