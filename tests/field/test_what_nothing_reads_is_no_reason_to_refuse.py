"""What no output depends on is gone before anything is judged: nodes, initializers, branches that are not taken.

The right values are NumPy's on the same numbers; for branches those of ONNX's own reference evaluator.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import minicc
from minicc.errors import LoadError
from minicc.frontend import load
from minicc.graph import evaluate

X = np.float32([1, -2, 3])
FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


def model(nodes, outputs=("y",), initializers=(), sparse=(), functions=(), inputs=None):
    infos = inputs or [helper.make_tensor_value_info("x", FLOAT, [3])]
    graph = helper.make_graph(
        nodes,
        "net",
        infos,
        [helper.make_tensor_value_info(o, FLOAT, None) for o in outputs],
        list(initializers),
        sparse_initializer=list(sparse),
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("local", 1)],
        ir_version=8,
        functions=list(functions),
    )


NEG = helper.make_node("Neg", ["x"], ["y"])
DEAD_NODES = {
    "an operator that is not supported": [helper.make_node("StringNormalizer", ["x"], ["dead"])],
    "a chain of them": [
        helper.make_node("StringNormalizer", ["x"], ["d"]),
        helper.make_node("TfIdfVectorizer", ["d"], ["e"]),
    ],
    "of another domain": [helper.make_node("FusedMatMul", ["x", "x"], ["dead"], domain="com.microsoft")],
    "an attribute that does not exist": [helper.make_node("Relu", ["x"], ["dead"], odd=1)],
    "a shape that cannot be": [helper.make_node("Reshape", ["x", "s"], ["dead"])],
    "text": [helper.make_node("Constant", [], ["dead"], value_string="text")],
    "a value that nobody makes": [helper.make_node("Relu", ["removed"], ["dead"])],
    "a loop": [helper.make_node("Loop", ["n", "c"], ["dead"], body=helper.make_graph([], "body", [], []))],
    "an If that is not decided": [
        helper.make_node(
            "If",
            ["q"],
            ["dead"],
            then_branch=helper.make_graph([], "a", [], []),
            else_branch=helper.make_graph([], "b", [], []),
        )
    ],
}


@pytest.mark.parametrize("case", DEAD_NODES)
@pytest.mark.parametrize("first", [True, False])
def test_dead_nodes(case, first):
    nodes = [*DEAD_NODES[case], NEG] if first else [NEG, *DEAD_NODES[case]]
    graph = load(model(nodes, initializers=[numpy_helper.from_array(np.int64([7]), "s")]))
    assert [n.op.name for n in graph.nodes] == ["Input", "Neg"]
    assert minicc.compile(graph)(X)[0].tolist() == [-1, 2, -3]


def test_one_that_is_read_is_refused_alone():
    nodes = [
        helper.make_node("StringNormalizer", ["x"], ["dead"], name="dead"),
        helper.make_node("TfIdfVectorizer", ["x"], ["y"], name="alive"),
    ]
    with pytest.raises(LoadError) as caught:
        load(model(nodes))
    assert "TfIdfVectorizer: 1 x (alive)" in caught.value.where and "StringNormalizer" not in caught.value.where


def test_dead_nodes_inside_a_function():
    body = [helper.make_node("StringNormalizer", ["a"], ["dead"]), helper.make_node("Neg", ["a"], ["b"])]
    function = helper.make_function("local", "F", ["a"], ["b", "dead"], body, [helper.make_opsetid("", 17)])
    proto = model([helper.make_node("F", ["x"], ["y", ""], domain="local")], functions=[function])
    assert evaluate(load(proto), {"x": X})["y"].tolist() == [-1, 2, -3]


def string(name):
    return helper.make_tensor(name, TensorProto.STRING, [1], [b"text"])


def float8(name):
    return helper.make_tensor(name, TensorProto.FLOAT8E4M3FN, [2], [1.0, 2.0])


ODD = {
    "text": string,
    "float8": float8,
    "complex": lambda name: helper.make_tensor(name, TensorProto.COMPLEX64, [1], [1j]),
    "a file that is not there": lambda name: TensorProto(
        name=name, data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL
    ),
    "a wrong size": lambda name: TensorProto(name=name, data_type=FLOAT, dims=[2], raw_data=b"\0"),
}


@pytest.mark.parametrize("case", ODD)
def test_initializers(case):
    assert evaluate(load(model([NEG], initializers=[ODD[case]("w")])), {"x": X})["y"].tolist() == [-1, 2, -3]
    dead = helper.make_node("Identity", ["w"], ["dead"])
    assert evaluate(load(model([NEG, dead], initializers=[ODD[case]("w")])), {"x": X})["y"].tolist() == [-1, 2, -3]
    with pytest.raises(LoadError, match="'w'"):
        load(model([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[ODD[case]("w")]))
    with pytest.raises(LoadError, match="'w'"):
        load(model([NEG], ["y", "w"], initializers=[ODD[case]("w")]))


def test_names_are_unique_even_so():
    for proto in (
        model([NEG], initializers=[string("w"), string("w")]),
        model([NEG], initializers=[truth("y", True)]),
        model([NEG], initializers=[string("w")], sparse=[sparse("w", [1.0], [0], [3])]),
    ):
        with pytest.raises(LoadError, match="defined"):
            load(proto)


# ---- branches -----------------------------------------------------------------------------------


def branch(*nodes, outputs=("b",), initializers=()):
    return helper.make_graph(
        list(nodes), "branch", [], [helper.make_tensor_value_info(o, FLOAT, None) for o in outputs], list(initializers)
    )


TAKEN = branch(
    helper.make_node("Add", ["x", "k"], ["sum"]),
    helper.make_node("Neg", ["sum"], ["b"]),
    initializers=[numpy_helper.from_array(np.float32([10]), "k")],
)
NOT_SUPPORTED = branch(helper.make_node("StringNormalizer", ["x"], ["b"]))
NESTED = branch(
    helper.make_node("Mul", ["x", "x"], ["sum"]),
    helper.make_node(
        "If",
        ["yes"],
        ["b"],
        then_branch=branch(helper.make_node("Add", ["sum", "x"], ["b"])),
        else_branch=NOT_SUPPORTED,
    ),
)
PASSES = branch(helper.make_node("Identity", ["x"], ["b"]))


def truth(name, value, dtype=np.bool_, shape=()):
    return numpy_helper.from_array(np.full(shape, value, dtype), name)


CONDITIONS = {  # how "yes" comes to be true: nodes, initializers
    "an initializer": ([], [truth("yes", True)]),
    "of one element": ([], [truth("yes", True, shape=(1,))]),
    "a constant": ([helper.make_node("Constant", [], ["yes"], value=truth("v", True))], []),
    "not false": ([helper.make_node("Not", ["no"], ["yes"])], [truth("no", False)]),
    "a cast": ([helper.make_node("Cast", ["one"], ["yes"], to=BOOL)], [truth("one", 1, np.int64)]),
    "a cast of an identity": (
        [
            helper.make_node("Constant", [], ["one"], value=truth("v", 0.5, np.float32)),
            helper.make_node("Identity", ["one"], ["same"]),
            helper.make_node("Cast", ["same"], ["yes"], to=BOOL),
        ],
        [],
    ),
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("body", [TAKEN, NESTED, PASSES])
@pytest.mark.parametrize("value", [True, False])
def test_a_decided_branch(condition, body, value):
    nodes, initializers = CONDITIONS[condition]
    name = "yes"
    if not value:
        nodes, name = [*nodes, helper.make_node("Not", ["yes"], ["never"])], "never"
    branches = dict(
        zip(
            ("then_branch", "else_branch") if value else ("else_branch", "then_branch"),
            (body, NOT_SUPPORTED),
            strict=True,
        )
    )
    proto = model(
        [
            *nodes,
            helper.make_node("If", [name], ["c"], name="choose", **branches),
            helper.make_node("Exp", ["c"], ["y"]),
        ],
        initializers=initializers,
    )
    expected = ReferenceEvaluator(proto).run(None, {"x": X})[0]
    np.testing.assert_allclose(minicc.compile(proto)(X)[0], expected, rtol=1e-6)


def test_two_branches_with_the_same_inner_names():
    nodes = [
        helper.make_node("If", ["yes"], ["c"], then_branch=TAKEN, else_branch=NOT_SUPPORTED),
        helper.make_node("If", ["yes"], ["d"], then_branch=TAKEN, else_branch=NOT_SUPPORTED),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    assert minicc.compile(model(nodes, initializers=[truth("yes", True)]))(X)[0].tolist() == [-22, -16, -26]


def test_results_from_around_and_one_result_twice():
    body = branch(
        helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Identity", ["n"], ["m"]), outputs=("n", "m", "n")
    )
    proto = model(
        [helper.make_node("If", ["yes"], ["y", "z", "w"], then_branch=body, else_branch=body)],
        ["y", "z", "w"],
        initializers=[truth("yes", True)],
    )
    assert [a.tolist() for a in minicc.compile(proto)(X)] == [[-1, 2, -3]] * 3


def test_a_branch_inside_a_function_sees_the_function_s_names():
    body = [
        helper.make_node("Constant", [], ["yes"], value=truth("v", True)),
        helper.make_node("Mul", ["a", "a"], ["x"]),
        helper.make_node(
            "If", ["yes"], ["r"], then_branch=branch(helper.make_node("Neg", ["x"], ["b"])), else_branch=NOT_SUPPORTED
        ),
    ]
    function = helper.make_function("local", "F", ["a"], ["r"], body, [helper.make_opsetid("", 17)])
    proto = model([helper.make_node("F", ["x"], ["y"], domain="local")], functions=[function])
    assert minicc.compile(proto)(X)[0].tolist() == [-1, -4, -9]


def test_a_branch_that_may_be_taken_must_be_supported():
    inputs = [helper.make_tensor_value_info("x", FLOAT, [3]), helper.make_tensor_value_info("given", BOOL, [])]
    choice = helper.make_node("If", ["given"], ["y"], then_branch=TAKEN, else_branch=NOT_SUPPORTED)
    with pytest.raises(LoadError, match="not supported: 1, on 1 nodes"):
        load(model([choice], inputs=inputs))


# ---- sparse initializers ------------------------------------------------------------------------


def sparse(name, values, indices, dims):
    return helper.make_sparse_tensor(
        numpy_helper.from_array(np.float32(values), name),
        numpy_helper.from_array(np.asarray(indices, np.int64), f"{name}_at"),
        dims,
    )


@pytest.mark.parametrize(
    ("indices", "dims", "expected"),
    [
        ([0, 2], [3], [5, 0, 7]),
        ([[0], [2]], [3], [5, 0, 7]),
        ([1, 5], [2, 3], [[0, 5, 0], [0, 0, 7]]),
        ([[0, 1], [1, 2]], [2, 3], [[0, 5, 0], [0, 0, 7]]),
    ],
)
def test_sparse_initializers(indices, dims, expected):
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], sparse=[sparse("w", [5, 7], indices, dims)])
    assert minicc.compile(proto)(X)[0].tolist() == (np.float32(expected) + X).tolist()
    node = helper.make_node("Constant", [], ["w"], sparse_value=sparse("v", [5, 7], indices, dims))
    assert (
        minicc.compile(model([node, helper.make_node("Add", ["x", "w"], ["y"])]))(X)[0].tolist()
        == (np.float32(expected) + X).tolist()
    )


def test_an_empty_sparse_initializer():
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], sparse=[sparse("w", [], [], [3])])
    assert minicc.compile(proto)(X)[0].tolist() == X.tolist()


@pytest.mark.parametrize(
    ("indices", "dims", "words"),
    [
        ([0, 3], [3], "indices within"),
        ([-1, 0], [3], "indices within"),
        ([[0, 1], [1, 3]], [2, 3], "indices within"),
        ([[0, 1, 2]], [2, 3], "a list of values"),
        ([0], [3], "a list of values"),
        ([0, 1], [2**35], "bytes with its zeros"),
        ([0, 1], [-3], "dimensions >= 0"),
        ([0, 1], [2**20, 2**20], "bytes with its zeros"),
    ],
)
def test_hostile_sparse_initializers(indices, dims, words):
    with pytest.raises(LoadError, match=words) as caught:
        load(model([helper.make_node("Add", ["x", "w"], ["y"])], sparse=[sparse("w", [5, 7], indices, dims)]))
    assert caught.value.hint and "'w'" in caught.value.where


def test_every_order_of_nodes_gives_the_same_graph():
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("StringNormalizer", ["b"], ["dead"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    first = load(model(nodes))
    assert all(load(model(list(order))).same_as(first) for order in itertools.permutations(nodes))
