"""Carrying Hessian and third derivative of V once round a limit cycle, where V and its gradient vanish."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from qpot.solvers.fields.marching.characteristics import rhs, runge_kutta_step
from qpot.solvers.fields.marching.kernel import assign, kernel
from qpot.solvers.fields.marching.projection import project_jets
from qpot.solvers.fields.marching.taylor import reset_propagator


@kernel
def carry_round(y, heads, dt, medium, work, scratch):
    """Move the state ``y`` (2-D) on by as many steps ``dt`` as there are ``heads``, which keep the states on the way."""
    dims, new, k1 = medium.axes, scratch.new, scratch.rates
    for i in range(heads.shape[0]):
        assign(heads[i], y)
        reset_propagator(y, dims)
        rhs(y, k1, medium, work)
        runge_kutta_step(y, k1, dt, new, scratch.stages, medium, work)
        # On the cycle V and p stay zero, and rounding must not grow there.
        new[2] = new[3] = new[4] = 0.0
        rhs(new, k1, medium, work)
        k1[3] = k1[4] = 0.0
        project_jets(new, k1, scratch.velocity, work.rates, 0.0, dims)
        assign(y, new)
