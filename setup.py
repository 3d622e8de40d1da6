"""The description that a package index shows. Everything else about the package is in pyproject.toml.

An index shows the README alone, without the files beside it, so that links to them would lead nowhere.
"""

import pathlib
import re

# Where the files of this version can be read, with a slash at the end, once the project has a public address. Links and
# pictures then lead there; until then links to files are shown as their text, and pictures as what they show.
ADDRESS = None

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:|#)([^)]*)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\((?![a-z]+:)([^)]*)\)")


def description(readme: str, address: str | None = ADDRESS) -> str:
    """The README without links that only a checkout can follow."""
    if address is None:
        return LINK.sub(r"\1", PICTURE.sub(r"*Picture: \1.*", readme))
    return LINK.sub(rf"[\1]({address}\2)", PICTURE.sub(rf"![\1]({address}\2)", readme))


if __name__ == "__main__":
    from setuptools import setup

    text = (pathlib.Path(__file__).resolve().parent / "README.md").read_text(encoding="utf-8")
    setup(long_description=description(text), long_description_content_type="text/markdown")
