"""Fields as labelled arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.optional import coordinate_names, needed
from qpot.fields.grid import Grid

if TYPE_CHECKING:
    from xarray import Dataset


class FieldTables(Drawn, figure="plot_field"):
    """What a field offers to notebooks: a figure and a labelled array."""

    values: Array
    gradient: Array
    grid: Grid

    def to_xarray(self) -> Dataset:
        """The field as a data set with named coordinates.

        Returns
        -------
        xarray.Dataset
            The dimensions are ``x_1``, ..., ``x_d``, with the nodes as coordinates, and ``component``. The variables are
            ``quasipotential`` (without epsilon; nan where it is not known) and ``gradient``. A field of one source has
            ``error_at_node``, too; a global one has ``owner``, the minimum whose field gives the value, and
            ``stationary_cost``. Attributes are plain numbers and texts, so that the data set can be written to a file.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        xarray = needed("xarray", f"{type(self).__name__}.to_xarray")
        names = coordinate_names(self.grid.dimension)
        variables: dict[str, Any] = {
            "quasipotential": (names, self.values, {"long_name": "quasi-potential V", "units": "1"}),
            "gradient": ([*names, "component"], self.gradient, {"long_name": "gradient of V"}),
            **self._own_variables(names),
        }
        coordinates: dict[str, Any] = {**dict(zip(names, self.grid.axes, strict=True)), "component": names}
        return xarray.Dataset(variables, coords=coordinates, attrs=self._facts())

    def _own_variables(self, names: list[str]) -> dict[str, Any]:
        """Further variables of the data set."""
        del names
        return {}

    def _facts(self) -> dict[str, Any]:
        """The attributes of the data set: those numbers of the field that are no arrays."""
        facts: dict[str, Any] = {"periodic": [int(p) for p in self.grid.periodic]}
        for name in ("level", "error"):
            if hasattr(self, name):
                facts[name] = float(getattr(self, name))
        if hasattr(self, "status"):
            facts["status"] = self.status.name.lower()
        if hasattr(self, "source"):
            facts["source"] = [float(x) for x in self.source.ravel()]
        return facts


class SourceTables(FieldTables):
    """The same for the field of one source, whose nodes have errors."""

    errors: Array

    def _own_variables(self, names: list[str]) -> dict[str, Any]:
        about = {"long_name": "estimate of |V - exact|; inf where V is doubtful"}
        return {"error_at_node": (names, self.errors, about)}


class GlobalTables(FieldTables):
    """The same for a global field, which also says which minimum gives each value."""

    owner: Any
    stationary_costs: Array

    def _own_variables(self, names: list[str]) -> dict[str, Any]:
        return {
            "owner": (names, self.owner, {"long_name": "minimum whose field gives the value; -1 for none"}),
            "stationary_cost": ("minimum", self.stationary_costs, {"long_name": "W(i) - min W"}),
        }
