"""Answer: one shape for everything that selects: noise, one minimum alone, fitted samples, and infinity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qpot._core.arrays import Array
from qpot._core.saved import Saved
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow
from qpot.companions.margin import MarginFlow
from qpot.prediction.around_minimum import LocalLaw
from qpot.prediction.result import Prediction

Kind = Literal["noise", "one minimum", "interpolation", "infinity"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer(Saved):
    """What selects, how surely, when, and by what evidence.

    Attributes
    ----------
    kind : "noise", "one minimum", "interpolation" or "infinity"
        "noise": several minima, between which noise decides. "one minimum": nothing to choose from. "interpolation": minima
        that fit every sample, which SGD never leaves. "infinity": the loss falls for ever along a direction.
    what : str
        What is selected, in a sentence.
    how_surely : str
    when : str
        The time scales, in a sentence.
    evidence : tuple of str
        What the answer rests on, one sentence each.
    points : array (m, d)
        The minima that are selected, or the direction at infinity as a unit vector.
    prediction : Prediction or None
        The chain of minima, where there are several.
    local : LocalLaw or None
        The law around the minimum, where there is one with noise in every direction.
    margin : MarginFlow or HomogeneousMarginFlow or None
        The flow to infinity, where the loss is that of a linear or of another homogeneous model on separable data.
    """

    kind: Kind
    what: str
    how_surely: str
    when: str
    evidence: tuple[str, ...]
    points: Array
    prediction: Prediction | None = None
    local: LocalLaw | None = None
    margin: MarginFlow | HomogeneousMarginFlow | None = None

    @property
    def details(self) -> Prediction | LocalLaw | MarginFlow | HomogeneousMarginFlow | None:
        """The result behind the answer."""
        return self.prediction if self.prediction is not None else self.local if self.local is not None else self.margin

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw the result behind the answer on ``ax``, by default in a new figure, and return the axes.

        Raises
        ------
        ValueError
            If there is none: the sentences are the answer.
        """
        if self.details is None:
            raise ValueError(f"nothing to draw: {self.what}")
        return self.details.plot(ax, **options)

    def __repr__(self) -> str:
        head = f"Answer: {self.what}\n  how surely: {self.how_surely}\n  when: {self.when}"
        return head + "".join(f"\n  evidence: {line}" for line in self.evidence)
