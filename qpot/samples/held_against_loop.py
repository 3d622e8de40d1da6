"""Models held against a plain loop over points and samples: batching, gradients and second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.formulas import Integers
from qpot.samples.layout import ParameterLayout

# The numbers of points at which a model is tried, with two samples each: a rule for batches that mistakes one axis for the
# other shows where they are as long, or where they are not.
_POINTS = (2, 3)
# The points lie this far from the parameters that the model came with, in parts of their size, and nearer where the loss is
# not finite.
_NEAR = (0.1, 1e-2, 1e-3)
# Steps of differences along a direction as long as the parameters. At a kink the shorter ones are right, else the longer.
_STEPS = (1e-4, 1e-5, 1e-6)
_STEPS_SINGLE = (1e-2, 3e-3, 1e-3)


class Loop(Protocol):
    """Losses and gradients of a model, one point and one sample at a time, without any batching."""

    def losses(self, x: Array, samples: Sequence[int]) -> Array:
        """Losses of some samples at points (n, d), ``(n, S)``."""

    def gradients(self, x: Array, samples: Sequence[int]) -> Array:
        """Gradients of some samples at points (n, d), ``(n, S, d)``."""


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """What may differ, as parts of the largest number that is compared.

    Parameters
    ----------
    steps : tuple of float
        Steps of differences.
    rounding : float
        The difference between two ways to compute the same; constants of the library may be rounded to single precision.
    difference : float
        The difference between a derivative and a difference.
    least : float
        What counts as zero where losses are of order one.
    """

    steps: tuple[float, ...] = _STEPS
    rounding: float = 1e-7
    difference: float = 1e-4
    least: float = 1e-13

    @classmethod
    def of(cls, bits: int) -> Tolerances:
        """Those of a floating-point type of so many bits."""
        return cls() if bits >= 64 else cls(steps=_STEPS_SINGLE, rounding=1e-3, difference=5e-2, least=1e-6)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a plain loop says: points (3, d), losses (3, S), gradients (3, S, d), and S <= 3 samples.

    ``direction`` (d,) and ``turned`` (m, d) are a direction, and the differences of the first point's mean gradient along
    it for each of the steps.
    """

    points: Array
    samples: tuple[int, ...]
    losses: Array
    gradients: Array
    direction: Array
    turned: Array


def truth(loop: Loop, initial: Array, layout: ParameterLayout, n_samples: int, allowed: Tolerances) -> Truth | None:
    """What a plain loop over points and samples says near the initial point; None where its losses are not finite.

    Raises
    ------
    ValueError
        If the gradients are not those of the losses; the error names the parameter.
    """
    rng = np.random.default_rng(0)
    samples = tuple(range(min(n_samples, max(_POINTS))))
    sizes = _sizes(initial, layout)
    noise, direction = rng.standard_normal((3, initial.size)), sizes * rng.standard_normal(initial.size)
    for near in _NEAR:
        points = initial + near * sizes * noise
        losses = loop.losses(points, samples)
        if np.isfinite(losses).all():
            break
    else:
        return None
    gradients = loop.gradients(points, samples)
    for name, place in layout.slices.items():
        if not np.isfinite(gradients[..., place]).all():
            raise ValueError(
                f"the gradient with respect to {name!r} is NaN or infinite near the initial point, where the loss is finite: "
                "square roots and norms at zero do that, also in a branch that torch.where or jnp.where does not take"
            )
    _refuse_false_gradient(loop, points, samples, gradients, losses, direction, layout, allowed)
    turned = []
    for h in allowed.steps:
        sides = loop.gradients(np.stack([points[0] + h * direction, points[0] - h * direction]), samples).mean(axis=1)
        turned.append((sides[0] - sides[1]) / (2.0 * h))
    return Truth(
        points=points,
        samples=samples,
        losses=losses,
        gradients=gradients,
        direction=direction,
        turned=np.stack(turned),
    )


def _sizes(initial: Array, layout: ParameterLayout) -> Array:
    """The size of each coordinate: the root mean square of its parameter's entries, one tenth where they vanish."""
    sizes = np.empty_like(initial)
    for place in layout.slices.values():
        root = float(np.sqrt(np.mean(initial[place] ** 2)))
        sizes[place] = root or 0.1
    return sizes


def _refuse_false_gradient(
    loop: Loop,
    points: Array,
    samples: tuple[int, ...],
    gradients: Array,
    losses: Array,
    direction: Array,
    layout: ParameterLayout,
    allowed: Tolerances,
) -> None:
    """Compare gradients along a direction with differences of losses, and find the parameter where they do not fit."""
    if _fits(loop, points[:2], samples, gradients[:2], losses, direction, allowed):
        return
    for name, place in layout.slices.items():
        part = np.zeros_like(direction)
        part[place] = direction[place]
        if not _fits(loop, points[:2], samples, gradients[:2], losses, part, allowed):
            raise ValueError(
                f"the gradient with respect to {name!r} is not that of the loss: differences of the loss disagree with what "
                "automatic differentiation returns. detach(), stop_gradient, straight-through estimators, custom backward "
                "passes, .item() and padding_idx cut or change gradients; SGD then follows no loss, and qpot has no "
                "potential for it: remove them, or freeze the parameter"
            )


def _fits(
    loop: Loop,
    points: Array,
    samples: tuple[int, ...],
    gradients: Array,
    losses: Array,
    direction: Array,
    allowed: Tolerances,
) -> bool:
    """Whether gradients (n, S, d) along a direction are the rates at which the losses change."""
    along = gradients @ direction
    open_ = np.ones(along.shape, dtype=bool)
    size = np.abs(gradients) @ np.abs(direction)
    for h in allowed.steps:
        sides = [loop.losses(points + s * h * direction, samples) for s in (1.0, -1.0)]
        rate = (sides[0] - sides[1]) / (2.0 * h)
        gap = np.abs(rate - along)
        open_ &= ~(gap <= allowed.difference * size + allowed.least * (1.0 + np.abs(losses).max()) / h)
        if not open_.any():
            return True
    return False


def briefly(piece: Callable[..., Array], known: Truth, layout: ParameterLayout, allowed: Tolerances) -> str:
    """The same as `mismatch` for few pieces, where each new shape is compiled for a while."""
    S = min(2, len(known.samples))
    least = allowed.least * (1.0 + float(np.abs(known.losses).max()))
    found = piece("sample_gradients", slice(0, S), known.points[:2])
    if not _alike(found, known.gradients[:2, :S], layout, allowed.rounding, least):
        return "sample gradients of 2 points together differ from those of a loop"
    weights = np.full((1, len(known.samples)), 1.0 / len(known.samples))
    rows, v = slice(0, len(known.samples)), known.direction[None]
    turned = piece("weighted_hessian_product", rows, known.points[:1], v, weights)[0]
    if not any(
        _alike(turned, t, layout, allowed.difference, least / h)
        for t, h in zip(known.turned, allowed.steps, strict=True)
    ):
        return "products with the Hessian differ from differences of gradients"
    return ""


def mismatch(piece: Callable[..., Array], known: Truth, layout: ParameterLayout, allowed: Tolerances) -> str:
    """What a model's pieces, computed for many points and samples at once, get wrong; empty if nothing."""
    x, S = known.points, min(2, len(known.samples))
    rows = slice(0, S)
    rng = np.random.default_rng(1)
    # Where everything vanishes it does so to rounding.
    least = allowed.least * (1.0 + float(np.abs(known.losses).max()))
    for n in _POINTS:
        pieces: list[tuple[str, Array, Array]] = [
            ("losses", piece("losses", rows, x[:n]), known.losses[:n, :S]),
            ("sample gradients", piece("sample_gradients", rows, x[:n]), known.gradients[:n, :S]),
        ]
        weights = rng.standard_normal((n, S))
        combined = np.einsum("ns,nsd->nd", weights, known.gradients[:n, :S])
        pieces.append(("weighted gradients", piece("weighted_gradient", rows, x[:n], weights), combined))
        v = np.broadcast_to(known.direction, x[:n].shape)
        along = known.gradients[:n, :S] @ known.direction
        pieces.append(("directional derivatives", piece("directional_derivatives", rows, x[:n], v), along))
        index: Integers = rng.integers(S, size=(n, 2))
        drawn = known.gradients[np.arange(n)[:, None], index]
        pieces.append(("drawn gradients", piece("drawn_gradients", index, x[:n]), drawn))
        pieces.append(("batch gradients", piece("batch_gradient", index, x[:n]), drawn.mean(axis=1)))
        for name, found, wanted in pieces:
            if not _alike(found, wanted, layout, allowed.rounding, least):
                return f"{name} of {n} points together differ from those of a loop"
    return _bent(piece, known, layout, allowed, least)


def _bent(piece: Callable[..., Array], known: Truth, layout: ParameterLayout, allowed: Tolerances, least: float) -> str:
    """The same for products with Hessians."""
    S = len(known.samples)
    rows, v = slice(0, S), known.direction
    weights, rounding = np.full((3, S), 1.0 / S), 10.0 * allowed.rounding
    products = piece("weighted_hessian_product", rows, known.points, np.broadcast_to(v, known.points.shape), weights)
    if not any(
        _alike(products[0], t, layout, allowed.difference, least / h)
        for t, h in zip(known.turned, allowed.steps, strict=True)
    ):
        return "products with the Hessian differ from differences of gradients"
    other = np.abs(v) * np.random.default_rng(2).standard_normal(v.size)
    for n in _POINTS:
        pair = np.broadcast_to(np.stack([v, other]), (n, 2, v.size))
        both = piece("hessian_rows", rows, known.points[:n], pair, weights[:n])
        if not _alike(both[:, 0], products[:n], layout, rounding, least):
            return f"Hessians of {n} points together differ from products of single ones"
        size = np.abs(both[:, 0]) @ np.abs(other) + np.abs(both[:, 1]) @ np.abs(v)
        if (np.abs(both[:, 0] @ other - both[:, 1] @ v) > rounding * size + least).any():
            return "the Hessian is not symmetric"
    return ""


def _alike(found: Array, wanted: Array, layout: ParameterLayout, tolerance: float, least: float) -> bool:
    """Whether two arrays agree, each parameter's entries relative to the largest of them, or up to ``least``."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return False
    gap, whole = np.abs(found - wanted), float(np.abs(wanted).max())
    if wanted.shape[-1] != layout.dimension:
        return bool((gap <= tolerance * whole + least).all())
    for place in layout.slices.values():
        largest = float(np.abs(wanted[..., place]).max())
        if gap[..., place].max() > tolerance * max(largest, 1e-3 * whole) + least:
            return False
    return True


def first_line(error: BaseException) -> str:
    """What a library said, in one line without a full stop."""
    text = str(error).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    for end in (".  ", " Please ", ", please "):
        line = line.split(end)[0]
    return line[:200].rstrip(". ")
