"""Simulations as data frames and labelled arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.optional import coordinate_names, needed

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset


class EnsembleTables(Drawn, figure="plot_ensemble"):
    """What an ensemble offers to notebooks: a figure, a table and a labelled array."""

    points: Array
    steps: NDArray[np.int64]
    time: Array
    learning_rate: float
    epsilon: float
    batch_size: int | None
    momentum: float
    sampling: str | None
    minima: Array | None
    labels: NDArray[np.int64] | None

    def to_dataframe(self) -> DataFrame:
        """The positions as a data frame, one row for each record and replica.

        Returns
        -------
        pandas.DataFrame
            With the columns ``step``, ``time`` (SDE time), ``replica``, ``x_1``, ..., ``x_d`` and, where minima were given to
            the simulation, ``basin`` (-1 for none of them).

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = needed("pandas", "Ensemble.to_dataframe")
        records, replicas, d = self.points.shape
        columns: dict[str, Any] = {
            "step": np.repeat(self.steps, replicas),
            "time": np.repeat(self.time, replicas),
            "replica": np.tile(np.arange(replicas), records),
        }
        flat = self.points.reshape(-1, d)
        columns.update({name: flat[:, n] for n, name in enumerate(coordinate_names(d))})
        if self.labels is not None:
            columns["basin"] = self.labels.ravel()
        return pandas.DataFrame(columns)

    def to_xarray(self) -> Dataset:
        """The positions as a data set with named coordinates.

        Returns
        -------
        xarray.Dataset
            The dimensions are ``step``, ``replica`` and ``component``; ``time`` is a coordinate along ``step``. The variables
            are ``position`` and, where minima were given to the simulation, ``basin`` and ``minima``. Attributes hold the
            learning rate, epsilon, batch size, momentum and sampling, those that are known.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        xarray = needed("xarray", "Ensemble.to_xarray")
        variables: dict[str, Any] = {"position": (["step", "replica", "component"], self.points)}
        if self.labels is not None:
            variables["basin"] = (["step", "replica"], self.labels, {"long_name": "minimum; -1 for none"})
        if self.minima is not None:
            variables["minima"] = (["minimum", "component"], self.minima)
        coordinates: dict[str, Any] = {
            "step": self.steps,
            "time": ("step", self.time, {"long_name": "SDE time, steps x learning rate"}),
            "replica": np.arange(self.points.shape[1]),
            "component": coordinate_names(self.points.shape[2]),
        }
        known = {
            "learning_rate": self.learning_rate,
            "epsilon": self.epsilon,
            "batch_size": self.batch_size,
            "momentum": self.momentum,
            "sampling": self.sampling,
        }
        attributes = {name: value for name, value in known.items() if value is not None}
        return xarray.Dataset(variables, coords=coordinates, attrs=attributes)


class EscapeTables(Drawn, figure="plot_survival"):
    """What escape times offer to notebooks: a figure and a table."""

    steps: NDArray[np.int64]
    destination: NDArray[np.int64]
    time_step: float
    escape_points: Array | None

    def to_dataframe(self) -> DataFrame:
        """The escapes as a data frame, one row for each replica.

        Returns
        -------
        pandas.DataFrame
            With the columns ``steps`` and ``time`` (until the escape, or those watched), ``escaped``, ``destination`` (-1 for
            a replica that had not left) and, where they were recorded, ``escape_x_1``, ..., ``escape_x_d``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = needed("pandas", "EscapeTimes.to_dataframe")
        columns: dict[str, Any] = {
            "steps": self.steps,
            "time": self.steps * self.time_step,
            "escaped": self.destination >= 0,
            "destination": self.destination,
        }
        if self.escape_points is not None:
            names = coordinate_names(self.escape_points.shape[1])
            columns.update({f"escape_{name}": self.escape_points[:, n] for n, name in enumerate(names)})
        return pandas.DataFrame(columns, index=pandas.RangeIndex(len(self.steps), name="replica"))


class SplittingTables(Drawn, figure="plot_splitting"):
    """What splitting offers to notebooks: a figure and a table."""

    probabilities: Array
    out_steps: Array
    back_steps: Array
    reactive_steps: Array
    rounds: Array

    def to_dataframe(self) -> DataFrame:
        """The estimates as a data frame, one row for each repetition.

        Returns
        -------
        pandas.DataFrame
            With the columns ``probability``, ``out_steps``, ``back_steps``, ``reactive_steps`` and ``rounds``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = needed("pandas", "SplittingTimes.to_dataframe")
        columns = {
            "probability": self.probabilities,
            "out_steps": self.out_steps,
            "back_steps": self.back_steps,
            "reactive_steps": self.reactive_steps,
            "rounds": self.rounds,
        }
        return pandas.DataFrame(columns, index=pandas.RangeIndex(len(self.probabilities), name="repetition"))
