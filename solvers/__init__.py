"""The numerics: arrays in, arrays and an integer status out. Imported as ``qpot.solvers``, never as ``solvers``."""

if __name__ != "qpot.solvers":
    raise ImportError(
        f"this folder is the package 'qpot.solvers' but was imported as {__name__!r}; "
        "install the project (pip install .) and write 'import qpot.solvers'"
    )
