"""Conversions, progress, executors, checkpoints, outcomes: what every other wing stands on.

- `archive`: Archives: zip files of arrays and texts, whose sizes are known before anything in them is expanded.
- `arrays`: The one place where arrays from outside are converted and their shapes checked.
- `by_reference`: Objects that travel by reference: a system goes to each worker once, and tasks carry its name.
- `checkpoint`: Checkpoints: a folder in which finished parts of a computation are kept, so that the same call goes on
  from there.
- `checkpoint_folder`: The folder of a checkpoint: what it is of, in a file for readers, and who uses it.
- `deprecated`: Old public names: they keep working for one release and warn with the new name.
- `drawn`: Drawn: a result with a figure of its own, which a function of `qpot.plots` draws.
- `file_methods`: Methods in files: a path method, a field method, a flow or a loss is kept by the name of its class
  and its options.
- `file_reader`: Results from their contents: every value is checked before an object is made of it, and only classes
  are looked up.
- `file_schema`: What the fields of a saved result must be: types, shapes, ranges and ids, in words that also check
  them.
- `file_tables`: The tables of what files hold: each wing has one in its module ``file_fields``, which is read when it
  is needed.
- `file_writer`: The content of a saved result: a text of its values, in which objects and arrays are referred to, and
  the arrays.
- `fingerprint`: Fingerprints of inputs: what is the same on another machine has the same one, up to rounding.
- `folder_lock`: A lock on a folder: one process at a time, and the operating system releases it when the process ends
  in any way.
- `html`: HTML for notebooks: paragraphs, tables and small pictures, readable on light and on dark pages.
- `interrupts`: Ctrl-C: within the library an interrupt is a KeyboardInterrupt, and the outermost public call turns it into
  a SolveError.
- `memory`: Memory: how much is free, and a refusal before anything that cannot fit is begun.
- `moved`: Old module names, of the release before, which can be imported for one release more.
- `optional`: Packages that only some functions need: an error that says how to install them.
- `parallel`: Executors: independent tasks run on the caller's executor, and order and results do not depend on it.
- `progress`: Progress: a callback ``(done, total, message)`` for whatever a caller passed as ``progress``.
- `pure`: Functions of the user's must be functions of the point alone; one look at their first use finds those that are
  not.
- `records`: Records: results on disk, one file each, which are complete or not there.
- `saved`: Saved results: `save` and `load` for every result, in one format of arrays and text, without pickle.
- `sent`: Tasks that were sent to an executor, and their results as they arrive.
- `shown`: Any result as HTML for a notebook: its text, its attributes in a table, and its figure, small.
- `status`: Outcomes of solvers: statuses whose text is a sentence with a remedy, and the error that carries one.
- `task_records`: The records of independent tasks, which may be finished in any order.
- `types`: Types of what users pass in: points, minima, costs, files, seeds.
- `workers`: Worker processes: they hear Ctrl-C while they work only, end with their parent, and a dead one has a name.
- `whole_files`: Whole files: what is written is there completely or not at all, and what was there before stays until
  then.
"""

from qpot._core.parallel import process_executor
from qpot._core.progress import reporting
from qpot._core.saved import load, save
from qpot._core.status import SolveError, Status

__all__ = [
    "SolveError",
    "Status",
    "load",
    "process_executor",
    "reporting",
    "save",
]
