"""without_gauges: a finite sum in the coordinates along which its samples' gradients have a part at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_point, as_points, as_rng
from qpot._core.interrupts import interruptible
from qpot._core.types import PointLike
from qpot.samples.automatic import ModelSum
from qpot.samples.finite_sum import FiniteSum, check_finite_sum
from qpot.samples.formulas import Integers
from qpot.samples.gauge_map import Block, ComposedMap, GaugeMap, LinearMap, TensorBlock
from qpot.samples.gauge_names import described
from qpot.samples.gauge_points import RandomPoints
from qpot.samples.gauge_search import NO_NOISE, Found, GaugeSearch
from qpot.samples.layout import ParameterLayout
from qpot.samples.network import network_sum
from qpot.samples.quotient_functions import reduced_functions
from qpot.samples.reduced_dense import reduced_dense

# The parameters one by one, then directions that join several, of one rate of decay after another.
_STAGES = 6
# Up to this many coordinates the directions that join several parameters are looked for, by one singular value decomposition.
_DENSE = 1500
# What functions of a finite sum are called among the formulas of a network.
_METHODS = {"sample_losses": "losses"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Quotient(FiniteSum):
    """A finite sum in reduced coordinates z, with x = offset + Q z; made by `without_gauges`.

    Q has orthonormal columns, so that drift, noise, Hessian and weight decay in z are Q^T b, Q^T a Q, Q^T H Q and the same
    weight decay.

    Attributes
    ----------
    whole : FiniteSum
        The sum in all its parameters.
    gauges : LinearMap
        The map Q.
    offset : array (d,)
        The point of the reduced coordinates' origin.
    rates : tuple of float
        The rates of decay along the gauge directions, one for each group of them.
    directions : tuple of str
        What the gauge directions are, in words.
    """

    whole: FiniteSum
    gauges: LinearMap
    offset: Array
    rates: tuple[float, ...]
    directions: tuple[str, ...]

    @property
    def gauge_dimension(self) -> int:
        """The number of directions that are divided out."""
        return self.whole.dimension - self.dimension

    @property
    def decays(self) -> bool:
        """Whether the weight decay contracts all gauge directions; what it leaves alone stays at its initial value."""
        return all(rate > 0.0 for rate in self.rates)

    def lift(self, z: PointLike) -> Array:
        """The whole points ``(n, d)`` of reduced points ``(n, m)``, or one ``(d,)`` of one ``(m,)``."""
        given = np.asarray(getattr(z, "point", z), dtype=np.float64)
        x = self.offset + self.gauges.lift(as_points(given, dimension=self.dimension, name="z"))
        return x[0] if given.ndim == 1 else x

    def project(self, x: PointLike) -> Array:
        """The reduced points ``(n, m)`` of whole points ``(n, d)``, or one ``(m,)`` of one ``(d,)``."""
        given = np.asarray(getattr(x, "point", x), dtype=np.float64)
        z = self.gauges.project(as_points(given, dimension=self.whole.dimension, name="x") - self.offset)
        return z[0] if given.ndim == 1 else z

    def reduced_element(self, permutation: Integers, signs: Array) -> tuple[NDArray[np.int64], Array]:
        """The signed permutation of z that a signed permutation of the parameters x is.

        Parameters
        ----------
        permutation : array (d,) of int
        signs : array (d,)
            The element maps x to y with y[k] = signs[k] x[permutation[k]].

        Returns
        -------
        permutation, signs : arrays (m,)

        Raises
        ------
        ValueError
            If it moves gauge directions into others, or is no signed permutation of z.
        """
        labels = np.arange(1.0, self.dimension + 1.0)
        moved = self.gauges.lift(labels[None])
        image = self.gauges.project(signs * moved[:, permutation])[0]
        order = np.rint(np.abs(image)).astype(np.int64) - 1
        exact = np.abs(np.abs(image) - (order + 1.0)).max(initial=0.0) <= 1e-6
        if not exact or not np.array_equal(np.sort(order), np.arange(self.dimension)):
            raise ValueError(
                "reduced_element: the signed permutation of the parameters is none of the reduced coordinates; it exchanges "
                f"inputs or outputs that were divided out ({'; '.join(self.directions)})"
            )
        return order, np.sign(image)

    def describe(self) -> str:
        """One line: how many directions were divided out, which, and what happens along them."""
        fate = "the weight decay contracts them" if self.decays else "the loss does not depend on them"
        if not self.decays and any(rate > 0.0 for rate in self.rates):
            fate = "the weight decay contracts some of them and the loss does not depend on the others"
        return (
            f"{self.gauge_dimension} of {self.whole.dimension} directions without noise at any point are divided out "
            f"({'; '.join(self.directions)}); {fate}"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_samples} samples, dimension {self.dimension}; {self.describe()})"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ModelQuotient(Quotient, ModelSum):
    """The `Quotient` of a model: ``layout`` has the reduced shapes, ``model_at(z)`` is the whole model."""


@interruptible
def without_gauges(
    finite_sum: FiniteSum, *, at: PointLike | None = None, rng: np.random.Generator | int | None = 0
) -> FiniteSum:
    """The same sum in the directions along which some sample's gradient differs from the mean at some point.

    The other directions, the gauge directions, are those of which the samples know nothing: the common shift of softmax
    logits, weights of inputs that no sample has (dead pixels; fewer samples than inputs), rows of an embedding that are not
    used. Along them minibatches make no noise, and the drift is the weight decay alone or zero. They are divided out exactly:
    with x = offset + Q z and orthonormal columns Q, drift and noise live on z.

    They are found from samples' gradients at random points of three scales and verified at others. A direction in which there
    is no noise but a drift other than the decay of its own coordinate is kept, and so is one of little noise.

    Parameters
    ----------
    finite_sum : FiniteSum
    at : array (d,), optional
        The point whose gauge component the offset has where nothing changes it; zero by default.
    rng : numpy.random.Generator or int
        The source of the random points.

    Returns
    -------
    FiniteSum
        A `Quotient`, for models a `ModelQuotient`, or ``finite_sum`` itself if there is no gauge direction.

    Raises
    ------
    ValueError
        If the gradients are not finite at random points, or if every direction is one.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> inputs = np.array([[1.0, 1.0], [2.0, 2.0], [-1.0, -1.0]])
    >>> total = qpot.least_squares_sum(inputs, np.array([1.0, 0.0, 1.0]))
    >>> reduced = qpot.without_gauges(total)
    >>> reduced.dimension, reduced.lift(np.array([1.0])).round(6)
    (1, array([0.707107, 0.707107]))
    >>> print(reduced.describe())
    1 of 2 directions without noise at any point are divided out (1 direction of x); the loss does not depend on them
    """
    check_finite_sum(finite_sum)
    if isinstance(finite_sum, Quotient):
        return finite_sum
    layout = layout_of(finite_sum)
    points = RandomPoints(finite_sum, layout, as_rng(rng))
    start = None if at is None else as_point(at, dimension=finite_sum.dimension, name="at")
    found: list[Found] = []
    reduced = finite_sum
    for stage in range(_STAGES):
        if stage == 0 and len(layout.names) == 1:
            continue
        if stage > 0 and reduced.dimension > _DENSE and len(layout.names) > 1:
            break
        plain = ParameterLayout(names=("x",), shapes=((reduced.dimension,),))
        one = GaugeSearch(reduced, layout if stage == 0 else plain, points).run()
        if one is not None:
            found.append(one)
            reduced = _quotient(finite_sum, layout, found, start)
            points = points.reduced(reduced, reduced.project)
        elif stage > 0:
            break
    return reduced


def layout_of(finite_sum: FiniteSum) -> ParameterLayout:
    """The layout of a sum's parameters; one parameter ``x`` where nothing is known."""
    if isinstance(finite_sum, ModelSum):
        return finite_sum.layout
    if finite_sum.kernel is not None and finite_sum.kernel[0] == "tanh_network":
        X, _, _, hidden, classes = finite_sum.kernel[1]
        h, outputs = int(hidden), int(classes) - 1
        return ParameterLayout(
            names=("1.weight", "1.bias", "2.weight", "2.bias"),
            shapes=((h, X.shape[1]), (h,), (outputs, h), (outputs,)),
        )
    return ParameterLayout(names=("x",), shapes=((finite_sum.dimension,),))


def _quotient(whole: FiniteSum, layout: ParameterLayout, found: list[Found], start: Array | None) -> Quotient:
    """The reduced sum, for searches one after another."""
    gauges: GaugeMap | ComposedMap = found[0].map
    offset = found[0].offset.copy()
    for one in found[1:]:
        offset += gauges.lift(one.offset[None])[0]
        gauges = ComposedMap(gauges, one.map)
    if gauges.reduced == 0:
        raise ValueError(NO_NOISE)
    if start is not None:
        offset += _constant_part(found, start)
    rates = tuple(
        rate for one in found for rate, block in zip(one.rates, one.map.blocks, strict=True) if _reduces(block)
    )
    common: dict[str, Any] = reduced_functions(whole, gauges, offset)
    smaller = _smaller_network(whole, found) if not offset.any() else None
    if smaller is not None:
        common = {name: getattr(smaller, name) for name in (*common, "kernel")}
    elif not offset.any() and isinstance(gauges, GaugeMap):
        dense = reduced_dense(whole, gauges)
        common |= {} if dense is None else {name: getattr(dense, _METHODS.get(name, name)) for name in common}
    common |= {
        "n_samples": whole.n_samples, "dimension": gauges.reduced, "whole": whole, "gauges": gauges, "offset": offset,
        "rates": rates, "directions": tuple(text for one in found for text in described(one.map)),
    }  # fmt: skip
    if not isinstance(whole, ModelSum):
        return Quotient(**common)
    pairs = found[0].map.names_and_shapes
    if len(found) > 1 or len(layout.names) == 1:
        pairs = [("z", (gauges.reduced,))]
    names = tuple(name for name, _ in pairs)
    reduced = ParameterLayout(
        names=names,
        shapes=tuple(shape for _, shape in pairs),
        frozen=layout.frozen,
        tied={alias: name for alias, name in layout.tied.items() if name in names},
    )
    initial = gauges.project(whole.initial_point[None] - offset)[0]
    return ModelQuotient(
        **common,
        layout=reduced,
        initial_point=initial,
        bits=whole.bits,
        restore=_Restore(whole.restore, gauges, offset),
    )


def _smaller_network(whole: FiniteSum, found: list[Found]) -> FiniteSum | None:
    """The compiled network with fewer inputs that the reduced sum is, where nothing but inputs was divided out."""
    if whole.kernel is None or whole.kernel[0] != "tanh_network" or len(found) > 1:
        return None
    first, *others = found[0].map.blocks
    if not isinstance(first, TensorBlock) or any(_reduces(block) for block in others):
        return None
    units, inputs = first.factors
    if units.kept < units.size:
        return None
    X, y, decay, hidden, _ = whole.kernel[1]
    return network_sum(inputs.project(X, 1), y, hidden=int(hidden), weight_decay=decay)


class _Restore:
    """The whole model at a reduced point."""

    def __init__(self, restore: Callable[[Array], Any], gauges: GaugeMap | ComposedMap, offset: Array) -> None:
        self.restore, self.gauges, self.offset = restore, gauges, offset

    def __call__(self, z: Array) -> Any:
        return self.restore(self.offset + self.gauges.lift(z[None])[0])


def _constant_part(found: list[Found], start: Array) -> Array:
    """The part of a point along those gauge directions on which the loss does not depend."""
    out, point = np.zeros(start.size), start
    outer: GaugeMap | ComposedMap | None = None
    for one in found:
        rest = one.map.rest((point - one.offset)[None])[0]
        for rate, block in zip(one.rates, one.map.blocks, strict=True):
            if rate > 0.0:
                for place in block.slices:
                    rest[place] = 0.0
        out += rest if outer is None else outer.lift(rest[None])[0]
        outer = one.map if outer is None else ComposedMap(outer, one.map)
        point = one.map.project((point - one.offset)[None])[0]
    return out


def _reduces(block: Block) -> bool:
    """Whether a block has gauge directions."""
    whole = sum(place.stop - place.start for place in block.slices)
    return bool(sum(int(np.prod(shape)) for shape in block.shapes) < whole)
