"""The examples on the documentation site: a page from every notebook, and the pages that show all of them as cards."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import jupytext
from PIL import Image
from site_pages import EXAMPLES, ROOT, Pages, scripts

# Widths in pixels of the pictures on cards.
THUMBNAIL = 640
INTRODUCTIONS = {
    "course": (
        "Course",
        "Eight lessons of ten to fifteen minutes, one story with shared data. Each is a notebook that runs in under two "
        "minutes and ends with three exercises; the answers are folded.",
    ),
    "gallery": (
        "Gallery",
        "Complete examples. Each asserts what it claims, runs as a script and as a notebook, and draws the picture on "
        "its card.",
    ),
}


def picture(notebook: Any) -> bytes | None:
    """The largest of the PNG pictures that a notebook's cells have drawn, or None if there is none."""
    found = [
        base64.b64decode(output["data"]["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return max(found, key=len, default=None)


def heading(notebook: Any) -> tuple[str, str]:
    """Title and first sentence of a notebook, from its first cell of text."""
    text = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title, _, rest = text.partition("\n")
    paragraphs = [" ".join(part.split()) for part in rest.strip().split("\n\n")]
    # A paragraph that is emphasised as a whole leads to other pages. A sentence ends before a capital letter.
    first = next((part for part in paragraphs if not part.startswith(("*", "#", "-", "|"))), "")
    return title.lstrip("# ").strip(), re.split(r"(?<=[.?!])\s+(?=[A-Z*$`])", first)[0].rstrip(":")


def read(script: Path, executed: Path) -> tuple[Any, bool]:
    """The notebook of a script, and whether it has its outputs: `executed` is where `tools/notebooks.py` has put them."""
    path = executed / script.relative_to(ROOT / "examples").with_suffix(".ipynb")
    return (jupytext.read(path), True) if path.is_file() else (jupytext.read(script, fmt="py:percent"), False)


def write_notebook(pages: Pages, script: Path, executed: Path) -> tuple[str, str, bool]:
    """Write the page of one example, and return its card, its page's name without suffix, and whether it had outputs."""
    name = script.relative_to(ROOT).as_posix()
    place = pages.places[name]
    notebook, complete = read(script, executed)
    title, sentence = heading(notebook)
    drawn = picture(notebook)
    earlier = script.parent / "output" / f"{script.stem}.png"
    if drawn is None and earlier.is_file():
        drawn = earlier.read_bytes()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = pages.translated(cell.source, name, place)
        elif re.match(r"(import|from) ", cell.source):
            cell.metadata["tags"] = ["hide-input"]  # imports and settings are folded
    code = pages.file(name)
    note = f"***\n\nThis page is a script that runs as it stands: {{download}}`{script.name} </{code}>`."
    if not complete:
        note += " It was not run when the site was built, so that its output is missing here."
    notebook.cells += jupytext.reads(note, fmt="md").cells
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    pages.write(place, jupytext.writes(notebook, "ipynb"))
    stem = Path(place).stem
    image = ""
    if drawn is not None:
        thumbnail = Image.open(io.BytesIO(drawn)).convert("RGB")
        thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
        path = pages.source / Path(place).parent / "thumbnails" / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        thumbnail.save(path)
        image = f":img-top: thumbnails/{stem}.png\n:img-alt: {title}\n"
    card = f":::{{grid-item-card}} {title}\n:link: {stem}\n:link-type: doc\n{image}\n{sentence}\n:::\n"
    return card, stem, complete


def write_gallery(pages: Pages, executed: Path) -> list[str]:
    """Write the pages of all examples and those with their cards; return the names of the scripts without outputs."""
    missing = []
    for folder, section in EXAMPLES.items():
        cards, stems = [], []
        for script in scripts():
            if script.parent == ROOT / folder:
                card, stem, complete = write_notebook(pages, script, executed)
                cards.append(card)
                stems.append(stem)
                missing += [] if complete else [script.relative_to(ROOT).as_posix()]
        title, text = INTRODUCTIONS[section]
        columns = "1 2 2 3" if section == "gallery" else "1 2 2 2"
        grid = f"::::{{grid}} {columns}\n:gutter: 3\n\n" + "\n".join(cards) + "::::\n" if cards else ""
        contents = "```{toctree}\n:hidden:\n\n" + "\n".join(stems) + "\n```\n" if stems else ""
        pages.write(f"{section}/index.md", f"# {title}\n\n{text}\n\n{grid}\n{contents}")
    return missing
