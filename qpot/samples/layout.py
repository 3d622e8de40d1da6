"""ParameterLayout: the place of each named parameter of a model in a flat vector, and the way back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_float_array
from qpot._core.types import PointLike


@dataclass(frozen=True, kw_only=True)
class ParameterLayout:
    """Names, shapes and places of parameters in a flat vector ``(d,)``, which holds them one after another in C order.

    Parameters
    ----------
    names : tuple of str
        The names of the parameters in the vector.
    shapes : tuple of tuple of int
        Their shapes.
    frozen : tuple of str
        The names of parameters that are held constant and are not in the vector.
    tied : mapping of str to str
        Further names of parameters in the vector, since weights that are shared occur once.

    Raises
    ------
    ValueError
        If a name occurs twice, if there is not one shape for each name, or if a tied name refers to no parameter.

    Examples
    --------
    >>> layout = ParameterLayout(names=("weight", "bias"), shapes=((2, 3), (2,)))
    >>> layout.dimension, layout.slices["bias"], layout.name_of(4)
    (8, slice(6, 8, None), 'weight[1, 1]')
    >>> parts = layout.restore(np.arange(8.0))
    >>> parts["bias"]
    array([6., 7.])
    >>> layout.flatten(parts)
    array([0., 1., 2., 3., 4., 5., 6., 7.])
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    frozen: tuple[str, ...] = ()
    tied: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("names", "shapes"):
            if not isinstance(getattr(self, name), (tuple, list)):
                raise ValueError(
                    f"{name} must be a tuple with an entry for each parameter, got {getattr(self, name)!r}"
                )
        if not all(isinstance(name, str) for name in self.names):
            raise ValueError(f"names must be texts, got {self.names!r}")
        for shape in self.shapes:
            if not isinstance(shape, (tuple, list)) or not all(_is_size(n) for n in shape):
                raise ValueError(f"shapes must be tuples of whole numbers >= 0, got {shape!r}")
        if len(self.names) != len(self.shapes) or not self.names:
            raise ValueError(f"names and shapes must be equally many and at least one, got {self.names}, {self.shapes}")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"names are repeated: {self.names}")
        for alias, name in self.tied.items():
            if name not in self.names:
                raise ValueError(f"tied: {alias!r} is tied to {name!r}, which is not one of the names")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of each parameter."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def dimension(self) -> int:
        """The length d of the flat vector."""
        return sum(self.sizes)

    @property
    def slices(self) -> dict[str, slice]:
        """The place of each parameter in the flat vector, tied names included."""
        ends = np.cumsum((0, *self.sizes)).tolist()
        places = {name: slice(ends[k], ends[k + 1]) for k, name in enumerate(self.names)}
        return places | {alias: places[name] for alias, name in self.tied.items()}

    def flatten(self, parameters: Mapping[str, ArrayLike]) -> Array:
        """The flat vector ``(d,)`` of named arrays.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or an array has another shape than its parameter.
        """
        missing = [name for name in self.names if name not in parameters]
        surplus = [name for name in parameters if name not in self.names and name not in self.tied]
        if missing or surplus:
            raise ValueError(f"parameters: missing {missing}, unknown {surplus}; the names are {list(self.names)}")
        parts = []
        for name, shape in zip(self.names, self.shapes, strict=True):
            part = as_float_array(parameters[name], name=f"parameters[{name!r}]")
            if part.shape != shape:
                raise ValueError(f"parameters[{name!r}] has shape {part.shape}, expected {shape}")
            parts.append(part.ravel())
        return np.concatenate(parts)

    def restore(self, point: PointLike) -> dict[str, Array]:
        """Copies of the named arrays in a flat vector ``(d,)``, or of arrays ``(n, *shape)`` in vectors ``(n, d)``.

        Raises
        ------
        ValueError
            If the vector has another length.
        """
        vector = as_float_array(getattr(point, "point", point), name="point")
        if vector.ndim not in (1, 2) or vector.shape[-1] != self.dimension:
            raise ValueError(f"point has shape {vector.shape}, expected ({self.dimension},) or (n, {self.dimension})")
        return {name: np.array(part) for name, part in self.views(vector).items()}

    def views(self, vector: Any) -> dict[str, Any]:
        """The same as `restore`, but without copies and checks, for any array type that has ``reshape``."""
        parts, at = {}, 0
        for name, shape, size in zip(self.names, self.shapes, self.sizes, strict=True):
            parts[name] = vector[..., at : at + size].reshape((*vector.shape[:-1], *shape))
            at += size
        return parts

    def name_of(self, index: int) -> str:
        """The name of the parameter's entry at an index of the flat vector, such as ``'0.weight[1, 2]'``.

        Raises
        ------
        ValueError
            If the index is not an integer from 0 to d - 1.
        """
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < self.dimension:
            raise ValueError(f"index must be an integer from 0 to {self.dimension - 1}, got {index!r}")
        ends = np.cumsum(self.sizes)
        k = int(np.searchsorted(ends, index, side="right"))
        place = np.unravel_index(int(index) - int(ends[k] - self.sizes[k]), self.shapes[k] or (1,))
        return self.names[k] + (f"[{', '.join(str(int(i)) for i in place)}]" if self.shapes[k] else "")

    def __repr__(self) -> str:
        rows = [
            f"{name} {shape}: {place.start}..{place.stop}"
            for (name, shape), place in zip(
                zip(self.names, self.shapes, strict=True), self.slices.values(), strict=False
            )
        ]
        rows += [f"{alias}: tied to {name}" for alias, name in self.tied.items()]
        rows += [f"{name}: frozen" for name in self.frozen]
        return f"ParameterLayout(dimension={self.dimension}; {'; '.join(rows)})"


def _is_size(n: object) -> bool:
    """Whether this is a number of entries along an axis."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool) and bool(n >= 0)
