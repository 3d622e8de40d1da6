"""One BLAS thread for each process of the suite; doctests of the adapters without their optional library are left out."""

import os
from importlib.util import find_spec

# The workers of pytest-xdist inherit this. Two of them with two BLAS threads each, on two cores, spend half of their time
# waiting for one another.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# extras qpot[torch], qpot[jax]
collect_ignore = [
    path
    for path, library in (("qpot/samples/torch_models.py", "torch"), ("qpot/samples/jax_models.py", "jax"))
    if find_spec(library) is None
]
