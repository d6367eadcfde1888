"""What the explorer tells: every program after every step, every graph after every pass, and scripts that hold a schedule."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.models import MODELS
from minicc.compile import pipeline
from minicc.errors import ConfigError
from minicc.explain.explored import explore_model, explore_schedule
from minicc.explain.explorer import change, explorer_data, explorer_page
from minicc.explain.scripts import schedule_of
from minicc.frontend import load
from minicc.graph.control import loop
from minicc.graph.ir import Graph, input
from minicc.ops import Exp, Reshape
from minicc.ops.base import OPERAND
from minicc.schedule import Schedule
from minicc.target import Target
from minicc.types import TensorType, float32, int64

ROOT = Path(__file__).parent.parent.parent
GEMM = ROOT / "tutorials" / "gemm_schedule.py"
DIGITS = ROOT / "minicc" / "cli" / "digits" / "digits.onnx"
HASWELL = Target.of("haswell")


def shown(data, number):
    """The lines of a text."""
    rows = data["pool"]["rows"]
    return [row if isinstance(row, str) else row[0] for row in (rows[k] for k in data["pool"]["texts"][number])]


@pytest.fixture(scope="module")
def digits():
    found = explore_model(load(DIGITS), HASWELL, dims={"batch": 1}, only="max_pool")
    return found, json.loads(json.dumps(explorer_data(found)))


def test_each_pass_has_its_graphs(digits):
    found, data = digits
    assert [p["name"] for p in data["passes"]] == ["bind", *(p.name for p in pipeline("haswell").graph)]
    for told, stage in zip(data["passes"], found.stages, strict=True):
        assert shown(data, told["before"]) == str(stage.before).split("\n")
        assert shown(data, told["after"]) == str(stage.after).split("\n")
        assert told["nodes"] == [len(stage.before.nodes), len(stage.after.nodes)]
        assert bool(told["cut"] or told["add"]) == (not stage.before.same_as(stage.after))


def test_each_step_has_its_program(digits):
    found, data = digits
    (kernel,), (told,) = found.kernels, data["kernels"]
    s = Schedule(kernel.schedule.start)
    programs = [str(s.program)]
    for step in kernel.schedule.trace:
        s.apply(step)
        programs.append(str(s.program))
    first, *steps = told["steps"]
    assert shown(data, first["text"]) == kernel.lowered.expressions.split("\n")
    texts = [shown(data, step["text"]) for step in steps]
    assert texts[: len(programs)] == [text.splitlines() for text in programs]
    assert texts[-1] == str(kernel.lowered.program).splitlines()
    for before, step, after in zip(texts, steps[1:], texts[1:], strict=False):
        kept = [line.strip() for k, line in enumerate(after) if k not in step["add"]]
        assert kept == [line.strip() for k, line in enumerate(before) if k not in step["cut"]]
    assert len(told["listings"][1]["from"]) == len(shown(data, told["listings"][1]["text"]))


def test_one_kernel_of_many(digits):
    _, data = digits
    assert [k["name"] for k in data["kernels"]] == ["max_pool"] and [c["kernel"] for c in data["calls"]] == [0]
    with pytest.raises(ConfigError, match="did you mean 'max_pool'"):
        explore_model(load(DIGITS), HASWELL, dims={"batch": 1}, only="max_pol")


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_a_change_leads_from_one_text_to_the_other(before, after):
    cut, add = change(before, after)
    assert [x for k, x in enumerate(before) if k not in cut] == [x for k, x in enumerate(after) if k not in add]


def test_the_hand_made_product(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    s = schedule_of(GEMM)
    data = explorer_data(explore_schedule("gemm", s, HASWELL))
    (kernel,) = data["kernels"]
    assert [step["name"] for step in kernel["steps"]][: 2 + len(s.trace)] == ["te", "naive", *map(str, s.trace)]
    fused = [line for line in shown(data, kernel["listings"][1]["text"]) if "vfmadd" in line]
    assert len(fused) >= 12 and not data["passes"] and Path.cwd() == tmp_path


def test_each_line_of_a_schedule_knows_its_tensors():
    data = explorer_data(explore_schedule("gemm", schedule_of(GEMM), HASWELL))
    (kernel,), rows = data["kernels"], data["pool"]["rows"]
    tensors = [line.partition("[")[0].partition(":")[0] for line in shown(data, kernel["steps"][0]["text"])]
    assert tensors == ["A", "B", "P", "C"]
    for step in kernel["steps"][1:]:
        for row in (rows[k] for k in data["pool"]["texts"][step["text"]] if isinstance(rows[k], list)):
            target = row[0].strip().partition("[")[0].partition(" = ")[0]
            if target in ("P", "C", "C_local"):
                assert [tensors[part] for part in row[1:]] == [target[0]], row


@pytest.mark.parametrize(
    ("text", "problem", "where"),
    [
        ("x = 1", "leaves a schedule in a name, got none", "script.py"),
        ("x = 1\ny = x / 0", "got ZeroDivisionError", "script.py, line 2: y = x / 0"),
        ("def f(:", "got SyntaxError", "script.py, line 1: def f(:"),
        ("import sys\nsys.exit(3)", "got one that exits", "script.py"),
        (
            "from minicc.schedule.examples import row_sums\nrow_sums(4, 8).split('q', factor=2)",
            "got ScheduleError",
            "line 2",
        ),
    ],
    ids=["none", "raises", "syntax", "exits", "step"],
)
def test_a_script_without_a_schedule(tmp_path, text, problem, where):
    path = tmp_path / "script.py"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        schedule_of(path)
    assert problem in caught.value.problem and where in caught.value.where and caught.value.hint


def test_a_script_with_several_schedules(tmp_path):
    (tmp_path / "sizes.py").write_text("n = 8")  # beside the script, as Python finds it
    path = tmp_path / "script.py"
    lines = [
        "from minicc.schedule.examples import row_sums",
        "from sizes import n",
        "first, second = row_sums(4, n), row_sums(4, 16)",
    ]
    path.write_text("\n".join(lines))
    assert "A: float32[4,16]" in str(schedule_of(path).program)
    assert "A: float32[4,8]" in str(schedule_of(path, "first").program)
    with pytest.raises(ConfigError, match="did you mean first"):
        schedule_of(path, "fist")
    with pytest.raises(ConfigError, match="expected a file"):
        schedule_of(tmp_path / "absent.py")


def test_values_that_decide_shapes_are_not_compiled_ahead():
    x, s = input("x", TensorType(float32, (4, 2))), input("s", TensorType(int64, (2,)))
    with pytest.raises(ConfigError, match="values decide them: s"):
        explore_model(Graph("g", (x, s), (Reshape(OPERAND)(x, s),), ("y",)), HASWELL)


def test_the_body_of_a_loop_is_of_the_loop():
    """It is compiled by itself, as data decide how often it runs."""
    trips, v = input("trips", TensorType(int64, ())), input("v", TensorType(float32, (4,)))
    last, *_ = loop(lambda _, v: ([Exp()(v)], []), trips, [v])
    data = explorer_data(explore_model(Graph("g", (trips, v), (last,), ("y",)), HASWELL))
    assert data["calls"] and {number for call in data["calls"] for part in call["parts"] for number in part} == {0}


def test_a_page_says_nothing_as_markup():
    s = schedule_of(GEMM)
    text = explorer_page(explore_schedule("<b>&</script>", s, HASWELL))
    assert "<b>" not in text and text.count("</script>") == 2 and "&lt;b&gt;&amp;&lt;/script&gt;" in text


@pytest.mark.slow
def test_a_page_of_a_network_is_small():
    found = explore_model(load(MODELS["resnet18"](True).SerializeToString()), HASWELL)
    assert len(explorer_page(found).encode()) < 5e6
