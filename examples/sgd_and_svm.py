# %% [markdown]
# # Gradient descent among the support vector machines
#
# On one data set, scikit-learn's handwritten digits, one table compares hard and soft margins, kernels, sparse duals,
# multiclass schemes, Pegasos, calibration and random features, all by scikit-learn. Next to them is what scikit-learn lacks:
# the direction of gradient flow on its way to the hard-margin machine, and the path kernel of a trained network.

# %%
import time
from pathlib import Path

import matplotlib

if "get_ipython" not in globals():
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot.plots.axes import BLUE, GREEN, ORANGE, PURPLE, VERMILION

try:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.datasets import load_digits
    from sklearn.kernel_approximation import Nystroem, RBFSampler
    from sklearn.linear_model import SGDClassifier
    from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC, LinearSVC
except ImportError as error:
    raise SystemExit("this example needs scikit-learn: python -m pip install 'qpot[ml]'") from error

output = Path(__file__).parent / "output" if "__file__" in globals() else Path("output")
output.mkdir(exist_ok=True)

# %% [markdown]
# ## Even digits against odd ones
# There are 120 training images, and the other 1677 are for the test. They are centred, and a column of ones takes the place
# of an intercept, so that the machines without one of their own go through the origin of the same 65-dimensional space and
# directions can be compared. `SVC` has an intercept of its own: its soft margin is another machine, nearly the same here. The
# table shows that the flow's direction is best early on and ends as the hard-margin machine.

# %%
digits = load_digits()
rng = np.random.default_rng(0)
pixels, labels = digits.data / 16.0, np.where(digits.target % 2 == 1, 1.0, -1.0)
order = rng.permutation(labels.size)
train, test = order[:120], order[120:]
mean = pixels[train].mean(axis=0)


def augmented(rows: np.ndarray) -> np.ndarray:
    """The centred pixels of images, with a one appended to each."""
    return np.column_stack([pixels[rows] - mean, np.ones(rows.size)])


X, y, X_test, y_test = augmented(train), labels[train], augmented(test), labels[test]
# This is the hard-margin machine, computed without a penalty parameter.
exact = qpot.separate(X, y)


def angle(w) -> float:
    """The angle in degrees between a direction and that of the hard-margin machine."""
    return float(np.degrees(np.arccos(np.clip(w @ exact.direction / np.linalg.norm(w), -1.0, 1.0))))


# A row is a name, the test accuracy, and the number of support vectors and the angle, or None for either.
table = []


def add(name: str, accuracy: float, support=None, w=None) -> None:
    """Add a row to the table."""
    table.append((name, accuracy, support, None if w is None else angle(w)))


def correct(scores) -> float:
    """The share of the test images on the right side."""
    return float((np.sign(scores) == y_test).mean())


# This is scikit-learn's SVC with a large C, through the origin.
hard = qpot.svc_separation(X, y)
add("hard margin (SVC)", correct(X_test @ hard.normal), hard.support_within(1e-3).size, hard.normal)
soft = SVC(kernel="linear", C=0.1).fit(X, y)
add("soft margin (SVC, C = 0.1)", soft.score(X_test, y_test), soft.n_support_.sum(), soft.coef_[0])
# Mirrored images make the intercept vanish.
mirrored = SVC(kernel="linear", C=0.05, tol=1e-8).fit(np.concatenate([X, -X]), np.concatenate([y, -y]))
add("   the same through the origin", correct(X_test @ mirrored.coef_[0]), None, mirrored.coef_[0])
poly = SVC(kernel="poly", degree=3, gamma=0.1, coef0=1.0, C=1.0).fit(X, y)
add("polynomial kernel", poly.score(X_test, y_test), poly.n_support_.sum())
gauss = SVC(kernel="rbf", gamma=0.1, C=5.0).fit(X, y)
add("Gaussian kernel", gauss.score(X_test, y_test), gauss.n_support_.sum())

network = qpot.dense_network(64, 8)
start = np.random.default_rng(1).normal(scale=0.3, size=network.dimension)
loss = qpot.MarginError(loss=qpot.Logistic())
path = qpot.train_flow(network, X[:, :-1], y, loss=loss, start=start, step=0.5, steps=80)
gram = path.gram(X[:, :-1])
by_path = SVC(kernel="precomputed", C=1.0).fit(gram, y)
add(
    "path kernel of a network",
    by_path.score(path.gram(X_test[:, :-1], X[:, :-1]), y_test),
    by_path.n_support_.sum(),
)
add("   that network itself", correct(path.predict(X_test[:, :-1])[:, 0]))

nystroem = make_pipeline(Nystroem(gamma=0.1, n_components=60, random_state=0), LinearSVC(C=5.0)).fit(X, y)
add("Nystroem, 60 landmarks", nystroem.score(X_test, y_test))
fourier = make_pipeline(RBFSampler(gamma=0.1, n_components=300, random_state=0), LinearSVC(C=5.0)).fit(X, y)
add("300 random Fourier features", fourier.score(X_test, y_test))

penalty = 1e-3
pegasos = SGDClassifier(
    loss="hinge", alpha=penalty, fit_intercept=False, average=True, max_iter=2000, tol=None, random_state=0
)
pegasos.fit(X, y)
add(f"Pegasos (SGD, lambda = {penalty:g})", pegasos.score(X_test, y_test), None, pegasos.coef_[0])

began = time.perf_counter()
flow = qpot.margin_flow(X, y, log_time=np.log(1e100))
seconds = time.perf_counter() - began
decades = flow.log_times / np.log(10.0)
for decade in (1, 3, 10, 100):
    w = flow.weights[np.argmin(np.abs(decades - decade))]
    support = flow.support.size if decade == 100 else None
    add(f"gradient flow, t = 1e{decade}", correct(X_test @ w), support, w)

# %% [markdown]
# ## Calibration
# The soft-margin machine's score is turned into a probability, by a plain logistic function and by Platt's fitted one.

# %%
raw = 1.0 / (1.0 + np.exp(-soft.decision_function(X_test)))
platt = CalibratedClassifierCV(SVC(kernel="linear", C=0.1), method="sigmoid", cv=5).fit(X, y)
fitted = platt.predict_proba(X_test)[:, 1]
brier = {name: np.mean((p - (y_test > 0)) ** 2) for name, p in (("plain", raw), ("Platt", fitted))}

# %% [markdown]
# ## All ten digits: three ways to combine machines

# %%
everything = digits.data / 16.0 - digits.data.mean(axis=0) / 16.0
order = rng.permutation(digits.target.size)
few, many = order[:600], order[600:]
schemes = {
    "one against the rest": OneVsRestClassifier(LinearSVC(C=0.1)),
    "one against one": OneVsOneClassifier(LinearSVC(C=0.1)),
    "joint (Crammer-Singer)": LinearSVC(C=0.1, multi_class="crammer_singer", max_iter=10_000),
}
multiclass = {
    name: scheme.fit(everything[few], digits.target[few]).score(everything[many], digits.target[many])
    for name, scheme in schemes.items()
}

# %%
print(f"{'even against odd digits':34s}{'test accuracy':>14s}{'support':>9s}{'angle':>8s}")
for name, accuracy, support, degrees in table:
    columns = "" if support is None else f"{support:d}", "" if degrees is None else f"{degrees:.2f}"
    print(f"{name:34s}{accuracy:14.3f}{columns[0]:>9s}{columns[1]:>8s}")
print(f"Brier score of the soft margin: plain {brier['plain']:.4f}, Platt {brier['Platt']:.4f}")
for name, accuracy in multiclass.items():
    print(f"{'ten digits, ' + name:34s}{accuracy:14.3f}")
laws = flow.laws()
print(f"flow to t = 1e100 in {seconds:.2f} s; {flow}")
print(f"|theta| / log t: fitted {laws.norm_slope.fitted:.4f}, 1/gamma = {laws.norm_slope.theory:.4f}")

results = {name: (accuracy, support, degrees) for name, accuracy, support, degrees in table}
# scikit-learn agrees with the exact solution.
assert results["hard margin (SVC)"][2] < 0.1
assert np.allclose(hard.normal, exact.normal, atol=1e-3 * np.linalg.norm(exact.normal))
along = [results[f"gradient flow, t = 1e{k}"][2] for k in (1, 3, 10, 100)]
# The flow turns towards the SVM.
assert (np.diff(along) < 0).all()
assert along[-1] < 2.0
assert abs(laws.norm_slope.fitted / laws.norm_slope.theory - 1) < 0.01
assert np.linalg.eigvalsh(gram)[0] > -1e-12 * np.linalg.eigvalsh(gram)[-1]
assert all(accuracy > 0.9 for accuracy in multiclass.values())
# The soft machine with an intercept of its own is not the one through the origin.
angles = [angle(soft.coef_[0]), angle(mirrored.coef_[0])]
print(f"soft margins: {angles[0]:.4f} degrees with an intercept, {angles[1]:.4f} through the origin")
assert abs(mirrored.intercept_[0]) < 1e-6 < 1e-2 < abs(soft.intercept_[0])
assert abs(angles[1] - 53.2916) < 1e-3
# The duals are sparse.
assert hard.support_within(1e-3).size < y.size // 2

# %%
fig = plt.figure(figsize=(14, 8.6), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[1.55, 0.8])
axes = top.subplots(1, 3, width_ratios=[1.25, 1.1, 0.9])
ax = axes[0]
rows = np.arange(len(table))[::-1]
ours = np.array([name.startswith(("gradient flow", "path kernel")) for name, *_ in table])
ax.barh(rows, [100 * accuracy for _, accuracy, _, _ in table], color=np.where(ours, VERMILION, BLUE))
for row, (_, accuracy, support, _) in zip(rows, table, strict=True):
    text = f"{100 * accuracy:.1f}" + ("" if support is None else f"   {support} support vectors")
    ax.text(70.5, row, text, va="center", color="white", fontsize="small")
ax.set_yticks(rows, [name.strip() for name, *_ in table])
ax.set(xlim=(70, 100), xlabel="test accuracy, %", title="Even against odd digits (red: what scikit-learn lacks)")

ax = axes[1]
seen = decades > 0.05
ax.plot(decades[seen], np.degrees(flow.angles[seen]), color=VERMILION, lw=2.4, label="gradient flow at time t")
for name, key, colour, style in (
    ("soft margin, C = 0.1", "soft margin (SVC, C = 0.1)", BLUE, "--"),
    ("Pegasos", f"Pegasos (SGD, lambda = {penalty:g})", GREEN, "-."),
):
    ax.axhline(results[key][2], color=colour, ls=style, lw=1.6, label=name)
ax.set(
    xscale="log", yscale="log", xlabel=r"$\log_{10}$ t", ylabel="degrees from the hard-margin machine",
    title="The flow turns into the hard-margin machine",
)  # fmt: skip
ax.legend(frameon=False)

ax = axes[2]
edges = np.linspace(0.0, 1.0, 6)
for name, p, colour, marker in (("plain logistic", raw, ORANGE, "s"), ("Platt", fitted, PURPLE, "o")):
    bins = np.clip(np.digitize(p, edges) - 1, 0, 4)
    used = [k for k in range(5) if (bins == k).any()]
    ax.plot(
        [p[bins == k].mean() for k in used], [(y_test[bins == k] > 0).mean() for k in used], marker=marker,
        color=colour, lw=1.8, label=f"{name}, Brier {brier['plain' if name != 'Platt' else 'Platt']:.3f}",
    )  # fmt: skip
ax.plot([0, 1], [0, 1], ":", color="0.5", label="perfect")
ax.set(
    xlabel="probability of odd, said",
    ylabel="share of odd digits, seen",
    title="Calibration of the soft margin",
)
ax.legend(frameon=False, fontsize="small", loc="upper left")

shown = [(f"flow, t = 1e{k}", flow.weights[np.argmin(np.abs(decades - k))]) for k in (0, 1, 3, 100)]
shown += [
    ("hard-margin SVM", exact.normal),
    ("soft margin, C = 0.1", soft.coef_[0]),
    ("Pegasos", pegasos.coef_[0]),
]
panels = bottom.subplots(1, len(shown))
for panel, (name, w) in zip(panels, shown, strict=True):
    image = w[:64].reshape(8, 8) / np.linalg.norm(w)
    picture = panel.imshow(image, cmap="PuOr", vmin=-0.35, vmax=0.35)
    panel.set(xticks=[], yticks=[], xlabel=f"{angle(w):.1f} degrees off")
    panel.set_title(name, fontsize="medium")
bottom.colorbar(picture, ax=panels, shrink=0.6, label="weight (violet: odd)")
bottom.suptitle("The direction as an image: the flow's becomes the hard-margin machine's")
fig.savefig(output / "sgd_and_svm.png", dpi=130)
print(f"figure: {output / 'sgd_and_svm.png'}")
