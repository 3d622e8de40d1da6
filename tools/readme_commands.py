"""Print one of the README's commands, word for word: ``python tools/readme_commands.py run`` (or ``test``).

A command is the one line of the ``sh`` block under ``<!-- command: NAME -->``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# The file whose commands are printed.
README = Path(__file__).resolve().parent.parent / "README.md"
# A marker with the name of the command, followed by a block of shell code.
_BLOCK = re.compile(r"<!-- command: (?P<name>\w+) -->\n+```sh\n(?P<body>.*?)```", re.DOTALL)


def commands(readme: Path = README) -> dict[str, str]:
    """The marked commands by name.

    Raises
    ------
    ValueError
        If a marked block does not have exactly one line, or a name occurs twice.
    """
    found: dict[str, str] = {}
    for block in _BLOCK.finditer(readme.read_text(encoding="utf-8")):
        name, lines = block["name"], block["body"].splitlines()
        if len(lines) != 1 or not lines[0].strip():
            raise ValueError(f"{readme}: command {name!r} has {len(lines)} lines; it must be one line to paste")
        if name in found:
            raise ValueError(f"{readme}: command {name!r} occurs twice")
        found[name] = lines[0]
    return found


def main(arguments: list[str]) -> int:
    """Print the command that is named, or how to use this tool."""
    known = commands()
    if len(arguments) != 1 or arguments[0] not in known:
        print(f"usage: readme_commands.py {{{','.join(known)}}}", file=sys.stderr)
        return 2
    print(known[arguments[0]])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
