"""The pages of the documentation site: where each lies, and its links between them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Pages that lie beside the code, and where they are on the site. A link to the README leads to the start page.
BESIDE_THE_CODE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
}
# The folders of example scripts, and those of their pages.
EXAMPLES = {"examples": "gallery", "examples/course": "course"}
CODE = re.compile(r"(^(?:```|~~~)[\s\S]*?^(?:```|~~~)\s*$)", re.MULTILINE)
IMAGE = re.compile(r"(!\[[^\]]*\]\()([^)\s#]*)(#[^)\s]*)?(\))")
LINK = re.compile(r"((?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\()([^)\s#]*)(#[^)\s]*)?(\))")  # a picture may be its text
NAMED_EXAMPLE = re.compile(r"(?<!\[)`(examples/(?:course/)?\w+\.py)`(?!\])")
# A public name in code, with its arguments or without, that is not the text of a link.
NAMED_ITEM = re.compile(r"(?<![\[`])`((?:qpot\.)?([A-Za-z]\w*(?:\.\w+)*)(?:\([^`\n]*\))?)`(?![\]`])")


class BrokenLinkError(ValueError):
    """A page links to a file that does not exist."""


def scripts() -> list[Path]:
    """All examples that have a page, in the order of the site: the course, then the others by name."""
    return [path for folder in reversed(EXAMPLES) for path in sorted((ROOT / folder).glob("*.py"))]


def places() -> dict[str, str]:
    """Where each page of the tree is on the site; both as paths with forward slashes, from their roots."""
    found = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "docs").rglob("*.md")}
    result = {name: name.removeprefix("docs/") for name in found}
    result.update(BESIDE_THE_CODE)
    for path in scripts():
        name = path.relative_to(ROOT).as_posix()
        result[name] = f"{EXAMPLES[posixpath.dirname(name)]}/{path.stem}.ipynb"
    return result


class Pages:
    """Copies pages and files of the tree to the folder from which the site is built.

    Parameters
    ----------
    source : Path
        That folder.
    names : container of str
        The full names that have a page of reference: where they occur in code, they become links.
    """

    def __init__(self, source: Path, names: Container[str]) -> None:
        self.source = source
        self.names = names
        self.places = places()

    def write(self, place: str, text: str) -> None:
        """Write a page of the site."""
        path = self.source / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def file(self, name: str) -> str:
        """Copy a file of the tree that is no page, and return where it is on the site."""
        place = name.removeprefix("docs/") if name.startswith("docs/") else f"files/{name}"
        path = self.source / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes())
        return place

    def translated(self, text: str, name: str, place: str) -> str:
        """The text of a page of the tree with its links as they are on the site.

        Parameters
        ----------
        text : str
            Markdown.
        name, place : str
            The page's path in the tree and on the site.

        Raises
        ------
        BrokenLinkError
            If a link leads nowhere.
        """
        folder, here = posixpath.dirname(name), posixpath.dirname(place)

        def link(match: re.Match[str]) -> str:
            before, target, anchor, after = match.group(1), match.group(2), match.group(3) or "", match.group(4)
            if not target or re.match(r"[a-z]+:", target):  # an anchor of the page, or another host
                return match.group(0)
            wanted = posixpath.normpath(posixpath.join(folder, target))
            if wanted not in self.places and not (ROOT / wanted).is_file():
                raise BrokenLinkError(f"{name}: the link to {target} leads nowhere")
            found = self.places.get(wanted) or self.file(wanted)
            # A link whose text is the name of a page gets the page's title instead.
            if before == f"[{posixpath.basename(target)}](" or before == f"[{wanted}](":
                before = "[](" if wanted in self.places else before
            return f"{before}{posixpath.relpath(found, here or '.')}{anchor}{after}"

        def example(match: re.Match[str]) -> str:
            found = self.places.get(match.group(1))
            return f"[{match.group(0)}]({posixpath.relpath(found, here or '.')})" if found else match.group(0)

        def item(match: re.Match[str]) -> str:
            shown, name = match.groups()
            full = f"qpot.{name}"
            return f"{{py:obj}}`{shown} <{full}>`" if full in self.names and "<" not in shown else match.group(0)

        def linked(part: str) -> str:
            return NAMED_ITEM.sub(item, NAMED_EXAMPLE.sub(example, LINK.sub(link, IMAGE.sub(link, part))))

        parts = CODE.split(text)
        return "".join(part if index % 2 else linked(part) for index, part in enumerate(parts))

    def copy(self) -> None:
        """Write all pages of the tree except the examples; the list of the pages on methods becomes their contents."""
        for name, place in self.places.items():
            if name.endswith(".md") and name != "README.md":
                text = (ROOT / name).read_text(encoding="utf-8")
                listed = re.findall(r"^\| \[[^\]]*\]\((\w+)\.md\)", text, re.MULTILINE) if place == "README.md" else []
                contents = "\n".join(listed)
                after = f"\n```{{toctree}}\n:hidden:\n\n{contents}\n```\n" if listed else ""
                self.write(place, self.translated(text, name, place) + after)
