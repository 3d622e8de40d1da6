"""Check the pages of a built site: links and anchors exist, and nothing is loaded from another host."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that make a browser load what they name.
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src")}


class Page(HTMLParser):
    """Anchors and links of one page.

    Parameters
    ----------
    text : str
        The page's HTML.

    Attributes
    ----------
    anchors : set of str
    links : list of (str, bool)
        Targets, each with whether the browser loads it by itself.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what a tag names."""
        for key, value in attrs:
            if value is None:
                continue
            if key == "id" or (tag == "a" and key == "name"):
                self.anchors.add(value)
            elif key in ("href", "src"):
                # A link that only tells an address to search engines loads nothing.
                self.links.append((value, (tag, key) in LOADED and ("rel", "canonical") not in attrs))


def broken_links(site: Path) -> list[str]:
    """One line for each fault of the pages in a folder; empty if there is none."""
    files = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]  # the theme's templates
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in files}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for target, loaded in page.links:
            parts = urlsplit(target)
            if parts.scheme == "data" or (parts.scheme and not loaded):
                continue
            if parts.scheme or parts.netloc:
                faults.append(f"{name}: {target} is loaded from another host")
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.is_file():
                faults.append(f"{name}: there is no {target}")
            elif parts.fragment and file in pages and unquote(parts.fragment) not in pages[file].anchors:
                faults.append(f"{name}: there is no anchor {target}")
    return faults
