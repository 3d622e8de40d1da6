"""Run the tests as other processors would: ``python tools/other_processors.py [pytest arguments]``.

Compilers and BLAS libraries choose their instructions by the processor, so sums round differently on another one. Each run
hides some instructions of this processor from NumPy, numba and OpenBLAS, and has a compilation cache of its own. The exit
status is that of the first run that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

# NumPy's names of the features that belong to AVX-512.
_AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
# For every processor: NumPy's features that are hidden, and the core whose kernels OpenBLAS uses.
PROCESSORS = {
    "with AVX2, without AVX-512": (_AVX512, "Haswell"),
    "with SSE only": (f"{_AVX512} AVX2 FMA3 X86_V3", "Prescott"),
}


def known_features(names: str) -> str:
    """Those of the named features that NumPy dispatches on this processor; it would warn about any other."""
    code = (
        "from numpy._core._multiarray_umath import __cpu_dispatch__ as d, __cpu_features__ as f;"
        "print(*[n for n in d if f.get(n)])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return " ".join(name for name in names.split() if name in found)


def main() -> None:
    """Run pytest once as each of the processors would."""
    arguments = sys.argv[1:] or ["-q", "-n", "2"]
    for title, (hidden, core) in PROCESSORS.items():
        print(f"##### as a processor {title}", flush=True)
        with tempfile.TemporaryDirectory(prefix="qpot-processor-") as cache:
            environment = {
                **os.environ,
                "NPY_DISABLE_CPU_FEATURES": known_features(hidden),
                "OPENBLAS_CORETYPE": core,
                "NUMBA_CPU_NAME": "generic",
                "NUMBA_CACHE_DIR": cache,
            }
            status = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments], env=environment, check=False
            ).returncode
        if status:
            sys.exit(status)


if __name__ == "__main__":
    main()
