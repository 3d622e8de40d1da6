"""Wrong and right values for each kind of argument."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import sparse

import qpot
from bad_input.scoring import Accepted, Kind, Refused


def refused(**makers: Callable[[], Any]) -> tuple[Kind, ...]:
    """Kinds that must be refused, by label."""
    return tuple(Refused(label, make) for label, make in makers.items())


def accepted(**makers: Callable[[], Any]) -> tuple[Kind, ...]:
    """Kinds that must be accepted, by label."""
    return tuple(Accepted(label, make) for label, make in makers.items())


def without(kinds: tuple[Kind, ...], *labels: str) -> tuple[Kind, ...]:
    """The kinds but those of some labels."""
    return tuple(kind for kind in kinds if kind.label not in labels)


def bad(kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    """The kinds that must be refused alone, for calls that take long."""
    return tuple(kind for kind in kinds if isinstance(kind, Refused))


def _generator() -> Any:
    yield from (0.0, 1.0)


_NO_NUMBER = refused(
    none=lambda: None,
    text=lambda: "1.0",
    complex=lambda: 1j,
    list=lambda: [1.0, 2.0],
    dictionary=dict,
    object=object,
    function=lambda: abs,
    boolean=lambda: True,
    nan=lambda: float("nan"),
    infinite=lambda: float("inf"),
    minus=lambda: -1.0,
)
POSITIVE = _NO_NUMBER + refused(zero=lambda: 0.0, empty=lambda: np.zeros(0), masked=lambda: np.ma.masked)
POSITIVE_RIGHT = accepted(integer=lambda: 1, float32=lambda: np.float32(0.5), numpy_integer=lambda: np.int64(1))
NON_NEGATIVE = without(POSITIVE, "zero", "boolean")
NOISE_LEVEL = POSITIVE + refused(tiny=lambda: 1e-305, huge=lambda: 1e305)
NUMBER = without(_NO_NUMBER, "minus", "infinite", "boolean")

COUNT = _NO_NUMBER + refused(zero=lambda: 0, half=lambda: 1.5, whole_float=lambda: 3.0, fraction=lambda: Fraction(3, 2))
FLAG = refused(
    none=lambda: None, text=lambda: "yes", two=lambda: 2, number=lambda: 0.5, list=lambda: [True], nan=lambda: np.nan
)
FLAG_RIGHT = accepted(numpy_boolean=lambda: np.True_)

_NO_ARRAY = refused(
    none=lambda: None,
    text=lambda: "points",
    texts=lambda: ["0.0", "1.0"],
    complex=lambda: np.array([1j, 0.0]),
    dictionary=lambda: {0: 1.0},
    set=lambda: {0.0, 1.0},
    object=object,
    function=lambda: np.zeros,
    nan=lambda: np.array([np.nan, 0.0]),
    infinite=lambda: np.array([0.0, np.inf]),
    masked=lambda: np.ma.masked_array([0.0, 1.0], mask=[False, True]),
    generator=_generator,
    ragged=lambda: [[0.0, 1.0], [0.0]],
    dates=lambda: np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"),
    nones=lambda: [None, 1.0],
    empty=lambda: np.zeros((0, 0)),
    huge_integer=lambda: [10**400, 0],
    sparse=lambda: sparse.csr_array(np.eye(2)),
    record=lambda: np.zeros(2, dtype=[("x", float), ("y", int)]),
)
# A point of two coordinates.
POINT = _NO_ARRAY + refused(
    short=lambda: [0.0], long=lambda: [0.0, 0.0, 0.0], number=lambda: 1.0, two=lambda: [[0.0, 0.0], [1.0, 1.0]]
)
# Points of two coordinates.
POINTS = _NO_ARRAY + refused(wide=lambda: np.zeros((3, 3)), deep=lambda: np.zeros((2, 2, 2)), number=lambda: 1.0)
# A table of data whose number of rows is not two.
TABLE = without(_NO_ARRAY, "infinite", "nan") + refused(
    nan=lambda: np.full((4, 2), np.nan),
    infinite=lambda: np.full((4, 2), np.inf),
    deep=lambda: np.zeros((4, 2, 2)),
    no_rows=lambda: np.zeros((0, 2)),
    number=lambda: 1.0,
)
VECTOR = without(_NO_ARRAY, "infinite", "nan") + refused(
    nan=lambda: np.full(4, np.nan),
    infinite=lambda: np.full(4, -np.inf),
    short=lambda: np.ones(3),
    deep=lambda: np.zeros((4, 4)),
)
BOUNDS = _NO_ARRAY + refused(
    reversed=lambda: [(2.0, -2.0), (-1.0, 1.0)],
    flat=lambda: [(0.0, 0.0), (-1.0, 1.0)],
    infinite_side=lambda: [(-np.inf, 2.0), (-1.0, 1.0)],
    nan_side=lambda: [(np.nan, 2.0), (-1.0, 1.0)],
    three=lambda: [(-1.0, 1.0)] * 3,
    one=lambda: [(-1.0, 1.0)],
    number=lambda: 2.0,
    flat_list=lambda: [-2.0, 2.0],
)
BATCH_FUNCTION = refused(
    none=lambda: None, number=lambda: 1.0, text=lambda: "drift", array=lambda: np.zeros(2), list=list
)
SYSTEM = refused(
    none=lambda: None,
    text=lambda: "system",
    number=lambda: 3,
    function=lambda: lambda x: -x,
    dictionary=dict,
    class_=lambda: qpot.System,
    case=lambda: qpot.gallery.separable_double_well(),
    array=lambda: np.eye(2),
)
FINITE_SUM = refused(
    none=lambda: None,
    text=lambda: "sum",
    number=lambda: 3,
    function=lambda: lambda x: x,
    class_=lambda: qpot.FiniteSum,
    system=lambda: qpot.gallery.separable_double_well().system,
)
MINIMA = refused(
    none=lambda: None,
    text=lambda: "minima",
    number=lambda: 3,
    empty=list,
    points=lambda: [(-1.0, 0.0), (1.0, 0.0)],
    nones=lambda: [None, None],
    dictionary=lambda: {0: 1},
)
RNG = refused(
    text=lambda: "seed",
    minus=lambda: -1,
    half=lambda: 1.5,
    boolean=lambda: True,
    list=lambda: [1, 2],
    module=lambda: np.random,
    function=lambda: np.random.default_rng,
    older=lambda: np.random.RandomState(0),
    nan=lambda: np.nan,
)
RNG_RIGHT = accepted(
    seed=lambda: 3, numpy_seed=lambda: np.int64(3), none=lambda: None, generator=lambda: np.random.default_rng(1)
)
EXECUTOR = refused(
    text=lambda: "threads",
    number=lambda: 4,
    boolean=lambda: True,
    list=list,
    class_=lambda: concurrent.futures.ThreadPoolExecutor,
    function=lambda: map,
)
PROGRESS = refused(text=lambda: "yes", number=lambda: 3, list=list, dictionary=dict)
BUDGET = refused(
    text=lambda: "10",
    zero=lambda: 0,
    minus=lambda: -1.0,
    nan=lambda: np.nan,
    boolean=lambda: True,
    list=lambda: [10.0],
    complex=lambda: 1j,
)
PATH_METHOD = refused(
    text=lambda: "gmam",
    number=lambda: 3,
    class_=lambda: qpot.GeometricAction,
    other=lambda: qpot.OrderedLineIntegral(),
    dictionary=dict,
)
FIELD_METHOD = refused(
    text=lambda: "olim",
    number=lambda: 3,
    class_=lambda: qpot.OrderedLineIntegral,
    other=lambda: qpot.GeometricAction(),
    dictionary=dict,
)

C = np.array([[0.0, 1.0, 4.0], [2.0, 0.0, 1.5], [5.0, 0.5, 0.0]])


def _with(i: int, j: int, value: Any, dtype: Any = float) -> Any:
    matrix = C.astype(dtype)
    matrix[i, j] = value
    return matrix


def _dia() -> Any:
    return sparse.csr_array(np.where(C == 0.5, 0.0, C)).todia()


def _bsr() -> Any:
    return sparse.csr_array(np.array([[0, 1.0, 0, 0], [2, 0, 1.5, 0], [0, 0.5, 0, 1], [0, 0, 0.7, 0]])).tobsr((2, 2))


def _broken_csr() -> Any:
    matrix = sparse.csr_array(C)
    matrix.indices[0] = 7
    return matrix


COSTS = refused(
    none=lambda: None,
    text=lambda: "costs",
    texts=lambda: C.astype(str),
    number=lambda: 1.0,
    vector=lambda: np.ones(3),
    empty=lambda: np.zeros((0, 0)),
    wide=lambda: C[:2],
    deep=lambda: C[None],
    minus=lambda: _with(0, 1, -1.0),
    minus_infinite=lambda: _with(0, 1, -np.inf),
    nan=lambda: _with(2, 0, np.nan),
    diagonal=lambda: _with(1, 1, 0.1),
    infinite_diagonal=lambda: _with(1, 1, np.inf),
    beyond=lambda: _with(0, 1, 1e308),
    complex=lambda: C + 0j,
    boolean=lambda: C > 1,
    masked=lambda: np.ma.masked_array(C, mask=C == 1.0),
    masked_nan=lambda: np.ma.masked_invalid(_with(0, 1, np.nan)),
    none_entry=lambda: _with(0, 1, None, object),
    dictionary=lambda: {0: {1: 1.0}},
    generator=_generator,
    function=lambda: np.eye,
    dates=lambda: np.zeros((2, 2), dtype="datetime64[s]"),
    ragged=lambda: [[0.0, 1.0], [2.0]],
    sparse_minus=lambda: sparse.csr_array(_with(0, 1, -1.0)),
    sparse_nan=lambda: sparse.coo_array(_with(0, 1, np.nan)),
    sparse_diagonal=lambda: sparse.lil_array(_with(1, 1, 2.0)),
    sparse_wide=lambda: sparse.csr_array(C[:2]),
    sparse_vector=lambda: sparse.coo_array(np.ones(3)),
    sparse_complex=lambda: sparse.csc_array(C + 0j),
    sparse_boolean=lambda: sparse.csr_array(C > 1),
    sparse_beyond=lambda: sparse.csr_array(_with(0, 1, 1e300)),
    sparse_empty=lambda: sparse.csr_array((0, 0)),
    sparse_broken=_broken_csr,
    bsr_padding=_bsr,
    dia_zeros=_dia,
)
COSTS_RIGHT = accepted(
    list=C.tolist,
    integers=lambda: np.array([[0, 1, 4], [2, 0, 1], [5, 1, 0]]),
    float32=lambda: C.astype(np.float32),
    fortran=lambda: np.asfortranarray(C),
    read_only=lambda: np.broadcast_to(C, C.shape),
    fractions=lambda: [[0, Fraction(1, 2)], [Fraction(1, 3), 0]] and C.astype(object),
    no_mask=lambda: np.ma.masked_array(C),
    csr=lambda: sparse.csr_array(C),
    csc=lambda: sparse.csc_matrix(C),
    coo=lambda: sparse.coo_array(C),
    lil=lambda: sparse.lil_matrix(C),
    dok=lambda: sparse.dok_array(C),
    bsr=lambda: sparse.bsr_array(C, blocksize=(1, 1)),
    dia=lambda: sparse.dia_array(C + np.eye(3) - np.eye(3)),
    no_route=lambda: _with(0, 2, np.inf),
)
# The id of one of three minima.
STATE = refused(
    none=lambda: None,
    minus=lambda: -1,
    beyond=lambda: 3,
    half=lambda: 1.5,
    whole_float=lambda: 1.0,
    text=lambda: "0",
    boolean=lambda: True,
    list=lambda: [0, 1],
    nan=lambda: np.nan,
    complex=lambda: 1j,
    dictionary=dict,
    object=object,
)
STATES = without(STATE, "list") + refused(
    empty=list,
    one_beyond=lambda: [0, 9],
    half_in=lambda: [0.5],
    booleans=lambda: [True, False, False],
    texts=lambda: ["0"],
    nested=lambda: [[0, 1]],
)
PREFACTORS = refused(
    text=lambda: "ones",
    number=lambda: 2.0,
    vector=lambda: np.ones(3),
    wide=lambda: np.ones((2, 3)),
    minus=lambda: -np.ones((3, 3)),
    zero=lambda: np.zeros((3, 3)),
    nan=lambda: np.full((3, 3), np.nan),
    infinite=lambda: np.full((3, 3), np.inf),
    complex=lambda: np.ones((3, 3)) + 0j,
    masked=lambda: np.ma.masked_array(np.ones((3, 3)), mask=np.eye(3, dtype=bool)[::-1]),
    texts=lambda: np.ones((3, 3)).astype(str),
    dictionary=dict,
    missing=lambda: sparse.csr_array(np.triu(np.ones((3, 3)))),
    object=object,
    larger=lambda: np.ones((4, 4)),
)
