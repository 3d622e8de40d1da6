"""Losses that fall for ever: separable data, whose minimum at infinity is a direction with a margin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from qpot._core.arrays import Array, format_point
from qpot.answers.competitors import competing
from qpot.answers.margins_of_losses import flow_of_losses
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow
from qpot.companions.margin import MarginFlow, margin_flow
from qpot.companions.margin_losses import Exponential
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.initial import initialisation

# Samples count as fitted, with more to gain at larger parameters, where every loss is below this and falls on along the ray.
_SMALL = 1e-6
# Rounds of descents, each from the end of the one before moved out by this factor.
_ROUNDS, _OUT = 12, 1.5
# Two signed samples, or two degrees, are one where they differ by less than this part.
_SAME = 1e-3
# Degrees of samples this close to one may be those of linear scores.
_FIRST = 0.25


@dataclass(frozen=True, eq=False)
class AtInfinity:
    """A ray along which all losses of a finite sum fall to zero.

    Attributes
    ----------
    point : array (d,)
        A point far out.
    losses : array (N,)
        The losses there.
    degree : float
        The degree of homogeneity of the margins, as the point shows it; NaN where they are not homogeneous.
    signed_samples : array (m, d) or None
        The vectors z with losses like exp(-<z, x>), for a model that is linear in its parameters: one of each sample, or with
        more than two classes those of all competitors that bound the margin. None for other models.
    flow : MarginFlow or HomogeneousMarginFlow or None
        The flow on these samples; for a homogeneous model that of its margins, from the library's own start.
    why : str
        Why a homogeneous model's flow did not come to its end; empty otherwise.
    """

    point: Array
    losses: Array
    degree: float
    signed_samples: Array | None
    flow: MarginFlow | HomogeneousMarginFlow | None
    why: str = ""

    @property
    def direction(self) -> Array:
        """The unit vector to which parameters turn: that of the maximum margin for a linear model, else that of the point."""
        if isinstance(self.flow, MarginFlow):
            return self.flow.svm.direction
        if self.flow is not None:
            return np.asarray(self.flow.directions[-1])
        return np.asarray(self.point / np.linalg.norm(self.point))


def at_infinity(total: FiniteSum, *, rng: np.random.Generator) -> AtInfinity | None:
    """The ray along which every sample's loss falls to zero, or None where descents find none.

    Notes
    -----
    Losses with a tail exp(-z) have margins z_i = -log l_i, whose gradients -g_i / l_i are the signed samples of a linear
    model and, for a model that is homogeneous of degree L, satisfy Euler's equation <x, grad z_i> = L z_i.
    """
    begun = x = initialisation(total).draw(1, rng)[0]
    if not np.isfinite(x).all():
        return None

    def loss(y: Array) -> tuple[float, Array]:
        if not np.isfinite(y).all():
            # A search along a ray on which the losses are zero has no step.
            return float("inf"), np.zeros_like(y)
        return float(total.losses_at(y[None]).mean()), np.asarray(total.gradients_at(y[None])[0].mean(axis=0))

    def stop(y: Array) -> None:
        # Farther out the losses would underflow.
        if not np.isfinite(y).all() or (total.losses_at(y[None]) <= _SMALL).all():
            raise StopIteration

    for _ in range(_ROUNDS):
        options = {"maxiter": 500, "gtol": 0.0, "ftol": 0.0}
        x = np.asarray(minimize(loss, x, jac=True, method="L-BFGS-B", callback=stop, options=options).x)
        if not np.isfinite(x).all():
            return None
        losses = total.losses_at(x[None])[0]
        if losses.min() < 0.0:
            return None
        outside = total.losses_at(_OUT * x[None])[0]
        if (losses <= _SMALL).all() and (outside < losses).all() and (losses > 0.0).all():
            return _seen_from(total, begun, x, losses, rng)
        x = _OUT * x
    return None


def _seen_from(total: FiniteSum, begun: Array, x: Array, losses: Array, rng: np.random.Generator) -> AtInfinity:
    def margins_and_normals(y: Array) -> tuple[Array, Array]:
        some = total.losses_at(y[None])[0]
        with np.errstate(divide="ignore", invalid="ignore"):  # A loss may be zero far out.
            return -np.log(some), -total.gradients_at(y[None])[0] / some[:, None]

    z, normals = margins_and_normals(x)
    _, farther = margins_and_normals(1.1 * x)
    size = np.linalg.norm(normals, axis=1)
    degrees = (normals @ x) / z
    spread = float(np.abs(degrees - degrees.mean()).max())
    # A constant factor of the loss, such as a mean's, shifts z by a constant that does not matter far out.
    degree = float(degrees.mean()) if spread <= 0.05 * abs(degrees.mean()) else np.nan
    linear = bool((np.linalg.norm(normals - farther, axis=1) <= _SAME * size).all())
    vectors: Array | None = None
    if linear or np.abs(degrees - 1.0).max() <= _FIRST:
        # With several classes each sample has several margins, of which one point shows the smallest.
        vectors = competing(margins_and_normals, x, rng, normals if linear else None)
    if vectors is not None:
        flow = margin_flow(vectors, np.ones(len(vectors)), loss=Exponential(), duplicates="merge")
        return AtInfinity(x, losses, degree, vectors, flow)
    if np.isnan(degree):
        return AtInfinity(x, losses, degree, None, None)
    return AtInfinity(x, losses, degree, None, *flow_of_losses(total, begun, x, degree))


def in_words(found: AtInfinity) -> tuple[str, str, str, list[str]]:
    """What is selected, how surely, when, and the evidence."""
    evidence = [
        f"at {format_point(found.point)} every sample's loss is between {found.losses.min():.2g} and "
        f"{found.losses.max():.2g}, and "
        f"{_OUT:g} times as far out each is smaller"
    ]
    if isinstance(found.flow, HomogeneousMarginFlow):
        return _of_homogeneous(found, found.flow, evidence)
    if found.flow is None:
        if found.why:
            evidence.append(found.why)
        degree = "" if np.isnan(found.degree) else f" (margins grow like the power {found.degree:.3g} of the norm)"
        return (
            f"no finite minimum: the data is fitted better and better at larger parameters{degree}; the ray found points to "
            f"{format_point(found.direction)}",
            "the direction of one training run; which direction the flow turns to is not decided by it, see qpot.margin_flow",
            "the loss falls like a power of 1 / time, so that the norm grows like a power of log(time)",
            evidence,
        )
    svm = found.flow.svm
    reached = np.flatnonzero(found.flow.geometric_margins >= 0.9 * svm.geometric_margin)
    ninety = f"1e{found.flow.log_times[reached[0]] / np.log(10):.3g}" if reached.size else "more than 1e100"
    laws = found.flow.laws()
    evidence.append(
        "the samples' gradients, divided by their losses, do not change along the ray: the model is linear in "
        "its parameters, "
        f"and the data is separable with margin {svm.geometric_margin:.6g}, {svm.support.size} of {svm.duals.size} vectors "
        "of samples (and, with several classes, their competitors) on it"
    )
    evidence.append(f"KKT conditions of the hard-margin machine hold to {svm.conditions().worst:.1e}")
    return (
        "no finite minimum: parameters grow for ever and turn to the direction of maximum margin "
        f"{format_point(svm.direction)}",
        f"exactly: it is the hard-margin support vector machine, whose margin is {svm.geometric_margin:.6g}; "
        "SGD turns to the "
        "same direction as the flow",
        f"the norm is {laws.norm_slope.theory:.4g} log(t) and the loss 1/t at the time t = steps x learning "
        "rate, in the sum of "
        f"losses; nine tenths of the margin are reached at t = {ninety}, since the direction turns like 1/log(t)",
        evidence,
    )


def _of_homogeneous(
    found: AtInfinity, flow: HomogeneousMarginFlow, evidence: list[str]
) -> tuple[str, str, str, list[str]]:
    """The same for a homogeneous model that is not linear in its parameters."""
    margin, kkt, limit = float(flow.normalised_margins[-1]), flow.conditions().worst, flow.limit()
    reached = np.flatnonzero(flow.normalised_margins >= 0.9 * margin)
    evidence.append(
        f"the margins, read from the losses, are homogeneous of degree {flow.degree:.4g} in the parameters; they were "
        f"followed to log t = {flow.log_times[-1]:.4g}"
    )
    evidence.append(
        f"KKT conditions of the largest normalised margin hold to {kkt:.1e}, with {flow.support.size} of "
        f"{flow.margins.shape[1]} samples pulling"
    )
    if found.why:
        evidence.append(found.why)
    settled = np.isfinite(limit.error)
    sure = f"within {limit.error:.1g} of its limit" if settled else "not settled yet"
    return (
        "no finite minimum: parameters grow for ever and turn to the direction "
        f"{format_point(flow.directions[-1])} of normalised margin {margin:.6g}",
        f"the direction is {sure}; the limit is a KKT point of the largest margin; other starts may turn to other ones",
        f"the norm grows like log(t)^(1/{flow.degree:.4g}) and the loss falls like a power of 1/t at the time t = steps x "
        f"learning rate, in the sum of losses; nine tenths of this margin are reached at log t = "
        f"{flow.log_times[reached[0]]:.4g}",
        evidence,
    )
