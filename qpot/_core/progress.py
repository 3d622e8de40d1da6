"""Progress: a callback ``(done, total, message)`` for whatever a caller passed as ``progress``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

# A function that is told the steps done, the total number of steps, and a message.
ProgressCallback = Callable[[int, int, str], None]
# What a caller may pass as ``progress``; see `reporting`.
ProgressLike = ProgressCallback | bool | str | None


# Seconds before a bar with ``progress="auto"`` is shown.
_DELAY = 2.0
# What a bar adds to its message while kernels are compiled, which happens once in an installation.
COMPILING = "compiling, once: about 20 s"


def _silent(done: int, total: int, message: str) -> None:
    del done, total, message


@contextmanager
def reporting(progress: ProgressLike, description: str) -> Iterator[ProgressCallback]:
    """Yield a callback for whatever the caller passed as ``progress``.

    Parameters
    ----------
    progress : callable, bool, "auto" or None
        A callable ``(done, total, message)`` is used as it is. True shows a tqdm bar; "auto" shows it only on a
        terminal and only after two seconds. None or False is silent.
    description : str
        The bar's label.

    Raises
    ------
    ValueError
        If ``progress`` is none of these.

    Examples
    --------
    >>> seen = []
    >>> with reporting(lambda done, total, message: seen.append((done, total)), "work") as report:
    ...     report(1, 2, "first half")
    >>> seen
    [(1, 2)]
    """
    if progress is None or progress is False:
        yield _silent
    elif callable(progress):
        yield progress
    elif progress is True or progress == "auto":
        delay = _DELAY if progress == "auto" else 0.0
        with tqdm(desc=description, disable=None if delay else False, delay=delay, leave=False) as bar:
            said = ""

            def report(done: int, total: int, message: str) -> None:
                nonlocal said
                said = message
                bar.total = total
                bar.set_postfix_str(message, refresh=False)
                bar.update(done - bar.n)

            if bar.disable:
                yield report
                return
            # numba is imported where a bar is shown only.
            from qpot.solvers.common.compiling import watching

            with watching(lambda begins: _tell(bar, "; ".join(filter(None, (said, COMPILING * begins))), delay)):
                yield report
    else:
        raise ValueError(f'progress must be a callable (done, total, message), True, "auto" or None, got {progress!r}')


def _tell(bar: Any, message: str, delay: float) -> None:
    """Change the message of a bar that is shown already, or is due to be."""
    bar.set_postfix_str(message, refresh=time.time() >= bar.start_t + delay)
