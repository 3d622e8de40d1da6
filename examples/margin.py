# %% [markdown]
# # The minimum at infinity: gradient descent on separable data is a support vector machine
#
# The logistic loss of separable data has no minimum. Gradient flow runs off to infinity, but its direction converges to the
# hard-margin support vector machine, as slowly as 1/log t. In logarithmic time that is no obstacle: here the flow is followed
# to t = 1e100, its constants are compared with theory, and the support vectors are read off. A penalty brings the minimum
# back from infinity. SGD then has a stationary covariance there, and a cost for flipping a sample, like any other system.

# %%
import time
from pathlib import Path

import matplotlib

if "get_ipython" not in globals():
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

import qpot
from qpot.plots.axes import BLUE, GREEN, ORANGE, VERMILION
from qpot.plots.companions import plot_margin_flow

output = Path(__file__).parent / "output" if "__file__" in globals() else Path("output")
output.mkdir(exist_ok=True)

# %% [markdown]
# ## Two clouds in the plane
# theta has three components: two weights and an intercept (a column of ones).

# %%
rng = np.random.default_rng(3)
labels = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)
points = rng.normal(scale=0.8, size=(40, 2)) + labels[:, None] * np.array([1.3, 0.9])
points += 0.35 * labels[:, None] * (labels * (points @ [0.8, 0.6]) < 0.35)[:, None] * np.array([2.0, 1.5])
X = np.column_stack([points, np.ones(40)])

# A first call keeps imports out of the time that is measured.
qpot.margin_flow(X, labels, log_time=10.0)
began = time.perf_counter()
flow = qpot.margin_flow(X, labels, log_time=np.log(1e100), start=[-2.0, 3.0, 0.0])
print(f"to t = 1e100 in {time.perf_counter() - began:.3f} s\n{flow}")
laws, machine = flow.laws(), flow.svm
print(f"{'':34s}{'fitted':>14s}{'theory':>14s}")
for name, law in [
    ("|theta| = a log t + b:         a", laws.norm_slope),
    ("                               b", laws.norm_offset),
    ("L = c t^e:                     e", laws.loss_exponent),
    ("                               c", laws.loss_constant),
    ("margin gap = g / log t:        g", laws.gap_constant),
]:
    print(f"{name:34s}{law.fitted:14.6f}{law.theory:14.6f}")
print(f"support vectors: flow {flow.support.tolist()}, SVM {machine.support.tolist()}")
print(f"optimality conditions at w = sum alpha_i z_i of the flow: worst violation {flow.conditions().worst:.1e}")
assert set(flow.support) == set(machine.support)
assert flow.conditions().worst < 1e-3
assert abs(laws.norm_slope.fitted / laws.norm_slope.theory - 1) < 1e-3
assert abs(laws.loss_constant.fitted / laws.loss_constant.theory - 1) < 1e-2
assert abs(laws.gap_constant.fitted / laws.gap_constant.theory - 1) < 2e-2
if not np.isnan(laws.norm_offset.theory):
    assert abs(laws.norm_offset.fitted - laws.norm_offset.theory) < 0.05 * abs(laws.norm_offset.theory) + 0.1

# %% [markdown]
# The same machine is computed by scikit-learn (`pip install 'qpot[ml]'`), whose solver stops at a tolerance of some 1e-6.

# %%
try:
    svc = qpot.svc_separation(X, labels)
    gap = np.linalg.norm(svc.normal - machine.normal) / np.linalg.norm(svc.normal)
    print(f"scikit-learn's w differs by {gap:.1e}")
    assert np.allclose(svc.normal, machine.normal, rtol=1e-3)
except ImportError as error:
    print(error)

# %% [markdown]
# ## Errors name the samples

# %%
wrong = labels.copy()
# The label that is flipped is that of the sample farthest from the plane on its own side.
wrong[(labels * (X @ machine.normal)).argmax()] *= -1
pair = np.vstack([X, X[:1]]), np.append(labels, -labels[0])
for data, name in [((X, wrong), "a flipped label"), (pair, "a point with both labels")]:
    try:
        qpot.separate(*data)
        print(f"{name}: still separable")
    except ValueError as error:
        print(f"{name}: {error}")

# %% [markdown]
# ## With a penalty: the SVM as a system with noise
# The loss is now the Huberised hinge with a penalty, on the same data without an intercept. `System.from_finite_sum` gives
# the minibatch covariance C; the stationary covariance of SGD is epsilon S with A S + S A = C, where A is the Hessian at the
# minimum. The cost of flipping sample i, that is of reaching <theta, z_i> = 0, is m_i^2 / (2 z_i^T S z_i) to quadratic order,
# with m_i = <theta, z_i> at the minimum. The path solver gives it without this approximation.

# %%
total = qpot.margin_sum(points, labels, loss=qpot.HuberisedHinge(width=2.0), penalty=0.3)
system = qpot.System.from_finite_sum(total)
(best,) = qpot.find_minima(system, [(-3, 3), (-3, 3)])
A, C = best.hessian, system.covariance(best.point)[0]
S = solve_continuous_lyapunov(A, C)
rate = 0.1
ensemble = qpot.simulate_sgd(system, learning_rate=rate, steps=3000, start=best.point, replicas=500, record=100, rng=0)
late = ensemble.points[ensemble.steps >= 500].reshape(-1, 2)
epsilon = system.epsilon(learning_rate=rate)
print(f"stationary covariance / epsilon, Lyapunov:\n{S}\nsimulated:\n{np.cov(late.T) / epsilon}")
assert np.allclose(np.cov(late.T) / epsilon, S, rtol=0.25, atol=0.1 * S.max())

Z = labels[:, None] * points
m = Z @ best.point
cost = m**2 / (2.0 * np.einsum("ni,ij,nj->n", Z, S, Z))
easiest = int(np.where(m > 0, cost, np.inf).argmin())
normal = Z[easiest] / np.linalg.norm(Z[easiest])
along = np.array([-normal[1], normal[0]])
guess = along @ (best.point - S @ Z[easiest] * m[easiest] / (Z[easiest] @ S @ Z[easiest]))
# The Hessian of the Huberised hinge jumps, which limits the order of the path solver.
method = qpot.GeometricAction(tolerance=1e-4)


def path_to(position: float) -> qpot.PathSolution:
    """The minimum action path to the point of the line <theta, z> = 0 at this position along it."""
    return qpot.minimum_action_path(system, best.point, position * along, method=method)


cheapest = minimize_scalar(
    lambda position: path_to(position).action,
    bounds=(guess - 0.2, guess + 0.2),
    method="bounded",
    options={"xatol": 1e-3},
)
path = path_to(cheapest.x)
edge = path.points[-1]
share = (late @ Z[easiest] < 0).mean()
gaussian = ndtr(-np.sqrt(2.0 * cost[easiest] / epsilon))
print(
    f"easiest sample to flip: {easiest}, margin {m[easiest]:.3f}; cost {cost[easiest]:.4f} to quadratic "
    f"order, "
    f"{path.action:.4f} by the path solver; share of time flipped at epsilon = {epsilon}: "
    f"Gaussian {gaussian:.4f}, simulated {share:.4f}"
)
# The point that the quadratic order predicts is not cheaper to reach.
assert path.action <= path_to(guess).action * (1 + 1e-3)

# %%
fig, axes = plt.subplots(2, 2, figsize=(13, 10), layout="constrained")
ax = axes[0, 0]
for sign, marker, colour in ((1, "o", BLUE), (-1, "s", ORANGE)):
    ax.scatter(*points[labels == sign].T, marker=marker, color=colour, s=28, label=f"label {sign:+d}", zorder=3)
ax.scatter(
    *points[machine.support].T,
    s=170,
    facecolors="none",
    edgecolors="black",
    label="support vectors",
    zorder=4,
)
span = np.array([-4.0, 4.0])
log10 = flow.log_times / np.log(10.0)
for decade, shade in ((0, "0.75"), (1, "0.55"), (3, "0.35")):
    a, b, c = flow.weights[np.argmin(np.abs(log10 - decade))]
    ax.plot(span, -(a * span + c) / b, color=shade, lw=1.4, label=f"flow at t = 1e{decade}")
a, b, c = flow.weights[-1]
ax.plot(span, -(a * span + c) / b, color=VERMILION, lw=3, label="flow at t = 1e100")
a, b, c = machine.normal
ax.plot(span, -(a * span + c) / b, color="black", lw=1.2, ls="--", label="hard-margin SVM")
ax.set(xlim=(-4, 4), ylim=(-5.4, 3.8), xlabel="x1", ylabel="x2", title="The flow turns into the SVM")
ax.legend(frameon=False, fontsize="small", loc="lower left", ncols=2)

plot_margin_flow(flow, ax=axes[0, 1]).set_title("What its margin still lacks falls like 1/log t")

ax = axes[1, 0]
support = set(machine.support.tolist())
for i in np.argsort(-flow.duals[-1])[:14]:
    style = {"color": VERMILION, "lw": 2.4} if i in support else {"color": "0.7", "lw": 1.2}
    ax.plot(log10, flow.duals[:, i], **style, zorder=3 if i in support else 1)
    if i in support:
        ax.plot(102, machine.duals[i], "<", color="black", ms=8, clip_on=False)
        shift = 1.15 if i == flow.duals[-1].argmax() else 0.62
        ax.text(60, shift * flow.duals[-1, i], f"sample {i}", color=VERMILION, fontsize="small")
ax.set(
    yscale="log", ylim=(1e-6, 30), xlim=(0, 101), xlabel=r"$\log_{10}$ t",
    ylabel=r"pull $\alpha_i(t)$ of sample i", title="Support vectors keep pulling (triangles: SVM duals)",
)  # fmt: skip

ax = axes[1, 1]
ax.plot(*late[::3].T, ".", ms=2, color=BLUE, alpha=0.25, rasterized=True)
angle = np.linspace(0, 2 * np.pi, 200)
root = np.linalg.cholesky(epsilon * S)
for k in (1, 2, 3):
    ring = best.point[:, None] + k * root @ np.array([np.cos(angle), np.sin(angle)])
    ax.plot(*ring, color="black", lw=1.3, label="1, 2, 3 standard deviations (Lyapunov)" if k == 1 else None)
low, high = late.min(axis=0) - 0.1, late.max(axis=0) + 0.1
z = Z[easiest]
line = np.linspace(-4, 4, 2)[:, None] * np.array([-z[1], z[0]]) / np.linalg.norm(z)
ax.plot(*line.T, color=VERMILION, lw=2, label=f"sample {easiest} flips beyond: cost {path.action:.3f}")
ax.plot(*path.points.T, color=GREEN, lw=3, label="cheapest way there")
ax.plot(*best.point, "*", color="white", mec="black", ms=14)
ax.set(
    xlim=(min(low[0], edge[0] - 0.1), high[0]), ylim=(min(low[1], edge[1] - 0.1), high[1]), xlabel="theta 1",
    ylabel="theta 2", title=f"Penalised SVM under SGD, learning rate {rate}",
)  # fmt: skip
ax.legend(frameon=False, fontsize="small", loc="upper right")
fig.savefig(output / "margin.png", dpi=130)
print(f"figure: {output / 'margin.png'}")
