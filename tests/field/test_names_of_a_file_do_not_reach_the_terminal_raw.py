"""Whatever a model calls its parts, it colours no terminal, moves no cursor and writes no line of its own."""

import sys
import unicodedata

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from minicc import cli
from minicc.errors import GraphError, plain_lines, printable
from minicc.graph.ir import Span

HOSTILE = "\x1b[31mred\x1b]0;t\x07\nprobability: float32[1] min 9\r\u202eevil[red]\x9b2J\u2028zero\x85next\ufeff"
FAKED = ("probability", "evil", "zero", "next", "fake")
RAW = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories of Unicode: controls, what turns text, halves of pairs, ends of lines


def hostile(name):
    return name + HOSTILE


def model(path, operator="Relu"):
    """A network in which every text is hostile."""
    nodes = [helper.make_node("Gemm", [hostile("x"), hostile("w")], [hostile("g")], name=hostile("n1"), doc_string=hostile("d")),
             helper.make_node(operator, [hostile("g")], [hostile("r")], name=hostile("n2")),
             helper.make_node("Softmax", [hostile("r")], [hostile("y")], name=hostile("n3"))]  # fmt: skip
    graph = helper.make_graph(
        nodes, hostile("graph"), [helper.make_tensor_value_info(hostile("x"), TensorProto.FLOAT, [hostile("n"), 4])],
        [helper.make_tensor_value_info(hostile("y"), TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((4, 6), np.float32), hostile("w"))], doc_string=hostile("d"))  # fmt: skip
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], producer_name=hostile("p"), doc_string=hostile("d")
    )
    helper.set_model_props(made, {hostile("key"): hostile("value")})
    onnx.save(made, path)


@pytest.fixture
def minicc(tmp_path, monkeypatch, capfd):
    """Runs a command beside hostile files, and gives its exit code and both outputs, in which nothing may be raw."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["minicc", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        for text in said:
            assert not [c for c in text if c not in "\n\t" and unicodedata.category(c) in RAW], text
            assert not [line for line in text.split("\n") if line.startswith(FAKED)], text
        return end.value.code or 0, said.out, said.err

    return run


MODEL, SHAPE = "m\x1b[31m\nfake: line\r\u202e.onnx", ("--input-shapes", f"{hostile('x')}:[2,4]")
GOOD = {
    "run": (), "compile": (), "show": ("--stage", "graph"), "fusion": (), "fusion json": ("--json",), "compare": ("--with", "reference"),
    "show fused": ("--stage", "fused"), "show te": ("--stage", "te"), "show loop": ("--stage", "loop"), "show llvm": ("--stage", "llvm"),
    "show asm": ("--stage", "asm"), "run outputs": ("--outputs", "y\x1b[31m\nfake.npz"), "run profile": ("--profile",)}  # fmt: skip


@pytest.mark.parametrize("command", GOOD)
def test_what_a_command_prints(command, minicc):
    model(MODEL)
    code, out, _ = minicc(command.split()[0], MODEL, *SHAPE, *GOOD[command])
    assert code == 0 and out
    if command == "run":
        assert out.startswith(r"y\x1b[31mred") and out.count("\n") == 1 and ": float32[2, 6] min" in out


def test_what_errors_say(minicc):
    model(MODEL)
    model("other.onnx", hostile("Op"))
    np.savez("others.npz", **{hostile("a"): np.ones((2, 4)), hostile("b"): np.ones(3)})
    for arguments in (("compile", "other.onnx", *SHAPE), ("run", MODEL), ("run", MODEL, *SHAPE, "--inputs", "others.npz"), ("run", "fake\x1b[31m\n.onnx"),
                      ("show", MODEL, *SHAPE, "--kernel", hostile("k")), ("show", MODEL, "--stage", hostile("s")), ("run", MODEL, "--device", "cuda"),
                      ("compile", MODEL, *SHAPE, "-o", "a\x1b[31m\nfake.x"), ("reduce", MODEL, *SHAPE), ("compare", MODEL, "--inputs", "others.npz"),
                      ("run", "b\x1b[31m\nfake.tar", "--device", "emulated"), ("compare", MODEL, "--with", hostile("p"))):  # fmt: skip
        code, out, err = minicc(*arguments)
        assert code == 2 and not out and "Error: " in err and "Traceback" not in err, (arguments, err)


@given(st.text(st.characters(codec=None)))
def test_printable_is_one_line_that_prints_as_itself(text):
    shown = printable(text)
    assert shown.isprintable() and (shown == text) == text.isprintable()
    shown.encode()


@given(st.text(), st.text(), st.text(), st.text())
def test_an_error_has_the_lines_of_its_place_and_no_others(call, problem, where, hint):
    lines = str(GraphError(call, problem, where, hint)).split("\n")
    place = plain_lines(where.rstrip("\n")).split("\n") if where else []
    assert len(lines) == 1 + len(place) + bool(hint) and all(
        line.startswith("    ") for line in lines[1 : 1 + len(place)]
    )
    assert all(c.isprintable() or c == "\t" for line in lines for c in line)


def test_a_place_in_a_file_is_one_line():
    assert str(Span(hostile("f"), hostile("n"), hostile("Op"), 3)).isprintable()
