"""Which flow an optimiser follows as its learning rate falls, and how much of the flow's time one step is."""

from __future__ import annotations

from dataclasses import dataclass

from qpot.companions.adaptive_flows import AdaGradFlow, AdamFlow
from qpot.companions.flows import Flow, GradientFlow, RMSpropFlow
from qpot.companions.momentum_flows import HeavyBallFlow, NesterovFlow
from qpot.companions.optimiser_rules import (
    AdagradSteps,
    AdamSteps,
    NesterovSteps,
    OptimiserRule,
    RMSpropSteps,
    SGDSteps,
)


@dataclass(frozen=True, kw_only=True)
class OptimiserLaw:
    """A flow and the time that one step of the optimiser is.

    Attributes
    ----------
    flow : Flow
    step : float
        The flow's time of one step.
    """

    flow: Flow
    step: float


def optimiser_law(rule: OptimiserRule) -> OptimiserLaw:
    """The flow that an optimiser follows, with the optimiser's own settings.

    Parameters
    ----------
    rule : SGDSteps, NesterovSteps, RMSpropSteps, AdamSteps or AdagradSteps

    Returns
    -------
    OptimiserLaw

    Raises
    ------
    ValueError
        If the rule has no flow: a decay of 0 that forgets at once, dampening, or a learning rate that falls by itself.

    Examples
    --------
    >>> import qpot
    >>> qpot.companions.optimiser_law(qpot.companions.SGDSteps(learning_rate=0.01, momentum=0.9))
    OptimiserLaw(flow=HeavyBallFlow(friction=0.9999999999999998, nesterov=False), step=0.1)
    >>> law = qpot.companions.optimiser_law(qpot.companions.AdamSteps(learning_rate=0.001))
    >>> [round(time, 6) for time in law.flow.averaging_times], law.step
    ([0.01, 1.0], 0.001)
    """
    if isinstance(rule, SGDSteps):
        if rule.dampening:
            raise ValueError(
                f"dampening={rule.dampening:g} only scales the learning rate by 1 - dampening; pass dampening=0"
            )
        h = rule.learning_rate**0.5
        if not rule.momentum:
            return OptimiserLaw(flow=GradientFlow(), step=rule.learning_rate)
        return OptimiserLaw(flow=HeavyBallFlow(friction=(1.0 - rule.momentum) / h, nesterov=rule.nesterov), step=h)
    if isinstance(rule, NesterovSteps):
        return OptimiserLaw(flow=NesterovFlow(damping=rule.damping), step=rule.learning_rate**0.5)
    if isinstance(rule, RMSpropSteps):
        time = rule.learning_rate / (1.0 - rule.decay)
        flow = RMSpropFlow(averaging_time=time, floor=rule.floor, initial=rule.initial)
        return OptimiserLaw(flow=flow, step=rule.learning_rate)
    if isinstance(rule, AdamSteps):
        first, second = (rule.learning_rate / (1.0 - decay) for decay in rule.decays)
        adam = AdamFlow(averaging_times=(first, second), floor=rule.floor, bias_correction=rule.bias_correction)
        return OptimiserLaw(flow=adam, step=rule.learning_rate)
    if isinstance(rule, AdagradSteps):
        if rule.rate_decay:
            raise ValueError(f"rate_decay={rule.rate_decay:g}: a rate that falls with the steps has no flow; pass 0")
        square = rule.learning_rate**2
        ada = AdaGradFlow(floor=rule.floor * rule.learning_rate, initial=rule.initial * square)
        return OptimiserLaw(flow=ada, step=square)
    raise ValueError(f"rule must be SGDSteps, NesterovSteps, RMSpropSteps, AdamSteps or AdagradSteps, got {rule!r:.80}")
