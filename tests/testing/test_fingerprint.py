"""Kernels become the text that was recorded: a part of them in the quick suite, all in the slow one."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from minicc.bridge import _tvm
from minicc.errors import ConfigError
from minicc.recipes import gemm
from minicc.testing import fingerprint
from minicc.testing.fingerprint import CUDA, GROUPS, MODELS, TARGETS, compare, fingerprints, read, write

RECORDED = Path(__file__).with_name("fingerprints.txt")
ROOT = RECORDED.parent.parent.parent


def of_groups(*groups):
    return {key: value for key, value in read(RECORDED).items() if key.split("/")[0] in groups}


LARGE = (*MODELS, "operators", "steps", "chains")  # groups that take seconds


@pytest.mark.parametrize("group", [pytest.param(g, marks=[pytest.mark.slow] * (g in LARGE)) for g in (*GROUPS, CUDA)])
def test_kernels_become_what_was_recorded(group):
    assert not compare(of_groups(group), fingerprints([group]))


@pytest.mark.slow
def test_the_whole_table_in_other_surroundings():
    """It depends neither on the seed of hashes, nor on how many cores and threads there are, nor on the native target."""
    surroundings = {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3", "MINICC_TARGET": "x86-64-v2"}
    command = [sys.executable, "-m", "minicc.testing.fingerprint", "--check", str(RECORDED)]
    one_core = lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # noqa: E731
    made = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **surroundings}, preexec_fn=one_core, capture_output=True, text=True
    )
    assert (made.returncode, made.stdout) == (0, f"{len(read(RECORDED))} kernels, 0 differences\n"), (
        made.stdout + made.stderr
    )


def test_the_table_is_large_enough():
    recorded = read(RECORDED)
    assert len(recorded) >= 40
    assert {key.split("/")[0] for key in recorded} == {*GROUPS, CUDA}
    assert {key.rpartition(" @ ")[2] for key in recorded} == {*(t.cpu for t in TARGETS), "sm_90"}


def test_a_change_of_a_recipe_shows(monkeypatch):
    monkeypatch.setattr(gemm, "AHEAD", 4)
    found = compare(of_groups("gemm"), fingerprints(["gemm"]))
    assert "differs  gemm/64x64x64 @ haswell" in found and not any("1x1000x512" in line for line in found)


@pytest.fixture
def one_group(monkeypatch):
    monkeypatch.setattr(fingerprint, "GROUPS", {"gemm": lambda target: islice(GROUPS["gemm"](target), 1)})
    monkeypatch.setattr(_tvm, "installed", lambda: dict.fromkeys(_tvm.PAIR))
    return fingerprints(["gemm"])


def test_the_command(one_group, tmp_path, capsys):
    path = tmp_path / "table.txt"
    fingerprint.main(output=path)
    assert read(path) == one_group and [p.name for p in tmp_path.iterdir()] == ["table.txt"]
    fingerprint.main()
    told = capsys.readouterr()
    assert told.out == path.read_text() and "left out: cuda, which needs TVM: pip install" in told.err
    write(path, {**one_group, f"{CUDA}/a @ sm_90": "0" * 16})  # is not missed without TVM
    with pytest.raises(SystemExit, match="0"):
        fingerprint.main(check=path)
    assert capsys.readouterr().out == "2 kernels, 0 differences\n"
    write(path, {**one_group, "gemm/1x1000x512 @ haswell": "0" * 16})
    with pytest.raises(SystemExit, match="1"):
        fingerprint.main(check=path)
    assert capsys.readouterr().out == "differs  gemm/1x1000x512 @ haswell\n2 kernels, 1 differences\n"


def test_no_table(tmp_path):
    with pytest.raises(
        ConfigError, match=r"read\(.*\): expected a table, got nothing called 'a\.txt'[^\n]*\n    /.*\nhint: "
    ):
        read(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("0123456789abcdef a @ b\nnonsense\n")
    with pytest.raises(
        ConfigError, match=r"read\(.*\): expected a hash and a key, got 'nonsense'\n    .*b\.txt:2\nhint: --write"
    ):
        read(tmp_path / "b.txt")
    with pytest.raises(
        ConfigError, match=r"write\(.*\): expected a file that can be made, but .* is a folder\n    /.*\nhint: "
    ):
        write(tmp_path, {})


def test_models_are_built_where_the_sources_are(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if Path(p).resolve() != ROOT])
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if "editable" not in str(f).lower()])
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError,
        match=r"fingerprints\(\['resnet18'\]\): expected the folder benchmarks, got No module[^\n]*\n    /.*\nhint: run it in",
    ):
        fingerprints(["resnet18"])
