"""The way in which a PyTorch model is computed: samples together, with functions written out, or one by one."""

from __future__ import annotations

import re
import warnings
from typing import Any

from qpot._core.arrays import Array
from qpot.samples.held_against_loop import Tolerances, Truth, first_line, mismatch, truth
from qpot.samples.torch_plain import PlainLoop

# Batching and derivatives by torch.func; the same with functions of `torch_written_out`; a plain loop.
TOGETHER, WRITTEN_OUT, ONE_BY_ONE = "together", "written out", "one by one"


def choose_way(functions: Any, initial: Array) -> tuple[str, ...]:
    """Set the fastest way that agrees with a plain loop, and return notes about it; none for the usual way.

    Losses, gradients and their combinations of 2 and 3 points with 2 samples are compared with those of a loop over points
    and samples, gradients with differences of losses, and products with Hessians with differences of gradients.

    Raises
    ------
    ValueError
        If gradients are not those of the loss, or no way gives right second derivatives.
    """
    import torch

    allowed = Tolerances.of(torch.finfo(functions.dtype).bits)
    try:
        known = truth(PlainLoop(functions), initial, functions.layout, functions.n_samples, allowed)
    except (RuntimeError, NotImplementedError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"model or loss_fn cannot be differentiated: {first_line(error)}") from error
    if known is None:
        return ("not held against a plain loop, since the loss is not finite next to the initial point",)
    reasons: list[str] = []
    looped = ""
    for way in (TOGETHER, WRITTEN_OUT, ONE_BY_ONE):
        functions.compute(way)
        functions.written_out.clear()
        reason, slow = _tried(functions, known, allowed)
        if way == WRITTEN_OUT and not functions.written_out:
            continue  # It was the same computation as before.
        if not reason and not slow:
            return _notes(way, functions, reasons)
        if not reason and way == TOGETHER:
            looped = slow
        reasons.append(reason or slow)
        if looped and way == WRITTEN_OUT:
            break
    if looped:
        functions.compute(TOGETHER)
        functions.quiet = True
        return (f"slow, since PyTorch has {looped}",)
    raise ValueError(_refusal(reasons))


def _tried(functions: Any, known: Truth, allowed: Tolerances) -> tuple[str, str]:
    """What is wrong with the present way, and what is slow about it; both empty if nothing."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            reason = mismatch(functions.piece, known, functions.layout, allowed)
        except Exception as error:  # Whatever the library cannot do, another way may.
            return first_line(error), ""
    rules = [re.search(r"batching rule for (\S+?)\.? ", str(w.message) + " ") for w in said]
    names = sorted({rule.group(1) for rule in rules if rule})
    return reason, f"no batching rule for {', '.join(names)}" if names else ""


def _notes(way: str, functions: Any, reasons: list[str]) -> tuple[str, ...]:
    if way == WRITTEN_OUT:
        names = ", ".join(sorted(functions.written_out))
        return (f"written out in elementary operations: {names} ({reasons[0]})",)
    if way == ONE_BY_ONE:
        return (f"computed one sample at a time, which is slow ({reasons[0]})",)
    return ()


def _refusal(reasons: list[str]) -> str:
    last = reasons[-1]
    if "derivative" in last and "not implemented" in last:
        return (
            f"model or loss_fn has no second derivative in PyTorch ({last}), without which there are no Hessians of minima "
            "and saddles: write that function in elementary operations, or use another that is smooth"
        )
    return (
        f"model or loss_fn cannot be differentiated twice: {last}, even one sample at a time. A custom backward pass or a "
        "function of the library underneath is wrong or incomplete; write it in elementary operations"
    )
