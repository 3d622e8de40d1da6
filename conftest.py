"""Configuration of all tests: one BLAS thread a process, and no doctests of adapters whose library is not installed."""

import os
from importlib.util import find_spec

# The workers of pytest-xdist inherit these variables. Several workers with several BLAS threads each want more cores than
# there are, and spend much of their time waiting for one another.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# These modules need the extras qpot[torch], qpot[jax] and qpot[explore].
collect_ignore = [
    path
    for path, library in (
        ("qpot/samples/torch_activations.py", "torch"),
        ("qpot/samples/torch_chain.py", "torch"),
        ("qpot/samples/torch_heads.py", "torch"),
        ("qpot/samples/torch_losses.py", "torch"),
        ("qpot/samples/torch_models.py", "torch"),
        ("qpot/samples/torch_plain.py", "torch"),
        ("qpot/samples/torch_recorder.py", "torch"),
        ("qpot/samples/torch_trials.py", "torch"),
        ("qpot/samples/torch_ways.py", "torch"),
        ("qpot/samples/torch_written_out.py", "torch"),
        ("qpot/samples/jax_models.py", "jax"),
        ("qpot/plots/explore_page.py", "plotly"),
    )
    if find_spec(library) is None
]
