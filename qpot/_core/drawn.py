"""Drawn: a result with a figure of its own, which a function of `qpot.plots` draws."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar


class Drawn:
    """A result that one function of `qpot.plots` draws; a class names it as ``class Result(Drawn, figure="plot_...")``."""

    _figure: ClassVar[str]

    def __init_subclass__(cls, *, figure: str | None = None, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if figure is None:
            return
        cls._figure = figure

        def plot(self: Drawn, ax: Any = None, **options: Any) -> Any:
            return Drawn.plot(self, ax, **options)

        # Help on the method of a class names the function that draws it.
        plot.__doc__ = (
            "Draw the result on ``ax``, by default in a new figure, and return the axes.\n\n        "
            f"Options are those of `qpot.plots.{figure}`, whose help says what the figure shows.\n        "
        )
        plot.__qualname__, plot.__module__ = f"{cls.__qualname__}.plot", cls.__module__
        cls.plot = plot  # type: ignore[method-assign]

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw the result on ``ax``, by default in a new figure, and return the axes; options are those of the figure."""
        # The wing of figures lies above all others, and is imported when a figure is wanted.
        draw = getattr(importlib.import_module("qpot.plots"), self._figure)
        return draw(self, ax=ax, **options)

    def _repr_html_(self) -> str:
        """The text, the figure, small, and the attributes, for notebooks."""
        from qpot._core.shown import html_of

        return html_of(self)
