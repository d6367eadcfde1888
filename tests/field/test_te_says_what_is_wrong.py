"""The functions of te take what a user means, and refuse the rest in four parts, never by a bare TypeError."""

import inspect
import itertools
from typing import Any

import numpy as np
import pytest

from minicc import te
from minicc.errors import MiniccError, TeError, TypeInferenceError
from minicc.types import DType

A, K = te.placeholder((8, 8), name="A"), te.reduce_axis((0, 8), "k")
GOOD: dict[str, tuple[Any, ...]] = {
    "compute": ((8,), lambda i: A[i, 0]),
    "scan": (A, A, A),
    "scatter": (A, (8,), lambda p: (p, p), lambda p: 1.0),
    "extern": ((8,), [A], "f"),
    "comm_reducer": (lambda a, b: a + b, lambda d: te.const(0, d)),
    "if_then_else": (True, A[0, 0], A[0, 1]),
    "reduce_axis": ((0, 8), "k"),
    "placeholder": ((8,), "float32", "n"),
    "var": ("n", "int64"),
    "register_extern": ("f", lambda x, o: None),
    "const": (1, "int8"),
    "create_schedule": (A.op,),
    "thread_axis": ((0, 8), "threadIdx.x"),
    **dict.fromkeys(("sum", "prod", "max", "min"), (A[0, K.var], K)),
}
ODD = [
    None,
    2.5,
    -1,
    True,
    np.int64(4),
    "x",
    "",
    object(),
    {},
    b"i",
    10**30,
    float("nan"),
    np.array([4]),
    np.zeros((2, 2)),
    [],
    [1],
    ["i", 2],
    3 + 0j,
    lambda: 0,
    lambda i: i,
    lambda i, j: 1.0,
    lambda *i: None,
    lambda *i: "x",
    max,
    te.var("n"),
    (3,),
    (0, 8),
    "int8",
    "foo",
    A,
    A[0, 0],
    K,
    A.op,
]
FUNCTIONS = [name for name in te.__all__ if name not in ("Axis", "Cache", "Expr", "Tensor", "Var")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_with_every_sort_of_argument(name: str) -> None:
    function, good = getattr(te, name), GOOD.get(name, (A[0, 0], A[0, 1]))
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((), {}), ((1,) * 9, {}), (good, {"nonsense": 1})]
    calls += [((v,) * n, {}) for v, n in itertools.product(ODD, (1, 2, 3))]
    calls += [((*good[:n], v, *good[n + 1 :]), {}) for v in ODD for n in range(len(good) + 1)]
    plain = [
        p.name
        for p in list(inspect.signature(function).parameters.values())[len(good) :]
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    calls += [(good, {parameter: v}) for parameter, v in itertools.product(plain, ODD)]
    for args, options in calls:
        try:
            function(*args, **options)
        except MiniccError as error:
            assert error.call and error.problem and error.where and error.hint, (args, options, error)


def refused(action: Any, match: str, hint: str) -> None:
    with pytest.raises(TeError, match=match) as error:
        action()
    assert error.value.where and hint in error.value.hint


def test_a_sum_without_an_axis_shows_one_that_has_it() -> None:
    with pytest.raises(TeError) as error:
        te.sum(A[0, 0])  # type: ignore[call-arg]
    assert (
        str(error.value)
        == """\
TeError: sum(...): expected other arguments: missing a required argument: 'axis'
    sum(value, axis)
hint: k = te.reduce_axis((0, n)); te.sum(A[i, k], axis=k)"""
    )
    refused(
        lambda: te.if_then_else(True, 1.0), r"if_then_else\(\.\.\.\): expected other arguments", "te.if_then_else(i < n"
    )  # type: ignore[call-arg]
    refused(lambda: te.exp(1.0, 2.0), "too many positional arguments", "te.exp(A[i])")  # type: ignore[call-arg]


def test_functions_that_users_give() -> None:
    refused(lambda: te.compute((8,), 1.0), "expected a function as f, got 1.0 of float", "lambda i, j")  # type: ignore[arg-type]
    refused(
        lambda: te.scatter(A, (8,), lambda p, q: (p, q), lambda p: 1.0),
        "expected indices to be a function of 1 arguments",
        "lambda x: ...",
    )
    refused(
        lambda: te.scatter(A, (8,), lambda p: p, lambda p: 1.0),
        "expected 2 indices, one for each dimension of A",
        "a tuple",
    )
    argmax = te.comm_reducer(lambda x, y: x[0], lambda *kinds: (0,))
    refused(lambda: argmax((A[0, K.var], A[1, K.var]), axis=K), "expected 2 values", "in a tuple")
    with pytest.raises(TypeError, match="unsupported operand"):  # a mistake inside of the user's function is its own
        te.compute((8,), lambda i: None + "x")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("foo", "use one of float16"),
        ("flaot32", "did you mean float32"),
        ("Float32", "did you mean float32"),
        ("int23", "int32"),
        (A, "use one of"),
        (object(), "use one of"),
        ("uint46", "uint64"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_dtypes_that_are_none(given: Any, near: str) -> None:
    with pytest.raises(TypeInferenceError) as error:
        DType.of(given)
    assert error.value.where and near in error.value.hint
