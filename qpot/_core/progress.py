"""Progress: a callback ``(done, total, message)`` for whatever a caller passed as ``progress``."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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
        terminal or in a notebook, and only after two seconds. None or False is silent. In a notebook the bar is a widget
        where ipywidgets is installed, and a line of text elsewhere; the environment variable ``TQDM_DISABLE=1`` silences it.
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
        auto = progress == "auto"
        delay = _DELAY if auto else 0.0
        # None leaves the bar out where nobody watches: standard error is neither a terminal nor a notebook's. Elsewhere
        # nothing is said, so that TQDM_DISABLE is heard.
        off: dict[str, Any] = {"disable": None} if auto and not _in_notebook() else {}
        with _bar()(desc=description, delay=delay, leave=False, **off) as bar:
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


def within(report: ProgressCallback, done: int, total: int, stage: str) -> ProgressCallback:
    """The callback for the parts of one stage: what they say is told behind the stage's name, at the stage's own place.

    Examples
    --------
    >>> stage = within(lambda *told: print(told), 2, 5, "paths")
    >>> stage(2, 12, "leg 3 of 12: 0 -> 2")
    (2, 5, 'paths, leg 3 of 12: 0 -> 2')
    """
    return lambda _done, _total, message: report(done, total, stage if message == stage else f"{stage}, {message}")


def _bar() -> Any:
    """The class of the bar: tqdm's widget in a notebook that can show it, else its line of text.

    ``tqdm.auto`` chooses in the same way, and warns wherever ipywidgets is missing.
    """
    if _in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as widget

        return widget
    from tqdm.std import tqdm as text

    return text


def _in_notebook() -> bool:
    """Whether the program runs in the kernel of a notebook."""
    IPython = sys.modules.get("IPython")
    shell = None if IPython is None else IPython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config
