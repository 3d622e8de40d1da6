"""Predictions of a trained model as sums over its training samples, and the samples that made one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_count, as_positive
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation(Drawn, Saved, figure="plot_explanation"):
    """Predictions as sums over training samples.

    Attributes
    ----------
    initial : (n, K) array
        The outputs f_0(x) of the untrained model.
    contributions : (n, N, K) array
        The contribution int K_t(x, x_i) alpha_i(t) dt of every training sample.
    prediction : (n, K) array
        The outputs of the trained model.
    kernel : (n, N, K, K) array
        The path kernel between the inputs and the training samples.
    """

    initial: Array
    contributions: Array
    prediction: Array
    kernel: Array

    @property
    def reconstruction(self) -> Array:
        """The sum of f_0(x) and all contributions, ``(n, K)``."""
        total: Array = self.initial + self.contributions.sum(axis=1)
        return total

    @property
    def error(self) -> float:
        """The largest difference between the reconstruction and the prediction."""
        return float(np.abs(self.reconstruction - self.prediction).max())

    @property
    def weights(self) -> Array:
        """The weights alpha_i(x), ``(n, N, K)``, by which the path kernel is multiplied to give the contributions.

        For one output alpha_i(x) is the mean of alpha_i(t) weighted with the tangent kernel. It is NaN where the path
        kernel has no inverse (for one output, where the path kernel is zero), since the mean does not exist there.
        """
        K = self.kernel
        usable = np.linalg.cond(K) < 1e12 if K.shape[-1] > 1 else np.abs(K[..., 0, 0]) > 0.0
        result = np.full(self.contributions.shape, np.nan)
        result[usable] = np.linalg.solve(K[usable], self.contributions[usable][..., None])[..., 0]
        return result

    def ranking(self, row: int = 0, *, output: int = 0, top: int | None = None) -> list[tuple[int, float]]:
        """The training samples and their contributions to one output of one prediction, largest magnitude first.

        Parameters
        ----------
        row : int
            The index of the input that is explained.
        output : int
            The index of the output.
        top : int, optional
            The number of samples; all by default.

        Returns
        -------
        list of (int, float)
            Indices of training samples with their contributions.

        Raises
        ------
        ValueError
            If an index is out of range or ``top`` is not a positive integer.
        """
        n, N, K = self.contributions.shape
        for name, value, limit in (("row", row, n), ("output", output, K)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not -limit <= value < limit:
                raise ValueError(f"{name} must be an index below {limit}, got {value!r}")
        count = N if top is None else as_count(top, name="top")
        values = self.contributions[row, :, output]
        order = np.argsort(-np.abs(values), kind="stable")[:count]
        return [(int(i), float(values[i])) for i in order]

    def retrieve(self, row: int = 0, *, output: int = 0, within: float = 0.1) -> list[tuple[int, float]]:
        """The fewest training samples, largest contributions first, after which the rest of the sum is small.

        Parameters
        ----------
        row, output : int
            As for `ranking`.
        within : float
            What all further samples of the ranking add together is at most this part of f_T - f_0, or of the mean size of a
            contribution where that is larger.

        Returns
        -------
        list of (int, float)
            Indices of training samples with their contributions. Samples whose contributions cancel may be many.

        Raises
        ------
        ValueError
            If an index is out of range or ``within`` is not a positive number.
        """
        ranked = self.ranking(row, output=output)
        part = as_positive(within, name="within")
        values = np.array([value for _, value in ranked])
        # The rest after the first k samples, for k = 0 ... N.
        rest = np.abs(np.append(np.cumsum(values[::-1])[::-1], 0.0))
        beyond = np.flatnonzero(rest > part * max(rest[0], float(np.abs(values).mean())))
        return ranked[: int(beyond[-1]) + 1 if beyond.size else 0]

    def __repr__(self) -> str:
        n, N, K = self.contributions.shape
        sizes = f"{n} predictions, {K} outputs, {N} training samples"
        return f"Explanation({sizes}, reconstruction error {self.error:.1e})"
