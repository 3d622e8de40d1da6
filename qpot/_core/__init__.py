"""Conversions, progress, executors, outcomes: what every other wing stands on.

- `arrays`: The one place where arrays from outside are converted and their shapes checked.
- `deprecated`: Old public names: they keep working for one release and warn with the new name.
- `moved`: Old module names, of the release before, which can be imported for one release more.
- `parallel`: Executors: independent tasks run on the caller's executor, and order and results do not depend on it.
- `progress`: Progress: a callback ``(done, total, message)`` for whatever a caller passed as ``progress``.
- `status`: Outcomes of solvers: statuses whose text is a sentence with a remedy, and the error that carries one.
- `types`: Types of what users pass in: points, minima, costs, files, seeds.
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
