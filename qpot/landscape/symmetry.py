"""Symmetries of a loss: signed permutations of coordinates, and the hidden units of dense layers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_count, as_float_array, format_point
from qpot._core.interrupts import interruptible
from qpot.landscape.points import Minimum
from qpot.landscape.unit_symmetries import UnitSymmetries
from qpot.problem.arguments import a_flag, checked
from qpot.problem.system import System
from qpot.samples.layout import ParameterLayout
from qpot.samples.units import UnitBlock

Integers = NDArray[np.int64]
# A group given by generators is enumerated up to this size.
MAX_ELEMENTS = 20_000
# Drift, loss and covariance may differ by this fraction of their size between a point and its image.
_EQUIVARIANCE = 1e-6
# So many elements of a group are drawn, and those that are not the identity are held against the system: so many of them, and
# fewer above a dimension where that takes long.
_DRAWS, _CHECKS, _MANY, _FEW_CHECKS = 24, 8, 200, 3
# Losses of images may differ by this part of their size.
_LEVEL = 1e-8


class Symmetry(Protocol):
    """A group of signed permutations; an element maps x to y with y[k] = signs[k] x[permutation[k]]."""

    @property
    def dimension(self) -> int:
        """The number d of coordinates."""
        ...

    def align(self, x: Array, target: Array) -> tuple[Integers, Array]:
        """The element ``(permutation, signs)``, of shapes (d,), that brings x (d,) near to the target (d,)."""
        ...

    def random(self, rng: np.random.Generator) -> tuple[Integers, Array]:
        """A random element ``(permutation, signs)``."""
        ...


@dataclass(frozen=True, eq=False)
class SignedPermutations:
    """The group that signed permutations generate; an element maps x to y with y[k] = signs[k] x[permutation[k]].

    Parameters
    ----------
    permutations : array (m, d) of int
        Each row is the permutation of 0 ... d - 1 of one generator. As an attribute it holds all elements of the group.
    signs : array (m, d), optional
        The signs +1 and -1 of the generators, all +1 by default. As an attribute it holds those of all elements.

    Raises
    ------
    ValueError
        For rows that are no permutations, other signs, or a group of more than 20 000 elements.

    Examples
    --------
    >>> flip = SignedPermutations([[0, 1]], [[-1, -1]])
    >>> len(flip), flip.image([1.0, 2.0], [-1.0, -1.9])
    (2, array([-1., -2.]))
    """

    # These have no narrower type because lists of generators are passed in and arrays of all elements are kept.
    permutations: Any
    signs: Any = None

    def __post_init__(self) -> None:
        p = np.atleast_2d(np.asarray(self.permutations))
        d = p.shape[1]
        if p.ndim != 2 or p.size == 0 or not (np.sort(p, axis=1) == np.arange(d)).all():
            raise ValueError(f"permutations must be rows that contain 0 ... d - 1 once each, got {self.permutations!r}")
        s = np.ones(p.shape) if self.signs is None else np.atleast_2d(as_float_array(self.signs, name="signs"))
        if s.shape != p.shape or (np.abs(s) != 1.0).any():
            raise ValueError(f"signs must be +1 and -1 in the shape {p.shape} of permutations, got {self.signs!r}")
        elements = _closure([(tuple(row.tolist()), tuple(t.tolist())) for row, t in zip(p, s, strict=True)], d)
        object.__setattr__(self, "permutations", np.array([e[0] for e in elements], dtype=np.int64))
        object.__setattr__(self, "signs", np.array([e[1] for e in elements]))

    @property
    def dimension(self) -> int:
        """The number d of coordinates."""
        return int(self.permutations.shape[1])

    def __len__(self) -> int:
        return int(self.permutations.shape[0])

    def align(self, x: Array, target: Array) -> tuple[Integers, Array]:
        """The element ``(permutation, signs)`` that brings x (d,) nearest to the target (d,)."""
        images = self.signs * np.asarray(x)[self.permutations]
        k = int(np.argmin(((images - target) ** 2).sum(axis=1)))
        return self.permutations[k], self.signs[k]

    def image(self, x: ArrayLike, target: ArrayLike) -> Array:
        """The image (d,) of x that is nearest to the target."""
        permutation, signs = self.align(np.asarray(x, dtype=float), np.asarray(target, dtype=float))
        return np.asarray(signs * np.asarray(x, dtype=float)[permutation])

    def random(self, rng: np.random.Generator) -> tuple[Integers, Array]:
        """A random element ``(permutation, signs)``, with equal probabilities."""
        k = int(rng.integers(len(self)))
        return self.permutations[k], self.signs[k]


class DenseLayerSymmetries(UnitSymmetries):
    """Exchanges of hidden units and, for odd activations, their sign flips; made by `dense_layer_symmetries`.

    Attributes
    ----------
    sizes : tuple of int
        The number of features, of the hidden units in each layer, and of outputs.
    weights, biases : tuples of slices
        The places of the weights (out, in) and of the biases (out,) of each layer in the flat vector of parameters. None
        stands for a layer without bias.
    odd : bool
        Whether the activation is odd, so that a hidden unit may change its sign.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        weights: tuple[slice, ...],
        biases: tuple[slice | None, ...],
        odd: bool,
        dimension: int,
    ) -> None:
        for name, value in {"sizes": sizes, "weights": weights, "biases": biases, "odd": odd}.items():
            object.__setattr__(self, name, value)
        place, blocks = np.arange(dimension), []
        for k, h in enumerate(sizes[1:-1]):
            bias = biases[k]
            rows = [place[weights[k]].reshape(h, sizes[k])]
            rows += [] if bias is None else [place[bias][:, None]]
            rows += [place[weights[k + 1]].reshape(sizes[k + 2], h).T]
            blocks.append(UnitBlock(f"layer {k + 1}", rows, [[-1] * len(rows)] if odd else ()))
        super().__init__(blocks, dimension)

    sizes: tuple[int, ...]
    weights: tuple[slice, ...]
    biases: tuple[slice | None, ...]
    odd: bool


@interruptible
@checked(odd=a_flag, bias=a_flag)
def dense_layer_symmetries(
    layers: ParameterLayout | Sequence[int], *, odd: bool, bias: bool = True
) -> DenseLayerSymmetries:
    """Symmetries of a fully connected network: hidden units may change places and, with an odd activation, signs.

    Parameters
    ----------
    layers : ParameterLayout, or sequence of int
        The layout of a network of dense layers (weights ``(out, in)``, each followed by its bias, as in
        ``torch.nn.Sequential``), or its sizes (features, hidden units ..., outputs) for parameters in that order, as in
        `qpot.dense_network`.
    odd : bool
        Whether the activation is odd, as tanh is and ReLU is not.
    bias : bool
        Whether the layers have biases; it is used only where ``layers`` holds sizes.

    Raises
    ------
    ValueError
        For layers that do not fit one after the other, tied or frozen parameters, or no hidden layer.

    Examples
    --------
    >>> import qpot
    >>> group = qpot.dense_layer_symmetries((2, 3, 1), odd=True)
    >>> group.dimension, group.order
    (13, 48)
    """
    if not isinstance(odd, (bool, np.bool_)):
        raise ValueError(f"odd must be True (tanh) or False (ReLU), got {odd!r}")
    if isinstance(layers, ParameterLayout):
        if layers.tied or layers.frozen:
            raise ValueError(
                f"layers has tied or frozen parameters ({[*layers.tied, *layers.frozen]}), which break the symmetry of "
                "units; pass the remaining symmetries as qpot.SignedPermutations"
            )
        shapes, places = layers.shapes, [layers.slices[name] for name in layers.names]
    else:
        if isinstance(layers, str) or not isinstance(layers, Sequence | np.ndarray):
            raise ValueError(f"layers must be a qpot.ParameterLayout or the sizes of the layers, got {layers!r}")
        sizes = tuple(as_count(size, name="layers") for size in layers)
        shapes = tuple(
            shape
            for inside, out in itertools.pairwise(sizes)
            for shape in (((out, inside), (out,)) if bias else ((out, inside),))
        )
        ends = np.cumsum([0, *(math.prod(shape) for shape in shapes)]).tolist()
        places = [slice(a, b) for a, b in itertools.pairwise(ends)]
    return _chain(shapes, places, bool(odd))


def as_symmetry(
    symmetries: Symmetry | Sequence[ArrayLike] | None, system: System, lower: Array, upper: Array
) -> Symmetry | None:
    """The group that a user passes, after a check that the system has it at random points of the box."""
    if symmetries is None:
        return None
    group: Symmetry
    if isinstance(symmetries, (SignedPermutations, UnitSymmetries)):
        group = symmetries
    elif isinstance(symmetries, Sequence) and len(symmetries) == 2:
        group = SignedPermutations(*symmetries)
    elif all(hasattr(symmetries, name) for name in ("dimension", "align", "random")):
        group = symmetries  # type: ignore[assignment]
    else:
        raise ValueError(
            "symmetries must be qpot.symmetries_of(...), qpot.dense_layer_symmetries(...), qpot.SignedPermutations or "
            f"(permutations, signs), got {type(symmetries).__name__}"
        )
    if group.dimension != system.dimension:
        raise ValueError(
            f"symmetries act on {group.dimension} coordinates, but the system has dimension {system.dimension}; pass those "
            "of the system"
        )
    rng = np.random.default_rng(0)
    left, place = _CHECKS if system.dimension <= _MANY else _FEW_CHECKS, np.arange(system.dimension)
    for _ in range(_DRAWS):
        permutation, signs = group.random(rng)
        # The identity, which a small group draws often, tells nothing.
        if (permutation != place).any() or (signs != 1.0).any():
            _check_equivariance(system, rng.uniform(lower, upper), permutation, signs)
            left -= 1
        if not left:
            break
    return group


def apply(element: tuple[Integers, Array], x: Array) -> Array:
    """The image of points or vectors ``(..., d)`` under an element ``(permutation, signs)``."""
    permutation, signs = element
    return np.asarray(signs * x[..., permutation], dtype=np.float64)


def distinct_modulo(points: Array, group: Symmetry, scale: Array, *, tolerance: float) -> list[int]:
    """The indices of the points (n, d) that are no images of an earlier one.

    Two points are images of one another when they agree to 10 times ``tolerance``, in units of ``scale`` (d,).
    """
    kept: list[int] = []
    sorted_sizes = np.sort(np.abs(points), axis=1)  # All images of a point share them.
    widest = float(scale.max())
    for i in range(points.shape[0]):
        near = [k for k in kept if np.abs(sorted_sizes[i] - sorted_sizes[k]).max() <= 10 * tolerance * widest]
        if not any(same_class(points[i], points[k], group, scale, tolerance=tolerance) for k in near):
            kept.append(i)
    return kept


def same_class(x: Array, y: Array, group: Symmetry, scale: Array, *, tolerance: float) -> bool:
    """Whether x is an image of y, to 10 times ``tolerance`` in units of ``scale`` (d,)."""
    return bool(np.linalg.norm((apply(group.align(x, y), x) - y) / scale) <= 10 * tolerance)


def position_of_class(
    point: Array, loss: float, minima: Sequence[Minimum], group: Symmetry | None, scale: Array, *, tolerance: float
) -> int | None:
    """The position of the minimum that a point (d,) of this loss is or, with a group, is an image of; None for none."""
    for k, minimum in enumerate(minima):
        level = abs(minimum.loss - loss) <= _LEVEL * (1.0 + abs(loss))
        if level and same_point_or_class(point, minimum.point, group, scale, tolerance=tolerance):
            return k
    return None


def same_point_or_class(x: Array, y: Array, group: Symmetry | None, scale: Array, *, tolerance: float) -> bool:
    """Whether x is y or, with a group, an image of it, to 10 times ``tolerance`` in units of ``scale`` (d,)."""
    if np.linalg.norm((x - y) / scale) <= 10 * tolerance:
        return True
    return group is not None and same_class(x, y, group, scale, tolerance=tolerance)


def _check_equivariance(system: System, x: Array, permutation: Integers, signs: Array) -> None:
    """Raise ValueError where drift, loss or covariance at the image of x are not the images of those at x."""
    image = apply((permutation, signs), x)
    pairs: list[tuple[str, Any, Any]] = [
        (
            "drift",
            apply((permutation, signs), system.unchecked.drift(x[None])[0]),
            system.unchecked.drift(image[None])[0],
        )
    ]
    if system.loss is not None:
        pairs.append(("loss", system.unchecked.loss(x[None])[0], system.unchecked.loss(image[None])[0]))
    if system.noise.matrices:
        a = system.unchecked.covariance(x[None])[0][np.ix_(permutation, permutation)] * np.outer(signs, signs)
        pairs.append(("covariance", a, system.unchecked.covariance(image[None])[0]))
    for name, expected, given in pairs:
        if np.abs(expected - given).max() > _EQUIVARIANCE * (np.abs(expected).max() + np.abs(given).max()) + 1e-12:
            raise ValueError(
                f"symmetries: the {name} is not symmetric; at the point {format_point(x)} and its image "
                f"{format_point(image)} it differs by {np.abs(expected - given).max():.3g}. Loss and noise must both be "
                "symmetric for minima to count as one"
            )


def _chain(shapes: Sequence[tuple[int, ...]], places: Sequence[slice], odd: bool) -> DenseLayerSymmetries:
    """The symmetries of layers whose weights and biases have these shapes and places, in the order of the layers."""
    weights: list[slice] = []
    biases: list[slice | None] = []
    sizes: list[int] = []
    for shape, place in zip(shapes, places, strict=True):
        if len(shape) == 2 and (not sizes or shape[1] == sizes[-1]):
            sizes += [shape[0]] if sizes else [shape[1], shape[0]]
            weights.append(place)
            biases.append(None)
        elif len(shape) == 1 and weights and biases[-1] is None and shape[0] == sizes[-1]:
            biases[-1] = place
        else:
            raise ValueError(
                f"layers: shape {shape} does not follow {sizes}; a chain of dense layers has weights (out, in), each with "
                "the outputs of the one before as inputs, and biases (out,)"
            )
    if len(sizes) < 3:
        raise ValueError(f"layers={sizes} has no hidden layer, and no units to exchange; pass at least three sizes")
    return DenseLayerSymmetries(tuple(sizes), tuple(weights), tuple(biases), odd, places[-1].stop)


# An element of a group: its permutation and its signs, hashable.
Element = tuple[tuple[int, ...], tuple[float, ...]]


def _closure(generators: list[Element], d: int) -> list[Element]:
    """All products of the generators, which form the group, with the identity first."""
    identity: Element = (tuple(range(d)), (1.0,) * d)
    known, queue = {identity: None}, [identity]
    while queue:
        for element in _products(queue.pop(), generators):
            if element not in known:
                if len(known) == MAX_ELEMENTS:
                    raise ValueError(
                        f"symmetries generate more than {MAX_ELEMENTS} elements, which are not enumerated; for hidden units "
                        "use qpot.dense_layer_symmetries"
                    )
                known[element] = None
                queue.append(element)
    return list(known)


def _products(element: Element, generators: list[Element]) -> Iterator[Element]:
    """The products of an element with each of the generators."""
    p, s = element
    for q, t in generators:
        yield tuple(p[k] for k in q), tuple(t[j] * s[k] for j, k in enumerate(q))
