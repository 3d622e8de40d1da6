# %% [markdown]
# # The family of support vector machines on the same data
#
# Three classes in the plane stand in a row, A, B and C. All machines that SGD is compared with learn them here, by
# scikit-learn and SciPy: hard and soft margins, primal and dual, losses and their SGD, multiclass schemes, kernels, and
# what is built around them. Each row of the table is held against an independent statement, and assertions keep it true.

# %%
from pathlib import Path

import matplotlib

if "get_ipython" not in globals():
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linprog, minimize
from scipy.spatial.distance import cdist

import qpot
from qpot.plots.axes import BLUE, GREEN, ORANGE, PURPLE, VERMILION

try:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.cluster import KMeans
    from sklearn.kernel_approximation import Nystroem, RBFSampler
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC, LinearSVC
except ImportError as error:
    raise SystemExit("this example needs scikit-learn: python -m pip install 'qpot[ml]'") from error

output = Path(__file__).parent / "output" if "__file__" in globals() else Path("output")
output.mkdir(exist_ok=True)

# %% [markdown]
# ## The data
# A against C is separable. B against the rest is not, for any line, since B stands between the others.

# %%
rng = np.random.default_rng(4)
CENTRES = np.array([[-2.0, 0.0], [0.0, 0.4], [2.4, 0.0]])


def drawn(counts: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) of the three classes, and their classes."""
    classes = np.repeat([0, 1, 2], counts)
    return CENTRES[classes] + 0.6 * rng.standard_normal((classes.size, 2)), classes


points, classes = drawn((40, 40, 30))
unseen, truth = drawn((2000, 2000, 1500))


def ones(x: np.ndarray) -> np.ndarray:
    """The points with a one appended: machines through the origin of this space are lines in the plane."""
    return np.column_stack([x, np.ones(len(x))])


pair = classes != 1
X, y = ones(points[pair]), np.where(classes[pair] == 2, 1.0, -1.0)
X_test, y_test = ones(unseen[truth != 1]), np.where(truth[truth != 1] == 2, 1.0, -1.0)
middle, middle_test = np.where(classes == 1, 1.0, -1.0), np.where(truth == 1, 1.0, -1.0)
rows: list[tuple[str, float, str]] = []


def right(scores: np.ndarray, labels: np.ndarray = y_test) -> float:
    """The share of the test points on the right side."""
    return float((np.sign(scores) == labels).mean())


# %% [markdown]
# ## A against C: hard margin, soft margin, and the losses
# The primal problem is solved by SLSQP, the dual by L-BFGS-B, and qpot's active-set method knows both. The soft margin and
# its hinge sum are one problem: penalty = 1 / (C N).

# %%
exact = qpot.separate(X, y)
Z = y[:, None] * X
primal = minimize(
    lambda w: 0.5 * (w @ w), exact.normal + 0.3, jac=lambda w: w, method="SLSQP",
    constraints={"type": "ineq", "fun": lambda w: Z @ w - 1.0, "jac": lambda w: Z}, options={"ftol": 1e-15},
).x  # fmt: skip
dual = minimize(
    lambda a: (0.5 * np.sum((a @ Z) ** 2) - a.sum(), Z @ (a @ Z) - 1.0), np.zeros(len(Z)), jac=True,
    bounds=[(0.0, None)] * len(Z), method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 100_000},
).x  # fmt: skip
assert np.allclose(primal, exact.normal, atol=1e-6)
assert np.allclose(dual @ Z, exact.normal, atol=1e-5)
# The duality gap.
assert abs(0.5 * primal @ primal - (dual.sum() - 0.5 * np.sum((dual @ Z) ** 2))) < 1e-6
rows.append(("hard margin", right(X_test @ exact.normal), f"{exact.support.size} support vectors; primal = dual"))

C = 0.5
penalty = 1.0 / (C * len(Z))
# Mirrored samples make the intercept of scikit-learn's machine vanish.
soft = SVC(kernel="linear", C=C / 2, tol=1e-10).fit(np.concatenate([X, -X]), np.concatenate([y, -y]))
sums = {
    "hinge": qpot.margin_sum(X, y, loss=qpot.Hinge(), penalty=penalty),
    "squared hinge": qpot.margin_sum(X, y, loss=qpot.SquaredHinge(), penalty=penalty),
    "Huberised hinge": qpot.margin_sum(X, y, loss=qpot.HuberisedHinge(width=0.5), penalty=penalty),
    "logistic": qpot.margin_sum(X, y, penalty=penalty),
}
minima = {name: qpot.find_minima(qpot.System.from_finite_sum(s), starts=12)[0] for name, s in sums.items()}
assert np.allclose(minima["hinge"].point, soft.coef_[0], atol=1e-5)
assert minima["hinge"].kink
w2 = LinearSVC(loss="squared_hinge", C=C / 2, fit_intercept=False, tol=1e-10, dual=False).fit(X, y).coef_[0]
assert np.allclose(minima["squared hinge"].point, w2, atol=1e-5)
own = SVC(kernel="linear", C=C, tol=1e-10).fit(X[:, :2], y)
for name, minimum in minima.items():
    law = qpot.decreasing_steps_law(sums[name], minimum, scale=1.0 / penalty)
    distance = law.standard_deviations(1000).max()
    off = f"SGD is {distance:.3f} off" if law.has_set_in(1000) else f"not by its law before {law.sets_in:.0f}"
    note = f"one minimum{', at a kink' if minimum.kink else ''}; after 1000 steps 1/(lambda k) {off}"
    rows.append((f"soft margin, {name}", right(X_test @ minimum.point), note))
apart = np.degrees(
    np.arccos(
        minima["hinge"].point[:2] @ own.coef_[0] / np.linalg.norm(minima["hinge"].point[:2]) / np.linalg.norm(own.coef_)
    )
)
rows.append(
    (
        "soft margin, intercept unpenalised",
        right(own.decision_function(X_test[:, :2])),
        f"another machine: turned by {apart:.2f} degrees",
    )
)
assert apart > 0.1

# %% [markdown]
# ## Pegasos
# SGD on the hinge sum with steps 1 / (lambda k), 1000 runs at once. Its law falls like 1 / k, and holds along the kinks.

# %%
law = qpot.decreasing_steps_law(sums["hinge"], minima["hinge"], scale=1.0 / penalty)
along = np.linalg.svd(law.across)[2][len(law.across) :]
x, seen = np.zeros((1000, 3)), {}
for k in range(1, 20_001):
    z = Z[rng.integers(len(Z), size=len(x))]
    x -= (penalty * x - np.where(np.einsum("nd,nd->n", z, x)[:, None] < 1.0, z, 0.0)) / (penalty * k)
    if k in (30, 100, 300, 1000, 3000, 10_000, 20_000):
        away = x - law.point
        seen[k] = np.sum((away @ along.T) ** 2) / len(x), np.sum((away @ law.across.T) ** 2) / len(x)
predicted = float(np.trace(along @ law.covariance @ along.T))
ratio = 20_000 * seen[20_000][0] / predicted
rows.append(("Pegasos, 20 000 steps", right(X_test @ x[0]), f"squared distance {ratio:.2f} times that of its law"))

assert abs(ratio - 1.0) < 0.25

# %% [markdown]
# ## The same machine by other roads: cutting planes, maximum entropy, divide and conquer

# %%
# Cutting planes: the risk is the largest of linear functions, and each round adds the one that is violated most.
cuts, levels, w, xi, planes = [], [], np.zeros(3), 0.0, 0
while True:
    inside = Z @ w < 1.0
    if np.maximum(0.0, 1.0 - Z @ w).mean() <= xi + 1e-9:
        break
    cuts.append(-(Z * inside[:, None]).mean(axis=0))
    levels.append(inside.mean())
    G, h, planes = np.array(cuts), np.array(levels), planes + 1
    # v holds w and the risk.
    planes_below = {
        "type": "ineq",
        "fun": lambda v, G=G, h=h: v[3] - G @ v[:3] - h,
        "jac": lambda v, G=G: np.column_stack([-G, np.ones(len(G))]),
    }
    found = minimize(
        lambda v: (0.5 * penalty * v[:3] @ v[:3] + v[3], np.append(penalty * v[:3], 1.0)),
        np.append(w, max((G @ w + h).max(), 0.0)),
        jac=True,
        constraints=planes_below,
        bounds=[(None, None)] * 3 + [(0.0, None)],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    ).x
    w, xi = found[:3], found[3]
assert np.allclose(w, minima["hinge"].point, atol=1e-4)
rows.append(("cutting planes", right(X_test @ w), f"{planes} planes lead to the hinge sum's minimum"))

# Maximum entropy discrimination with a Gaussian prior and an exponential prior of margins: the dual has log(1 - a / c) in
# place of the constraint a <= C, and tends to the hard margin as c grows.
gaps = []
for c in (10.0, 100.0, 1000.0, 1e4):
    a = minimize(
        lambda a, c=c: (0.5 * np.sum((a @ Z) ** 2) - a.sum() - np.log1p(-a / c).sum(), Z @ (a @ Z) - 1.0 + 1.0 / (c - a)),
        np.zeros(len(Z)), jac=True, bounds=[(0.0, 0.999 * c)] * len(Z), method="L-BFGS-B",
        options={"ftol": 1e-16, "gtol": 1e-11, "maxiter": 100_000, "maxfun": 1_000_000},
    ).x  # fmt: skip
    gaps.append(np.linalg.norm(a @ Z - exact.normal) / np.linalg.norm(exact.normal))
rows.append(
    (
        "maximum entropy, Gaussian prior",
        right(X_test @ (a @ Z)),
        f"off the hard margin by {gaps[0]:.0e} ... {gaps[-1]:.0e} as c = 10 ... 1e4",
    )
)
assert (np.diff(gaps) < 0).all()
assert gaps[-1] < 1e-3

# %% [markdown]
# ## B against the rest: kernels
# No line separates B, and a linear program says so. Kernels do. The distance r and the multiquadric sqrt(1 + r^2) are radial
# functions but no Mercer kernels: their Gram matrices have negative eigenvalues, and what `SVC` returns for them is no
# minimum of a convex problem.

# %%
P = middle[:, None] * ones(points)
assert linprog(np.zeros(3), A_ub=-P, b_ub=-np.ones(len(P)), bounds=(None, None)).status == 2
network = qpot.dense_network(2, 40)
start = np.random.default_rng(1).normal(size=network.dimension)
r = cdist(points, points)
GAMMA = 0.5
grams = {
    "linear": points @ points.T,
    "polynomial": (1.0 + points @ points.T) ** 2,
    "Gaussian": np.exp(-GAMMA * r**2),
    "tangent kernel of a network": qpot.tangent_kernel(network, start, points)[:, :, 0, 0],
    "linear radial r": r,
    "multiquadric": np.sqrt(1.0 + r**2),
}
r_test = cdist(unseen, points)
tests = {
    "linear": unseen @ points.T,
    "polynomial": (1.0 + unseen @ points.T) ** 2,
    "Gaussian": np.exp(-GAMMA * r_test**2),
    "tangent kernel of a network": qpot.tangent_kernel(network, start, unseen, points)[:, :, 0, 0],
    "linear radial r": r_test,
    "multiquadric": np.sqrt(1.0 + r_test**2),
}
least = {}
for name, gram in grams.items():
    least[name] = float(np.linalg.eigvalsh(gram)[0] / np.abs(gram).max())
    mercer = least[name] > -1e-10
    if mercer:
        machine = SVC(kernel="precomputed", C=1.0).fit(gram, middle)
        rows.append(
            (
                f"kernel: {name}",
                right(machine.decision_function(tests[name]), middle_test),
                f"{machine.n_support_.sum()} support vectors; Mercer",
            )
        )
    else:
        rows.append((f"kernel: {name}", np.nan, f"NOT Mercer: least eigenvalue {np.linalg.eigvalsh(gram)[0]:.3g}"))
assert [name for name, value in least.items() if value < -1e-3] == ["linear radial r", "multiquadric"]

gauss = SVC(kernel="rbf", gamma=GAMMA, C=1.0, tol=1e-8).fit(points, middle)
nystroem = make_pipeline(Nystroem(gamma=GAMMA, n_components=20, random_state=0), LinearSVC(C=1.0)).fit(points, middle)
fourier = make_pipeline(RBFSampler(gamma=GAMMA, n_components=200, random_state=0), LinearSVC(C=1.0)).fit(points, middle)
for name, machine in (("Nystroem, 20 landmarks", nystroem), ("200 random features", fourier)):
    rows.append(
        (
            f"Gaussian by {name}",
            right(machine.decision_function(unseen), middle_test),
            "an approximation of the Gaussian kernel",
        )
    )
# Divide and conquer: machines on clusters, then one on their support vectors and on what violates the margin, until
# nothing does.
parts = KMeans(4, n_init=4, random_state=0).fit_predict(points)
kept = np.zeros(len(points), dtype=bool)
for part in range(4):
    own = np.flatnonzero(parts == part)
    single = len(set(middle[own])) == 1
    kept[own if single else own[SVC(gamma=GAMMA, C=1.0).fit(points[own], middle[own]).support_]] = True
used = int(kept.sum())
while True:
    machine = SVC(kernel="rbf", gamma=GAMMA, C=1.0, tol=1e-8).fit(points[kept], middle[kept])
    violated = ~kept & (middle * machine.decision_function(points) < 1.0 - 1e-6)
    if not violated.any():
        break
    kept |= violated
assert np.allclose(machine.decision_function(unseen), gauss.decision_function(unseen), atol=1e-4)
rows.append(
    (
        "divide and conquer",
        right(machine.decision_function(unseen), middle_test),
        f"{kept.sum()} of {len(points)} samples give the whole machine",
    )
)
centres = KMeans(8, n_init=4, random_state=0).fit(points).cluster_centers_
radial = LogisticRegression(C=10.0).fit(np.exp(-GAMMA * cdist(points, centres) ** 2), middle)
rows.append(
    (
        "RBF network, 8 centres",
        right(radial.decision_function(np.exp(-GAMMA * cdist(unseen, centres) ** 2)), middle_test),
        "centres by k-means",
    )
)
platt = CalibratedClassifierCV(SVC(gamma=GAMMA, C=1.0), method="sigmoid", cv=5).fit(points, middle)
brier = {
    "plain": np.mean((1.0 / (1.0 + np.exp(-gauss.decision_function(unseen))) - (middle_test > 0)) ** 2),
    "Platt": np.mean((platt.predict_proba(unseen)[:, 1] - (middle_test > 0)) ** 2),
}
rows.append(
    (
        "Gaussian, Platt's probabilities",
        right(platt.predict_proba(unseen)[:, 1] - 0.5, middle_test),
        f"Brier score {brier['Platt']:.3f}, of the bare logistic {brier['plain']:.3f}",
    )
)
assert brier["Platt"] < brier["plain"]

# %% [markdown]
# ## B against the rest, with a loss that is not convex
# The loss 1 - tanh(z) charges a sample at most 2. With one coordinate and a threshold its sum has three
# minima: B against A, B against C, and "never B". Noise chooses between them. The quasi-potential puts the one of the largest
# loss in the second place, since it is hard to leave.


# %%
class Bounded:
    """The loss 1 - tanh(z) of the margin z."""

    def value(self, z):
        """The loss."""
        return 1.0 - np.tanh(z)

    def derivative(self, z):
        """Its derivative."""
        return np.tanh(z) ** 2 - 1.0


thresholds = ones(points)[:, [0, 2]]
bounded = qpot.margin_sum(thresholds, middle, loss=Bounded(), penalty=0.05)
choice = qpot.predict(bounded, starts=24, audit=False, progress=None)
winner, worst = choice.selected[0], int(np.argmax([m.loss for m in choice.minima]))
rows.append((
    "bounded loss on the first coordinate",
    right(ones(unseen)[:, [0, 2]] @ choice.minima[winner].point, middle_test),
    f"{len(choice.minima)} minima; SGD selects the one of W less by {choice.margin:.3f}",
))  # fmt: skip
assert len(choice.minima) == 3
assert choice.margin > 1e3 * choice.margin_error
# The worst of the three losses is not the least likely: its passes are high.
order = np.argsort(choice.stationary_costs)
assert order[1] == worst

# %% [markdown]
# ## All three classes
# One against all has no line for B. Both joint machines have: they minimise |W|^2 / 2 + C sum_i h_i, where h_i is the
# largest violation of sample i (Crammer and Singer) or the sum of its violations (Weston and Watkins). The second is a
# two-class machine on the vectors x_i (e_y - e_m), which scikit-learn solves too.

# %%
D, D_test = ones(points), ones(unseen)
CM = 0.03
crammer = LinearSVC(multi_class="crammer_singer", fit_intercept=False, C=CM, tol=1e-10, max_iter=1_000_000).fit(
    D, classes
)
vectors = np.array(
    [
        np.outer(np.eye(3)[c] - np.eye(3)[m], v).ravel()
        for v, c in zip(D, classes, strict=True)
        for m in range(3)
        if m != c
    ]
)
weston = SVC(kernel="linear", C=CM / 2, tol=1e-10).fit(
    np.concatenate([vectors, -vectors]), np.repeat([1, -1], len(vectors))
)
W = weston.coef_[0].reshape(3, 3)
differ = np.linalg.norm(W - crammer.coef_) / np.linalg.norm(crammer.coef_)
all_rest = OneVsRestClassifier(LinearSVC(C=CM, loss="hinge", fit_intercept=False, max_iter=1_000_000)).fit(D, classes)
one_one = OneVsOneClassifier(LinearSVC(C=CM, loss="hinge", fit_intercept=False, max_iter=1_000_000)).fit(D, classes)
schemes = {
    "one against all": all_rest.predict(D_test),
    "one against one": one_one.predict(D_test),
    "joint, Crammer-Singer": crammer.predict(D_test),
    "joint, Weston-Watkins": (D_test @ W.T).argmax(axis=1),
}
for name, said in schemes.items():
    note = (
        f"they differ by {100 * differ:.0f} % in W"
        if name.startswith("joint")
        else f"B: {100 * (said == 1)[truth == 1].mean():.0f} % right"
    )
    rows.append((name, float((said == truth).mean()), note))


def objective(V: np.ndarray, combine) -> float:
    """|V|^2 / 2 + C sum_i of the violations, combined."""
    scores = D @ V.T
    violations = np.maximum(0.0, 1.0 - scores[np.arange(len(D)), classes][:, None] + scores)
    violations[np.arange(len(D)), classes] = 0.0
    return 0.5 * np.sum(V**2) + CM * combine(violations, axis=1).sum()


# Each is better at its own objective, so that they are two machines.
assert objective(W, np.sum) < objective(crammer.coef_, np.sum)
assert objective(crammer.coef_, np.max) < objective(W, np.max)
assert 0.3 < differ < 0.4

# %%
print(f"{'machine':40s}{'test accuracy':>14s}   what holds")
for name, accuracy, note in rows:
    print(f"{name:40s}{'' if np.isnan(accuracy) else f'{accuracy:.3f}':>14s}   {note}")

# %%
fig, axes = plt.subplots(2, 3, figsize=(15, 9), layout="constrained")
COLOURS = np.array([BLUE, ORANGE, GREEN])


def scatter(ax, which=slice(None)) -> None:
    """The training points."""
    ax.scatter(*points[which].T, c=COLOURS[classes[which]], s=14, zorder=2)
    ax.set(xlim=(-4, 4.6), ylim=(-1.9, 2.4), xlabel="$x_1$", ylabel="$x_2$")


def line(ax, w, level=0.0, **style) -> None:
    """The line <w, (x, 1)> = level."""
    h = np.array([-1.9, 2.4])
    ax.plot((level - w[2] - w[1] * h) / w[0], h, **style)


ax = axes[0, 0]
scatter(ax, pair)
line(ax, exact.normal, color="k", label="hard margin")
for level in (-1, 1):
    line(ax, exact.normal, level, color="k", lw=0.8, ls=":")
line(ax, minima["hinge"].point, color=VERMILION, label=f"soft margin, C = {C:g}")
line(ax, minima["logistic"].point, color=PURPLE, ls="--", label="logistic")
ax.scatter(*points[pair][exact.support].T, s=90, facecolors="none", edgecolors="k", label="support vectors")
ax.legend(frameon=False, fontsize="small")
ax.set_title("A against C: hard and soft margins")

ax = axes[0, 1]
k = np.array(list(seen))
both = np.array(list(seen.values()))
ax.loglog(k, both[:, 0], "o", color=BLUE, label="along the kinks")
ax.loglog(k, predicted / k, color=BLUE, label="its law")
ax.loglog(k, both[:, 1], "s", color=VERMILION, label="across the kinks")
ax.loglog(k, both[-1, 1] * (k[-1] / k) ** 2, ":", color=VERMILION, label="slope $-2$")
ax.legend(frameon=False, fontsize="small")
ax.set(
    xlabel="step k", ylabel="mean squared distance from the minimum", title=r"Pegasos, steps $1/(\lambda k)$, 1000 runs"
)

ax = axes[0, 2]
names = list(grams)
least_shown = np.array([np.linalg.eigvalsh(grams[name])[0] / np.linalg.norm(grams[name], 2) for name in names])
ax.barh(names, least_shown, color=np.where(least_shown < -1e-10, VERMILION, BLUE))
for place, value in enumerate(least_shown):
    ax.text(0.02, place, f"{value:.2g}" if value < -1e-10 else "0 to rounding, or above", va="center", fontsize="small")
ax.axvline(0, color="k", lw=0.8)
ax.set(xlim=(-1.0, 0.6), xlabel="least eigenvalue / largest in size", title="Mercer kernels, and two that are none")
ax.invert_yaxis()

ax = axes[1, 0]
gx, gy = np.meshgrid(np.linspace(-4, 4.6, 160), np.linspace(-1.9, 2.4, 120))
plane = np.column_stack([gx.ravel(), gy.ravel()])
scatter(ax)
shown = (
    ("Gaussian kernel", gauss.decision_function(plane), "k", "-"),
    ("Nystroem, 20 landmarks", nystroem.decision_function(plane), VERMILION, "--"),
    ("RBF network", radial.decision_function(np.exp(-GAMMA * cdist(plane, centres) ** 2)), PURPLE, ":"),
)
for name, score, colour, style in shown:
    ax.contour(gx, gy, score.reshape(gx.shape), levels=[0], colors=[colour], linestyles=[style])
    ax.plot([], [], color=colour, ls=style, label=name)
ax.legend(frameon=False, fontsize="small", loc="upper right")
ax.set_title("B against the rest: no line, but kernels")

ax = axes[1, 1]
u, v = np.meshgrid(np.linspace(-2.6, 2.8, 140), np.linspace(-2.6, 2.8, 140))
height = bounded.loss(np.column_stack([u.ravel(), v.ravel()])).reshape(u.shape)
ax.contourf(u, v, height, levels=24, cmap="Greys")
for i, minimum in enumerate(choice.minima):
    ax.plot(*minimum.point, "o", ms=9, color=GREEN if i == winner else BLUE)
    ax.annotate(
        f"loss {minimum.loss:.3f}\nW {choice.stationary_costs[i]:.2f}", minimum.point, xytext=(8, -22),
        textcoords="offset points", fontsize="small", color="k",
    )  # fmt: skip
for path in choice.costs.paths.values():
    if path is not None and len(path.points):
        ax.plot(*path.points.T, color=VERMILION, lw=1.2)
ax.set(xlabel="weight of $x_1$", ylabel="threshold", title="Bounded loss: noise selects the green minimum")

ax = axes[1, 2]
region = (ones(plane) @ W.T).argmax(axis=1).reshape(gx.shape)
ax.contourf(gx, gy, region, levels=[-0.5, 0.5, 1.5, 2.5], colors=[BLUE, ORANGE, GREEN], alpha=0.18)
scatter(ax)
for name, said, colour, style in (
    ("Weston-Watkins", (ones(plane) @ W.T).argmax(axis=1), "k", "-"),
    ("Crammer-Singer", crammer.predict(ones(plane)), VERMILION, "--"),
    ("one against all", all_rest.predict(ones(plane)), PURPLE, ":"),
):
    ax.contour(gx, gy, said.reshape(gx.shape), levels=[0.5, 1.5], colors=[colour], linestyles=[style])
    ax.plot([], [], color=colour, ls=style, label=name)
ax.legend(frameon=False, fontsize="small", loc="upper right")
ax.set_title(f"Joint machines: they differ by {100 * differ:.0f} % in W")
fig.savefig(output / "machines_on_the_same_data.png", dpi=110)
print(f"figure: {output / 'machines_on_the_same_data.png'}")
