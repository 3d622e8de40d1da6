"""Build the documentation site: ``python tools/build_site.py [--notebooks FOLDER] [--complete] [--output FOLDER]``.

The pages are those in docs/, the changelog and its neighbours, one for every example, and a reference of all public
names. The pictures and outputs of the examples come from notebooks that ``tools/notebooks.py`` has executed
(``build/notebooks`` by default); an example that has not been run is shown without outputs, or refused with ``--complete``.
A warning is an error, and so is a link that leads nowhere. The site is written to ``build/site/html``, which can be opened
as files.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from site_gallery import write_gallery
from site_links import broken_links
from site_pages import ROOT, BrokenLinkError, Pages
from site_reference import all_names, write_reference


def main(arguments: list[str] | None = None) -> int:
    """Build the site; the exit status is 1 if something is wrong with it."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "build" / "notebooks", help="executed notebooks")
    parser.add_argument("--complete", action="store_true", help="refuse examples that have not been executed")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    source, html = options.output / "source", options.output / "html"
    shutil.rmtree(source, ignore_errors=True)
    shutil.rmtree(html, ignore_errors=True)
    names = all_names()
    pages = Pages(source, names)
    try:
        pages.copy()
        missing = write_gallery(pages, options.notebooks)
    except BrokenLinkError as error:
        print(error, file=sys.stderr)
        return 1
    write_reference(pages)
    if missing:
        print(f"not executed: {', '.join(missing)}")
        if options.complete:
            return 1
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-j", "2"]
    command += ["-c", str(ROOT / "docs"), "-d", str(options.output / "doctrees"), str(source), str(html)]
    if status := subprocess.run(command, check=False).returncode:
        return status
    faults = broken_links(html)
    print("\n".join(faults), file=sys.stderr)
    count = len(list(html.rglob("*.html")))
    print(
        f"{count} pages, {len(names)} public names, in {time.perf_counter() - start:.0f} s; {len(faults)} links are broken"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
