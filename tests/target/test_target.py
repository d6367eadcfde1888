"""The target and what the environment says of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from minicc import config
from minicc.errors import ConfigError, TargetError
from minicc.runtime.jit import Library
from minicc.target import Caches, Target, available_threads, cgroup_cpus, read_caches
from minicc.target.host import lacking
from minicc.target.processors import vectors


def test_native() -> None:
    target = Target.native()
    assert target.vector_bits in (128, 256, 512) and target.registers in (16, 32)
    assert target.lanes("float32") * 32 == target.vector_bits and target.lanes("int8") == target.vector_bytes
    assert 1 <= target.threads <= (os.cpu_count() or 1) or config.threads()
    assert 0 < target.caches.l1 <= target.caches.l2
    assert Target.of("native") == target and Target.of(target) is target
    assert target.with_threads(3).threads == 3
    assert target.cpu in str(target)
    assert not target.has("no-such-feature")


def test_vector_registers() -> None:
    assert vectors({"avx512f", "avx2"}, "x86_64-linux") == (512, 32)
    assert vectors({"avx2"}, "x86_64-linux") == (256, 16)
    assert vectors(set(), "x86_64-linux") == (128, 16)
    assert vectors({"neon"}, "aarch64-linux") == vectors({"neon"}, "arm64-apple") == (128, 32)


def test_caches(tmp_path: Path) -> None:
    assert Caches() == Caches(32 << 10, 256 << 10, 8 << 20)  # what every machine of today has at least
    assert read_caches(tmp_path) == Caches()
    for n, (kind, level, size) in enumerate(
        [
            ("Data", 1, "48K"),
            ("Instruction", 1, "64K"),
            ("Unified", 2, "2M"),
            ("Unified", 3, "odd"),
            ("Unified", 4, "1G"),
        ]
    ):
        folder = tmp_path / f"devices/system/cpu/cpu0/cache/index{n}"
        folder.mkdir(parents=True)
        for name, content in (("type", kind), ("level", level), ("size", size)):
            (folder / name).write_text(f"{content}\n")
    (tmp_path / "devices/system/cpu/cpu0/cache/index9").mkdir()
    assert read_caches(tmp_path) == Caches(48 << 10, 2 << 20, Caches().l3)


def test_cgroup_version_2(tmp_path: Path) -> None:
    mine = tmp_path / "cgroup"
    mine.write_text("0::/a/b\n")
    folder = tmp_path / "fs/cgroup/a/b"
    folder.mkdir(parents=True)
    assert cgroup_cpus(tmp_path, mine) is None
    (folder / "cpu.max").write_text("max 100000\n")
    assert cgroup_cpus(tmp_path, mine) is None
    (folder.parent / "cpu.max").write_text("350000 100000\n")
    assert cgroup_cpus(tmp_path, mine) == 3
    (folder / "cpu.max").write_text("50000 100000\n")
    assert cgroup_cpus(tmp_path, mine) == 1
    assert available_threads(tmp_path, mine) == 1


def test_cgroup_version_1(tmp_path: Path) -> None:
    mine = tmp_path / "cgroup"
    mine.write_text("4:memory:/x\n2:cpu,cpuacct:/deep/one\n")
    root = tmp_path / "fs/cgroup/cpu,cpuacct"
    root.mkdir(parents=True)
    (root / "cpu.cfs_quota_us").write_text("-1\n")
    (root / "cpu.cfs_period_us").write_text("100000\n")
    assert cgroup_cpus(tmp_path, mine) is None
    (root / "cpu.cfs_quota_us").write_text("200000\n")
    assert cgroup_cpus(tmp_path, mine) == 2
    assert cgroup_cpus(tmp_path, tmp_path / "absent") is None


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.threads({}) is None
    assert config.threads({"OMP_NUM_THREADS": "4,2"}) == 4
    assert config.threads({"OMP_NUM_THREADS": "4", "MINICC_THREADS": "1"}) == 1
    assert config.cache_dir({"MINICC_CACHE_DIR": str(tmp_path)}) == tmp_path
    assert config.cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "minicc"
    assert config.cache_dir({}) == Path.home() / ".cache/minicc"
    monkeypatch.setenv("MINICC_THREADS", "7")
    assert Target.native().threads == 7


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_bad_thread_counts(value: str) -> None:
    with pytest.raises(ConfigError, match="expected a positive integer") as caught:
        config.threads({"MINICC_THREADS": value})
    assert caught.value.where and caught.value.hint


@pytest.mark.parametrize(("name", "lanes", "registers", "fma"), [
    ("x86-64-v2", 4, 16, False), ("haswell", 8, 16, True), ("x86-64-v3", 8, 16, True), ("skylake-avx512", 16, 32, True),
    ("x86-64-v4", 16, 32, True)])  # fmt: skip
def test_named_targets_are_the_same_everywhere(name: str, lanes: int, registers: int, fma: bool) -> None:
    target = Target.of(name)
    assert (target.lanes("float32"), target.registers, target.has("fma"), target.threads) == (lanes, registers, fma, 1)
    assert target.caches == Caches() and target.triple == "x86_64-unknown-linux-gnu" and target == Target.of(name)


def test_the_environment_names_the_target_that_native_means(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.target({}) is None and config.target({"MINICC_TARGET": "native"}) is None
    monkeypatch.delenv("MINICC_TARGET", raising=False)
    real = Target.native()
    if real.lacking() or not real.has("sse4.2"):
        assert not real.triple.startswith("x86_64"), "every x86-64 processor of today has SSE 4.2, and all that it has"
        return
    monkeypatch.setenv("MINICC_TARGET", "x86-64-v2")
    level = Target.native()
    assert (level.cpu, level.vector_bits, level.caches) == ("x86-64-v2", 128, real.caches) and not level.lacking()


def test_the_environment_names_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINICC_TARGET", "sparc")
    with pytest.raises(ConfigError, match=r"MINICC_TARGET=sparc: expected the name of a target, got 'sparc'") as caught:
        Target.native()
    assert caught.value.where and "haswell" in caught.value.hint


def test_code_for_another_processor_is_made_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = {"avx512f": False, "avx2": True}
    monkeypatch.setattr("minicc.target.host.llvm.get_host_cpu_features", lambda: lacks)
    monkeypatch.setattr("minicc.target.host.llvm.get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    lacking.cache_clear()
    try:
        target = Target.of("skylake-avx512")
        assert target.lacking() == ("avx512f",) and Target.of("haswell").lacking() == ()
        assert replace(target, triple="aarch64-unknown-linux-gnu").lacking() == ("aarch64",)
        library = Library({"f": 0}, target)
        with pytest.raises(TargetError, match="expected a processor with avx512f, got one without") as caught:
            library.function("f", None)()
        assert caught.value.where and caught.value.hint
        monkeypatch.setenv("MINICC_TARGET", "skylake-avx512")
        with pytest.raises(
            ConfigError, match="expected a target whose code runs here, got one that needs avx512f"
        ) as refused:
            Target.native()
        assert refused.value.where and refused.value.hint
    finally:
        lacking.cache_clear()


def test_no_generator_for_a_triple() -> None:
    with pytest.raises(TargetError, match="expected a triple that LLVM has a generator for") as caught:
        Target("no-such-machine", "", "", 128, 16).machine()
    assert caught.value.where and caught.value.hint


def test_no_threads() -> None:
    with pytest.raises(TargetError) as caught:
        Target.native().with_threads(0)
    assert caught.value.where and caught.value.hint
