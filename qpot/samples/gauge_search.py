"""The search for gauge directions: along which no sample's gradient ever has a part, at any point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.gauge_axes import Fibres, contracted
from qpot.samples.gauge_map import AxisFactor, Block, GaugeMap, LayerBlock, TensorBlock, complement
from qpot.samples.gauge_points import Gradients, RandomPoints
from qpot.samples.gauge_rates import decaying_directions
from qpot.samples.layout import ParameterLayout

# What is said where all directions are gauge directions.
NO_NOISE = (
    "without_gauges: no sample's gradient differs from the mean in any direction, so that minibatches make no noise"
)
# Points of each round, and fresh ones for a verification: multiples of the three scales around two centres.
_POINTS, _FRESH = 9, 18
# After this many rounds what is not certain is left as it is.
_ROUNDS = 8
# Random combinations of samples at each point of a verification.
_CHECKED = 2
# What fibres are needed beyond the length of an axis, relative and absolute.
_SURPLUS = 1.5, 16
# Gradients have no part along a direction if it is below this fraction of them, and at least so many roundings.
_NOISE = 1e-10
_NOISE_ROUNDINGS = 50.0
# Directions of several rates are told apart in at most so many coordinates, and if there are at most so many directions.
_SPLIT, _SPLIT_NULL = 1500, 300


@dataclass(frozen=True, eq=False)
class Found:
    """Gauge directions: the map of what is left, and what happens along them.

    Attributes
    ----------
    map : GaugeMap
    rates : tuple of float
        The rate of decay towards the offset along the gauge directions of each block, 0 where nothing happens.
    offset : array (d,)
        Where they decay to; it has no part in the range of the map.
    """

    map: GaugeMap
    rates: tuple[float, ...]
    offset: Array


class _Parameter:
    """One parameter, or a weight with its bias as one more input (``bias``, with the outputs at ``axis``)."""

    def __init__(
        self, layout: ParameterLayout, name: str, *, bias: str | None = None, axis: int = 0, flat: bool = False
    ) -> None:
        self.name, self.bias, self.axis, self.flat = name, bias, axis, flat
        self.place = layout.slices[name]
        self.shape = layout.shapes[layout.names.index(name)]
        self.bias_place = None if bias is None else layout.slices[bias]
        whole = self.shape or (1,)
        if bias is not None or flat:
            outputs = whole[axis]
            inputs = int(np.prod(whole)) // max(outputs, 1) + (bias is not None)
            self.sizes: tuple[int, ...] = (outputs, inputs)
        else:
            self.sizes = whole
        self.fibres = [Fibres(size) for size in self.sizes]
        self.kept_whole = False
        # The factor of a vector of which only some gauge directions are divided out.
        self.factor: AxisFactor | None = None

    def matrix(self, values: NDArray[Any]) -> NDArray[Any]:
        """The parameter's entries of vectors ``(k, d)`` as arrays ``(k, *sizes)``."""
        own = values[:, self.place]
        if not (self.flat or self.bias):
            return own.reshape(values.shape[0], *self.sizes)
        turned = np.moveaxis(own.reshape(values.shape[0], *self.shape), self.axis + 1, 1)
        rows = turned.reshape(values.shape[0], self.sizes[0], -1)
        if self.bias_place is None:
            return rows
        return np.concatenate([rows, values[:, self.bias_place, None]], axis=2)

    def add(self, at: Gradients, draws: int, rng: np.random.Generator) -> None:
        """Take the fibres of one point in."""
        silent = self.matrix(at.silent[None])[0]
        every = self.matrix(at.rows)
        weight = float(np.sqrt(np.mean(every[:, ~silent] ** 2))) if not silent.all() else 0.0
        for axis, fibres in enumerate(self.fibres):
            others = tuple(k for k in range(len(self.sizes)) if k != axis)
            still = silent.all(axis=others)
            values = np.zeros((0, self.sizes[axis]))
            if weight > 0.0 and not fibres.full:
                most = int(_SURPLUS[0] * self.sizes[axis] / _POINTS) + _SURPLUS[1]
                some = rng.permutation(every.shape[0])[:most]
                few = -(-most // some.size) if others else 1
                chosen = every[some]
                values = np.concatenate(
                    [
                        contracted(chosen, axis, [rng.normal(size=s) / np.sqrt(s) for s in self.sizes])
                        for _ in range(min(few, draws))
                    ]
                )
            fibres.add(values, still, weight)

    def block(self, rounding: float) -> tuple[Block, bool]:
        """The block of the parameter, and whether its fibres were enough."""
        if self.kept_whole:
            return self._block([AxisFactor(s, np.arange(s)) for s in self.sizes]), True
        if self.factor is not None:
            return self._block([self.factor]), True
        told = [fibres.factor(rounding) for fibres in self.fibres]
        factors = [factor for factor, _ in told]
        if any(factor.kept == 0 for factor in factors):
            factors = [AxisFactor(s, np.arange(0)) for s in self.sizes]
        return self._block(factors), all(enough for _, enough in told)

    def _block(self, factors: list[AxisFactor]) -> Block:
        if self.bias is not None:
            assert self.bias_place is not None
            pair, places = (self.name, self.bias), (self.place, self.bias_place)
            return LayerBlock(pair, places, self.shape, self.axis, factors[0], factors[1])
        return TensorBlock(self.name, self.place, self.shape, tuple(factors))


class GaugeSearch:
    """The search in the parameters of a layout.

    Parameters
    ----------
    finite_sum : FiniteSum
    layout : ParameterLayout
    points : RandomPoints
    """

    def __init__(self, finite_sum: FiniteSum, layout: ParameterLayout, points: RandomPoints) -> None:
        self.total, self.layout, self.points = finite_sum, layout, points
        self.single = [_Parameter(layout, name) for name in layout.names]
        self.joined = [] if len(layout.names) == 1 else _layers(layout)
        self.flattened = [
            _Parameter(layout, name, flat=True)
            for name, shape in zip(layout.names, layout.shapes, strict=True)
            if len(shape) > 2
        ]
        self.seen = 0

    def run(self) -> Found | None:
        """The gauge directions, or None if there are none."""
        self._gather(_POINTS, 1)
        for attempt in range(_ROUNDS):
            parameters, blocks, enough = self._blocks()
            if not enough and attempt < _ROUNDS - 1:
                self._gather(_POINTS, 2 << attempt)
                continue
            gauges = GaugeMap(self.layout.dimension, blocks)
            if gauges.reduced == gauges.dimension:
                return None
            fresh = [self.points.next(_CHECKED) for _ in range(_FRESH)]
            noisy = [p for p, block in zip(parameters, blocks, strict=True) if self._noise(gauges, block, fresh)]
            if not noisy:
                if gauges.reduced == 0:
                    raise ValueError(NO_NOISE)
                rates = [self._rate(gauges, block, fresh) for block in blocks]
                moving = [p for p, rate in zip(parameters, rates, strict=True) if rate is None]
                if not moving:
                    return self._found(gauges, [rate or 0.0 for rate in rates], fresh)
                for parameter, block in zip(parameters, blocks, strict=True):
                    if parameter in moving and not self._split(parameter, gauges, block):
                        self._keep(parameter)
                continue
            if attempt >= _ROUNDS - 3:
                for parameter in noisy:
                    self._keep(parameter)
            self._gather(_POINTS, 2 << attempt, fresh)
        return None

    def _keep(self, parameter: _Parameter) -> None:
        """Leave a parameter as it is; a layer is separated into its weight and bias first."""
        if parameter in self.joined:
            self.joined.remove(parameter)
        elif parameter in self.flattened:
            self.flattened.remove(parameter)
        else:
            parameter.kept_whole = True

    def _split(self, parameter: _Parameter, gauges: GaugeMap, block: Block) -> bool:
        """Take only those gauge directions of a vector that decay at one rate; False if there are none."""
        d, missing = self.layout.dimension, gauges.dimension - gauges.reduced
        if len(self.layout.names) > 1 or d > _SPLIT or missing > _SPLIT_NULL or parameter.factor is not None:
            return False
        kept = gauges.lift(np.eye(gauges.reduced)).T
        null = np.linalg.qr(kept, mode="complete")[0][:, gauges.reduced :]
        at = [self.points.next(1) for _ in range(2 * missing + 6)]
        places, forces = np.array([one.point @ null for one in at]), np.array([one.mean @ null for one in at])
        directions = decaying_directions(places, forces, tolerance=max(1e-9, 1e4 * self.points.rounding))
        if directions.shape[1] == 0:
            return False
        parameter.factor = AxisFactor(d, np.arange(d), complement(np.linalg.qr(null @ directions)[0]))
        return True

    def _gather(self, count: int, draws: int, known: list[Gradients] | None = None) -> None:
        """Take the fibres of further points in."""
        for k in range(count + len(known or [])):
            at = known[k] if known and k < len(known) else self.points.next()
            if at.size > 0.0:
                for parameter in (*self.single, *self.joined, *self.flattened):
                    parameter.add(at, draws, self.points.rng)

    def _blocks(self) -> tuple[list[_Parameter], list[Block], bool]:
        """The blocks that leave out most: whole layers, parameters with flattened inputs, or single parameters."""
        rounding = self.points.rounding
        made = {id(p): p.block(rounding) for p in (*self.single, *self.joined, *self.flattened)}
        chosen = {p.name: p for p in self.single}
        size = {p.name: _kept(made[id(p)][0]) for p in self.single}
        for p in self.flattened:
            if _kept(made[id(p)][0]) < size[p.name]:
                chosen[p.name], size[p.name] = p, _kept(made[id(p)][0])
        for p in self.joined:
            block = made[id(p)][0]
            if p.bias in chosen and chosen.get(p.name) is not None and p.bias is not None:
                apart = size[p.name] + size[p.bias]
                if 0 < _kept(block) < apart and chosen[p.name].bias is None and chosen[p.bias].bias is None:
                    chosen[p.name], size[p.name] = p, _kept(block)
                    del chosen[p.bias]
        order = [chosen[name] for name in self.layout.names if name in chosen]
        return order, [made[id(p)][0] for p in order], all(made[id(p)][1] for p in order)

    def _noise(self, gauges: GaugeMap, block: Block, fresh: list[Gradients]) -> bool:
        """Whether a sample's gradient has a part along the gauge directions of a block, at one of the fresh points."""
        tolerance = max(_NOISE, _NOISE_ROUNDINGS * self.points.rounding)
        usual = np.median([_size(at.rows, block) for at in fresh])
        for at in fresh:
            own = max(_size(at.rows, block), 1e-5 * usual)
            floor = _NOISE_ROUNDINGS * self.points.rounding * (_size(at.mean[None], block) + np.linalg.norm(at.rows))
            if _size(gauges.rest(at.rows), block) > tolerance * own + floor:
                return True
        return False

    def _rate(self, gauges: GaugeMap, block: Block, fresh: list[Gradients]) -> float | None:
        """The rate of the drift along the gauge directions of a block, which are to decay by themselves; None if not."""
        force = gauges.rest(np.array([at.mean for at in fresh]))
        place = gauges.rest(np.array([at.point for at in fresh]))
        force, place = _entries(force, block), _entries(place, block)
        moved, pulled = place - place[0], force - force[0]
        size = max(_size(at.mean[None], block) for at in fresh) + float(np.abs(force).max(initial=0.0))
        tolerance = max(1e-9, 1e4 * self.points.rounding) * size
        if np.linalg.norm(force) <= tolerance:
            return 0.0
        rate = float((moved * pulled).sum() / max((moved**2).sum(), np.finfo(float).tiny))
        if rate * np.linalg.norm(moved) <= tolerance or np.linalg.norm(pulled - rate * moved) > tolerance:
            return None
        return rate

    def _found(self, gauges: GaugeMap, rates: list[float], fresh: list[Gradients]) -> Found:
        """The result, with the offset to which the gauge directions decay."""
        offset = np.zeros(self.layout.dimension)
        force, place = gauges.rest(fresh[0].mean[None])[0], gauges.rest(fresh[0].point[None])[0]
        for block, rate in zip(gauges.blocks, rates, strict=True):
            for part in block.slices:
                if rate > 0.0:
                    rest = place[part] - force[part] / rate
                    size = np.abs(place[part]).max(initial=0.0) + np.abs(fresh[0].mean[part]).max(initial=0.0) / rate
                    if np.abs(rest).max(initial=0.0) > max(1e-9, 1e4 * self.points.rounding) * size:
                        offset[part] = rest
        return Found(gauges, tuple(rates), offset)


def _layers(layout: ParameterLayout) -> list[_Parameter]:
    """Weights with the biases that may belong to them: of the same module, or beside them in the layout."""
    found = []
    for b, (bias, shape) in enumerate(zip(layout.names, layout.shapes, strict=True)):
        if len(shape) != 1:
            continue
        for w, (name, other) in enumerate(zip(layout.names, layout.shapes, strict=True)):
            near = abs(w - b) == 1 or (name.rpartition(".")[0] == bias.rpartition(".")[0] != "")
            if len(other) > 1 and near:
                found += [
                    _Parameter(layout, name, bias=bias, axis=k) for k in range(len(other)) if other[k] == shape[0]
                ]
    return found


def _kept(block: Block) -> int:
    """The number of reduced coordinates of a block."""
    return sum(int(np.prod(shape)) for shape in block.shapes)


def _entries(values: Array, block: Block) -> Array:
    """The entries ``(n, ...)`` of vectors ``(n, d)`` that belong to a block."""
    return np.concatenate([values[:, place] for place in block.slices], axis=1)


def _size(values: Array, block: Block) -> float:
    """The norm of the entries of a block."""
    return float(np.linalg.norm(_entries(values, block)))
