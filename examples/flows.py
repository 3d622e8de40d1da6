# %% [markdown]
# # Which minimum do optimisers stop at, and which one does noise select?
#
# One loss with two minima, L(x) = x (x - 1) (x - 3)^2 + 1.62276: a bad one at x = 3 (loss 1.62) and a good
# one at x = 0.407 (loss 5.5e-7). All runs start at x = 4, on the side of the bad one.
#
# 1. Without noise every optimiser is a flow with its own law for dL/dt. All exact flows but those with momentum stop at 3:
#    without inertia none can climb the pass between the minima. Finite steps differ: those of the sign method and of RMSprop
#    never rest, and Polyak's bounded step leaps out of the minimum at 3. It does so chaotically, so that it is a share of
#    starts that leaves by a given step; no claim about one start would be one about the method.
# 2. With constant noise the quasi-potential says where SGD is in the long run and how long the escape from 3 takes.
# 3. With state-dependent noise the preconditioner decides: plain SGD selects 3, sign-like and RMSprop-like SGD select 0.407.

# %%
from pathlib import Path

import matplotlib

if "get_ipython" not in globals():
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot.companions.known_answers import QuarticWells
from qpot.plots.axes import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from qpot.plots.companions import plot_flow_loss

output = Path(__file__).parent / "output" if "__file__" in globals() else Path("output")
output.mkdir(exist_ok=True)

# %% [markdown]
# ## 1. Flows
# `EventDriven` follows the exact flow and stops at rest; `OptimiserSteps` takes the steps of the optimiser itself, as PyTorch
# does, and `flow_ensemble` takes them from many starts at once.

# %%
wells = QuarticWells()
good, bad = wells.minima
flows = {
    "gradient": qpot.GradientFlow(),
    "sign": qpot.SignFlow(),
    "RMSprop": qpot.RMSpropFlow(averaging_time=0.1),
    "Polyak, M = 1000": qpot.PolyakFlow(bound=1000.0),
    "Adam": qpot.AdamFlow(averaging_times=(0.1, 1.0), floor=1e-3),
    "AdaGrad": qpot.AdaGradFlow(),
    "heavy ball": qpot.HeavyBallFlow(friction=1.0),
}
durations = {"AdaGrad": 60.0, "heavy ball": 60.0, "Adam": 6.0}
accurate = qpot.EventDriven(rtol=1e-12, atol=1e-13)
exact = {
    name: qpot.integrate_flow(wells.system, [4.0], flow=flow, duration=durations.get(name, 3.0), method=accurate)
    for name, flow in flows.items()
}
steps = {
    name: qpot.integrate_flow(wells.system, [4.0], flow=flow, duration=25.0, method=qpot.OptimiserSteps(step=0.01))
    for name, flow in flows.items()
}
print(f"{'':18s}{'exact flow ends':>18s}{'law residual':>14s}{'2500 steps end':>18s}{'last step':>12s}")
for name in flows:
    e, s = exact[name], steps[name]
    last = abs(s.points[-1, 0] - s.points[-2, 0])
    residual = np.abs(e.law_residuals).max()
    print(f"{name:18s}{e.end[0]:18.6f}{residual:14.1e}{s.end[0]:18.6f}{last:12.1e}")

assert all(np.abs(e.law_residuals).max() < 1e-6 for e in exact.values())
# An exact flow without momentum cannot leave the basin of 3; the heavy ball from 4 has the energy to, and does.
assert all(abs(e.end[0] - 3.0) < 1e-5 for name, e in exact.items() if name not in ("heavy ball", "Adam"))
assert abs(exact["heavy ball"].end[0] - good) < 1e-6
assert abs(steps["gradient"].end[0] - 3.0) < 1e-8
# The sign method never comes to rest.
assert np.allclose(np.abs(np.diff(steps["sign"].points[-200:, 0])), 0.01)
# AdaGrad does not stop before a critical point: L + 2 sqrt(G) is constant, and the rate 1 / sqrt(G) has a positive limit.
assert np.ptp(exact["AdaGrad"].energies) < 1e-6 * exact["AdaGrad"].losses[0]

# %% [markdown]
# ### Polyak's bounded step, from many starts
# Starts that differ by less than 1e-10 have one trajectory up to step 200 or so. It is the part of a figure that can be
# reproduced. Then the first leap magnifies the difference to the size of the problem, and what remains is a law: the share
# of starts that are still on the right of the saddle after n steps, here with its 95 % interval.

# %%
rng = np.random.default_rng(0)
polyak = qpot.flow_ensemble(
    wells.system,
    4.0 + 1e-10 * rng.random((1000, 1)),
    flow=flows["Polyak, M = 1000"],
    step=0.01,
    steps=2500,
)
stays = polyak.share(lambda x: x[:, 0] > wells.saddle)
arrived = polyak.share(lambda x: np.abs(x[:, 0] - 0.41) < 0.005)
parted = int(np.argmax(polyak.spreads > 0.1))
print(f"Polyak, 2500 steps: right of the saddle {stays}; within 0.005 of 0.41 {arrived}")
print(f"starts that differ by 1e-10 have parted by step {parted}")
assert 0.1 < stays.low < stays.high < 0.3
assert arrived.low > 0.4
assert polyak.spreads[200] < 1e-8

# %% [markdown]
# ### RMSprop at a minimum at zero
# At x = 3 a float cannot be closer to the minimum than 4e-16, so that steps may read as rest by rounding alone. The same
# loss in u = x - 3 has its minimum at zero, where floats do not run out. There RMSprop ends on both sides of it in turn,
# half a step away, from every start.

# %%
centred = qpot.System.from_loss(
    lambda u: ((u + 3) * (u + 2) * u**2 + 1.62276)[:, 0], lambda u: 4 * u**3 + 15 * u**2 + 12 * u, 1.0, dimension=1
)
rmsprop = qpot.flow_ensemble(centred, 1.0 + 0.1 * rng.random((200, 1)), flow=flows["RMSprop"], step=0.01, steps=2500)
late = np.abs(np.diff(rmsprop.points[1500:, :, 0], axis=0))
print(f"RMSprop, steps 1500 to 2500: the smallest of all steps is {late.min():.6f} and the largest {late.max():.6f}")
assert late.min() > 0.009

# %% [markdown]
# ## 2. Constant noise: the quasi-potential
# V is what an escape costs the noise; for constant covariance D it is 2 (L(saddle) - L(minimum)) / D. SGD selects the
# minimum that is most expensive to leave, and the mean time to leave x = 3 grows like exp(V / epsilon), with Kramers'
# prefactor 2 pi / sqrt(L''(3) |L''(saddle)|).

# %%
minima = qpot.find_minima(wells.system, [(-0.5, 4.5)])
costs = qpot.transition_costs(wells.system, minima, bounds=[(-0.5, 4.5)])
print(costs)
# The path solver is compared with the closed form.
assert np.allclose(costs.values, wells.costs(), atol=1e-6)
stationary = qpot.stationary_costs(costs)
# The good minimum is selected.
assert stationary.argmin() == 0

curvature = -wells.system.jacobian([[bad], [wells.saddle]])[:, 0, 0]
prefactor = 2.0 * np.pi / np.sqrt(abs(curvature[0] * curvature[1]))


def exact_mean_time(epsilon: float) -> float:
    """The mean first passage time from 3 to 0.407: int exp(phi/eps) int 2/eps exp(-phi/eps) with phi = 2 L for D = 1."""
    x = np.linspace(good, 7.0, 20_001)
    phi = wells.potential(x) - wells.potential([bad])[0]
    inner = np.exp(-phi / epsilon) * 2.0 / epsilon
    beyond = np.append(np.cumsum((0.5 * (inner[1:] + inner[:-1]) * np.diff(x))[::-1])[::-1], 0.0)
    way = x <= bad
    outer = np.exp(phi[way] / epsilon) * beyond[way]
    return float(np.sum(0.5 * (outer[1:] + outer[:-1]) * np.diff(x[way])))


epsilons = np.array([1.1, 1.4, 1.8, 2.4])
measured, intervals, exact_times = [], [], []
for epsilon in epsilons:
    exact_times.append(exact_mean_time(epsilon))
    times = qpot.escape_times(
        wells.system,
        start=[bad],
        minima=minima,
        epsilon=float(epsilon),
        time_step=0.005,
        steps=int(3 * exact_times[-1] / 0.005),
        replicas=400,
        radius=0.05,
        rng=1,
    )
    measured.append(times.mean_time)
    intervals.append([times.time_step * end for end in times.interval()])
    print(
        f"epsilon {epsilon:.2f}: {times.events} of 400 left; mean time {times.mean_time:7.2f}, "
        f"95% {intervals[-1][0]:.2f} to {intervals[-1][1]:.2f}; exact {exact_times[-1]:7.2f}, "
        f"Kramers {prefactor * np.exp(costs.values[1, 0] / epsilon):7.2f}"
    )
# The sampling error of 400 escapes is 5 %, and the time step adds a bias.
assert np.allclose(measured, exact_times, rtol=0.2)
# Kramers' formula is approached as epsilon -> 0.
assert abs(prefactor * np.exp(costs.values[1, 0] / 0.1) / exact_mean_time(0.1) - 1.0) < 0.1

# %% [markdown]
# ## 3. The preconditioner changes the selected minimum
# With the covariance D(x) = 1 + (x - 3)^2 / 2 there is less noise near 3. The costs of plain SGD are int 2 L'/D. The
# preconditioner P = 1/sqrt(D) (sign-like) makes them int 2 L'/sqrt(D), and P = 1/sqrt(D + L'^2) (RMSprop-like) makes them
# int 2 L' sqrt(D + L'^2)/D.

# %%
varied = QuarticWells(floor=1.0, curvature=0.5)
systems = {
    "plain SGD": (varied.system, 1.2),
    "sign-like": (qpot.sign_like(varied.system), 1.6),
    "RMSprop-like": (qpot.rmsprop_like(varied.system), 3.5),
}
grid = np.linspace(-1.5, 5.0, 6501)
results = {}
for name, (system, epsilon) in systems.items():
    here = qpot.find_minima(system, [(-0.5, 4.5)])
    V = qpot.transition_costs(system, here, bounds=[(-0.5, 4.5)])
    selected = here[int(qpot.stationary_costs(V).argmin())].point[0]
    # The exact stationary density of a one-dimensional diffusion is exp(-phi/eps)/a with phi' = -2 b/a.
    a = system.covariance(grid[:, None])[:, 0, 0]
    slope = -2.0 * system.drift(grid[:, None])[:, 0] / a
    phi = np.append(0.0, np.cumsum(0.5 * (slope[1:] + slope[:-1]) * np.diff(grid)))
    density = np.exp(-(phi - phi.min()) / epsilon) / a
    density /= density.sum() * (grid[1] - grid[0])
    chance = density[grid < varied.saddle].sum() * (grid[1] - grid[0])
    ensemble = qpot.simulate_diffusion(
        system,
        epsilon=epsilon,
        time_step=0.005,
        steps=7_000,
        start=np.repeat([[good], [bad]], 150, axis=0),
        replicas=300,
        record=50,
        rng=2,
    )
    late = ensemble.points[ensemble.steps >= 3_000, :, 0]
    shares = (late < varied.saddle).mean(axis=0)
    error = shares.std(ddof=1) / np.sqrt(shares.size)
    results[name] = (V.values, selected, density, late.ravel(), chance, shares.mean(), error)
    print(
        f"{name:13s} V(good to bad) {V.values[0, 1]:.4f}, V(bad to good) {V.values[1, 0]:.4f}: selects "
        f"{selected:.3f}; "
        f"share at 0.407, eps = {epsilon}: exact {chance:.3f}, simulated {shares.mean():.3f} +- {error:.3f}"
    )
    assert abs(shares.mean() - chance) < 4 * error + 0.02
assert np.allclose(results["plain SGD"][0], varied.costs(), atol=1e-6)
assert np.allclose(results["sign-like"][0], varied.costs(preconditioner="sign"), atol=1e-6)
assert abs(results["plain SGD"][1] - bad) < 1e-6
assert abs(results["sign-like"][1] - good) < 1e-6
assert abs(results["RMSprop-like"][1] - good) < 1e-6

# %%
fig, axes = plt.subplots(2, 3, figsize=(18, 9.5), layout="constrained")
colours = dict(zip(flows, [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, "black"], strict=True))
ax = axes[0, 0]
span = np.linspace(-0.35, 4.05, 500)
ax.plot(span, wells.system.loss(span[:, None]), color="black", lw=1.8)
for x, text in ((bad, "bad minimum\nL = 1.62 at x = 3"), (good, "good minimum\nL = 5.5e-7 at x = 0.407")):
    level = wells.system.loss([[x]])[0]
    ax.plot(x, level, "o", color=BLUE, ms=9)
    ax.annotate(text, (x, level), xytext=(0, -14), textcoords="offset points", ha="center", va="top", fontsize="small")
top = wells.system.loss([[wells.saddle]])[0]
ax.annotate("the pass, x = 1.84", (wells.saddle, top), xytext=(0, 8), textcoords="offset points", ha="center")
ax.plot(4.0, wells.system.loss([[4.0]])[0], ">", color=VERMILION, ms=10)
ax.annotate(
    "all start at 4", (4.0, wells.system.loss([[4.0]])[0]), xytext=(-12, 0), textcoords="offset points", ha="right"
)
ax.set(xlabel="x", ylabel="loss L(x)", ylim=(-2.6, 15), title="The loss: two minima, and the start beside the bad one")

ax = plot_flow_loss({name: exact[name] for name in list(flows)[:4]}, ax=axes[0, 1])
ax.axhline(1.62276, color="0.6", lw=0.8, ls="--", zorder=0)
ax.set(title="Exact flows without momentum stop at x = 3", xlim=(0, 2.4))
ball = exact["heavy ball"]
ax.plot(ball.times, ball.losses, color="black", lw=1.4, label="heavy ball (leaves)")
ax.legend(frameon=False, fontsize="small")

ax = axes[0, 2]
x = polyak.points[:, :, 0]
ax.plot(np.arange(1, 2501), x[1:, :40], color=ORANGE, lw=0.3, alpha=0.5)
ax.plot(np.arange(1, parted), x[1:parted, 0], color="black", lw=2.2)
ax.axvline(parted, color="0.5", lw=0.8, ls=":")
ax.text(parted * 1.08, 0.1, "from here on the last\ndigits of the start decide", fontsize="small", va="bottom")
ax.text(1.3, 3.35, "what can be\nreproduced", fontsize="small", va="top")
ax.set(
    xscale="log",
    xlabel="step (size 0.01)",
    ylabel="x of 40 starts that differ by < 1e-10",
    ylim=(0, 4.2),
    title=f"Polyak's bounded step: {1 - stays.high:.0%} to {1 - stays.low:.0%} have left by step 2500",
)
inset = ax.inset_axes((0.1, 0.14, 0.42, 0.3))
inset.plot(np.arange(2501), (x > wells.saddle).mean(axis=1), color=ORANGE, lw=1.8)
inset.set_title("share still right of the pass", fontsize="x-small")
inset.set_ylim(0, 1.05)
inset.tick_params(labelsize="x-small")

ax = axes[1, 0]
n = np.arange(1, 2501)
for name in ("gradient", "sign", "RMSprop", "Adam", "AdaGrad"):
    run = qpot.integrate_flow(centred, [1.003], flow=flows[name], duration=25.0, method=qpot.OptimiserSteps(step=0.01))
    ax.plot(n, np.maximum(np.abs(run.points[1:, 0]), 1e-12), color=colours[name], lw=1.4, label=name)
ax.set(
    xscale="log",
    yscale="log",
    ylim=(1e-11, 3),
    xlabel="step (size 0.01)",
    ylabel="distance from the minimum, |x - 3|",
    title="Steps of the sign method and of RMSprop never rest",
)
ax.legend(frameon=False, fontsize="small", loc="lower left")

ax = axes[1, 1]
fine = np.linspace(0.4, 1.05, 60)
ax.plot(fine, [exact_mean_time(1 / b) for b in fine], color="black", lw=1.4, label="exact mean time")
ax.plot(
    fine,
    prefactor * np.exp(costs.values[1, 0] * fine),
    "--",
    color=PURPLE,
    lw=1.8,
    label=f"Kramers, V = {costs.values[1, 0]:.3f}",
)
below = np.array(measured) - np.array(intervals)[:, 0]
above = np.array(intervals)[:, 1] - np.array(measured)
ax.errorbar(1 / epsilons, measured, yerr=[below, above], fmt="o", color=BLUE, capsize=4, label="simulated, 95%")
ax.set(
    yscale="log",
    xlabel=r"$1/\varepsilon$",
    ylabel="mean time from 3 to 0.407",
    title="How long the escape from the bad minimum takes",
)
ax.legend(frameon=False)

ax = axes[1, 2]
for (name, (_, x, density, samples, *_)), colour in zip(list(results.items())[:2], [BLUE, VERMILION], strict=True):
    counts, edges = np.histogram(samples, bins=60, range=(-1.0, 4.5), density=True)
    ax.plot(0.5 * (edges[1:] + edges[:-1]), counts, ".", color=colour, ms=5)
    ax.plot(grid, density, color=colour, lw=1.8, label=f"{name}: selects x = {x:.2f}")
for x in (good, bad):
    ax.axvline(x, color="0.6", lw=0.8, ls="--", zorder=0)
ax.set(
    xlim=(-1.2, 4.6),
    xlabel="x",
    ylabel="stationary density",
    title="The preconditioner decides (dots: simulated)",
)
ax.legend(frameon=False, loc="upper center")
fig.savefig(output / "flows.png", dpi=130)
print(f"figure: {output / 'flows.png'}")
