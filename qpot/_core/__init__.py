"""Conversions, progress, executors, outcomes: what every other wing stands on.

- `arrays`: The one place where arrays from outside are converted and their shapes checked.
- `deprecated`: Old public names: they keep working for one release and say what to write instead.
- `moved`: Old module names: ``qpot.critical_points`` is ``qpot.landscape.minima`` now, and so on, for one release.
- `parallel`: Running independent tasks on the caller's executor: same order, same results, whatever the executor.
- `progress`: The progress protocol: ``progress(done, total, message)``, or True for a tqdm bar, or None for silence.
- `status`: What a solver says when it is done: statuses that are sentences, and the error that carries them.
- `types`: Names for what users pass in: points, minima, costs, files, seeds.
"""

from qpot._core.parallel import process_executor
from qpot._core.progress import reporting
from qpot._core.status import SolveError, Status

__all__ = [
    "SolveError",
    "Status",
    "process_executor",
    "reporting",
]
