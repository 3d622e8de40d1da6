"""Kernels for which plain Python stands in, bit for bit, until compiling them pays.

Compiling takes seconds, and a chain of two states or the Riccati equation along one path takes milliseconds in Python. The
same source is run in both ways. It adds, multiplies, divides and takes square roots only, which are rounded correctly in
both, so that no result shows in which way it was found.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

# Plain Python may take so many seconds for the tasks of one kernel in a process, less than compiling takes ...
PATIENCE = 1.0
# ... and so many for a single one.
LONGEST = 0.25


def plain(kernel: Any) -> Callable[..., Any]:
    """The Python function of a kernel, in which the kernels that it calls are Python functions too."""
    return _plain(kernel, {})


def _plain(kernel: Any, done: dict[int, Callable[..., Any]]) -> Callable[..., Any]:
    if id(kernel) in done:
        return done[id(kernel)]
    function = getattr(kernel, "py_func", kernel)  # Where numba is switched off a kernel is a function already.
    names = dict(function.__globals__)
    twin = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    done[id(kernel)] = twin
    for name in function.__code__.co_names:
        if hasattr(names.get(name), "py_func"):
            names[name] = _plain(names[name], done)
    return twin


class Deferred:
    """A kernel that is compiled only when its tasks are worth that.

    Parameters
    ----------
    kernel : compiled function
        One without transcendental functions, whose results are the same in Python.
    price : function
        About how many seconds plain Python takes for a task, from the task's arguments.
    """

    def __init__(self, kernel: Any, price: Callable[..., float]) -> None:
        self.kernel, self.price = kernel, price
        self._plain: Callable[..., Any] | None = None
        self._spent = 0.0

    def __call__(self, *args: Any) -> Any:
        seconds = self.price(*args)
        if getattr(self.kernel, "signatures", ()) or seconds > LONGEST or self._spent + seconds > PATIENCE:
            return self.kernel(*args)
        self._spent += seconds
        if self._plain is None:
            self._plain = plain(self.kernel)
        return self._plain(*args)


def deferred(price: Callable[..., float]) -> Callable[[Any], Deferred]:
    """Decorate a kernel that is not called by other kernels; see `Deferred`.

    Examples
    --------
    >>> from qpot.solvers.common.compiled import njit
    >>> from qpot.solvers.common.deferred import deferred
    >>> @deferred(lambda x: 1e-6)
    ... @njit()
    ... def half(x):
    ...     return 0.5 * x
    >>> half(3.0), half.kernel.signatures
    (1.5, [])
    """

    def wrap(kernel: Any) -> Deferred:
        return Deferred(kernel, price)

    return wrap
