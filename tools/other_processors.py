"""Run the tests as other processors would: ``python tools/other_processors.py [pytest arguments]``.

Compilers and BLAS libraries choose their instructions by the processor, so sums round differently on another one. Each run
hides some instructions of this processor from NumPy, numba and OpenBLAS; they have a compilation cache of their own.
Without arguments, the numeric tests of `numeric_tests` run as the first processor and a part of them as the second. The exit
status is that of the first run that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import NamedTuple

from numeric_tests import FEWER_TESTS, NUMERIC_TESTS


class Processor(NamedTuple):
    """What a processor lacks, and the tests that are run as it without arguments."""

    title: str
    # Groups of NumPy's features that stay in use; all others that this processor has are hidden.
    kept: tuple[str, ...]
    # The core whose kernels OpenBLAS uses.
    core: str
    tests: tuple[str, ...]


# Names of NumPy's features that are older than AVX-512; NumPy 2.4 has grouped them by levels of the architecture.
_AVX2 = ("X86_V2", "X86_V3", "SSSE3", "SSE41", "POPCNT", "SSE42", "AVX", "F16C", "FMA3", "FMA4", "XOP", "AVX2")
_SSE = ("X86_V2", "SSSE3", "SSE41", "POPCNT", "SSE42")
PROCESSORS = (
    Processor("with AVX2, without AVX-512", _AVX2, "Haswell", NUMERIC_TESTS),
    Processor("with SSE only", _SSE, "Prescott", FEWER_TESTS),
)


def hidden_features(kept: Iterable[str]) -> str:
    """Those features that NumPy dispatches on this processor and that are not kept; it would warn about any other."""
    code = (
        "from numpy._core._multiarray_umath import __cpu_dispatch__ as d, __cpu_features__ as f;"
        "print(*[n for n in d if f.get(n)])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return " ".join(name for name in found if name not in kept)


def main(arguments: list[str]) -> int:
    """Run pytest once as each of the processors would."""
    with tempfile.TemporaryDirectory(prefix="qpot-processor-") as cache:
        for processor in PROCESSORS:
            hidden = hidden_features(processor.kept)
            print(f"##### as a processor {processor.title} (NumPy without {hidden or 'nothing more'})", flush=True)
            environment = {
                **os.environ,
                "NPY_DISABLE_CPU_FEATURES": hidden,
                "OPENBLAS_CORETYPE": processor.core,
                "NUMBA_CPU_NAME": "generic",
                "NUMBA_CACHE_DIR": cache,
            }
            command = [sys.executable, "-m", "pytest", *(arguments or ["-q", *processor.tests])]
            status = subprocess.run(command, env=environment, check=False).returncode
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
