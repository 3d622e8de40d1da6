"""Progress: a callback ``(done, total, message)`` for whatever a caller passed as ``progress``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

# A function that is told the steps done, the total number of steps, and a message.
ProgressCallback = Callable[[int, int, str], None]
# What a caller may pass as ``progress``; see `reporting`.
ProgressLike = ProgressCallback | bool | str | None


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
        auto = progress == "auto"
        with tqdm(desc=description, disable=None if auto else False, delay=2.0 if auto else 0.0, leave=False) as bar:

            def report(done: int, total: int, message: str) -> None:
                bar.total = total
                bar.set_postfix_str(message, refresh=False)
                bar.update(done - bar.n)

            yield report
    else:
        raise ValueError(f'progress must be a callable (done, total, message), True, "auto" or None, got {progress!r}')
