"""Random points of several scales, and the samples' gradients there, for the search of gauge directions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.samples.automatic import ModelSum
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.layout import ParameterLayout

# All samples' gradients at one point are taken at once up to this many numbers; then random combinations are taken.
MAX_ENTRIES = 30_000_000
# The number of random combinations of samples that stand for all of them.
COMBINATIONS = 64
# Points lie around the initial point and around zero by these multiples of the initial point's own size.
SCALES = (1.0, 0.3, 3.0)
# Roundings of this many units are taken for zero.
_ROUNDINGS = 16.0
# So many points in a row may lie outside the domain of the loss.
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Gradients:
    """Samples' gradients at one random point.

    Attributes
    ----------
    point : array (d,)
    mean : array (d,)
        The mean gradient.
    rows : array (k, d)
        Gradients minus their mean, of all samples or of random combinations of them.
    size : float
        The root mean square of the rows' entries that are not zero.
    silent : array (d,) of bool
        Whether an entry of all rows is no more than the rounding of the mean.
    """

    point: Array
    mean: Array
    rows: Array
    size: float
    silent: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class RandomPoints:
    """Random points around the initial one and around zero, at several scales, with the samples' gradients.

    Parameters
    ----------
    finite_sum : FiniteSum
    layout : ParameterLayout
        The parameters, each of which has its own scale.
    rng : numpy.random.Generator
    """

    def __init__(self, finite_sum: FiniteSum, layout: ParameterLayout, rng: np.random.Generator) -> None:
        self.total, self.rng = finite_sum, rng
        self.project: Callable[[Array], Array] | None = None
        d = finite_sum.dimension
        given = finite_sum.initial_point if isinstance(finite_sum, ModelSum) else np.zeros(d)
        self.centre, self.spread = given, np.empty(d)
        for name, shape in zip(layout.names, layout.shapes, strict=True):
            place = layout.slices[name]
            width = float(np.sqrt(np.mean(given[place] ** 2))) if place.stop > place.start else 0.0
            fan = np.prod(shape[1:]) if len(shape) > 1 else 1.0
            self.spread[place] = width if width > 0.0 else 1.0 / np.sqrt(max(fan, 1.0))
        self._points = self._endless()
        self.rounding = self._rounding()

    def next(self, most_rows: int | None = None) -> Gradients:
        """The gradients at the next random point; few random combinations of samples if ``most_rows`` is given."""
        for _ in range(_TRIES):
            x = self.point()
            try:
                return self._at(x, most_rows)
            except NonFiniteError:
                continue
        raise ValueError(
            f"without_gauges: the loss or its gradients are not finite at {_TRIES} random points around the initial point; "
            "divide out what is flat in the parametrisation of the model instead"
        )

    def point(self) -> Array:
        """The next random point ``(d,)``."""
        x = next(self._points)
        return np.asarray(x if self.project is None else self.project(x[None])[0])

    def reduced(self, finite_sum: FiniteSum, project: Callable[[Array], Array]) -> RandomPoints:
        """The same points in the coordinates of a reduced sum."""
        other = copy.copy(self)
        other.total, other.project = finite_sum, project
        return other

    def _endless(self) -> Iterator[Array]:
        """Points around the initial one, and around zero in opposite pairs: a unit that is off at one is on at the other."""
        while True:
            for scale in SCALES:
                for centre in (self.centre, 0.0):
                    step = scale * self.spread * self.rng.normal(size=self.spread.size)
                    yield centre + step
                yield -step

    def _at(self, x: Array, most_rows: int | None) -> Gradients:
        total, n = self.total, self.total.n_samples
        if most_rows is None and n * total.dimension <= MAX_ENTRIES:
            rows = total.gradients_at(x[None])[0]
            mean = rows.mean(axis=0)
            rows = rows - mean if rows.size < MAX_ENTRIES // 4 else np.subtract(rows, mean, out=rows)
        else:
            mean = total.combined_gradient(x[None], np.full(n, 1.0 / n))[0]
            w = self.rng.normal(size=(most_rows or COMBINATIONS, n)) / np.sqrt(n)
            w -= w.mean(axis=1, keepdims=True)
            at_once = max(1, MAX_ENTRIES // (8 * total.dimension))
            pieces = np.array_split(w, -(-w.shape[0] // at_once))
            rows = np.concatenate([total.combined_gradient(np.repeat(x[None], len(p), axis=0), p) for p in pieces])
        largest = np.abs(rows).max(axis=0)
        size = float(np.sqrt((rows**2).sum() / max(np.count_nonzero(largest) * rows.shape[0], 1)))
        silent = largest <= _ROUNDINGS * self.rounding * (np.abs(mean) * np.sqrt(n) + size)
        return Gradients(x, mean, rows, size, silent)

    def _rounding(self) -> float:
        """The relative rounding of the numbers that the gradients are made of, told by their last digits."""
        for _ in range(_TRIES):
            try:
                x = self.point()
                some = np.arange(min(4, self.total.n_samples))
                if self.total.drawn_gradients is not None:
                    values = np.asarray(self.total.drawn_gradients(x[None], some[None]))[0]
                else:
                    values = self.total.combined_gradient(x[None], np.eye(self.total.n_samples)[:1])
            except NonFiniteError:
                continue
            if not np.isfinite(values).all():
                continue
            mantissas = np.frexp(values)[0]
            for bits in (8, 11, 24):
                if (mantissas * 2.0**bits % 1.0 == 0.0).all():
                    # Gradients that are integers look the same, which are exact: they are told by their few digits.
                    return float(2.0 ** (1 - bits)) if np.unique(mantissas).size > 8 else float(np.finfo(float).eps)
            return float(np.finfo(float).eps)
        return float(np.finfo(float).eps)
