"""HTML for notebooks: paragraphs, tables and small pictures, readable on light and on dark pages.

No colour of a text or a background is set: both are the page's own, and lines are drawn in the colour of the text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

_CELL = "padding:2px 10px;text-align:right;border-bottom:1px solid color-mix(in srgb, currentColor 25%, transparent)"

_TABLE = "border-collapse:collapse;margin:0.2em 0;color:inherit;font-size:inherit"


def paragraph(text: str, *, strong: bool = False) -> str:
    """A paragraph of plain text."""
    words = escape(text)
    return f"<p style='margin:0.4em 0'>{f'<b>{words}</b>' if strong else words}</p>"


def heading(text: str) -> str:
    """The name of a part."""
    return f"<div style='margin:0.8em 0 0.2em;font-weight:600'>{escape(text)}</div>"


def listed(lines: Iterable[str]) -> str:
    """A list of plain texts."""
    return f"<ul style='margin:0.2em 0'>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, strong: Collection[int] = ()) -> str:
    """A table of plain texts.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequences of str
    strong : collection of int
        The rows that are set in bold.
    """
    names = "".join(f"<th style='{_CELL}'>{escape(name)}</th>" for name in head)
    body = []
    for n, row in enumerate(rows):
        opening, closing = ("<b>", "</b>") if n in strong else ("", "")
        body.append(
            "".join(["<tr>", *(f"<td style='{_CELL}'>{opening}{escape(c)}{closing}</td>" for c in row), "</tr>"])
        )
    return (
        f"<div style='overflow-x:auto'><table style='{_TABLE}'><thead><tr>{names}</tr>"
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def verbatim(text: str) -> str:
    """Plain text with its line breaks and columns."""
    return f"<pre style='margin:0.4em 0;background:none;color:inherit'>{escape(text)}</pre>"


def image(png: str, alt: str) -> str:
    """A picture from the base64 text of a PNG file, on white, which its colours are made for."""
    return f"<img alt='{escape(alt, quote=True)}' style='background:white' src='data:image/png;base64,{png}'/>"


def folded(title: str, content: str) -> str:
    """A part that is shown when its title is clicked."""
    return f"<details style='margin:0.4em 0'><summary>{escape(title)}</summary>{content}</details>"


def document(parts: Iterable[str]) -> str:
    """The parts as one block."""
    return f"<div style='max-width:62em'>{''.join(part for part in parts if part)}</div>"
