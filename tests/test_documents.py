"""Tests of the pages and of what describes the package: code on pages, versions, the index's page, links of the site."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import sys
import tomllib
from types import ModuleType

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPE = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
# Pages whose programs are run, each from top to bottom.
PAGES = [ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "how_to").glob("*.md"))]
WITH_PROGRAMS = [path for path in PAGES if "```python" in path.read_text(encoding="utf-8")]


def _module(path: str) -> ModuleType:
    """A file that is no part of the library, as a module; its neighbours can be imported by it."""
    file = ROOT / path
    if file.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
    return sys.modules[file.stem]


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=lambda path: path.stem)
def test_programs_on_pages_run(page: pathlib.Path) -> None:
    names: dict[str, object] = {"__name__": "page"}  # what stands under __main__ needs processes of its own
    for program in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(program, str(page), "exec"), names)


def test_version_and_dependencies_are_the_same_everywhere() -> None:
    version = PROJECT["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in citation
    assert re.search(r"^date-released: \d{4}-\d\d-\d\d$", citation, re.MULTILINE)
    assert f'  version: "{version}"\n' in RECIPE
    assert [author["name"] for author in PROJECT["authors"]] == re.findall(
        r'^  - name: "(.*)"$', citation, re.MULTILINE
    )
    needed = re.findall(r"^    - ([\w-]+) (>=[\d.]+)$", RECIPE.split("  run:\n")[1].split("tests:")[0], re.MULTILINE)
    # The part of Matplotlib that needs no window is a package of its own there.
    assert {f"{name.removesuffix('-base')}{bound}" for name, bound in needed} == set(PROJECT["dependencies"])


def test_the_description_on_an_index_has_no_link_to_a_file() -> None:
    description = _module("setup.py").description
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"\]\((?!https?:|#)", readme)
    assert not re.search(r"\]\((?!https?:|#)", description(readme))
    whole = description(readme, "https://example.org/tree/")
    assert "![Two equally good minima" in whole
    assert "](https://example.org/tree/docs/symmetric_minima.png)" in whole
    assert description("[a](https://b.c) [d](#e)") == "[a](https://b.c) [d](#e)"


def test_links_of_the_tree_become_links_of_the_site(tmp_path: pathlib.Path) -> None:
    module = _module("tools/site_pages.py")
    pages = module.Pages(tmp_path, {"qpot.predict"})

    def link(text: str) -> str:
        return str(pages.translated(text, "docs/how_to/index.md", "how_to/index.md"))

    assert link("[why](../theory.md#times)") == "[why](../theory.md#times)"
    assert link("[log](../../CHANGELOG.md)") == "[log](../project/changelog.md)"
    assert link("[field.md](../field.md)") == "[](../field.md)"
    assert link("see `examples/flows.py`") == "see [`examples/flows.py`](../gallery/flows.ipynb)"
    assert link("[`examples/flows.py`](../../examples/flows.py)") == "[`examples/flows.py`](../gallery/flows.ipynb)"
    assert link("`predict(s)` and `predicts`") == "{py:obj}`predict(s) <qpot.predict>` and `predicts`"
    assert link("```\n`predict` [a](b.md)\n```\n") == "```\n`predict` [a](b.md)\n```\n"
    assert link("[licence](../../LICENSE)") == "[licence](../files/LICENSE)"
    assert (tmp_path / "files" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert link("[![a](../symmetric_minima.png)](../peers.md)") == "[![a](../symmetric_minima.png)](../peers.md)"
    with pytest.raises(module.BrokenLinkError, match=r"nowhere\.md"):
        link("[a](nowhere.md)")


def test_broken_links_of_a_site_are_found(tmp_path: pathlib.Path) -> None:
    broken_links = _module("tools/site_links.py").broken_links
    (tmp_path / "b.html").write_text('<h1 id="top">b</h1><a href="https://example.org">out</a>')
    (tmp_path / "a.html").write_text('<a href="b.html#top"></a><a href="#here"></a><p id="here"><img src="data:,">')
    assert broken_links(tmp_path) == []
    (tmp_path / "c.html").write_text(
        '<a href="d.html"></a><a href="b.html#end"></a><script src="https://example.org/a.js"></script>'
    )
    assert broken_links(tmp_path) == [
        "c.html: there is no d.html",
        "c.html: there is no anchor b.html#end",
        "c.html: https://example.org/a.js is loaded from another host",
    ]
