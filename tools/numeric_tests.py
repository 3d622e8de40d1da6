"""The quick tests of the numerics, which `other_processors` and `oldest_versions` repeat.

They reach every solver and compare with known answers; what only concerns words, files, figures and interfaces is left out.
"""

from __future__ import annotations

# Chains, paths, fields and predictions against closed forms, published values and one another.
NUMERIC_TESTS = (
    "tests/agreement",
    "tests/convergence",
    "tests/solvers",
    "tests/test_properties.py",
    "tests/qpot/chain",
    "tests/qpot/companions/test_known_answers.py",
    "tests/qpot/companions/test_separation.py",
    "tests/qpot/fields/test_solve.py",
    "tests/qpot/gallery",
    "tests/qpot/prediction/test_costs.py",
    "tests/qpot/prediction/test_times.py",
)
# A part of them that takes half a minute.
FEWER_TESTS = (
    "tests/convergence",
    "tests/solvers/chain",
    "tests/solvers/fields",
    "tests/test_properties.py",
)
