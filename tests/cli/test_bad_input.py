"""Bad input on the command line: a four-part error, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_cases import Minicc, model, saved, small_network, waiting_network
from onnx import TensorProto, helper

from minicc.frontend.onnx import NEWEST

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
GOOD = small_network().SerializeToString()


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below `folder`, with its size and time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = status.st_size, status.st_mtime_ns
    return found


class Refusal:
    """`refused(words, command, ...)`: the command must fail in four parts, and leave the folder as it was."""

    def __init__(self, minicc: Minicc, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.minicc, self.folder = minicc, folder
        patch.chdir(folder)  # what a command would write without a name, it would write here

    def __call__(self, words: str, *arguments, hint: bool = True) -> str:
        before = snapshot(self.folder)
        outcome = self.minicc(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.out == "" and "Traceback" not in outcome.err
        text = outcome.err.replace("random inputs; give real ones with --inputs\n", "")
        first, *rest = text.splitlines()
        assert re.match(r"\w+Error: .+: \S", first), text
        assert all(line.startswith(("    ", "hint: ")) for line in rest), text
        assert not hint or rest[-1].startswith("hint: "), text
        for word in words.split("|"):
            assert word in text, f"{word!r} is not in\n{text}"
        assert snapshot(self.folder) == before
        return text


@pytest.fixture
def refused(minicc, tmp_path, monkeypatch) -> Refusal:
    return Refusal(minicc, tmp_path, monkeypatch)


def relu(x="x", y="y", **more):
    return helper.make_node("Relu", [x], [y], **more)


X = [("x", FLOAT, [2, 3])]
EVERY = pytest.mark.parametrize("command", ["compile", "run", "show"])


# ---- model files --------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD[: len(GOOD) // 2], "LoadError: load('bad.onnx'): expected an ONNX protobuf|cut off"),
        (GOOD[:-1], "LoadError: load('bad.onnx')"),
        (b"\xff\xfe\x00garbage" * 50, "LoadError: load('bad.onnx'): expected an ONNX protobuf"),
        (b"", "LoadError: load('bad.onnx')|an empty file"),
        (b"PK\x03\x04", "LoadError: load('bad.onnx')"),
        (GOOD.replace(b"MatMul", b"\xff\xff\xff\xff\xff\xff"), "LoadError: load('bad.onnx')"),
    ],
    ids=["half", "a byte less", "garbage", "empty", "zip", "not text"],
)
def test_files_that_are_no_models(refused, tmp_path, command, content, words):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(content)
    refused(words, command, bad, "--dim", "batch=1")


@EVERY
def test_paths_without_a_file(refused, tmp_path, command):
    refused("LoadError|nothing called 'absent.onnx'|hint: no .onnx file is in", command, tmp_path / "absent.onnx")
    refused("LoadError|expected a file, got a folder|is empty", command, tmp_path)
    (tmp_path / "loop.onnx").symlink_to("loop.onnx")
    refused("LoadError|a link to 'loop.onnx', which leads to no file", command, tmp_path / "loop.onnx")


def malformed() -> dict[str, tuple[onnx.ModelProto, str]]:
    clip = helper.make_node("Clip", ["x"], ["y"], no_such=1)
    many = [helper.make_node("Blargh", ["x"], [f"b{n}"], name=f"blargh{n}") for n in range(4)]
    many += [helper.make_node("Frob", ["b0", "b1", "b2", "b3"], ["y"], name="frob", domain="com.acme")]
    strings = helper.make_node("Identity", ["x"], ["y"])
    return {
        "cycle": (model([relu("b", "a"), relu("a", "b"), relu("a", "y")], X, ["y"]), "LoadError|cycle|bad.onnx:0 Relu"),
        "cycle of one": (model([relu("y", "y")], X, ["y"]), "LoadError|cycle, got one of 1 nodes"),
        "missing input": (model([relu("nowhere")], X, ["y"]), "LoadError|'nowhere'|bad.onnx:0 Relu"),
        "missing output": (model([relu()], X, ["z"]), "LoadError|'z'"),
        "no output": (model([relu()], X, []), "LoadError|at least one output, got none"),
        "defined twice": (model([relu(), relu()], X, ["y"]), "LoadError|'y' must be defined once"),
        "operator": (model(many, X, ["y"]), "LoadError|operators that are not supported: 2, on 5 nodes|Blargh: 4 x (blargh0, "
                     "blargh1, blargh2, ...)|com.acme::Frob: 1 x (frob)"),
        "attribute": (model([clip], X, ["y"]), "LoadError|no_such|bad.onnx:0 Clip"),
        "opset too new": (model([relu()], X, ["y"], opset=NEWEST + 1), f"LoadError|7 to {NEWEST}|got opset {NEWEST + 1}"),
        "dtype": (model([strings], [("x", TensorProto.STRING, [2])], ["y"]), "LoadError|x"),
        "shapes": (model([helper.make_node("MatMul", ["x", "x"], ["y"])], X, ["y"]), "TypeInferenceError|bad.onnx:0 MatMul"),
        "dtypes": (model([helper.make_node("Add", ["x", "i"], ["y"])], [*X, ("i", INT64, [3])], ["y"]),
                   "TypeInferenceError|float32|int64"),
        "negative dimension": (model([relu()], [("x", FLOAT, [2, -7])], ["y"]), "LoadError|-7|input 'x'"),
        "huge dimension": (model([relu()], [("x", FLOAT, [2**40, 2**40])], ["y"]), "LoadError|input 'x'"),
    }  # fmt: skip


@EVERY
@pytest.mark.parametrize("case", malformed())
def test_malformed_models(refused, tmp_path, command, case):
    proto, words = malformed()[case]
    refused(words, command, saved(proto, tmp_path / "bad.onnx"), hint=words.startswith("LoadError"))


@pytest.mark.parametrize("shape", [[2**31, 2**31], [2**20, 2**20, 4]])
def test_results_that_do_not_fit_in_memory(refused, tmp_path, shape):
    fill = helper.make_node("ConstantOfShape", ["s"], ["c"])
    bad = saved(model([fill, helper.make_node("Add", ["c", "x"], ["y"])], [("x", FLOAT, [1])], ["y"],
                      {"s": np.int64(shape)}), tmp_path / "bad.onnx")  # fmt: skip
    refused("Error", "run", bad, hint=False)


def test_inputs_that_do_not_fit_in_memory(refused, network, monkeypatch):
    def full(*_):
        raise MemoryError("Unable to allocate 6.00 TiB")

    monkeypatch.setattr("minicc.cli.options.random_input", full)
    refused("RunError: minicc: expected enough memory|6.00 TiB|smaller", "run", network, "--dim", "batch=100")
    refused("GraphError|at most 2**40 elements|x", "compile", network, "--dim", f"batch={10**17}")


def test_an_expression_that_is_nested_too_deeply(refused, tmp_path):
    script = tmp_path / "deep.py"
    script.write_text("from minicc import te\nA = te.placeholder((4,), name='A')\ndef deep(i):\n    e = A[i]\n    for k in range(3000):\n"
                      "        e = e + A[i] * k\n    return e\ns = te.create_schedule(te.compute((4,), deep).op)\n")  # fmt: skip
    refused("RunError: minicc: expected graphs and expressions that are nested less deeply", "explore", script)


# ---- external data ------------------------------------------------------------------------------


def external(location: str, offset: int | None = None, length: int | None = None) -> onnx.ModelProto:
    """y = x + w, where w lies in the file `location`."""
    proto = model(
        [helper.make_node("Add", ["x", "w"], ["y"])], [("x", FLOAT, [4])], ["y"], {"w": np.zeros(4, np.float32)}
    )
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return proto


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "secret.bin"
    path.write_bytes(np.arange(4, dtype=np.float32).tobytes())
    return path


def test_external_data_in_the_folder_is_read(minicc, network, secret):
    folder = network.parent
    (folder / "w.bin").write_bytes(secret.read_bytes())
    assert "max 7" in minicc.good(
        "run", saved(external("w.bin"), folder / "good.onnx"), "--inputs", saved_array(folder, np.full(4, 4.0))
    )


def saved_array(folder: Path, array) -> Path:
    np.save(folder / "x.npy", np.asarray(array, np.float32))
    return folder / "x.npy"


def test_external_data_outside_the_folder(refused, network, secret):
    folder = network.parent
    (folder / "link.bin").symlink_to(secret)
    (folder / "up").symlink_to(folder.parent)
    for location in (
        "../secret.bin",
        str(secret),
        "link.bin",
        "up/secret.bin",
        "sub/../../secret.bin",
        "/dev/zero",
        "",
    ):
        text = refused("LoadError: load('bad.onnx')|'w'", "run", saved(external(location), folder / "bad.onnx"))
        assert "1.0" not in text and "2.0" not in text


def test_external_data_that_is_short_or_absent(refused, network, secret):
    folder = network.parent
    (folder / "w.bin").write_bytes(bytes(15))
    for proto in (external("w.bin"), external("absent.bin"), external("."), external("w.bin", offset=-4),
                  external("w.bin", offset=2**62), external("w.bin", offset=0, length=10**18)):  # fmt: skip
        refused("LoadError: load('bad.onnx')", "compile", saved(proto, folder / "bad.onnx"))


def test_a_pipe_is_not_external_data(refused, network):
    os.mkfifo(network.parent / "pipe.bin")
    refused("LoadError: load('bad.onnx')", "compile", saved(external("pipe.bin"), network.parent / "bad.onnx"))


# ---- arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((2, 6))}, "RunError|input 'x' must have float32, got float64|hint: convert it"),
        ({"x": np.zeros((3, 6), np.float32)}, "RunError|input 'x' must have shape (2, 6), got (3, 6)"),
        ({"x": np.zeros((12,), np.float32)}, "RunError|must have shape"),
        ({"x": np.zeros((2, 6), np.float32), "z": np.zeros(1)}, "RunError|unknown: 'z'|net(x: float32[2,6])"),
        ({"a": np.zeros((2, 6), np.float32), "z": np.zeros(1)}, "RunError|missing: 'x'"),
        ({}, "RunError|missing: 'x'"),
        ({"x": np.array(["a"])}, "RunError|must have float32"),
    ],
)
def test_arrays_that_do_not_fit(refused, network, tmp_path, arrays, words):
    np.savez(tmp_path / "in.npz", **arrays)
    refused(
        words, "run", network, "--dim", "batch=2", "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz"
    )


class Trap:
    """Unpickling one creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_not_opened(refused, network, tmp_path):
    trap = Trap(tmp_path / "trapped")
    np.savez(tmp_path / "objects.npz", x=np.array([trap], object))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(trap))
    np.save(tmp_path / "object.npy", np.array([trap], object))
    for name in ("objects.npz", "pickle.npz", "object.npy"):
        refused("RunError|--inputs|pickle", "run", network, "--dim", "batch=2", "--inputs", tmp_path / name)


def test_archives_that_are_broken(refused, network, tmp_path):
    np.savez(tmp_path / "whole.npz", x=np.zeros((2, 6), np.float32))
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole.replace(b"\x93NUMPY", b"\x93NUMPZ"))
    (tmp_path / "empty.npz").write_bytes(b"")
    huge = (
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 16), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("x.npy", huge)
    for name in ("half.npz", "flipped.npz", "empty.npz", "huge.npz", "absent.npz", "."):
        refused("RunError", "run", network, "--dim", "batch=2", "--inputs", tmp_path / name)


def test_values_that_decide_an_impossible_shape(refused, tmp_path):
    waiting = saved(waiting_network(), tmp_path / "waiting.onnx")
    np.savez(tmp_path / "in.npz", x=np.zeros((2, 3), np.float32), s=np.int64([4, 2]))
    refused(
        "TypeInferenceError|(4, 2)|waiting.onnx:0 Reshape", "run", waiting, "--inputs", tmp_path / "in.npz", hint=False
    )
    refused("ConfigError|values of inputs decide them: s", "show", waiting)
    refused("ConfigError|values of inputs decide them: s", "compile", waiting, "-o", tmp_path / "made.s")


# ---- options ------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "GraphError|no number for the symbol batch (of input x)|hint: --dim batch=1"),
        (["--dim", "batch"], "ConfigError: --dim batch|NAME=NUMBER"),
        (["--dim", "batch=-1"], "ConfigError: --dim batch=-1"),
        (["--dim", "batch=two"], "ConfigError"),
        (["--dim", "batch=" + "9" * 5000], "ConfigError"),
        (["--dim", "length=1", "--dim", "batch=1"], "GraphError|no such symbol: length|the symbols are batch"),
        (["--input-shapes", "x:[2"], "ConfigError: --input-shapes|got 'x:[2'"),
        (["--input-shapes", "x:[2,-6]"], "ConfigError"),
        (["--input-shapes", "x:[2 6]"], "ConfigError"),
        (["--input-shapes", "x:[2,,6]"], "ConfigError"),
        (["--input-shapes", "[2,6]"], "ConfigError"),
        (["--input-shapes", "z:[2,6]"], "GraphError|no such input: z|the inputs are x"),
        (["--input-shapes", "x:[2,7]"], "GraphError|7"),
        (["--input-shapes", "x:[2]"], "GraphError"),
        (["--input-shapes", "x:[2,6]", "--dim", "batch=3"], "GraphError|batch"),
        (["--dim", "batch=1", "--target", "toaster"], "TargetError|'toaster'|known targets: native"),
    ],
)
def test_bad_options(refused, network, command, options, words):
    refused(words, command, network, *options, hint=not words.startswith("GraphError"))


@pytest.mark.parametrize("command", ["compile", "run"])
@pytest.mark.parametrize("threads", [0, -3])
def test_too_few_threads(refused, network, command, threads):
    refused(
        f"ConfigError|threads={threads}|expected 1 to 1024 threads",
        command,
        network,
        "--dim",
        "batch=1",
        "--threads",
        threads,
    )


def test_a_bad_number_of_threads_in_the_environment(refused, network, monkeypatch):
    monkeypatch.setenv("MINICC_THREADS", "many")
    refused("ConfigError: MINICC_THREADS=many|positive integer", "compile", network, "--dim", "batch=1")


def test_bad_stages_and_kernels(refused, network):
    refused(
        "ConfigError|'speed'|graph, fused, memory, te",
        "show",
        network,
        "--dim",
        "batch=1",
        "--stage",
        "speed",
        hint=False,
    )
    refused("ConfigError: --kernel conv|softmax", "show", network, "--dim", "batch=1", "--kernel", "conv")


@pytest.mark.parametrize("repeat", [0, -1])
def test_too_few_runs(refused, network, repeat):
    refused(f"ConfigError: --repeat {repeat}", "run", network, "--dim", "batch=1", "--repeat", repeat, hint=False)


@pytest.mark.parametrize(
    ("arguments", "suffix"),
    [(("compile", "--dim", "batch=1", "--output"), ".s"), (("run", "--dim", "batch=1", "--outputs"), ".npz")],
)
def test_outputs_that_cannot_be_written(refused, network, tmp_path, arguments, suffix):
    command, *options = arguments
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / "file").write_text("a file")
    for path in (f"absent/made{suffix}", f"file/made{suffix}", f"folder{suffix}"):
        refused("ConfigError: write|cannot be written", command, network, *options, tmp_path / path)
    refused(
        f"ConfigError|expected a name that ends in|{suffix}",
        command,
        network,
        *options,
        tmp_path / "made.exe",
        hint=False,
    )


def test_a_picture_that_cannot_be_written(refused, tmp_path):
    refused("ConfigError: write|cannot be written", "demo", "--picture", tmp_path / "absent" / "digits.svg")


def test_a_failed_write_leaves_nothing(refused, network, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    (tmp_path / "old.s").write_text("kept")
    before = snapshot(tmp_path)
    outcome = refused.minicc("compile", network, "--dim", "batch=1", "-o", tmp_path / "old.s")
    assert outcome.code == 2 and "No space left on device" in outcome.err
    assert snapshot(tmp_path) == before
