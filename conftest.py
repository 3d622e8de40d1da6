"""Doctests of the adapters need their optional library; without it (extras qpot[torch], qpot[jax]) they are left out."""

from importlib.util import find_spec

collect_ignore = [
    path
    for path, library in (("qpot/torch_models.py", "torch"), ("qpot/jax_models.py", "jax"))
    if find_spec(library) is None
]
