# %% [markdown]
# # When does a small population die out?
#
# An infection in a population of N individuals: i of them are infected, each infects others at the rate R0 (1 - i / N) and
# recovers at the rate 1. Above R0 = 1 the infection persists at x = i / N = 1 - 1 / R0, until chance ends it. The share x
# lives between 0 and 1, the functions below are called nowhere else, and at 0 noise and drift vanish: what has died out does
# not come back.
#
# The diffusion with epsilon = 1 / N has the same mean and variance as the jumps. `qpot` gives the cost V of dying out, and
# the mean time grows like exp(N V). The exact mean time of the birth-death chain, a sum over its states, says how good that
# is: chance steps of one individual have a slightly higher cost than Gaussian noise of the same variance.

# %%
from pathlib import Path

import matplotlib

if "get_ipython" not in globals():
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot.plots.axes import BLUE, GREEN, PURPLE, VERMILION

R0 = 2.0
here = 1.0 - 1.0 / R0

infection = qpot.System(
    drift=lambda x: R0 * x * (1 - x) - x,
    covariance=lambda x: (R0 * x * (1 - x) + x)[:, :, None],
    dimension=1,
    domain=[(0, 1)],
)
(endemic,) = qpot.find_minima(infection, [(0, 1)])
extinction = qpot.exit_cost(infection, endemic, boundary=qpot.Box(lower=0, upper=np.inf))
print(endemic, extinction)
# 2 b / a integrated from 0 to the endemic state, by hand.
by_hand = 2 * here - 4 / R0 * np.log((R0 + 1) / 2)
assert abs(endemic.point[0] - here) < 1e-9
assert abs(extinction.cost - by_hand) < 1e-9

# %% [markdown]
# ## The exact mean time
#
# From i to i - 1 it takes the mean time T_i with T_i = (1 + birth_i T_{i+1}) / death_i; the sum over i is the time to 0.


# %%
def exact_time(n: int) -> float:
    """The mean time of the birth-death chain of n individuals from the endemic state to 0."""
    i = np.arange(n + 1)
    birth, death = R0 * i * (1 - i / n), i.astype(float)
    down = np.zeros(n + 2)
    for k in range(n, 0, -1):
        down[k] = (1.0 + birth[k] * down[k + 1]) / death[k]
    return float(down[1 : round(here * n) + 1].sum())


sizes = np.array([20, 40, 60, 80, 100, 140, 180, 220, 260, 300])
exact = np.array([exact_time(int(n)) for n in sizes])
slope = np.log(exact[-1] / exact[-2]) / (sizes[-1] - sizes[-2]) + 0.5 * np.log(sizes[-1] / sizes[-2]) / (
    sizes[-1] - sizes[-2]
)
jumps = np.log(R0) - 1 + 1 / R0  # The cost of the jumps themselves (Andersson and Djehiche 1998).
print(f"V of the diffusion {extinction.cost:.6f}, of the jumps {jumps:.6f}, exact slope without sqrt(N) {slope:.6f}")
assert abs(slope - jumps) < 2e-3
assert 0.0 < jumps - extinction.cost < 0.03 * jumps

# %% [markdown]
# ## The simulated diffusion
#
# Replicas die out by the exact law of branching next to 0, so that none becomes negative and none is lost.

# %%
small = np.array([12, 20, 28])
simulated, errors = [], []
for n in small:
    step, steps = 0.05, int(4 * exact_time(int(n)) / 0.05)
    run = qpot.simulate_diffusion(
        infection, epsilon=1 / n, time_step=step, steps=steps, start=endemic, replicas=200, record=20, rng=int(n)
    )
    alive = run.points[:, :, 0] > 0
    assert run.points.min() >= 0.0
    dead = ~alive[-1]
    # Time at risk over deaths is the mean of a time that is cut off.
    at_risk = np.trapezoid(alive.sum(axis=1), run.time)
    simulated.append(at_risk / dead.sum())
    errors.append(simulated[-1] / np.sqrt(dead.sum()))
simulated, errors = np.array(simulated), np.array(errors)
ratio = simulated / [exact_time(int(n)) for n in small]
print("simulated diffusion / exact chain:", ratio.round(3))
assert np.all(np.abs(ratio - 1.0) < 0.35)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
field = qpot.quasipotential(infection, endemic, qpot.Grid(0, 1, 257))
left.plot(field.grid.axes[0], field.values, color=BLUE, lw=2)
left.plot(0, extinction.cost, "o", color=VERMILION, ms=9)
left.annotate(f"died out\nV = {extinction.cost:.4f}", (0, extinction.cost), (0.1, extinction.cost), va="center")
left.plot(here, 0, "s", color=GREEN, ms=9)
left.annotate("endemic", (here, 0), (here, 0.035), ha="center")
left.set(xlabel="infected share x", ylabel="quasi-potential V(x)", title="What chance pays to reach x")

right.semilogy(sizes, exact, "s", color="black", mfc="none", ms=7, label="exact birth-death chain")
right.errorbar(
    small, simulated, 2 * errors, fmt="o", color=VERMILION, ms=6, capsize=3, label="simulated diffusion, 2 s.e."
)
dense = np.linspace(12, 300, 200)
scale = exact[0] / np.exp(sizes[0] * extinction.cost) * np.sqrt(sizes[0])
right.semilogy(
    dense, scale * np.exp(dense * extinction.cost) / np.sqrt(dense), "-", color=BLUE, lw=2,
    label=f"exp(N V) / sqrt(N), diffusion, V = {extinction.cost:.4f}",
)  # fmt: skip
scale = exact[0] / np.exp(sizes[0] * jumps) * np.sqrt(sizes[0])
right.semilogy(
    dense, scale * np.exp(dense * jumps) / np.sqrt(dense), "--", color=PURPLE, lw=2,
    label=f"the same for jumps of one, V = {jumps:.4f}",
)  # fmt: skip
right.set(
    xlabel="individuals N", ylabel="mean time to extinction (recovery times)", title="How long the infection lasts"
)
right.legend(frameon=False, fontsize=8)
figure.suptitle(
    "An infection dies out: the diffusion tells the exponent to 2 %, and its times drift off as N grows", fontsize=11
)

output = Path(__file__).parent / "output" if "__file__" in globals() else Path("output")
output.mkdir(exist_ok=True)
figure.savefig(output / "small_populations.png", dpi=130)
print(f"figure: {output / 'small_populations.png'}")
