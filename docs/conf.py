"""Settings of the documentation site, which ``python tools/build_site.py`` builds.

Nothing is loaded from another host: the theme carries its scripts and fonts, formulas become MathML when the site is
built, and the search runs in the reader's browser, also on pages that are opened as files.
"""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

project = "qpot"
author = "The qpot developers"
copyright = "the qpot developers"  # noqa: A001, RUF100 - Sphinx asks for this name
release = version = importlib.metadata.version("qpot")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
# Names in single backquotes are links where something of ours has the name.
default_role = "py:obj"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # tools/notebooks.py has run them
nb_output_stderr = "remove"  # progress bars
nb_render_markdown_format = "myst"

autosummary_generate = False  # tools/site_reference.py writes the pages
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give types with shapes
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "qpot"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["site_static"]
html_css_files = ["qpot.css"]
html_math_renderer = "mathml"
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def formula(node: nodes.math | nodes.math_block, display: str) -> str:
    """A formula as MathML, which browsers draw by themselves; a command that is not known is told with its place."""
    tex = node.astext()
    if display == "block":  # what is minimised over stands below the word
        tex = re.sub(r"\\(min|max|inf|sup|lim)_", r"\\\1\\limits_", tex)
    try:
        result = convert(tex, display=display)
        unknown = re.findall(r"\\\w+", result)
    except Exception as error:  # whatever the converter meets in what an author wrote
        result, unknown = "", [repr(error)]
    if unknown:
        logging.getLogger(__name__).warning("the formula %s: %s", tex, ", ".join(unknown), location=node)
    return str(result)


def inline_formula(writer: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    writer.body.append(formula(node, "inline"))
    raise nodes.SkipNode


def displayed_formula(writer: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    writer.body.append(f'<div class="formula">{formula(node, "block")}</div>\n')
    raise nodes.SkipNode


def plain_signs(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Keep the bars of an absolute value and the star of ``*samples`` from being read as markup in a docstring."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``|`[^`]*`)", line)
            for index in range(0, len(parts), 2):
                parts[index] = re.sub(r"(?<![\\|])\|(?!\|)", r"\|", parts[index])
                parts[index] = re.sub(r"(?<![\w*\\])\*(?=\w)(?![^*]*\w\*)", r"\*", parts[index])
            lines[number] = "".join(parts)


def is_old(app: Sphinx, what: str, name: str, item: object, skip: bool, options: object) -> bool | None:
    """Leave out members that are old names and will go."""
    return True if (getattr(item, "__doc__", None) or "").startswith("Old name of") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Make MathML the way in which formulas are written."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (displayed_formula, None))
    app.connect("autodoc-process-docstring", plain_signs, priority=400)  # before numpydoc
    app.connect("autodoc-skip-member", is_old)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
