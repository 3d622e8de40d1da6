"""The reference of the documentation site: a page for each wing, and one for each of its public names."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

from site_pages import Pages

import qpot

# The wings in the order of the front page's docstring, with the words of ARCHITECTURE.md.
WINGS = {
    "prediction": "Costs between all minima, the choice, times",
    "problem": "Drift and noise",
    "samples": "Losses that are means over samples",
    "landscape": "Where the drift rests: minima, saddles, basins",
    "paths": "Minimum action paths, escapes, exits",
    "fields": "The quasi-potential on grids",
    "chain": "Minima as states",
    "simulation": "The algorithm itself, simulated, and the comparison",
    "companions": "What selects without noise: flows, margins, the path kernel",
    "answers": "One front door: what selects, how surely, when, and by what evidence",
    "gallery": "Systems with known answers",
    "plots": "Figures",
}
# The names of the front that lie in no wing.
COMMON = ("process_executor", "reporting", "SolveError", "Status")


def public_names(module: ModuleType) -> list[str]:
    """The functions and classes of a wing under the names by which users know them: ``qpot.NAME`` where the front has it."""
    names = []
    for name in module.__all__:
        item = getattr(module, name)
        if inspect.isclass(item) or inspect.isroutine(item):
            names.append(f"qpot.{name}" if name in qpot.__all__ else f"{module.__name__}.{name}")
    return names


def all_names() -> list[str]:
    """All names that have a page."""
    wings = (importlib.import_module(f"qpot.{wing}") for wing in WINGS)
    return [*(name for wing in wings for name in public_names(wing)), *(f"qpot.{name}" for name in COMMON)]


def item_of(name: str) -> object:
    """What a full public name stands for."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def page_of(name: str) -> str:
    """File name of the page: on some systems ``Selection`` and ``selection`` would be the same file."""
    kind = "class-" if inspect.isclass(item_of(name)) else ""
    return kind + name.rpartition(".")[2]


def write_item(pages: Pages, folder: str, name: str) -> None:
    """Write the page of one function or class."""
    module, _, last = name.rpartition(".")
    title = f"{last}\n{'=' * len(last)}\n\n.. currentmodule:: {module}\n\n"
    if inspect.isclass(item_of(name)):
        body = f".. autoclass:: {last}\n   :members:\n   :inherited-members: BaseException, tuple, IntEnum\n"
    else:
        body = f".. autofunction:: {last}\n"
    pages.write(f"{folder}/{page_of(name)}.rst", title + body)


def write_wing(pages: Pages, section: str, title: str, text: str, names: list[str]) -> None:
    """Write the page of one wing, with a table of its names, and the pages of the names."""
    folder = f"reference/{section}"
    for name in names:
        write_item(pages, folder, name)
    tables = []
    for kind, wanted in (("Functions", False), ("Classes", True)):
        chosen = sorted((name for name in names if inspect.isclass(item_of(name)) is wanted), key=str.lower)
        if chosen:
            rows = "".join(f"   ~{name}\n" for name in chosen)
            tables.append(f"{kind}\n{'-' * len(kind)}\n\n.. autosummary::\n   :nosignatures:\n\n{rows}")
    contents = "".join(f"   {page_of(name)}\n" for name in sorted(names, key=str.lower))
    pages.write(
        f"{folder}/index.rst",
        f"{title}\n{'=' * len(title)}\n\n{text}\n\n" + "\n".join(tables) + f"\n.. toctree::\n   :hidden:\n\n{contents}",
    )


def write_reference(pages: Pages) -> None:
    """Write the pages of all wings and their index."""
    for wing, title in WINGS.items():
        module = importlib.import_module(f"qpot.{wing}")
        names = public_names(module)
        where = f"Module ``qpot.{wing}``. Names without a module in front are attributes of ``qpot`` itself."
        write_wing(pages, wing, title, where, names)
    common = "Outcomes, progress, executors"
    write_wing(pages, "common", common, "These serve all wings.", [f"qpot.{name}" for name in COMMON])
    rows = "".join(f"| [{title}]({wing}/index.rst) | `qpot.{wing}` |\n" for wing, title in WINGS.items())
    contents = "\n".join(f"{wing}/index" for wing in (*WINGS, "common"))
    pages.write(
        "reference/index.md",
        "# Reference\n\nEvery public name, by wing. `qpot.predict` and `qpot.System` are where most programs begin.\n\n"
        f"| wing | module |\n|---|---|\n{rows}| [{common}](common/index.rst) | `qpot` |\n\n"
        f"```{{toctree}}\n:hidden:\n\n{contents}\n```\n",
    )
