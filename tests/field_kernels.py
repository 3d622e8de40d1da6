"""Small sweeps for the tests of single kernels: polynomial fields on a coarse grid, with heads that satisfy H = 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twins_fields import (
    Box,
    Polynomials,
    State,
    hamiltonian,
    joined,
    noise_metric,
    parts,
    projected,
    random_polynomials,
    symmetric,
)
from twins_fields import rates as rates_twin

from qpot.solvers.fields.marching.medium import Medium, make_medium
from qpot.solvers.fields.marching.parts import RECORDS, Reach, Sweep
from qpot.solvers.fields.marching.state import SweepState, make_state

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """Fields, their grid, and an empty sweep over it."""

    fields: Polynomials
    box: Box
    state: SweepState
    rng: np.random.Generator

    @property
    def dimension(self) -> int:
        """d."""
        return self.fields.dimension

    def sweep(self, **reach: Any) -> Sweep:
        """The arrays for the kernels, with other lengths or limits where given, and with a constant covariance measured."""
        sweep = self.state.arrays()
        settings: Reach = self.state.reach._replace(**reach)
        if not self.fields.varies:
            metric = noise_metric(self.fields.at(np.zeros(self.dimension), 0)[1])
            sweep.scratch.metric[:] = metric
            sweep.scratch.half[:] = np.sqrt(np.diag(np.linalg.inv(metric)))
        return sweep._replace(reach=settings)

    def metric(self, x: Array) -> Array:
        """The metric of the noise at a point."""
        return noise_metric(self.fields.at(x, 0)[1])

    def add(self, head: Array, parent: int = -1) -> int:
        """Append a head; returns its record."""
        record = int(self.state.counts[RECORDS])
        self.state.records[record], self.state.parents[record] = head, parent
        self.state.counts[RECORDS] += 1
        return record

    def head(self, x: Array, *, curved: float = 1.0) -> Array:
        """A head at ``x`` with H = 0 that moves, with Q and T that are what the equation says along its ray."""
        d, rng = self.dimension, self.rng
        b, a = self.fields.at(x, 0)
        # p along u has H = 0 where p = -2 <b, u> / <u, a u> u
        u = -b + 0.3 * np.linalg.norm(b) * rng.normal(size=d)
        p = -2.0 * (b @ u) / (u @ a @ u) * u
        y = joined(
            State(
                x,
                float(rng.uniform(0.5, 1.0)),
                p,
                curved * symmetric(rng, d, 2),
                curved * 0.2 * symmetric(rng, d, 3),
                np.eye(d),
            )
        )
        # Q first: the rate of Q, which T answers to, depends on it
        for _ in range(2):
            y = projected(y, rates_twin(self.fields, y)[0], d)
        assert abs(hamiltonian(self.fields, x, parts(y, d).p)[0]) < 1e-12
        return y


def medium_of(fields: Polynomials, box: Box) -> Medium:
    """Splines of the fields, which reproduce them."""
    samples = fields.samples(box.points()).reshape(*box.shape, -1)
    constant = None if fields.varies else fields.at(np.zeros(fields.dimension), 0)[1]
    return make_medium(samples, box.lower, box.spacing, box.periodic, constant)


def setting(seed: int, d: int, *, varies: bool = False, periodic: bool = False, near_cells: float = 2.2) -> Setting:
    """Random fields on a grid over [-1, 1]^d, whose first axis may be periodic."""
    rng = np.random.default_rng(seed)
    fields = random_polynomials(rng, d, varies, periodic)
    shape = (16, 15) if d == 2 else (14, 13, 12)
    wraps = (periodic,) + (False,) * (d - 1)
    spacing = np.array([2.0 / (n if p else n - 1) for n, p in zip(shape, wraps, strict=True)])
    box = Box(-np.ones(d), spacing, shape, np.where(wraps, 2.0, np.inf))
    return Setting(fields, box, make_state(medium_of(fields, box), near_cells), rng)
