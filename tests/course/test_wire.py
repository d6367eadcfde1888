"""What crosses the border between judge and submission: every kind of data survives, and nothing else comes through."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicc.course.answers import LocalAnswers
from minicc.course.judging import Failed
from minicc.course.wire import FIELDS, NotData, decoded, decoded_error, encoded
from minicc.errors import ScheduleError
from minicc.graph.ir import Graph, constant
from minicc.schedule.examples import doubled, product
from minicc.testing.strategies import graphs
from minicc.types import DType, TensorType, float32


def carried(value):
    return decoded(json.loads(json.dumps(encoded(value))))


def same(a, b):
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return type(b) is dict and same(list(a.items()), list(b.items()))
    return type(a) is type(b) and repr(a) == repr(b)


keys = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
arrays = st.builds(
    lambda dtype, shape, bits: np.resize(np.frombuffer(bits, np.uint8), (*shape, DType.of(dtype).bytes)).view(DType.of(dtype).numpy).reshape(shape),
    st.sampled_from([name for name in DType.table if name != "bool"]), st.lists(st.integers(0, 3), max_size=4), st.binary(min_size=8, max_size=8))  # fmt: skip
values = st.recursive(
    keys | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys.filter(lambda k: k == k), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=25)
@given(values)
def test_plain_values_and_arrays_are_carried_bit_by_bit(value):
    assert same(value, carried(value))


@settings(max_examples=5)
@given(graphs().map(lambda example: example.graph))
def test_graphs_are_carried(graph):
    assert str(carried(graph)) == str(graph)


def test_constants_of_any_size_and_dtype_are_carried():
    kinds = [DType.of(name) for name in DType.table]
    held = [constant(np.arange(n).astype(kind.numpy)) for kind in kinds for n in (0, 1, 16, 17, 40)]
    graph = Graph("g", (), tuple(held), tuple(f"y{k}" for k in range(len(held))))
    assert carried(graph).same_as(graph)


def test_programs_steps_and_traces_are_carried_to_the_identical_nodes():
    for make in (lambda: product(16, 12), lambda: doubled(5, 7)):
        s = make()
        for number in range(6):
            s.apply(s.moves()[number * 7 % len(s.moves())])
            assert carried(s.program) is s.program
            assert carried(s.program.body) is s.program.body
        assert carried(s.trace) == s.trace and list(carried(list(s.trace))) == list(s.trace)


def test_numbers_of_numpy_are_numbers_and_types_are_carried():
    assert same(carried((np.float32(0.5), np.int8(3), np.bool_(True))), (0.5, 3, True))
    assert carried(TensorType(float32, (2, 3))) == TensorType(float32, (2, 3)) and carried(float32) is float32


class Sub(np.ndarray):
    pass


@pytest.mark.parametrize("value", [object(), iter([1]), lambda: 1, {1, 2}, b"x", np.array([object()]), np.array(["x"]), np.zeros(3, complex),
                                   np.zeros(3).view(Sub), type("L", (list,), {})([1]), print, json])  # fmt: skip
def test_what_is_no_data_does_not_leave(value):
    with pytest.raises(NotData, match="expected"):
        encoded([value])


def wrong(change):
    """A program as JSON, changed, and why it is refused."""
    rows = encoded(product(4, 4).program)["program"]
    return {"program": change([list(row) for row in rows])}


def renamed(kind, name):
    def change(rows):
        return [[row[0], name, *row[2:]] if row[0] == kind else row for row in rows]

    return change


HOSTILE = [
    {"pickle": "gASVBQ=="}, {}, {"a": 1, "b": 2}, {"function": 0}, {"tuple": 3}, {"dict": [[[1], 2]]}, {"dict": [1]}, {"array": 1},
    {"array": ["float32", [1 << 40], ""]}, {"array": ["float32", [-1], ""]}, {"array": ["object", [1], "AAAAAAAAAAA="]}, {"array": ["float32", [1], "AAAA"]},
    {"array": ["float32", [1], "!!!!!!!!"]}, {"array": ["bool", [1], "Ag=="]}, {"array": ["float32", [0, 1 << 70], "AAAA"]}, {"array": ["float32", [True], "AAAAAA=="]},
    {"graph": ["graph main(x: float32[2]) {\n  %0 = Relu(x) : float32[3]\n  return y=%0\n}", []]}, {"graph": ["", []]}, {"graph": 5},
    {"graph": ["graph main(x: float32[100000,100000]) {\n  return y=x\n}", []]},
    {"step": {"step": "split"}}, {"step": {"step": "nothing"}}, {"step": {"step": "split", "loop": 3, "factor": "x"}}, {"trace": [{"step": "extern"}]},
    {"dtype": "object"}, {"type": ["float32", [[]]]}, {"program": []}, {"program": [["ExternCall", "f", [], 1]]}, {"program": [["Var", {"row": 0}, {"dtype": "int64"}, None]]},
    {"program": [["Var", "i", {"dtype": "int64"}]]}, {"program": [["Const", "1", {"dtype": "int64"}]]}, {"program": [["Const", 1.5, {"dtype": "int64"}]]},
    wrong(renamed("Program", "f(): import os; os.abort()\ndef f")), wrong(renamed("Buffer", "x=exit()")), wrong(renamed("Var", "i in [exit()]:\n  pass\nfor i")),
    wrong(renamed("Var", "if")), wrong(renamed("Binary", "__import__")), wrong(renamed("Var", "\ufb01")),
    wrong(lambda rows: [[*row[:2], 1 << 50, *row[3:]] if row[0] == "For" else row for row in rows]),
    wrong(lambda rows: [[*row[:4], "parallel; exit()", *row[5:]] if row[0] == "For" else row for row in rows]),
    wrong(lambda rows: [[*row[:5], [["x", "y\nexit()"]]] if row[0] == "For" else row for row in rows]),
    wrong(lambda rows: [["Const", 3, {"dtype": "int64"}] if row[0] == "Load" else row for row in rows]),
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: json.dumps(data)[:40])
def test_what_is_no_data_does_not_come_in(data):
    with pytest.raises(NotData, match="expected"):
        decoded(data)


def test_parts_that_hold_themselves_twice_again_and_again_are_refused_before_they_are_written_out():
    rows = [["Const", 1, {"dtype": "int64"}], *[["Binary", "add", {"row": k}, {"row": k}] for k in range(80)]]
    start = time.perf_counter()
    for many in (rows, [rows[0], *[["Unary", "neg", {"row": k}] for k in range(500)]]):
        with pytest.raises(NotData, match="expected a program of at most"):
            decoded({"program": many})
    nested = json.loads("[" * 900 + "]" * 900)
    for _ in range(50):
        nested = [nested] * 1
    assert time.perf_counter() - start < 5


def test_a_program_that_breaks_a_rule_is_refused_with_the_rule():
    rows = encoded(doubled(4, 4).program)["program"]
    for row in rows:
        if row[0] == "For":
            row[2] = 9
    with pytest.raises(NotData, match=r"LoopError: verify[\s\S]*hint: "):
        decoded({"program": rows})


@settings(max_examples=40)
@given(st.data())
def test_a_program_with_any_part_replaced_is_a_program_or_no_data(data):
    rows = encoded(product(4, 4).program)["program"]
    row = data.draw(st.sampled_from(rows))
    row[data.draw(st.integers(0, len(row) - 1))] = data.draw(
        st.sampled_from(
            [
                None,
                0,
                -1,
                1.5,
                "C",
                "k",
                [],
                [1],
                {"row": 0},
                {"row": 3},
                {"dtype": "bool"},
                {"dtype": "int64"},
                [{"row": 2}],
                True,
            ]
        )
    )
    try:
        program = decoded({"program": rows})
    except NotData:
        return
    assert type(program) in FIELDS


def test_local_answers(tmp_path):
    (tmp_path / "puzzle.py").write_text(
        "from minicc.errors import ScheduleError, Task\nimport helper\n"
        "def twice(x):\n    return helper.times(x, 2)\n"
        "def refuses():\n    raise ScheduleError('split(1)', 'expected 2', 'for i', 'say 2')\n"
        "def hole():\n    raise Task('1.1', 'write it')\n"
        "def lazy():\n    return (k for k in range(3))\n"
        "def asks(measure):\n    try:\n        measure(-1)\n    except ValueError as error:\n        return [measure(2), str(error)]\n"
    )
    (tmp_path / "helper.py").write_text("def times(x, n):\n    return x * n\n")
    answers = LocalAnswers(tmp_path)

    def measure(x):
        if x < 0:
            raise ValueError("negative")
        return x * 10

    assert answers.call("puzzle.py", "twice", 4) == 8
    assert answers.call("puzzle.py", "asks", measure) == [20, "negative"]
    with pytest.raises(Failed, match=r"puzzle.py:6: ScheduleError: split") as failed:
        answers.call("puzzle.py", "refuses")
    assert failed.value.kind == "ScheduleError" and failed.value.parts == ("split(1)", "expected 2", "for i", "say 2")
    for function, said in {
        "hole": "task 1.1",
        "lazy": "expected data, got generator",
        "none": "no attribute 'none'",
    }.items():
        with pytest.raises(Failed, match=said):
            answers.call("puzzle.py", function)
    assert isinstance(failed.value, Exception) and not isinstance(failed.value, ScheduleError)
    assert "return x * n" in answers.text("helper.py")


def test_handed_in_files_are_files_within_the_folder(tmp_path):
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    (tmp_path / "folder").symlink_to("/etc")
    (tmp_path / "huge.py").write_bytes(b" " * (2 << 20))
    (tmp_path / "odd.py").write_bytes(b"\xff\xfe")
    for name in ("link.py", "folder/passwd", "huge.py", "odd.py", "../x", "/etc/passwd", "none.py", ".", ""):
        with pytest.raises(Failed, match=r"expected|No such|Not a dir|symbolic"):
            LocalAnswers(tmp_path).text(name)


def test_any_error_crosses_the_border_as_one():
    for data in (["ExceptionGroup", ["x"]], ["UnicodeDecodeError", ["x"]], ["KeyError", ["'x'"]], ["ScheduleError", ["a", "b", "c", "d"]],
                 ["ScheduleError", ["a"]], ["Task", ["a", "b", "c", "d"]], ["SystemExit", ["0"]], ["print", ["x"]], ["re", []], ["Path", ["x"]],
                 ["ValueError", ["x", "y"]], ["nothing", []]):  # fmt: skip
        error, name = decoded_error(data)
        assert isinstance(error, Exception) and name == data[0] and str(error) is not None
    for data in (None, [], ["x"], [1, []], ["x", [1]], ["x", "y"], {"x": []}):
        with pytest.raises(NotData, match="expected an error"):
            decoded_error(data)


def test_half_of_a_file_is_none(tmp_path):
    (tmp_path / "puzzle.py").write_text("def twice(x):\n    return 2 * x\nraise SystemExit('enough')\n")
    answers = LocalAnswers(tmp_path)
    for _ in range(2):
        with pytest.raises(Failed, match=r"puzzle.py:3: SystemExit: enough"):
            answers.call("puzzle.py", "twice", 1)
