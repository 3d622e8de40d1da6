"""The figure of `examples/sharp_or_flat.py`."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea
from matplotlib.patches import Ellipse, Patch
from scipy.stats import f as f_law

BLUE, ORANGE = "#0072B2", "#E69F00"
VERDICT = {"TRUE": "#009E73", "FALSE": "#D55E00", "TIE": "#8a4f7d"}


def title(ax, verdict, reason, letter=""):
    parts = [
        TextArea(f"{verdict}:", textprops={"color": VERDICT[verdict], "weight": "bold", "size": 17}),
        TextArea(reason, textprops={"size": 16}),
        TextArea(letter and f"({letter})", textprops={"size": 16, "color": "0.35", "weight": "bold"}),
    ]
    packed = HPacker(children=parts, align="baseline", pad=0, sep=6)
    ax.add_artist(
        AnchoredOffsetbox("lower left", child=packed, pad=0, borderpad=0.3, frameon=False, bbox_to_anchor=(0, 1),
                          bbox_transform=ax.transAxes)
    )  # fmt: skip
    # An empty title makes room for the box.
    ax.set_title(" ", fontsize=17)


def share_bar(ax, d, labels, k=0):
    share, (low, high), predicted = d.share[k], d.interval[k], d.predicted[k]
    ax.barh([0], [share], color=BLUE)
    ax.barh([0], [1 - share], left=[share], color=ORANGE)
    ax.errorbar([share], [0], xerr=[[share - low], [high - share]], color="black", capsize=7, linewidth=2.5)
    ax.plot([predicted], [0.66], "v", color="black", markersize=13, clip_on=False)
    for label, part, x, side in zip(labels, (share, 1 - share), (0.0, 1.0), ("left", "right"), strict=True):
        ax.text(x, -0.55, f"{label} {100 * part:.0f} %", ha=side, va="top", fontsize=16)
    ax.set(xlim=(0, 1), ylim=(-1.0, 0.9))
    ax.axis("off")


def steps_bar(ax, exits, labels):
    longest = max(e.interval[1] for e in exits)
    for row, (e, colour, label) in enumerate(zip(exits, (BLUE, ORANGE), labels, strict=True)):
        y = -1.2 * row
        low, mean, high = (value / longest for value in (e.interval[0], e.mean, e.interval[1]))
        ax.barh([y], [mean], color=colour, height=0.75)
        ax.errorbar([mean], [y], xerr=[[mean - low], [high - mean]], color="black", capsize=6, linewidth=2.5)
        ax.plot([e.predicted / longest], [y + 0.55], "v", color="black", markersize=12)
        inside = mean > 0.6
        ax.text(
            0.02 if inside else high + 0.03, y, f"{label}: {e.mean:,.0f} steps", va="center", fontsize=16,
            color="white" if inside and colour == BLUE else "black",
        )  # fmt: skip
    ax.set(xlim=(0, 1.02), ylim=(-1.7, 0.9))
    ax.axis("off")


def noise_ellipse(ax, at, a, colour, scale=0.27, alpha=0.8):
    size, axes = np.linalg.eigh(a)
    tilt = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    width, height = 2 * scale * np.sqrt(size[::-1])
    ax.add_patch(Ellipse(at, width, height, angle=tilt, facecolor=colour, alpha=alpha, zorder=4))
    ax.plot(*at, "o", color="white", markeredgecolor="black", markersize=7, zorder=6)


def draw_wells(ax, d):
    x, y = np.meshgrid(np.linspace(-1.85, 1.85, 149), np.linspace(-1.2, 1.2, 97))
    loss = d.system.loss(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    loss -= min(m.loss for m in d.prediction.minima)
    ax.contourf(x, y, loss, levels=np.linspace(0, 1.2, 25), cmap="Greys", alpha=0.5, extend="max")
    for m, colour in zip(d.prediction.minima, (BLUE, ORANGE), strict=True):
        noise_ellipse(ax, m.point, d.system.covariance(m.point[None])[0], colour)
    for path in d.prediction.costs.paths.values():
        ax.plot(*path.points[path.uphill].T, color="black", linewidth=2, zorder=5)
    ax.plot(*d.prediction.saddles[0].point, "X", color="white", markeredgecolor="black", markersize=13, zorder=6)
    # The limits have the proportions of the panel, so that isotropic noise is a circle.
    ax.set(xticks=[], yticks=[], xlim=(-1.75, 1.75), ylim=(-1.14, 1.14))


def draw_line(ax, d, steps, notes=("", "")):
    x = np.linspace(-1.75, 1.75, 400)
    ax.plot(x, d.system.loss(x[:, None]) - d.prediction.minima[0].loss, color="black", linewidth=2)
    for m, colour, arrows, note in zip(d.prediction.minima, (BLUE, ORANGE), steps, notes, strict=True):
        at = m.point[0]
        ax.plot(at, 0.0, "o", color=colour, markersize=14, zorder=5)
        for k, step in enumerate(arrows):
            y = -0.05 - (0.028 * k if len(arrows) > 2 else 0.0)
            ax.annotate("", (at + step, y), (at, y), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 3})
        ax.text(at, -0.125, note, ha="center", fontsize=15)
    ax.set(xticks=[], yticks=[], xlim=(-1.75, 1.75), ylim=(-0.19 if len(steps[0]) > 2 else -0.15, 0.4))


def draw_exit(ax, exits, border, shapes, names):
    for name, colour, shift in zip(names, (BLUE, ORANGE), (-0.28, 0.28), strict=True):
        ax.plot(*exits[name].points.T, ".", color=colour, markersize=8, alpha=0.8)
        noise_ellipse(ax, (shift, 0.0), shapes[name], colour, scale=0.28)
    ax.plot(*np.concatenate([border, border[:1]]).T, color="black", linewidth=2)
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="datalim")
    ax.axis("off")


def panels(subfigure, n, heading):
    subfigure.suptitle(heading, fontsize=20, style="italic", weight="bold", x=0.005, ha="left")
    grid = subfigure.subplots(2, n, height_ratios=(3, 1), squeeze=False)
    return list(zip(grid[0], grid[1], strict=True))


def draw(duels, level_set, ball, borders, shapes, confidence):
    """Draw every claim beside what SGD did: duels of two minima by name, exits from a level set and a ball by noise."""
    plt.rcParams.update({"font.size": 15})
    figure = plt.figure(figsize=(20, 17), layout="constrained")
    figure.get_layout_engine().set(hspace=0.02, h_pad=0.03)
    figure.suptitle(
        "Which minimum does SGD select?  Not the flat one and not the isotropic one as such, but the one\n"
        "that is costliest to leave – and the noise along the way out decides what leaving costs",
        fontsize=25, weight="bold",
    )  # fmt: skip
    rows = figure.subfigures(4, 1, height_ratios=(1, 1, 1, 0.14))
    halves = rows[1].subfigures(1, 2)
    parts = rows[2].subfigures(1, 2, width_ratios=(3, 1.05))
    kinds, sides = ("isotropic", "anisotropic"), ("left", "right")

    upper = panels(rows[0], 4, "“Of two symmetric minima, SGD selects the one with the more isotropic noise”")
    for (ax, bar), (name, verdict, reason, letter) in zip(
        upper,
        (
            ("noise along", "TRUE", "as it has less along the exit", ""),
            ("noise across", "FALSE", "as it has more along the exit", "a"),
            ("other total", "FALSE", "as it has more in total", "b"),
            ("only across", "TIE", "they differ across only", "f"),
        ),
        strict=True,
    ):
        draw_wells(ax, duels[name])
        title(ax, verdict, reason, letter)
        share_bar(bar, duels[name], kinds)

    (ax, bar), (ax2, bar2) = panels(halves[0], 2, "“Isotropic noise holds SGD longest”")
    draw_exit(ax, level_set, borders[0], shapes, ("isotropic", "tilted"))
    title(ax, "TRUE", "inside a level set")
    steps_bar(bar, [level_set["isotropic"], level_set["tilted"]], kinds)
    draw_exit(ax2, ball, borders[1], shapes, ("isotropic", "like the Hessian"))
    title(ax2, "FALSE", "inside a ball", "c")
    steps_bar(bar2, [ball["isotropic"], ball["like the Hessian"]], kinds)

    (ax, bar), (ax2, bar2) = panels(halves[1], 2, "“Same covariance everywhere: no preference”")
    draw_wells(ax, duels["curved"])
    title(ax, "FALSE", "the valley is bent", "d")
    share_bar(bar, duels["curved"], sides)
    draw_line(ax2, duels["skewed"], [(-0.6, 0.15, 0.15, 0.15, 0.15)] * 2)
    title(ax2, "FALSE", "the noise is skewed", "e")
    share_bar(bar2, duels["skewed"], sides, k=1)

    for (ax, bar), name, verdict, reason, noises in zip(
        panels(parts[0], 3, "“SGD prefers flat minima”"),
        ("flat: less noise", "flat: same noise", "flat: more noise"),
        ("TRUE", "TIE", "FALSE"),
        ("the noise grows with curvature", "same noise; only widths count", "less noise at the sharp one"),
        ((4, 16), (8, 8), (8, 4)),
        strict=True,
    ):
        draw_line(
            ax, duels[name], [(-0.14 * np.sqrt(n), 0.14 * np.sqrt(n)) for n in noises], [f"noise {n}" for n in noises]
        )
        title(ax, verdict, reason)
        share_bar(bar, duels[name], ("flat", "sharp"))

    parts[1].suptitle("All numbers", fontsize=20, weight="bold", x=0.2, ha="left")
    ax = parts[1].subplots()
    for d in duels.values():
        for share, interval, p in zip(d.share, d.interval, d.predicted, strict=True):
            low, middle, high = (q / (1 - q) for q in (interval[0], share, interval[1]))
            ax.errorbar(p / (1 - p), middle, yerr=[[middle - low], [high - middle]], fmt="o", color="black", capsize=4)
    for exits, other in ((level_set, "tilted"), (ball, "like the Hessian")):
        one, two = exits["isotropic"], exits[other]
        spread = np.array(f_law.ppf([(1 + confidence) / 2, (1 - confidence) / 2], 800, 800))
        ratio = one.mean / two.mean
        error = np.abs(ratio / spread - ratio)[:, None]
        ax.errorbar(one.predicted / two.predicted, ratio, yerr=error, fmt="s", color="black", capsize=4)
    ax.set(xscale="log", yscale="log", xlabel="odds blue : orange, predicted", ylabel="odds blue : orange, SGD")
    ax.plot([0.03, 150], [0.03, 150], color="0.6", zorder=0)

    key = rows[3].subplots()
    key.axis("off")
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=20, color="0.5", label="gradient noise"),
        Line2D([], [], color="black", linewidth=2, marker="X", markersize=12, markerfacecolor="white",
               label="way out, over the pass"),
        Line2D([], [], color="0.5", marker=".", markersize=12, linestyle="", label="where SGD leaves"),
        Patch(color="0.5", label="share of time (steps) of SGD"),
        Line2D([], [], color="black", linewidth=2.5, marker="|", markersize=14, label="its 99.9 % interval"),
        Line2D([], [], color="black", marker="v", linestyle="", markersize=12, label="predicted"),
    ]  # fmt: skip
    key.legend(handles=handles, loc="center", ncols=6, fontsize=16, frameon=False)
    return figure
