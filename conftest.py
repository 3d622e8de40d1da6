"""Configuration of all tests: one BLAS thread a process, shares of files, no doctests of adapters without their library."""

import os
from importlib.util import find_spec

import pytest

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


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """With ``-n``, give each process a half (or its share) of the files in one piece, and let those that are done steal.

    Results that tests of a file share are then computed once; pytest-xdist's default deals the tests out one by one.
    """
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"
