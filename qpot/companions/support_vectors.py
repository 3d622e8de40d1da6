"""The support vector machine of scikit-learn, for comparison."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import as_positive
from qpot._core.interrupts import interruptible
from qpot._core.status import SolveError, Status
from qpot.companions.margin_losses import signed_samples
from qpot.companions.separation import HardMargin, separate

# SVC's steps, each of which looks once at every sample, after which it is taken not to converge.
_SVC_STEPS = 3_000_000


@interruptible
def svc_separation(X: ArrayLike, y: ArrayLike, *, penalty: float = 1e8) -> HardMargin:
    """The machine of `separate` computed by scikit-learn's ``SVC``, for comparison; it needs the extra ``qpot[ml]``.

    SVC always fits an intercept. Every sample is therefore given together with its mirror image, -x with label -y, which
    does not change w and makes the intercept zero by symmetry.

    Parameters
    ----------
    X, y
        As for `separate`.
    penalty : float
        SVC's C, large for a hard margin.

    Returns
    -------
    HardMargin

    Raises
    ------
    ImportError
        If scikit-learn is not installed; the message has the line that installs it.
    ValueError
        If X, y or ``penalty`` is not usable, or the data is not separable, as `separate` says: SVC would not end on it.
    SolveError
        If SVC does not converge. What it has come to is in ``.partial``.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import SVC
    except ImportError as error:
        raise ImportError(
            "svc_separation needs scikit-learn; install it with: python -m pip install 'qpot[ml]'"
        ) from error
    C = as_positive(penalty, name="penalty")
    separate(X, y)
    Z = signed_samples(X, y)
    N = Z.shape[0]
    machine = SVC(kernel="linear", C=C, tol=1e-10, max_iter=_SVC_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(np.vstack([Z, -Z]), np.repeat([1, -1], N))
    coefficients = np.zeros(2 * N)
    coefficients[machine.support_] = np.abs(machine.dual_coef_[0])
    found = HardMargin(
        normal=np.asarray(machine.coef_[0], dtype=float),
        duals=coefficients[:N] + coefficients[N:],
        signed_samples=Z,
    )
    if machine.fit_status_:
        raise SolveError(
            f"SVC did not converge within {_SVC_STEPS} steps; rescale the features, lower penalty={penalty:g}, or use "
            "separate",
            status=Status.NOT_CONVERGED,
            partial=found,
        )
    return found
