"""Rates, times and shares of time at a noise level, which is given by epsilon or by a learning rate and a batch size."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array, as_count, as_noise_level, as_positive
from qpot._core.types import StatesLike
from qpot.chain.passage import mean_first_passage_times
from qpot.chain.stationary import stationary_distribution
from qpot.chain.w_graphs import metastable_state
from qpot.landscape.attractor import minimum_id
from qpot.landscape.points import Minimum
from qpot.prediction.dearer_legs import summed_prefactors
from qpot.prediction.open_report import refuse_unknown, unknown_exits, unknown_pairs
from qpot.prediction.report import PredictionReport
from qpot.problem.sgd import SGD


class PredictionTimes(PredictionReport):
    """What a prediction says at a finite noise level.

    Every method takes the noise level in one of two ways. ``epsilon`` is that of the diffusion dX = b dt + sqrt(epsilon)
    sigma dW, and times are those of the drift. ``learning_rate``, ``batch_size`` and ``momentum`` are those of SGD, whose
    steps are learning rate / (1 - momentum) long in that time.
    """

    def epsilon(self, learning_rate: float, batch_size: int = 1, *, momentum: float = 0.0) -> float:
        """Noise level of SGD: learning rate / batch size, times (N - B)/(N - 1) without replacement.

        Heavy-ball momentum beta, held fixed as the learning rate gets small, divides the learning rate by 1 - beta
        (`qpot.SGD`).

        Raises
        ------
        ValueError
            If the batch is the whole population, or an argument is not positive.
        """
        rate = SGD(momentum=momentum).effective_learning_rate(learning_rate)
        B = as_count(batch_size, name="batch_size")
        if self.population is None:
            return rate / B
        if self.population <= B:
            raise ValueError(
                f"batch_size={B} is the whole population of {self.population} samples: without replacement there is "
                "no noise left and nothing is selected"
            )
        return rate / B * (self.population - B) / (self.population - 1)

    def after(
        self,
        steps: float | None = None,
        learning_rate: float | None = None,
        batch_size: int = 1,
        start: int | Minimum | None = None,
        *,
        epsilon: float | None = None,
        time: float | None = None,
        momentum: float = 0.0,
    ) -> tuple[int, ...]:
        """The minimum that SGD sits in after a number of steps, on the exponential time scale.

        Parameters
        ----------
        steps, learning_rate, batch_size : float, float, int
            The number of steps of SGD, and its noise.
        start : int or Minimum
            The minimum where SGD starts: its id, or one of `minima`.
        epsilon, time : float
            Given instead of the first three: the noise level, and a time of the drift.
        momentum : float
            The parameter of heavy-ball SGD, which moves like plain SGD at learning_rate / (1 - momentum).

        Returns
        -------
        tuple of int
            One id, or several where exit costs tie with the time scale. Empty where SGD has left the box for good.

        Raises
        ------
        ValueError
            If ``start`` is not a minimum of this prediction, another argument is not positive, or the time is not given in
            one of the two ways.
        SolveError
            If SGD may take a leg of unknown cost within this time.

        Notes
        -----
        The time is steps * learning_rate = exp(c / epsilon), and the cycle hierarchy tells which minimum holds the chain
        at the exponent c (M. I. Freidlin, A. D. Wentzell, Random Perturbations of Dynamical Systems, ch. 6).
        Sub-exponential factors are left out: an escape is taken to need the time exp(V / epsilon).

        Examples
        --------
        >>> import qpot
        >>> case = qpot.gallery.double_well()
        >>> prediction = qpot.predict(case.system, case.bounds)
        >>> prediction.after(1e3, 0.01, 1, 0), prediction.after(time=10.0, epsilon=0.01, start=0)
        ((0,), (0,))
        """
        level = self._level(learning_rate, batch_size, momentum, epsilon)
        given, other = ("steps", "time") if epsilon is None else ("time", "steps")
        if (steps if epsilon is None else time) is None or (time if epsilon is None else steps) is not None:
            raise ValueError(
                f"with {'learning_rate' if epsilon is None else 'epsilon'} pass {given}, and not {other}, which belongs to "
                f"{'epsilon' if epsilon is None else 'learning_rate'}; got steps={steps!r}, time={time!r}"
            )
        if start is None:
            raise ValueError("start is missing: pass the id of the minimum where SGD starts")
        if learning_rate is None:
            elapsed = as_positive(time, name="time")
        else:
            elapsed = as_positive(steps, name="steps") * SGD(momentum=momentum).effective_learning_rate(learning_rate)
        exponent = level * float(np.log(elapsed))
        costs, k = self.costs, len(self.minima)
        refuse_unknown(costs, max(exponent, 0.0))
        if costs.ways_out:
            return tuple(
                i
                for i in metastable_state(costs.with_outside(), max(exponent, 0.0), minimum_id(self.minima, start))
                if i < k
            )
        # Legs of unknown cost are not taken by then.
        known = costs if costs.solved else costs.values
        return metastable_state(known, max(exponent, 0.0), minimum_id(self.minima, start))

    def rates(
        self,
        epsilon: float | None = None,
        *,
        learning_rate: float | None = None,
        batch_size: int = 1,
        prefactor: bool = True,
        momentum: float = 0.0,
    ) -> Array:
        """The rates k(i, j) of transitions from minimum i to minimum j in a unit of the drift's time, ``(k, k)``.

        Parameters
        ----------
        epsilon : float
            The noise level.
        learning_rate, batch_size, momentum : float, int, float
            Given instead of epsilon: the noise of SGD. A rate per step is that per unit of time, times learning_rate /
            (1 - momentum).
        prefactor : bool
            Whether to multiply by the prefactors; without them a rate is right to leading order of its logarithm only.

        Returns
        -------
        array (k, k)
            The sum of A exp(-V / epsilon) over all legs from i to j. It is zero on the diagonal and where no leg leads from i
            to j, and NaN where a prefactor is not known or a leg of unknown cost may be as cheap. Rates below the smallest
            float are zero.

        Raises
        ------
        ValueError
            If the noise level is not given in one of the two ways, or is not one that can be computed with.

        Notes
        -----
        The prefactors are those of Eyring and Kramers, and of Bouchet and Reygner without detailed balance
        (`qpot.prediction.eyring_kramers`). Transitions out of the box are not among them; see `mean_escape_times`.

        Examples
        --------
        In the double well x^4 / 4 - x^2 / 2 both prefactors are 1 / (pi sqrt(2)), and V = 1 / 2:

        >>> import qpot
        >>> well = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
        >>> prediction = qpot.predict(well, [(-2, 2)])
        >>> (1e5 * prediction.rates(0.05)).round(4)  # exp(-10) / (pi sqrt(2)) = 1.0219e-5
        array([[0.    , 1.0219],
               [1.0219, 0.    ]])
        """
        level = self._level(learning_rate, batch_size, momentum, epsilon)
        k, direct = len(self.minima), self.costs.direct
        off = np.isfinite(direct) & ~np.eye(k, dtype=bool)
        rates = np.zeros((k, k))
        with np.errstate(under="ignore"):
            rates[off] = (self._factors(prefactor, level) * np.exp(-np.where(off, direct, 0.0) / level))[off]
        for pair in unknown_pairs(self.costs):
            rates[pair] = np.nan
        return rates

    def prefactors_at(self, epsilon: float) -> Array:
        """The factors A(i, j) with which A exp(-V / epsilon) gives the rates over all legs at this noise level, ``(k, k)``.

        Where several legs lead from i to j, each counts with its own cost and prefactor: A is the sum of A_l exp(-(V_l - V) /
        epsilon), where V = `costs.direct` belongs to the cheapest, so that rates are continuous where the costs of two legs
        cross. `qpot.committor`, `qpot.mean_first_passage_times` and the other functions of the chain take the result as
        ``prefactors=``, together with `costs.direct`.

        Parameters
        ----------
        epsilon : float
            The noise level.

        Returns
        -------
        array (k, k)
            Zero where no leg leads from i to j, NaN where one that matters is not known or outweighs exp(-V / epsilon).

        Raises
        ------
        ValueError
            If ``epsilon`` is not positive and finite.

        Examples
        --------
        >>> import qpot
        >>> well = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
        >>> qpot.predict(well, [(-2, 2)]).prefactors_at(0.05).round(4)  # 1 / (pi sqrt(2))
        array([[0.    , 0.2251],
               [0.2251, 0.    ]])
        """
        return self._factors(True, as_noise_level(epsilon))

    def mean_escape_times(
        self,
        epsilon: float | None = None,
        *,
        learning_rate: float | None = None,
        batch_size: int = 1,
        prefactor: bool = True,
        momentum: float = 0.0,
    ) -> Array:
        """Expected time until each minimum has been left for another, or for the outside of the box, ``(k,)``.

        It is a time of the drift, 1 / (sum of A exp(-V / epsilon)) over all legs out of the minimum and all ways from it out
        of the box.

        Parameters
        ----------
        epsilon, learning_rate, batch_size, prefactor, momentum
            As for `rates`.

        Returns
        -------
        array (k,)
            An entry is NaN where a prefactor is missing or a leg of unknown cost may be as cheap, and inf beyond the largest
            float and where nothing leads away.

        Raises
        ------
        ValueError
            As for `rates`.

        Examples
        --------
        >>> import qpot
        >>> well = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
        >>> prediction = qpot.predict(well, [(-2, 2)])
        >>> prediction.mean_escape_times(0.05).round(-2)  # pi sqrt(2) exp(10) = 97861
        array([97900., 97900.])
        """
        level = self._level(learning_rate, batch_size, momentum, epsilon)
        factors = self._factors(prefactor, level)
        off = np.isfinite(self.costs.direct) & ~np.eye(len(self.minima), dtype=bool)
        times = np.empty(len(self.minima))
        for i in range(times.size):
            # The report names a way of unknown cost; the number holds until SGD takes it.
            out = [way for way in self.costs.ways_out if way.minimum == i and np.isfinite(way.cost)]
            costs = np.array([*self.costs.direct[i, off[i]], *(way.cost for way in out)])
            known = np.array([*factors[i, off[i]], *(way.prefactor_at(level) if prefactor else 1.0 for way in out)])
            lowest = costs.min(initial=np.inf)
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                weights = known * np.exp(-(costs - lowest) / level)
                times[i] = np.exp(lowest / level) / weights.sum()
        times[list(unknown_exits(self.costs))] = np.nan
        return times

    def mean_passage_times(
        self,
        epsilon: float | None = None,
        target: StatesLike | None = None,
        *,
        learning_rate: float | None = None,
        batch_size: int = 1,
        prefactor: bool = True,
        momentum: float = 0.0,
    ) -> Array:
        """Expected time until a target minimum is first reached, from every minimum, ``(k,)``: a time of the drift.

        Parameters
        ----------
        epsilon : float
            The noise level.
        target : int or several
            The id of a minimum, or several ids.
        learning_rate, batch_size, momentum, prefactor
            As for `rates`.

        Returns
        -------
        array (k,)
            Zero on the target and inf from where it may never be reached. Elsewhere all entries are NaN if one prefactor is
            missing or a leg of unknown cost may be as cheap. Ways out of the box are left out of account.

        Raises
        ------
        ValueError
            As for `rates`, and if the target is no minimum.

        Notes
        -----
        `qpot.chain.passage.mean_first_passage_times` takes matrices of a user's own.

        Examples
        --------
        >>> import qpot
        >>> well = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
        >>> prediction = qpot.predict(well, [(-2, 2)])
        >>> prediction.mean_passage_times(0.05, target=1).round(-2)  # pi sqrt(2) exp(10) = 97861
        array([97900.,     0.])
        """
        if target is None:
            raise ValueError("target is missing: pass the id of the minimum that shall be reached, or several ids")
        level = self._level(learning_rate, batch_size, momentum, epsilon)
        factors = self._factors(prefactor, level)
        known = np.where(factors > 0.0, factors, 1.0)
        times = mean_first_passage_times(self.costs.direct, level, target, prefactors=known)
        if np.isnan(factors).any() or unknown_exits(self.costs):
            times[times > 0.0] = np.nan
        return times

    def escape_steps(
        self,
        learning_rate: float | None = None,
        batch_size: int = 1,
        *,
        epsilon: float | None = None,
        prefactor: bool = True,
        momentum: float = 0.0,
    ) -> Array:
        """Expected number of steps until SGD has left each minimum for another, or for the outside of the box, ``(k,)``.

        The number is 1 / (learning_rate * sum_j A(i, j) exp(-V(i, j) / epsilon)), summed over the minima that a saddle
        connects with i, over all legs between the two, and over the ways out of the box. With ``prefactor=False`` all A are
        one. An entry is NaN where a prefactor is missing or a leg of unknown cost may be as cheap, and inf beyond the largest
        float. With ``momentum`` the learning rate is learning_rate / (1 - momentum) throughout. With ``epsilon`` in place of
        the learning rate there are no steps, and the result is the time itself, as from `mean_escape_times`.
        """
        times = self.mean_escape_times(
            epsilon, learning_rate=learning_rate, batch_size=batch_size, prefactor=prefactor, momentum=momentum
        )
        if learning_rate is None:
            return times
        return np.asarray(times / SGD(momentum=momentum).effective_learning_rate(learning_rate))

    def occupation(
        self,
        learning_rate: float | None = None,
        batch_size: int = 1,
        *,
        epsilon: float | None = None,
        prefactor: bool = True,
        momentum: float = 0.0,
    ) -> Array:
        """Fraction of time near each minimum at this noise level, ``(k,)``: the stationary law of the chain.

        With ``prefactor=False`` all prefactors are taken as equal, which is right to leading order only. Otherwise all
        entries are NaN if one is missing, unless one minimum is never left; and in any case where a leg of unknown cost may
        be as cheap as those that are known. Where ways lead out of the box, it is the law before SGD takes one.
        """
        level = self._level(learning_rate, batch_size, momentum, epsilon)
        factors, kept = self._factors(prefactor, level), np.isfinite(self.stationary_costs)
        # One minimum that is never left holds everything, whatever the prefactors of the ways to it are.
        if unknown_exits(self.costs) or (np.isnan(factors).any() and kept.sum() > 1):
            return np.full(len(self.minima), np.nan)
        rates = np.where(factors > 0.0, factors, 1.0)
        return np.asarray(stationary_distribution(self.costs.direct, level, prefactors=rates))

    def _level(self, learning_rate: float | None, batch_size: int, momentum: float, epsilon: float | None) -> float:
        """The noise level, which is given in one of two ways."""
        if (learning_rate is None) == (epsilon is None):
            raise ValueError(
                "pass either learning_rate (and batch_size), the noise of SGD, or epsilon, that of the diffusion; got "
                f"learning_rate={learning_rate!r}, epsilon={epsilon!r}"
            )
        if epsilon is None:
            assert learning_rate is not None  # One of the two is given.
            return as_noise_level(self.epsilon(learning_rate, batch_size, momentum=momentum))
        for name, value, silent in (("batch_size", batch_size, (None, 1)), ("momentum", momentum, (0,))):
            if isinstance(value, bool) or value not in silent:
                raise ValueError(f"{name}={value!r} belongs to learning_rate, not to epsilon; leave {name} out")
        return as_noise_level(epsilon)

    def _rate_of(self, epsilon: float, batch_size: int) -> float:
        """The learning rate at which SGD with this batch size has the noise level epsilon."""
        return as_noise_level(epsilon) / self.epsilon(1.0, batch_size)

    def _factors(self, wanted: bool, epsilon: float) -> Array:
        """The prefactors of the rates over all legs, or ones if they are not wanted; NaN if they are not known."""
        k = len(self.minima)
        if not wanted:
            return np.ones((k, k))
        if self.prefactors is None:
            return np.full((k, k), np.nan)
        return summed_prefactors(self.prefactors, self.dearer, epsilon)
