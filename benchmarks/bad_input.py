"""The table of bad inputs: for every public function how many kinds are refused clearly, accepted rightly, or anything else.

Run it as ``python benchmarks/bad_input.py [FUNCTION ...]``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bad_input.scoring import Table
from bad_input.surface import all_entries

if __name__ == "__main__":
    table = Table()
    for entry in all_entries():
        if len(sys.argv) < 2 or entry.name in sys.argv[1:]:
            table.add(entry)
    print(table.text())
