"""Options of the field solver."""

from __future__ import annotations

from dataclasses import dataclass

from qpot._core.arrays import as_count, as_positive


@dataclass(frozen=True, kw_only=True)
class CharacteristicJets:
    """Rays that carry Taylor polynomials over the grid in the order of V; fourth order where V is smooth.

    Parameters
    ----------
    radius : float or None
        Distance, in cells, up to which a node takes its value from the Taylor polynomial of a ray; None lets the
        solver choose. The error grows as its fourth power and the time falls as its square.
    estimate_error : bool
        Solve once more with every second node and compare: a quarter (2-D) or an eighth (3-D) of the time.
    highest : float or None
        The highest V that is wanted; the sweep ends there and leaves nan beyond.
    kinks : {"warn", "refuse"}
        What happens where drift or covariance are not smooth on the scale of the grid: a warning, or a ValueError.

    Notes
    -----
    Nodes that no ray comes near, at kinks of the coefficients or where rays refuse, are filled by ordered line
    integrals (Dahiya and Cameron 2018) from the nodes around them.

    Examples
    --------
    >>> CharacteristicJets(radius=4.0)
    CharacteristicJets(radius=4.0, estimate_error=True, highest=None, kinks='warn')
    """

    radius: float | None = None
    estimate_error: bool = True
    highest: float | None = None
    kinks: str = "warn"

    def __post_init__(self) -> None:
        if self.radius is not None and not 1.5 <= as_positive(self.radius, name="radius") <= 12.0:
            raise ValueError(f"radius must lie between 1.5 and 12 cells, or be None, got {self.radius!r}")
        if self.highest is not None:
            as_positive(self.highest, name="highest")
        if self.kinks not in ("warn", "refuse"):
            raise ValueError(f"kinks must be 'warn' or 'refuse', got {self.kinks!r}")


@dataclass(frozen=True, kw_only=True)
class OrderedLineIntegral:
    """One pass of ordered line integrals (midpoint rule); first order, robust, an independent second opinion.

    Parameters
    ----------
    radius : int or None
        Length, in cells, of the longest straight last piece; None lets the solver choose from the grid.

    Notes
    -----
    Dahiya and Cameron, J. Sci. Comput. 75 (2018) 1351: ordered line integral methods for the quasi-potential.

    Examples
    --------
    >>> OrderedLineIntegral(radius=8)
    OrderedLineIntegral(radius=8)
    """

    radius: int | None = None

    def __post_init__(self) -> None:
        if self.radius is not None:
            as_count(self.radius, name="radius", minimum=2)


FieldMethod = CharacteristicJets | OrderedLineIntegral
