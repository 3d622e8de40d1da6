# %% [markdown]
# # The minimum at infinity of networks: which margin do they find?
#
# On separable data the loss falls for ever, and what training selects is a direction. For a linear model it is the
# hard-margin machine of the Euclidean norm (`margin.py`). A network that computes the same functions may select another
# machine: it depends on how the weights are parametrised.
#
# 1. One data set, three linear models: the diagonal network u u - v v finds the machine of the l1 norm, the deep linear
#    network that of the l2 norm, a product of matrices that of the nuclear norm. SGD finds the same as the flow.
# 2. Directions settle slowly, like a power of log t. The flow is followed to t = exp(1e6), and says how far it still is.
# 3. A network of ReLU units on XOR: no machine, but a KKT point of the largest margin, at a kink of the units.

# %%
from pathlib import Path

import matplotlib

if "get_ipython" not in globals():
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot.plots.axes import BLUE, GREEN, ORANGE, PURPLE, VERMILION

output = Path(__file__).parent / "output" if "__file__" in globals() else Path("output")
output.mkdir(exist_ok=True)

# %% [markdown]
# ## 1. Three parametrisations of a linear classifier

# %%
X = np.array([[2.0, 1.0], [1.5, 3.0], [3.0, 0.2]])
y = np.ones(3)
l1, l2 = (qpot.norm_machine(X, y, norm=norm) for norm in ("l1", "l2"))
print(qpot.separability(X, y))
print(f"the l1 machine is {l1.direction.round(4)}, the l2 machine {(l2.weights / l2.weights.sum()).round(4)}")

rng = np.random.default_rng(0)
diagonal = qpot.margin_flow(X, y, model=qpot.diagonal_network(2), start=[0.1] * 4)
deep_model = qpot.deep_linear_network(2, (3,))
deep = qpot.margin_flow(X, y, model=deep_model, start=0.3 * rng.normal(size=deep_model.dimension))
sgd = {
    "diagonal": qpot.margin_steps(
        X, y, model=qpot.diagonal_network(2), start=[0.1] * 4, steps=6000, batch_size=1, relative_rate=0.2, rng=1
    ),
    "linear": qpot.margin_steps(X, y, steps=6000, batch_size=1, relative_rate=0.2, rng=1),
}
machines = {"diagonal": l1, "deep linear": l2}
for name, flow in {"diagonal": diagonal, "deep linear": deep}.items():
    limit, bounds = flow.predictor_limit(), flow.bounds()
    order = 1 if name == "diagonal" else 2
    true = np.linalg.norm(limit.direction - machines[name].direction, ord=order)
    print(
        f"{name:12s} at t = exp(1e6): {limit}; true distance {true:.1e}; "
        f"the margin lacks at most a share {bounds.gap:.1e} of the largest"
    )
    assert true < limit.error < 1e-3
    assert bounds.gap < 1e-4
shares = {name: run.predictors / run.predictors.sum(axis=1, keepdims=True) for name, run in sgd.items()}
for name, share in shares.items():
    print(f"SGD, one sample a step, {name:9s} after 6000 steps: {share[-1].round(4)}")
assert np.abs(shares["diagonal"][-1] - [0.8, 0.2]).max() < 2e-3
assert np.abs(shares["linear"][-1] - [2 / 3, 1 / 3]).max() < 2e-3

# %% [markdown]
# ## 2. Matrices: the nuclear norm
# Six random measurements of a 3 x 3 matrix with labels from a matrix of rank one. The duality bound needs no solver for
# the machine: the flow's own pulls are its dual variables.

# %%
rng = np.random.default_rng(4)
hidden = np.outer(rng.normal(size=3), rng.normal(size=3))
measurements = rng.normal(size=(6, 9))
signs = np.sign(measurements @ hidden.ravel())
factors = qpot.matrix_factorisation(3, 3, 3)
matrix = qpot.margin_flow(measurements, signs, model=factors, start=0.3 * rng.normal(size=factors.dimension), rtol=1e-7)
singular = np.linalg.svd(matrix.predictors[-1].reshape(3, 3), compute_uv=False)
print(f"matrix: {matrix.predictor_limit().error:.1e} from its limit, margin gap at most {matrix.bounds().gap:.1e}")
print(f"its singular values, as shares: {(singular / singular.sum()).round(4)}")
assert matrix.bounds().gap < 2e-2

# %% [markdown]
# ## 3. ReLU units on XOR
# No linear classifier separates XOR. The network does; the normalised margin rises to a KKT point, at which units lie on
# kinks, so that the flow slides. Gradient descent with steps that grow as the loss falls follows it there.

# %%
corners = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
xor = np.array([1.0, 1.0, -1.0, -1.0])
print("XOR, linear model:", qpot.separability(corners, xor))
network = qpot.relu_network(3, 6)
runs = [
    qpot.margin_steps(
        corners,
        xor,
        model=network,
        start=np.random.default_rng(seed).normal(size=network.dimension),
        loss=qpot.Exponential(),
        steps=8000,
        relative_rate=0.9,
    )
    for seed in range(3)
]
for run in runs:
    print(
        f"XOR, ReLU: normalised margin {run.normalised_margins[-1]:.6f} at log t = {run.log_times[-1]:.0f}; "
        f"last steps off theta by {run.stationarity_of_steps():.1e}, complementarity {run.conditions().complementarity:.1e}"
    )
    # The smoothed margin never falls.
    assert (np.diff(run.smoothed_margins[run.log_losses < 0]) > -1e-9).all()
    assert run.stationarity_of_steps() < 0.05
    assert abs(run.normalised_margins[-1] - np.sqrt(2) / 8) < 1e-3

# %%
fig, axes = plt.subplots(1, 3, figsize=(17, 5.2), layout="constrained")
ax = axes[0]
for name, flow, colour in (("diagonal network", diagonal, BLUE), ("deep linear network", deep, VERMILION)):
    w = flow.predictors
    ax.plot(flow.log_times, w[:, 0] / w.sum(axis=1), color=colour, lw=2.2, label=f"{name}, flow")
for name, colour in (("diagonal", BLUE), ("linear", VERMILION)):
    seen = sgd[name].log_times > 0.5
    ax.plot(sgd[name].log_times[seen], shares[name][seen, 0], ".", color=colour, ms=5, label=f"{name} model, SGD")
ax.axhline(0.8, color="0.4", lw=0.9, ls="--")
ax.axhline(2 / 3, color="0.4", lw=0.9, ls="--")
ax.text(1e6, 0.803, "l1 machine", ha="right", va="bottom", fontsize="small")
ax.text(1e6, 0.67, "l2 machine", ha="right", va="bottom", fontsize="small")
ax.set(
    xscale="log",
    ylim=(0.55, 0.9),
    xlabel="log t",
    ylabel=r"share of the first weight, $w_1/(w_1 + w_2)$",
    title="The parametrisation selects the machine",
)
ax.legend(frameon=False, fontsize="small", loc="upper right", ncols=2)

ax = axes[1]
for name, flow, machine, order, colour in (
    ("diagonal: l1", diagonal, l1, 1, BLUE),
    ("deep linear: l2", deep, l2, 2, VERMILION),
):
    w = flow.predictors / np.linalg.norm(flow.predictors, ord=order, axis=1)[:, None]
    ax.plot(flow.log_times, np.linalg.norm(w - machine.direction, ord=order, axis=1), color=colour, lw=2.2, label=name)
    ax.plot(flow.log_times[-1], flow.predictor_limit().error, "v", color=colour, ms=9, mec="black")
known = matrix.bounds().largest
gaps = [
    1 - (signs * (measurements @ w)).min() / np.linalg.svd(w.reshape(3, 3), compute_uv=False).sum() / known
    for w in matrix.predictors
]
ax.plot(matrix.log_times, gaps, color=GREEN, lw=2.2, label="matrix: what its margin lacks (nuclear norm)")
ax.plot([], [], "v", color="0.6", mec="black", ms=9, label="the flow's own estimate of its error")
ax.set(
    xscale="log",
    yscale="log",
    ylim=(1e-7, 3),
    xlabel="log t",
    ylabel="distance of the direction from the machine",
    title="Directions settle like powers of log t",
)
ax.legend(frameon=False, fontsize="small", loc="lower left")

ax = axes[2]
for run, colour in zip(runs, (BLUE, ORANGE, PURPLE), strict=True):
    seen = (run.log_losses < 0) & (run.log_times > 0)
    ax.plot(run.log_times[seen], run.smoothed_margins[seen], color=colour, lw=2.2)
    ax.plot(run.log_times[seen], run.normalised_margins[seen], ":", color=colour, lw=1.6)
ax.plot([], [], color="0.4", lw=2.2, label=r"smoothed, $\log(1/L)/|\theta|^2$: never falls")
ax.plot([], [], ":", color="0.4", lw=1.6, label=r"smallest margin $/|\theta|^2$")
ax.axhline(np.sqrt(2) / 8, color="0.4", lw=0.9, ls="--")
ax.set(
    xscale="log",
    ylim=(0, 0.21),
    xlabel="log t",
    ylabel="normalised margin",
    title="ReLU units on XOR, three starts: one margin",
)
ax.legend(frameon=False, fontsize="small", loc="lower right")
fig.savefig(output / "margin_of_networks.png", dpi=120)
print(f"figure: {output / 'margin_of_networks.png'}")
