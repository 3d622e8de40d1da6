# %% [markdown]
# # When, by which side and where does noise leave a region?
#
# Training that must stay within an ellipse of safe parameters, a population within bounds, a particle in a trap: each is a
# domain around an attractor that noise leaves sooner or later. The cost of the cheapest exit says how the time grows;
# `qpot.exit_law` adds the prefactor, the share of exits through each place and the spread of exit points around it, and
# `qpot.exit_times` simulates. The drift here turns around the attractor and is no gradient, so that nothing can be read off a
# loss.

# %%
from pathlib import Path

import matplotlib

if "get_ipython" not in globals():
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot

B = np.array([[-1.0, 1.2], [-0.6, -1.5]])
covariance = np.array([[1.0, 0.3], [0.3, 0.6]])
system = qpot.System(drift=lambda x: x @ B.T - 0.2 * x**3, covariance=covariance, dimension=2)
centre = np.array([0.1, 0.05])  # Off the attractor: the sides differ.


def outside(x: np.ndarray) -> np.ndarray:
    """Negative within an ellipse of half-axes 1 and 0.8."""
    away = x - centre
    return away[:, 0] ** 2 + (away[:, 1] / 0.8) ** 2 - 1.0


ellipse = qpot.Region(outside)
law = qpot.exit_law(system, [0.0, 0.0], boundary=ellipse)
print(law)

# %% [markdown]
# ## Against simulation
#
# 800 replicas at each of four noise levels. The law is right to leading order: the ratio goes to one as epsilon falls.

# %%
runs = [
    qpot.exit_times(
        system, start=[0.0, 0.0], domain=ellipse, epsilon=epsilon, time_step=0.005, steps=60_000, replicas=800, rng=n
    )
    for n, epsilon in enumerate((0.35, 0.26, 0.2, 0.16))
]
for run in runs:
    low, high = run.interval_time()
    shares, intervals = run.shares([one.point for one in law.exits])
    print(
        f"epsilon {run.epsilon:.2f}: predicted {law.mean_time(run.epsilon):7.2f}, simulated {run.mean_time:7.2f} "
        f"({low:.2f} to {high:.2f}); share of the cheaper side predicted {law.shares(run.epsilon)[0]:.3f}, simulated "
        f"{shares[0]:.3f} ({intervals[0, 0]:.3f} to {intervals[0, 1]:.3f})"
    )
ratios = [run.mean_time / law.mean_time(run.epsilon) for run in runs]
assert all(run.events > 0.99 * run.steps.size for run in runs)
assert 0.75 < ratios[-1] < 1.25
_, interval = runs[-1].shares([one.point for one in law.exits], confidence=0.999)
assert interval[0, 0] - 0.03 < law.shares(runs[-1].epsilon)[0] < interval[0, 1] + 0.03

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.8), layout="constrained")
qpot.plots.plot_exit_law(law, measured=runs, ax=left)
qpot.plots.plot_first_exits(runs[-1], law=law, ax=right)
angle = np.linspace(0.0, 2.0 * np.pi, 200)
right.plot(centre[0] + np.cos(angle), centre[1] + 0.8 * np.sin(angle), color="0.6", linewidth=1.0, zorder=0)
right.plot(*law.solution.path.points.T, color="black", linewidth=1.5)
right.plot(0.0, 0.0, "o", color="black")
right.set_title(
    f"Exits at epsilon = {runs[-1].epsilon:g} gather around the predicted places\n(line: the cheapest path)",
    fontsize=11,
)
output = Path(__file__).parent / "output" if "__file__" in globals() else Path("output")
output.mkdir(exist_ok=True)
figure.savefig(output / "leaving_a_domain.png", dpi=150)
plt.close(figure)
