"""Every command of the command line, its options, and what it prints and writes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from cli_cases import saved, small_network_reference, waiting_network

from minicc import cli
from minicc.cli import LATE
from minicc.cli.compile import STAGE_OF
from minicc.cli.options import random_input, read_dims, read_shapes, table_text
from minicc.cli.show import STAGES
from minicc.ops.base import INTERPRETED, REGISTRY
from minicc.types import DType, TensorType

COMMANDS = ("compile", "run", "show", "ops", "doctor", "demo")


def kernels_of(table: str) -> list[str]:
    """The first column of a printed table of kernels."""
    lines = table.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("kernel "))
    return [line.split()[0] for line in lines[head + 1 :] if re.match(r"\w+ +\d+ ", line)]


# ---- the program --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(minicc, command):
    text = minicc.good(*([command] if command else []), "--help")
    if not command:
        assert all(re.search(rf"│ {name} +[A-Z]", text) for name in COMMANDS)
        return
    examples = text.split("Example")[1].split("╭")[0]
    lines = [line.strip() for line in examples.splitlines()[1:] if line.strip()]
    assert lines and all(line.startswith(f"minicc {command}") for line in lines), "an example is one line"


def test_the_course_is_imported_by_its_own_commands_alone(minicc):
    for name, summary in LATE.items():
        assert summary in " ".join(minicc.good(name, "--help").split())
    package = Path(cli.__file__).parents[1]
    users = {path for path in package.rglob("*.py") if "minicc.course" in path.read_text(encoding="utf-8")}
    named = {path.stem for path in users if not path.is_relative_to(package / "course")}
    assert named == {*LATE, "progress"}  # which `course` has
    assert not named & {
        name.rpartition(".")[2] for name in re.findall(r"from (\S+) import", Path(cli.__file__).read_text())
    }


def test_help_of_show_has_a_line_for_every_stage(minicc):
    text = minicc.good("show", "-h")
    for stage in STAGES:
        assert re.search(rf"^ +{stage}  +\w", text, re.MULTILINE)


def test_no_arguments_print_the_help(minicc):
    assert "Usage:" in minicc().out


@pytest.mark.parametrize(
    "arguments",
    [["compile"], ["compute"], ["ops", "extra"], ["run", "m", "--threads", "many"], ["run", "m", "--seed", "-1"]],
)
def test_usage_errors_are_short(minicc, arguments):
    outcome = minicc(*arguments)
    assert outcome.code == 2 and "Usage: " in outcome.err and "Traceback" not in outcome.err


def test_python_m_minicc_is_the_same_program(network):
    program = [sys.executable, "-P", "-m", "minicc"]
    done = subprocess.run([*program, "compile", network, "--dim", "batch=1"], capture_output=True, text=True)
    assert done.returncode == 0 and "2 kernels" in done.stdout and done.stderr == ""
    failed = subprocess.run([*program, "compile", network], capture_output=True, text=True)
    assert failed.returncode == 2 and failed.stderr.startswith("GraphError: ") and failed.stdout == ""


# ---- compile ------------------------------------------------------------------------------------


def test_compile_lists_kernels_and_memory(minicc, network):
    text = minicc.good("compile", network, "--dim", "batch=3")
    names = kernels_of(text)
    assert len(names) == 2 and names[1] == "softmax" and "matmul" in names[0]
    assert re.search(r"^2 kernels, arena [\d.]+ MB, weights [\d.]+ MB, compiled in [\d.]+ s, peak memory of the process "
                     r"[\d.]+ MB$", text, re.MULTILINE)  # fmt: skip


@pytest.mark.parametrize(
    "option", [["--dim", "batch=2"], ["--input-shapes", "x:[2,6]"], ["--input-shapes", " x : [ 2, 6 ] "]]
)
def test_symbols_are_bound_by_name_or_by_shape(minicc, network, option):
    assert "x: float32[2,6]" in minicc.good("show", network, "--stage", "graph", *option)


def test_pass_times(minicc, network):
    text = minicc("compile", network, "--dim", "batch=1", "--print-pass-times", "--threads", 1).err
    rows = re.findall(r"^(\S.*?) +([\d.]+) ms +([\d.]+)%$", text, re.MULTILINE)
    assert [name for name, _, _ in rows][:4] == ["bind", "resize later", "expand composites", "quantize products"]
    assert rows[-1][0] == "link" and float(re.search(r"^total +([\d.]+) ms$", text, re.MULTILINE)[1]) > 0
    assert sum(float(share) for _, _, share in rows) == pytest.approx(100, abs=1)


@pytest.mark.parametrize("suffix", STAGE_OF)
def test_compile_writes_a_stage(minicc, network, tmp_path, suffix):
    written = tmp_path / f"made{suffix}"
    out = minicc.good("compile", network, "--dim", "batch=2", "-o", written)
    assert out.endswith(f"wrote {written}\n")
    text = written.read_text()
    shown = minicc.good("show", network, "--dim", "batch=2", "--stage", STAGE_OF[suffix])
    assert text == shown and text.strip()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [written.name]


def test_a_compiled_model_is_kept_and_run(minicc, network, tmp_path):
    package, given, answers, again = (tmp_path / name for name in ("net.tar", "x.npz", "y.npz", "again.npz"))
    assert minicc.good("compile", network, "--dim", "batch=2", "-o", package).endswith(f"wrote {package}\n")
    np.savez(given, x=np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32))
    minicc.good("run", network, "--dim", "batch=2", "--inputs", given, "--outputs", answers)
    text = minicc.good("run", package, "--inputs", given, "--outputs", again, "--repeat", 2, "--profile")
    assert "latency: median" in text and "softmax" in text
    with np.load(answers) as wanted, np.load(again) as got:
        assert wanted.files == got.files and all(wanted[n].tobytes() == got[n].tobytes() for n in wanted.files)
    for arguments, said in ((["--device", "emulated"], "expected --device cpu for a package of kind cpu, got --device emulated"),
                            (["--dim", "batch=3"], "a package is compiled already")):  # fmt: skip
        outcome = minicc("run", package, *arguments)
        assert outcome.code == 2 and said in outcome.err and "hint: " in outcome.err


def test_a_written_file_is_replaced_at_once(minicc, network, tmp_path):
    written = tmp_path / "made.txt"
    written.write_text("old")
    minicc.good("compile", network, "--dim", "batch=2", "--output", written)
    assert written.read_text().startswith("graph net(x: float32[2,6])")


def test_the_written_loops_run(minicc, network, tmp_path):
    minicc.good("compile", network, "--dim", "batch=2", "-o", tmp_path / "made.py")
    names: dict = {}
    exec((tmp_path / "made.py").read_text(), names)  # our own output
    x = np.random.default_rng(1).standard_normal((2, 5)).astype(np.float32)
    y = np.empty_like(x)
    names["softmax"](x, y)
    e = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(y, e / e.sum(-1, keepdims=True), rtol=1e-5)


def test_a_model_that_waits_for_values_says_so(minicc, tmp_path):
    waiting = saved(waiting_network(), tmp_path / "waiting.onnx")
    assert "depend on the values of s" in minicc.good("compile", waiting)
    np.savez(tmp_path / "in.npz", x=np.arange(6, dtype=np.float32).reshape(2, 3), s=np.int64([3, 2]))
    text = minicc.good("run", waiting, "--inputs", tmp_path / "in.npz", "--profile", "--repeat", 2)
    assert "z: float32[3, 2] min 0 mean 2.5 max 5" in text and kernels_of(text) == ["relu"]


# ---- run ----------------------------------------------------------------------------------------


def test_run_reads_inputs_and_writes_outputs(minicc, network, tmp_path):
    x = np.random.default_rng(3).standard_normal((4, 6)).astype(np.float32)
    np.savez(tmp_path / "in.npz", x=x)
    text = minicc.good(
        "run", network, "--dim", "batch=4", "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz"
    )
    expected = small_network_reference(x)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        assert list(found) == ["y", "r"]
        for name, array in found.items():
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)
    assert text.splitlines()[-1] == f"wrote {tmp_path / 'out.npz'}"
    y = re.search(r"^y: float32\[4, 5\] min (\S+) mean (\S+) max (\S+), first (\S+), ", text, re.MULTILINE)
    wanted = expected["y"]
    np.testing.assert_allclose(
        [float(v) for v in y.groups()], [wanted.min(), wanted.mean(), wanted.max(), wanted[0, 0]], rtol=1e-4
    )


def test_run_takes_the_sizes_of_given_inputs(minicc, network, tmp_path):
    np.savez(tmp_path / "in.npz", x=np.ones((3, 6), np.float32))
    text = minicc.good("run", network, "--inputs", tmp_path / "in.npz", "--repeat", "2", "--profile")
    assert "y: float32[3, 5]" in text and "of 2 runs" in text and "GFLOP/s" in text


def test_run_reads_a_single_array(minicc, network, tmp_path):
    np.save(tmp_path / "picture.npy", np.zeros((1, 6), np.float32))
    assert "y: float32[1, 5]" in minicc.good("run", network, "--dim", "batch=1", "--inputs", tmp_path / "picture.npy")


def test_run_on_random_inputs_depends_on_the_seed_only(minicc, network):
    def lines(*arguments) -> list[str]:
        return minicc.good("run", network, "--dim", "batch=1", *arguments).splitlines()

    assert lines() == lines("--seed", 0, "--threads", 2) != lines("--seed", 1)
    assert "random inputs" in minicc("run", network, "--dim", "batch=1").err


def test_run_repeats_and_profiles(minicc, network):
    text = minicc.good("run", network, "--dim", "batch=8", "--repeat", 5, "--profile")
    assert re.search(r"^latency: median [\d.]+ ms, best [\d.]+ ms of 5 runs$", text, re.MULTILINE)
    assert re.search(r"^kernel +calls +us +share +GFLOP/s +GB/s +of roofline$", text, re.MULTILINE)
    assert sorted(kernels_of(text))[-1] == "softmax"
    shares = [float(share) for share in re.findall(r" (\d+\.\d)%", text)]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert all(int(share) <= 100 for share in re.findall(r" (\d+)%$", text, re.MULTILINE))
    assert "medians of repeated runs after a first one" in text


# ---- show ---------------------------------------------------------------------------------------

SIGNS = {
    "graph": "MatMul(",
    "fused": "Kernel[softmax](",
    "memory": "softmax(outputs 1[0:40]) -> ",
    "te": "sum(",
    "naive": "def softmax(",
    "schedule": "# recipe gemm: ",
    "trace": "s.vectorize(",
    "loop": "def softmax(",
    "llvm": "define void @softmax(",
    "asm": "softmax:",
}


@pytest.mark.parametrize("stage", STAGES)
def test_show(minicc, network, stage):
    whole = minicc.good("show", network, "--dim", "batch=2", "--stage", stage)
    assert SIGNS[stage] in whole and "matmul" in whole.lower()
    one = minicc.good("show", network, "--dim", "batch=2", "--stage", stage, "--kernel", "softmax")
    assert one.strip() and "matmul" not in one.lower()
    assert ("Softmax" if stage in ("graph", "fused") else "s." if stage in ("schedule", "trace") else "softmax") in one


def test_the_default_stage_is_fused(minicc, network):
    assert minicc.good("show", network, "--dim", "batch=1") == minicc.good(
        "show", network, "--dim", "batch=1", "--stage", "fused"
    )


def test_show_stops_quietly_when_nobody_reads(network):
    program = f"'{sys.executable}' -P -m minicc show '{network}' --dim batch=1 --stage asm | head -n 1"
    done = subprocess.run(program, shell=True, capture_output=True, text=True)
    assert done.stderr == "" and len(done.stdout.splitlines()) == 1


# ---- ops, doctor, demo --------------------------------------------------------------------------


def test_ops_lists_every_operator(minicc):
    lines = minicc.good("ops").splitlines()
    assert lines[0].split() == ["operator", "kind", "attributes", "meaning"]
    assert [line.split()[0] for line in lines[1:]] == sorted(REGISTRY | INTERPRETED)
    assert re.search(r"^Softmax +\w+ +axis +\S", "\n".join(lines), re.MULTILINE)


def test_ops_of_one_operator(minicc):
    assert [line.split()[0] for line in minicc.good("ops", "--operator", "Relu").splitlines()] == ["operator", "Relu"]


def test_ops_counts_what_passes_of_the_backend_tests(minicc):
    text = minicc.good("ops", "--suite", "--operator", "Softmax", "--operator", "Xor", "--operator", "Xor")
    assert [line.split() for line in text.splitlines()] == [
        ["Softmax", "7", "of", "7"],
        ["Xor", "8", "of", "8"],
        ["all", "15", "of", "15"],
    ]


@pytest.mark.parametrize(("name", "hint"), [("Sofmax", "did you mean Softmax?"), ("?", "minicc ops lists them all")])
@pytest.mark.parametrize("suite", [[], ["--suite"]])
def test_ops_of_an_unknown_operator(minicc, name, hint, suite):
    outcome = minicc("ops", "--operator", name, *suite)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"ConfigError: --operator {name}: expected the name of an operator, got {name!r}\nhint: {hint}\n"
    )


def test_doctor(minicc, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MINICC_THREADS", "3")
    monkeypatch.setenv("MINICC_RELAY", str(tmp_path / "relay"))
    monkeypatch.setattr("minicc.cli.doctor.measure_peak", lambda target: 34e9)
    monkeypatch.setattr("minicc.cli.doctor.measure_bandwidth", lambda target: 11e9)
    rows = dict(line.split("  ", 1) for line in minicc.good("doctor").splitlines())
    rows = {name: value.strip() for name, value in rows.items()}
    assert rows["numpy"] == np.__version__ and rows["minicc"] == metadata.version("minicc")
    assert rows["threads"] == "3" and rows["kernel cache"] == str(tmp_path / "cache")
    assert rows["relay (extra)"] == "not installed: make relay"
    assert rows["peak float32"] == "34 GFLOP/s on one core" and rows["memory"] == "11000.0 MB/s on one core"
    assert {"python", "llvm", "triple", "cpu", "vectors", "features", "caches", "openmp"} < set(rows)


def test_doctor_makes_the_environment_of_the_old_tvm_once(minicc, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICC_RELAY", str(tmp_path))
    monkeypatch.setattr("minicc.bridge.environment._make", lambda folder, report: report("all of it", 3.0))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    monkeypatch.setattr("minicc.bridge.environment.STAMP", "stamp")
    (tmp_path / "stamp").touch()
    outcome = minicc("doctor", "--setup-relay")
    assert (outcome.code, outcome.err) == (0, "all of it; 3 s left\n")
    assert outcome.out == f"relay: made: TVM 0.16 of hhb-tvm==3.2.3, by {tmp_path}/bin/python\n"
    assert minicc.good("doctor", "--setup-relay").startswith("relay: already there: TVM 0.16 ")


def test_demo(minicc, tmp_path):
    text = minicc.good("demo", "--picture", tmp_path / "digits.svg")
    compiled, reference = re.search(r"accuracy +([\d.]+)% compiled, ([\d.]+)% reference", text).groups()
    assert compiled == reference and float(compiled) > 97
    assert float(re.search(r"differ by at most (\S+)", text)[1]) < 1e-4
    assert len(kernels_of(text)) >= 5 and "what to read next" in text
    picture = (tmp_path / "digits.svg").read_text()
    assert picture.startswith("<svg ") and picture.count("<text") == 60 + 4  # the legend's
    assert "<title" in picture and "<desc" in picture and picture.count(", not ") == picture.count('class="bold"')
    advice = re.search(r"minicc (show .*)", text)[1].split()
    assert "def " in minicc.good(*advice)


# ---- how options are read -----------------------------------------------------------------------


def test_dims_and_shapes_are_read():
    assert read_dims(["batch=4", " length = 12"]) == {"batch": 4, "length": 12}
    assert read_shapes("x:[1,3] y:[2], z:0:[ ]") == {"x": (1, 3), "y": (2,), "z:0": ()}
    assert read_dims(None) == {} and read_shapes(None) == {}


@pytest.mark.parametrize("dtype", DType.table.values(), ids=str)
def test_random_inputs_have_the_type_asked_for(dtype):
    made = random_input(TensorType(dtype, (3, 0, 2)), np.random.default_rng(0))
    assert made.dtype == dtype.numpy and made.shape == (3, 0, 2)


def test_tables_align_text_left_and_numbers_right():
    assert table_text([["a", 1], ["bcd", 20]], ["name", "calls"]) == "name  calls\na         1\nbcd      20"
    assert table_text([], ["name", "calls"]) == "name  calls"


def test_print_ir_before_and_after(minicc, network):
    outcome = minicc(
        "compile", network, "--dim", "batch=1", "--print-ir-before", "fuse", "--print-ir-after", "place init"
    )
    assert outcome.code == 0 and outcome.err.count("before fuse") == 1 and outcome.err.count("after place init") == 2
    assert "graph net(x: float32[1,6])" in outcome.err and "for " in outcome.err and "kernels" in outcome.out
    shown = minicc("show", network, "--dim", "batch=1", "--print-ir-after", "fuse")
    assert shown.out.strip() in shown.err and "Kernel[" in shown.out


def test_print_ir_of_no_pass(minicc, network):
    outcome = minicc("run", network, "--print-ir-after", "fold")
    assert outcome.code == 2 and "ConfigError: --print-ir-after fold: expected the name of a pass" in outcome.err
    assert "simplify" in outcome.err and "hint: " in outcome.err


@pytest.mark.parametrize("target", ["x86-64-v2", "llvm -mcpu=x86-64-v2", "portable"])
def test_words_for_targets(minicc, network, target):
    assert 'target triple = "x86_64' in minicc.good(
        "show", network, "--dim", "batch=1", "--stage", "llvm", "--target", target
    )
