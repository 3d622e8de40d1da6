"""Orbits of a model's continuous symmetries: minima that are isolated but for them, counted as one each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot.landscape.by_products import polished
from qpot.landscape.curved_gauges import CurvedBlock, curved_blocks
from qpot.landscape.linear_rates import DENSE_SYMMETRIC, FlatDirectionError, dense_jacobian
from qpot.landscape.points import FLAT, Minimum
from qpot.landscape.symmetry import Symmetry, apply
from qpot.landscape.unit_symmetries import UnitSymmetries
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.quotient import Quotient

# A generator moves a point if it moves it by this part of the point's size; generators are independent above this angle.
_MOVES, _INDEPENDENT = 1e-6, 1e-7
# A direction that the generators span keeps this part of its length in the coordinates that are searched.
_KEPT = 1e-6
# Losses on one orbit may differ by this part of their size.
_LEVEL = 1e-8
# Layers are balanced one after the other, in so many rounds, until nothing changes by more than this.
_ROUNDS, _BALANCED = 500, 1e-12


@dataclass(frozen=True, eq=False)
class Orbits:
    """The orbits of continuous symmetries, in the coordinates in which a model is searched.

    Parameters
    ----------
    blocks : tuple of CurvedBlock
    quotient : Quotient or None
        The reduced sum, where linear gauge directions were divided out.
    images : Symmetry or None
        The exchanges and flips of units, in all parameters.
    """

    blocks: tuple[CurvedBlock, ...]
    quotient: Quotient | None
    images: Symmetry | None

    @property
    def compact(self) -> bool:
        """Whether all symmetries are rotations, under which drift and noise of SGD are equivariant."""
        return all(block.kind == "rotations" for block in self.blocks)

    def describe(self) -> str:
        """The symmetries in words."""
        return ", ".join(block.describe() for block in self.blocks)

    def explain(self, x: Array) -> str:
        """One line: how many flat directions of a point (d,) the symmetries explain."""
        r = self.basis(x).shape[1]
        return (
            f"{self.describe()} explain {r} flat direction{'' if r == 1 else 's'} of the minimum; drift and noise have no "
            "part along them"
        )

    def refusal(self, count: int) -> str:
        """Why costs between so many classes of minima are not computed, and the way out."""
        why = "costs of paths that end anywhere on an orbit are not computed"
        if not self.compact:
            why = "without weight decay SGD conserves quantities that differ from run to run, on which costs depend"
        way = (
            "merge the two linear layers, or fix the weights of one of them"
            if self.turning
            else "fix a weight of each unit"
        )
        decay = "" if self.compact else "add weight decay, or "
        return (
            f"the {count} minima that were found lie on orbits of continuous symmetries ({self.describe()}), and {why}: "
            f"{decay}{way}, which removes the symmetry"
        )

    @property
    def turning(self) -> bool:
        """Whether units of some layer can be rotated among each other."""
        return any(block.kind != "scalings" for block in self.blocks)

    def basis(self, x: Array) -> Array:
        """Orthonormal columns (d, r) that span the directions in which the symmetries move a point (d,)."""
        whole = x if self.quotient is None else self.quotient.lift(x)
        v = np.concatenate([block.tangents(whole) for block in self.blocks])
        if self.quotient is not None:
            v = self.quotient.gauges.project(v)
        lengths = np.linalg.norm(v, axis=1)
        v = v[lengths > _MOVES * (1.0 + np.linalg.norm(x))]
        if not len(v):
            return np.zeros((x.size, 0))
        _, sizes, rows = np.linalg.svd(v / np.linalg.norm(v, axis=1)[:, None], full_matrices=False)
        return np.asarray(rows[sizes > _INDEPENDENT * sizes[0]].T)

    def polished(self, system: System, start: Array) -> Array | None:
        """The fixed point that damped Newton steps across the orbits reach, or None where they do not converge."""
        return polished(system, start, self._newton_step)

    def _newton_step(self, system: System, x: Array, b: Array) -> Array:
        J, along = dense_jacobian(system, x), self.basis(x)
        return np.asarray(-np.linalg.solve(J - float(np.abs(J).max()) * along @ along.T, b))

    def rates_across(self, system: System, x: Array) -> Array:
        """The eigenvalues (d - r,) of the Hessian across the orbit of a point (d,), in increasing order."""
        along = self.basis(x)
        across = np.linalg.qr(np.column_stack([along, np.eye(x.size)]))[0][:, along.shape[1] : x.size]
        return np.linalg.eigvalsh(-across.T @ dense_jacobian(system, x) @ across)

    def minimum(self, system: System, rest: Array, *, name: str) -> Minimum | None:
        """The minimum at a fixed point (d,), whose ``rates`` are those across its orbit; None where it is none.

        Raises
        ------
        FlatDirectionError
            If the least rate across the orbit vanishes; it calls the point ``name``.
        """
        assert system.unchecked.loss is not None
        rates = self.rates_across(system, rest)
        if abs(rates[0]) <= FLAT * np.abs(rates).max():
            raise FlatDirectionError(f"{name}={format_point(rest)} has flat directions besides {self.describe()}")
        if rates[0] < 0.0:
            return None
        return Minimum(
            point=rest,
            loss=float(system.unchecked.loss(rest[None])[0]),
            hessian=-dense_jacobian(system, rest),
            rates=rates.astype(complex),
            residual=float(np.linalg.norm(system.unchecked.drift(rest[None])[0])),
        )

    def canonical(self, x: Array) -> Array:
        """The parameters of a point's representative: biases shifted to zero, layers balanced, units along principal axes.

        Of the group only exchanges and flips of units are left.
        """
        y = np.array(x if self.quotient is None else self.quotient.lift(x))
        for block in self.blocks:
            if block.shift is not None:
                y[block.shift.outer] += y[block.shift.biases] @ y[block.shift.weights]
                y[block.shift.biases] = 0.0
        for _ in range(_ROUNDS):
            before = y.copy()
            for block in self.blocks:
                _balance(y, block)
            if np.linalg.norm(y - before) <= _BALANCED * (1.0 + np.linalg.norm(y)):
                break
        for block in self.blocks:
            if block.kind != "scalings":
                stacked = _stacked(y, block)
                left = np.linalg.svd(stacked, full_matrices=True)[0]
                _turn(y, block, left.T)
        return y

    def distance(self, x: Array, y: Array) -> float:
        """The distance of the representatives of two points (d,), which is zero where they lie on one orbit."""
        a, b = self.canonical(x), self.canonical(y)
        if self.images is not None:
            a = apply(self.images.align(a, b), a)
        for _ in range(3):
            for block in self.blocks:
                if block.kind != "scalings":
                    u, _, vt = np.linalg.svd(_stacked(b, block) @ _stacked(a, block).T)
                    _turn(a, block, u @ vt)
        return float(np.linalg.norm(a - b))

    def position(self, x: Array, loss: float, minima: Sequence[Minimum], *, tolerance: float) -> int | None:
        """The position of the minimum on whose orbit a point (d,) of this loss lies within the tolerance, or None."""
        for k, minimum in enumerate(minima):
            level = abs(minimum.loss - loss) <= _LEVEL * (1.0 + abs(loss))
            if level and self.distance(x, minimum.point) <= tolerance:
                return k
        return None

    def unexplained(self, system: System, x: Array, tolerance: float) -> int:
        """How many eigenvalues across the orbit of a point vanish, as parts of the largest."""
        rates = self.rates_across(system, x)
        return int((np.abs(rates) <= tolerance * np.abs(rates).max(initial=0.0)).sum())


def orbits_of(total: FiniteSum, reduced: FiniteSum, images: Symmetry | None) -> Orbits | None:
    """The orbits of a model's continuous symmetries, in the coordinates of the reduced sum; None where there are none."""
    if reduced.dimension > DENSE_SYMMETRIC:
        return None
    blocks = curved_blocks(total, tuple(images.blocks) if isinstance(images, UnitSymmetries) else None)
    quotient = reduced if isinstance(reduced, Quotient) else None
    if quotient is not None:
        points = quotient.lift(np.random.default_rng(0).standard_normal((2, quotient.dimension)))
        blocks = tuple(block for block in blocks if all(_kept(quotient, block.tangents(x)) for x in points))
    return Orbits(blocks, quotient, images) if blocks else None


def _kept(quotient: Quotient, tangents: Array) -> bool:
    """Whether directions (r, d) have no part along the directions that were divided out."""
    rest = tangents - quotient.gauges.lift(quotient.gauges.project(tangents))
    return bool((np.linalg.norm(rest, axis=1) <= _KEPT * np.linalg.norm(tangents, axis=1)).all())


def _stacked(y: Array, block: CurvedBlock) -> Array:
    """All entries (h, m) that a rotation of the units turns."""
    return np.concatenate([y[p] for p, e in zip(block.places, block.exponents, strict=True) if e != 0.0], axis=1)


def _turn(y: Array, block: CurvedBlock, matrix: Array) -> None:
    """Turn the units by an orthogonal matrix (h, h), in place."""
    for place, e in zip(block.places, block.exponents, strict=True):
        if e != 0.0:
            y[place] = matrix @ y[place]


def _balance(y: Array, block: CurvedBlock) -> None:
    """Move a point to where its norm is least under the linear maps or scalings of a block, in place."""
    if block.kind == "linear":
        before = [p for p, e in zip(block.places, block.exponents, strict=True) if e > 0.0]
        after = [p for p, e in zip(block.places, block.exponents, strict=True) if e < 0.0]
        first, second = (np.concatenate([y[p] for p in some], axis=1) for some in (before, after))
        h = block.units
        u, s, vt = np.linalg.svd(second.T @ first, full_matrices=False)
        u, s, vt = u[:, :h], s[:h], vt[:h]
        missing = h - s.size
        roots = np.concatenate([np.sqrt(s), np.zeros(missing)])[:, None]
        inner = roots * np.concatenate([vt, np.zeros((missing, vt.shape[1]))])
        outer = roots * np.concatenate([u.T, np.zeros((missing, u.shape[0]))])
        for some, values in ((before, inner), (after, outer)):
            at = 0
            for place in some:
                y[place] = values[:, at : at + place.shape[1]]
                at += place.shape[1]
    elif block.kind == "scalings":
        for k in range(block.units):
            _balance_unit(y, [(p[k], e) for p, e in zip(block.places, block.exponents, strict=True) if e != 0.0])


def _balance_unit(y: Array, parts: list[tuple[Array, float]]) -> None:
    """Scale one unit so that the sum of the squares of its entries is least, which is a convex problem in the logarithm."""
    squares = np.array([float(y[place] @ y[place]) for place, _ in parts])
    e = np.array([exponent for _, exponent in parts])
    up, down = (e > 0.0) & (squares > 0.0), (e < 0.0) & (squares > 0.0)
    if not up.any() or not down.any():
        # A unit that is off on one side vanishes in the limit.
        for place, _ in parts:
            y[place] = 0.0
        return
    t = 0.0
    for _ in range(100):
        terms = squares * np.exp(2.0 * e * t)
        step = -float(e @ terms) / (2.0 * float(e**2 @ terms))
        t += float(np.clip(step, -1.0, 1.0))
        if abs(step) <= 1e-15:
            break
    for place, exponent in parts:
        y[place] *= np.exp(exponent * t)
