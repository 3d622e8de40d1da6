"""What gauge directions are, in words."""

from __future__ import annotations

import numpy as np

from qpot.samples.gauge_map import AxisFactor, Block, GaugeMap, LayerBlock, TensorBlock

# A direction is a common shift if its entries differ by less than this fraction.
_SAME = 1e-6


def described(gauges: GaugeMap) -> list[str]:
    """The gauge directions of each block, one line each."""
    return [text for block in gauges.blocks if (text := _block(block))]


def _block(block: Block) -> str:
    """The gauge directions of one block in words; an empty text if there are none."""
    if isinstance(block, LayerBlock):
        name = f"{block.names[0]!r} with {block.names[1]!r}"
        return _listed([("output", block.outputs), ("input", block.inputs)], name)
    assert isinstance(block, TensorBlock)
    factors = block.factors
    whole, kept = int(np.prod([f.size for f in factors])), int(np.prod([f.kept for f in factors]))
    if kept == 0 and whole > 0:
        return f"all of {block.name!r}" if whole > 1 else f"{block.name!r}"
    if len(factors) == 1:
        missing = whole - kept
        if missing == 0:
            return ""
        name = block.name if block.name == "x" else repr(block.name)
        if missing == 1 and _is_shift(factors[0]) and whole > 2:
            return f"the common shift of {name}"
        return f"{missing} direction{'s' * (missing > 1)} of {name}"
    if len(factors) == 2:
        return _listed([("output", factors[0]), ("input", factors[1])], repr(block.name))
    return _listed([(f"place along axis {k}", f) for k, f in enumerate(factors)], repr(block.name))


def _listed(axes: list[tuple[str, AxisFactor]], name: str) -> str:
    """The numbers of directions that are left out along each axis."""
    parts = []
    for kind, factor in axes:
        missing = factor.size - factor.kept
        if missing == 1 and _is_shift(factor):
            parts.append(f"the common shift of the {factor.size} {kind}s of {name}")
        elif missing and factor.matrix is None:
            parts.append(f"{missing} of {factor.size} {kind}s of {name}, which no sample has")
        elif missing:
            parts.append(f"{missing} of {factor.size} {kind} directions of {name}")
    return " and ".join(parts)


def _is_shift(factor: AxisFactor) -> bool:
    """Whether the one direction that is left out moves all places alike."""
    if factor.matrix is None or factor.matrix.shape != (factor.size, factor.size - 1):
        return False
    return bool(np.abs(factor.matrix.sum(axis=0)).max(initial=0.0) < _SAME * np.sqrt(factor.size))
