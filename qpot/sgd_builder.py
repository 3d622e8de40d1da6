"""SGD with momentum and a preconditioner as a system with an effective epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._arrays import as_positive
from qpot.exact_noise import exact_noise
from qpot.preconditioning import preconditioned
from qpot.sgd import FiniteSum
from qpot.system import System


@dataclass(frozen=True, kw_only=True, eq=False)
class SGD:
    r"""Heavy-ball SGD v <- momentum v - learning rate P(x) g_B(x), x <- x + v, at a fixed momentum.

    For a fixed momentum beta and small learning rates the velocity follows x at once: x moves like plain SGD with the
    learning rate eta / (1 - beta), whose quasi-potential it therefore has, also with exact noise, since then
    H_beta(x, p) = H(x, p / (1 - beta)).

    Parameters
    ----------
    momentum : float
        beta, at least 0 and below 1.
    preconditioner : number, array or callable, optional
        P, as in `qpot.preconditioned`.

    Raises
    ------
    ValueError
        If the momentum is outside [0, 1).

    Examples
    --------
    >>> import qpot
    >>> heavy = qpot.SGD(momentum=0.9)
    >>> system = heavy.system(qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0]), noise="exact")
    >>> cost = qpot.minimum_action_path(system, [0.0], [0.5]).action
    >>> round(cost, 6), round(heavy.epsilon(system, learning_rate=0.01), 6)
    (0.274847, 0.1)
    """

    momentum: float = 0.0
    preconditioner: Any = None

    def __post_init__(self) -> None:
        beta = self.momentum
        if isinstance(beta, bool) or not isinstance(beta, (int, float, np.floating)) or not 0.0 <= beta < 1.0:
            raise ValueError(
                f"momentum must be a number >= 0 and < 1, got {beta!r}; momentum that tends to 1 with the learning rate "
                "(kinetic scaling) is another system, on (x, v), with noise on v only"
            )

    def system(self, source: FiniteSum | System, *, replacement: bool = True, noise: str = "gaussian") -> System:
        """The system on x; ``source`` is a finite sum or, with Gaussian noise, any system of plain SGD."""
        if isinstance(source, FiniteSum):
            plain = System.from_finite_sum(source, replacement=replacement, noise=noise)
        elif isinstance(source, System):
            if noise != "gaussian" or not replacement:
                raise ValueError("noise= and replacement= need a FiniteSum; a System has its noise already")
            plain = source
        else:
            raise ValueError(f"source must be a qpot.FiniteSum or a qpot.System, got {type(source).__name__}")
        if self.preconditioner is None:
            return plain
        changed = preconditioned(plain, self.preconditioner)
        if plain.exact_noise is not None:
            if changed.finite_sum is None or plain.exact_noise.batch_size is not None:
                raise ValueError(
                    "exact noise is preconditioned sample by sample: pass a FiniteSum with replacement=True"
                )
            object.__setattr__(
                changed, "exact_noise", exact_noise(changed.finite_sum, replacement=True, batch_size=None)
            )
        return changed

    def effective_learning_rate(self, learning_rate: float) -> float:
        """eta / (1 - momentum): what to pass as learning rate to predictions for plain SGD."""
        return as_positive(learning_rate, name="learning_rate") / (1.0 - float(self.momentum))

    def epsilon(self, system: System, *, learning_rate: float, batch_size: int = 1) -> float:
        """Noise level: that of plain SGD with the effective learning rate."""
        return system.epsilon(learning_rate=self.effective_learning_rate(learning_rate), batch_size=batch_size)
