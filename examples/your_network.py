# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own network in three lines
#
# Put your model, your loss and your data into `from_torch`. `predict` finds the minima by training runs, divides out what no
# sample ever moves (here the common shift of the outputs), counts minima that differ by exchanges and signs of units once,
# finds the passes between them, and computes what the minibatch noise pays for each. Every choice that it makes by itself is
# a line at the end of the report, with the argument that overrides it. This example needs PyTorch:
# `pip install 'qpot[torch]'`.

# %%
import os
import pathlib
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # For small matrices several BLAS threads are slower than one.
    os.environ.setdefault(variable, "1")

import matplotlib

if not (os.environ.get("DISPLAY") or "ipykernel" in sys.modules):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

import qpot

HERE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path()
