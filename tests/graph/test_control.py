"""Control flow in graphs: Conditional and Loop mean what Python means by them, print and parse, and are put in place where known."""

import pickle

import numpy as np
import pytest

from minicc.errors import GraphError, RunError
from minicc.graph import bind, evaluate, parse, verify
from minicc.graph.control import Control, Conditional, Output, Loop, items, loop
from minicc.graph.ir import Constant, Graph, constant, input, make
from minicc.ops import Add, Concat, Gather, Less, Neg, Relu, SequenceAt, SequenceConstruct
from minicc.ops import SequenceErase, SequenceInsert, SequenceLength, SplitToSequence
from minicc.types import Symbol, TensorType, boolean, float32, int64

VECTOR, NUMBER, TRUTH = TensorType(float32, (2,)), TensorType(int64, ()), TensorType(boolean, ())
X, Y = np.float32([1, -2]), np.float32([3, 4])


def conditional(x, y, c):
    then, otherwise = Graph("a", (x, y), (Relu()(x),), ("r",)), Graph("b", (x, y), (Neg()(y),), ("r",))
    return items(Conditional(then, otherwise), [x, y, c])[0]


def model():
    """A loop whose carried values are a vector, a sequence and a tensor that grows, about the result of a condition."""
    x, y, n, c = input("x", VECTOR), input("y", VECTOR), input("n", NUMBER), input("c", TRUTH)

    def step(trip, total, found, grown, y):
        total = Add()(total, y)
        return [total, SequenceInsert()(found, total), Concat(0)(grown, total)], [total]

    start = conditional(x, y, c)
    last, found, grown, rows = loop(step, n, [start, make(SequenceConstruct(), []), x], [y])
    return Graph("m", (x, y, n, c), (last, SequenceAt(0)(found), grown, rows), ("last", "first", "grown", "rows"))


def expected(n, c):
    start = np.maximum(X, 0) if c else -Y
    rows = [start + Y * (k + 1) for k in range(n)]
    return {"last": rows[-1], "first": rows[0], "grown": np.concatenate([X, *rows]), "rows": np.stack(rows)}


@pytest.mark.parametrize("given", [(), ("n",), ("c",), ("n", "c")])
@pytest.mark.parametrize("n, c", [(1, True), (3, False)])
def test_a_graph_means_the_same_however_much_is_known(given, n, c):
    values = {"n": np.array(n), "c": np.array(c)}
    graph = bind(model(), values={name: values[name] for name in given})
    verify(graph)
    rest = {"x": X, "y": Y} | {name: value for name, value in values.items() if name not in given}
    for made in (graph, parse(str(graph), graph.constants), pickle.loads(pickle.dumps(graph))):
        got = evaluate(made, rest)
        for name, right in expected(n, c).items():
            np.testing.assert_array_equal(got[name], right)
    held = {type(m.op) for m in graph.nodes if isinstance(m.op, (Control, Output, SequenceInsert))}
    assert bool(held) == (len(given) < 2) and (Loop not in held or "n" not in given)


def test_text_is_indented_and_parses_back():
    graph = model()
    text = str(graph)
    assert "  | graph a(x: float32[2], y: float32[2]) {" in text and "Loop(carried=3)" in text
    assert parse(text, graph.constants).same_as(graph)
    with pytest.raises(GraphError, match="expected 2 graphs below, got 1"):
        parse("\n".join([*text.split("\n")[:7], *text.split("\n")[11:]]))


def test_the_type_of_what_keeps_it_is_known_and_of_what_grows_is_open():
    last, _, grown, _ = model().outputs
    assert last.type == VECTOR and grown.inferred is None
    rows = bind(model(), values={"n": np.array(3), "c": np.array(True)}).outputs[3]
    assert rows.type == TensorType(float32, (3, 2))


def test_a_loop_of_many_trips_stays_one():
    x = input("x", TensorType(float32, (100_000, 2)))

    def step(trip, total, rows):
        total = Add()(total, Gather(0)(rows, trip))
        return [total], []

    (last,) = loop(step, constant(np.int64(100_000)), [constant(np.zeros(2, np.float32))], [x])
    graph = bind(Graph("g", (x,), (last,), ("y",)))
    assert [n.op.name for n in graph.nodes if isinstance(n.op, Control)] == ["Loop"] and last.type == VECTOR


def test_a_condition_that_constants_decide_ends_the_trips():
    """while k < 5: k = k + 2; the trip count is the greatest there is."""
    k, go, s = input("k", NUMBER), input("go", TRUTH), input("s", NUMBER)
    after = Add()(s, np.int64(2))
    body = Graph("body", (k, go, s), (Less()(after, np.int64(5)), after), ("go", "s"))
    (last,) = items(Loop(body, 1), [constant(np.int64(2**63 - 1)), constant(np.True_), constant(np.int64(0))])
    (y,) = bind(Graph("g", (), (last,), ("y",))).outputs
    assert isinstance(y.op, Constant) and y.array == 6


def test_a_loop_without_an_end_is_refused():
    k, go, s = input("k", NUMBER), input("go", TRUTH), input("s", VECTOR)
    op = Loop(Graph("body", (k, go, s), (go, Neg()(s)), ("go", "s")), 1)
    for trips in (2**62, 2**63 - 1):
        (last,) = items(op, [constant(np.int64(trips)), constant(np.True_), s])
        with pytest.raises(RunError, match="expected a loop that ends"):
            bind(Graph("g", (s,), (last,), ("y",)))
    with pytest.raises(RunError, match="expected a loop that ends"):
        op(np.int64(2**62), np.True_, X)


def test_nesting_has_an_end():
    x, c = input("x", VECTOR), input("c", TRUTH)
    y = x
    with pytest.raises(GraphError, match="nested at most 16 deep, got 17"):
        for _ in range(20):
            body = Graph("b", (x, c), (y,), ("y",))
            (y,) = items(Conditional(body, body), [x, c, c])


@pytest.mark.parametrize(
    "spoil, problem",
    [
        (lambda x, y, c: make(Conditional(Graph("a", (x,), (x,), ("r",)), Graph("b", (x,), (x, x), ("r", "s"))), [x, c]), "equally many"),
        (lambda x, y, c: make(Conditional(Graph("a", (x,), (x,), ("r",)), Graph("b", (x,), (x,), ("r",))), [c, c]), "Conditional takes"),
        (lambda x, y, c: make(Conditional(Graph("a", (x,), (x,), ("r",)), Graph("b", (x,), (y,), ("r",))), [x, c]), "not declared"),
        (lambda x, y, c: make(Output(0, VECTOR), [x]), "must be of a control node"),
        (lambda x, y, c: make(Output(0, NUMBER), [conditional(x, y, c).inputs[0]]), "must be float32"),
        (lambda x, y, c: make(Loop(Graph("b", (c, input("d", TRUTH), x), (c, c), ("r", "s")), 1), [c, c, x]), "keep its type"),
        (lambda x, y, c: make(Loop(Graph("b", (c, x), (c,), ("r",)), 1), [c, x]), "must carry"),
    ],
)  # fmt: skip
def test_a_malformed_node_is_named(spoil, problem):
    x, y, c = input("x", VECTOR), input("y", VECTOR), input("c", TRUTH)
    with pytest.raises(GraphError, match=problem):
        verify(Graph("g", (x, y, c), (spoil(x, y, c),), ("z",)))


def test_sequences_that_are_put_together_in_sight_fold_away():
    x = input("x", TensorType(float32, (5, Symbol("n"))))
    parts = SplitToSequence(split=2)(x)
    rest = SequenceErase(0)(parts)
    both = Add()(SequenceAt(-2)(parts), SequenceAt(0)(rest))
    graph = bind(Graph("g", (x,), (both, SequenceLength()(rest)), ("y", "n")), {"n": 3})
    assert not [n for n in graph.nodes if n.op.interpreted]
    array = np.arange(15, dtype=np.float32).reshape(5, 3)
    got = evaluate(graph, {"x": array})
    np.testing.assert_array_equal(got["y"], 2 * array[2:4])
    assert got["n"] == 2
    with pytest.raises(Exception, match="a position in a sequence of 3, got 7"):
        bind(Graph("g", (x,), (SequenceAt(7)(parts),), ("y",)), {"n": 3})
