"""Costs in the forms in which users hold them mean the same, or are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

import qpot

C = np.array([[0.0, 1.0, 4.0], [2.0, 0.0, 1.5], [5.0, 0.5, 0.0]])
WITH_FREE = np.array([[0.0, 1.0, 4.0], [2.0, 0.0, 0.0], [5.0, 0.5, 0.0]])
KINDS = ["csr", "csc", "coo", "lil", "dok"]


def stored(costs: Any, kind: Any = sparse.coo_array) -> Any:
    """All entries off the diagonal, those of cost zero too."""
    rows, columns = np.nonzero(~np.eye(len(costs), dtype=bool))
    return kind((costs[rows, columns], (rows, columns)), shape=costs.shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [sparse.coo_array, sparse.coo_matrix])
def test_every_kind_of_sparse_matrix_means_the_same(kind: str, make: Any) -> None:
    found = qpot.stationary_costs(stored(WITH_FREE, make).asformat(kind))
    np.testing.assert_array_equal(found, qpot.stationary_costs(WITH_FREE))


@pytest.mark.parametrize("kind", ["dia", "bsr"])
def test_kinds_with_padding_are_read_where_they_have_none(kind: str) -> None:
    matrix = stored(C).tobsr((1, 1)) if kind == "bsr" else (stored(C) + sparse.eye_array(3) * 0).todia()
    np.testing.assert_array_equal(qpot.stationary_costs(matrix), qpot.stationary_costs(C))


def test_padding_is_refused_by_name() -> None:
    costs = np.array([[0, 1, 0, 0], [2, 0, 1.5, 0], [0, 0.5, 0, 1.0], [0, 0, 0.7, 0]])
    with pytest.raises(ValueError, match=r"costs\[\d, \d\] = 0 is stored in a BSR matrix, which fills its blocks"):
        qpot.stationary_costs(sparse.csr_array(costs).tobsr((2, 2)))
    with pytest.raises(ValueError, match=r"costs\[1, 2\] = 0 is stored in a DIA matrix, which fills its diagonals"):
        qpot.stationary_costs(stored(WITH_FREE).todia())


def test_entries_stored_twice_are_parallel_routes() -> None:
    twice = sparse.coo_array(([3.0, 1.0, 2.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    np.testing.assert_array_equal(qpot.stationary_costs(twice), [0.0, 1.0][::-1])
    with pytest.raises(ValueError, match=r"prefactors\[0, 1\] is stored twice"):
        qpot.stationary_distribution(twice, 1.0, prefactors=twice)


def test_masks_are_refused_and_empty_masks_are_not() -> None:
    with pytest.raises(ValueError, match=r"costs is a masked array.*\(0, 1\).*filled\(numpy.inf\)"):
        qpot.stationary_costs(np.ma.masked_array(C, mask=C == 1.0))
    np.testing.assert_array_equal(qpot.stationary_costs(np.ma.masked_array(C)), qpot.stationary_costs(C))


def test_labels_must_stand_in_one_order() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(C, index=list("abc"), columns=list("abc"))
    np.testing.assert_array_equal(qpot.stationary_costs(table), qpot.stationary_costs(C))
    with pytest.raises(ValueError, match=r"row labels \('a', 'b', 'c'\) but the column labels \('b', 'a', 'c'\)"):
        qpot.stationary_costs(table[["b", "a", "c"]])
    turned = table.loc[["b", "a", "c"], ["b", "a", "c"]]
    with pytest.raises(ValueError, match=r"prefactors has the labels .* and costs has"):
        qpot.stationary_distribution(table, 1.0, prefactors=turned + 1.0)
    with pytest.raises(ValueError, match="ids of minima in another order"):
        qpot.stationary_costs(pandas.DataFrame(C, index=[1, 0, 2], columns=[1, 0, 2]))


def test_costs_beyond_the_arithmetic_are_a_named_error() -> None:
    with pytest.raises(ValueError, match=r"costs\[0, 1\] = 1e\+308 lies beyond"):
        qpot.w_graph([[0, 1e308, np.inf], [np.inf, 0, 1e308], [1.0, 1.0, 0]], 2)
