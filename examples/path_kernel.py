# %% [markdown]
# # Which training images explain this prediction?
#
# A model trained by gradient flow is f_T(x) = f_0(x) + sum_i int K_t(x, x_i) alpha_i(t) dt: every training sample makes its
# own contribution. Here a small network learns to tell handwritten threes from eights (scikit-learn's digits, 8 x 8 pixels).
# The contributions reproduce its output to the accuracy of the integrator and rank the training images behind one
# prediction, and a support vector machine takes their kernel as it is.

# %%
from pathlib import Path

import matplotlib

if "get_ipython" not in globals():
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import qpot
from qpot.plots.axes import BLUE, GREEN, VERMILION
from qpot.plots.companions import plot_explanation

try:
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC
except ImportError as error:
    raise SystemExit("this example needs scikit-learn: python -m pip install 'qpot[ml]'") from error

output = Path(__file__).parent / "output" if "__file__" in globals() else Path("output")
output.mkdir(exist_ok=True)

# %%
digits = load_digits()
chosen = np.isin(digits.target, (3, 8))
pixels, labels = digits.data[chosen] / 16.0, np.where(digits.target[chosen] == 8, 1.0, -1.0)
order = np.random.default_rng(0).permutation(labels.size)
train, test = order[:80], order[80:]
X, y = pixels[train] - pixels[train].mean(axis=0), labels[train]
X_test, y_test = pixels[test] - pixels[train].mean(axis=0), labels[test]

network = qpot.dense_network(64, 8)
start = np.random.default_rng(1).normal(scale=0.3, size=network.dimension)
loss = qpot.MarginError(loss=qpot.Logistic())
path = qpot.train_flow(network, X, y, loss=loss, start=start, step=0.25, steps=160, order=2)
accuracy = (np.sign(path.predict(X_test)[:, 0]) == y_test).mean()
print(
    f"{network.dimension} parameters, loss {path.losses[0]:.3f} to {path.losses[-1]:.4f}, test accuracy {accuracy:.3f}"
)

# %% [markdown]
# ## The error of the reconstruction falls with the order of the integrator
# The total time is fixed and divided into more and more steps. The same is done with minibatches of 16, each of which is held
# for the same time.

# %%
steps = np.array([40, 80, 160])
errors = {}
for integrator in (1, 2, 4):
    errors[integrator] = [
        qpot.train_flow(network, X, y, loss=loss, start=start, step=40.0 / n, steps=int(n), order=integrator)
        .explain(X_test[:20])
        .error
        for n in steps
    ]
    fitted = -np.polyfit(np.log(steps), np.log(errors[integrator]), 1)[0]
    print(f"order {integrator}: errors {', '.join(f'{e:.1e}' for e in errors[integrator])}; fitted order {fitted:.2f}")
    assert abs(fitted - integrator) < 0.5
batches = np.random.default_rng(2).integers(80, size=(40, 16))
minibatch = [
    qpot.train_flow(
        network,
        X,
        y,
        loss=loss,
        start=start,
        step=40.0 / n,
        steps=int(n),
        batches=np.repeat(batches, n // 40, axis=0),
    )
    .explain(X_test[:20])
    .error
    for n in steps
]
fitted = -np.polyfit(np.log(steps), np.log(minibatch), 1)[0]
print(f"minibatches, order 1: errors {', '.join(f'{e:.1e}' for e in minibatch)}; fitted order {fitted:.2f}")
assert abs(fitted - 1.0) < 0.5

# %% [markdown]
# ## Which images are behind a prediction?

# %%
explanation = path.explain(X_test)
doubtful = int(np.abs(explanation.prediction[:, 0]).argmin())
print(explanation)
for i, value in explanation.ranking(doubtful, top=6):
    print(f"   training image {i:2d} ({'8' if y[i] > 0 else '3'}): {value:+.3f}")
assert explanation.error < 0.02 * np.abs(explanation.prediction).max()

# %% [markdown]
# ## How many images does it take?
# The fewest of the largest contributions after which what all others add together is at most a tenth.

# %%
retrieved = explanation.retrieve(doubtful, within=0.1)
begun, ended = explanation.initial[doubtful, 0], explanation.prediction[doubtful, 0]
print(
    f"{len(retrieved)} of {y.size} images make f_T - f_0 = {ended - begun:+.3f} up to a tenth: "
    f"their sum is {sum(value for _, value in retrieved):+.3f}"
)
left = explanation.contributions[doubtful, :, 0].sum() - sum(value for _, value in retrieved)
size = max(abs(ended - begun), np.abs(explanation.contributions[doubtful, :, 0]).mean())
assert abs(left) <= 0.1 * size + 1e-9
assert 1 <= len(retrieved) <= y.size

# %% [markdown]
# ## New images, without a new training
# Terms of the tangent kernel at the end of the training learn the five images of which the network was least sure. What they
# leave out is the model's curvature along the step, which `error` estimates; a training that goes on is the judge.

# %%
by_doubt = np.argsort(np.abs(explanation.prediction[:, 0]))
new, rest = by_doubt[:5], by_doubt[5:]
update = qpot.kernel_update(path, X_test[new], y_test[new], duration=2.0)
again = update.retrained(steps=40)
before, changed, trained = (f(X_test[rest])[:, 0] for f in (path.predict, update.predict, again.predict))
apart, moved = np.abs(changed - trained).max(), np.abs(trained - before).max()
print(f"{update}: predictions move by up to {moved:.3f} in a training, from which kernel terms differ by {apart:.3f}")
print(f"   estimated without a training: {update.error(X_test[rest]):.3f}")
assert apart < 0.5 * moved
assert 0.1 < update.error(X_test[rest]) / apart < 10.0

# %% [markdown]
# ## The path kernel in a support vector machine
# The path kernel is a sum of Gram matrices with positive weights, so it is positive semidefinite.

# %%
gram = path.gram(X)
eigenvalues = np.linalg.eigvalsh(gram)
assert eigenvalues[0] > -1e-12 * eigenvalues[-1]
machine = SVC(kernel="precomputed", C=10.0).fit(gram, y)
by_path = (machine.predict(path.gram(X_test, X)) == y_test).mean()
tangent = qpot.tangent_kernel(network, start, X)[:, :, 0, 0]
untrained = SVC(kernel="precomputed", C=10.0).fit(tangent, y)
by_tangent = (untrained.predict(qpot.tangent_kernel(network, start, X_test, X)[:, :, 0, 0]) == y_test).mean()
print(f"test accuracy: network {accuracy:.3f}, SVM with the path kernel {by_path:.3f} "
f"({machine.support_.size} support "
      f"vectors), with the untrained tangent kernel {by_tangent:.3f}")  # fmt: skip
assert by_path > 0.9

# %%
fig = plt.figure(figsize=(13.5, 7.8), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[1.0, 0.6])
axes = top.subplots(1, 3)
ax = axes[0]
for (integrator, values), colour, marker in zip(errors.items(), (BLUE, VERMILION, GREEN), "os^", strict=True):
    ax.loglog(40.0 / steps, values, marker=marker, color=colour, lw=1.6, label=f"order {integrator}")
    ax.loglog(40.0 / steps, values[-1] * (steps[-1] / steps) ** float(integrator), "--", color="0.6", lw=1)
ax.loglog(40.0 / steps, minibatch, "D:", color="black", lw=1.2, label="order 1, minibatches")
ax.set(xlabel="step", ylabel="reconstruction error", title="Rebuilding f from its samples (dashed: theory)")
ax.legend(frameon=False, fontsize="small")

by_class = np.argsort(y, kind="stable")
scale = 1.0 / np.sqrt(np.diag(gram))
image = axes[1].imshow((gram * np.outer(scale, scale))[np.ix_(by_class, by_class)], cmap="viridis")
border = (y < 0).sum() - 0.5
axes[1].axhline(border, color="white", lw=1)
axes[1].axvline(border, color="white", lw=1)
axes[1].set(title="Path kernel of the training images", xlabel="threes, then eights", ylabel="threes, then eights")
top.colorbar(image, ax=axes[1], shrink=0.85, label="cosine of two images")

names = [f"image {i} ({'8' if y[i] > 0 else '3'})" for i in range(y.size)]
ax = plot_explanation(explanation, row=doubtful, top=8, names=names, ax=axes[2])
ax.set_title(f"A doubtful test image: why f = {explanation.prediction[doubtful, 0]:+.2f}")

panels = bottom.subplots(1, 7)
verdict = "an 8" if explanation.prediction[doubtful, 0] > 0 else "a 3"
truth = "an 8" if y_test[doubtful] > 0 else "a 3"
panels[0].imshow(pixels[test[doubtful]].reshape(8, 8), cmap="gray_r")
panels[0].set_title(
    f"test image\nf = {explanation.prediction[doubtful, 0]:+.2f}: {verdict}\n(it is {truth})",
    fontsize="medium",
)
for spine in panels[0].spines.values():
    spine.set(linewidth=3)
for panel, (i, value) in zip(panels[1:], explanation.ranking(doubtful, top=6), strict=True):
    panel.imshow(pixels[train[i]].reshape(8, 8), cmap="gray_r")
    panel.set_title(
        f"image {i}, {'an 8' if y[i] > 0 else 'a 3'}\nadds {value:+.3f}",
        color=BLUE if value > 0 else VERMILION,
        fontsize="medium",
    )
for panel in panels:
    panel.set(xticks=[], yticks=[])
bottom.suptitle("The training images that contributed most (blue: towards 8, red: towards 3)")
fig.savefig(output / "path_kernel.png", dpi=130)
print(f"figure: {output / 'path_kernel.png'}")
