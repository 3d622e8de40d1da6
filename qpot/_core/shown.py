"""Any result as HTML for a notebook: its text, its attributes in a table, and its figure, small."""

from __future__ import annotations

import base64
import dataclasses
import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from qpot._core import html

# Arrays of up to so many numbers are written out.
_FEW = 6
# Texts of attributes end after so many characters, and lists of results after so many lines.
_LONG, _ROWS = 240, 30
# The figure in inches and dots per inch, which take about a tenth of a second.
_SIZE, _DOTS = (4.2, 3.0), 80
# Longest curves are drawn whole where they have at most so many numbers; a figure of more may take long.
_HEAVY = 4_000_000


def html_of(result: Any) -> str:
    """The HTML of a result; whatever goes wrong leaves out the part in which it does, and never raises."""
    try:
        text = str(result)
    except Exception as error:  # A notebook must show something of any result.
        return html.document([html.paragraph(f"{type(result).__name__} ({type(error).__name__}: {error})")])
    first, *more = text.split("\n")
    parts = [html.heading(type(result).__name__), html.paragraph(first)]
    if more:
        parts.append(html.verbatim("\n".join(more)))
    parts.append(_or_nothing(_picture, result))
    if isinstance(result, tuple):
        items = [str(item) for item in result[:_ROWS]]
        more_items = [f"and {len(result) - _ROWS} more"] if len(result) > _ROWS else []
        parts.append(html.listed([*items, *more_items]))
    parts.append(_or_nothing(_attributes, result))
    return html.document(parts)


def _or_nothing(make: Any, result: Any) -> str:
    try:
        return str(make(result))
    except Exception:  # The text says everything; a figure may need a system that a loaded result lacks.
        return ""


def _attributes(result: Any) -> str:
    if not dataclasses.is_dataclass(result):
        return ""
    rows = []
    for field in dataclasses.fields(result):
        value = None if field.name.startswith("_") else getattr(result, field.name)
        said = _said(value)
        if said:
            rows.append((field.name, said))
    return html.folded("Attributes", html.table(("attribute", "value"), rows)) if rows else ""


def _said(value: Any) -> str:
    """An attribute in a few words; empty where there is nothing to say."""
    if value is None or (isinstance(value, (str, tuple, list, Mapping)) and not len(value)):
        return ""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fciub":
        if value.size <= _FEW and value.ndim <= 1:
            return np.array2string(value, precision=6, separator=", ")
        finite = value[np.isfinite(value)]
        span = (
            f", {finite.real.min():.4g} to {finite.real.max():.4g}" if finite.size and value.dtype.kind != "b" else ""
        )
        return f"array {value.shape}{span}"
    if isinstance(value, (float, np.floating)):
        return f"{value:.8g}"
    if isinstance(value, (tuple, list, Mapping)) and len(value) > _FEW:
        return f"{len(value)} items"
    if isinstance(value, (tuple, list)) and any(isinstance(item, np.ndarray) for item in value):
        return "; ".join(_said(item) for item in value)
    text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."


def _numbers(result: Any) -> int:
    """How many numbers the arrays of a result hold."""
    return (
        sum(np.size(v) for v in vars(result).values() if isinstance(v, np.ndarray))
        if hasattr(result, "__dict__")
        else 0
    )


def _picture(result: Any) -> str:
    """The result's figure as an image in the text; the state of pyplot stays as it is."""
    if _numbers(result) > _HEAVY:
        return ""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A small figure may be too narrow for its legend, which is no one's concern.
        result.plot(figure.add_subplot())
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=_DOTS)
    return html.image(base64.b64encode(image.getvalue()).decode("ascii"), f"{type(result).__name__}, drawn by .plot()")
