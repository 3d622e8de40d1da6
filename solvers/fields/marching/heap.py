"""A binary min-heap of (key, item) pairs in plain arrays, for kernels."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from qpot.solvers.fields.marching.kernel import kernel, part
from qpot.solvers.fields.marching.parts import HEAP_SIZE


@kernel
def heap_push(keys, items, size, key, item):
    """Add a pair; returns the new size. The arrays must have room for it."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] <= key:
            break
        keys[i] = keys[parent]
        items[i] = items[parent]
        i = parent
    keys[i] = key
    items[i] = item
    return size + 1


@kernel
def heap_pop(keys, items, size):
    """Remove the pair with the smallest key from a heap of ``size`` > 0; returns ``(key, item, new size)``."""
    key, item = keys[0], items[0]
    size -= 1
    last_key, last_item = keys[size], items[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= last_key:
            break
        keys[i] = keys[child]
        items[i] = items[child]
        i = child
    keys[i] = last_key
    items[i] = last_item
    return key, item, size


@part
def add_label(queue, key, item):
    """Put a label on the heap of a queue, which must have room for it."""
    keys, items, counts = queue.keys, queue.items, queue.counts
    counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], key, item)


@part
def take_label(queue):
    """Take the lowest label off the heap of a queue; returns ``(key, item)``."""
    keys, items, counts = queue.keys, queue.items, queue.counts
    key, item, counts[HEAP_SIZE] = heap_pop(keys, items, counts[HEAP_SIZE])
    return key, item
