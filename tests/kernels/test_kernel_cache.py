"""The kernel cache: the same results from it, and nothing but a miss from what is damaged, half written or foreign."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc import ops
from minicc.graph.ir import Graph, constant, input
from minicc.kernels import compile_kernels, key
from minicc.recipes import registry
from minicc.recipes.registry import Recipe
from minicc.runtime import jit
from minicc.runtime.kernel_cache import KernelCache, KernelCode, kernel_cache, sources
from minicc.target import Target
from minicc.types import TensorType, float32

CODE = KernelCode(b"\x7fELF object", 2, (64, 64, 64), 128, 16, 192)
X = np.linspace(-2, 2, 48, dtype=np.float32).reshape(6, 8)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> KernelCache:
    """An empty one, turned on."""
    monkeypatch.setenv("MINICC_CACHE", "on")
    monkeypatch.setenv("MINICC_CACHE_DIR", str(tmp_path))
    return KernelCache(tmp_path / "kernels")


def network(name: str = "net", width: int = 8, label: str = "x") -> Graph:
    x = input(label, TensorType(float32, (6, 8)))
    w = constant(np.linspace(-1, 1, 8 * width, dtype=np.float32).reshape(8, width))
    y = ops.Relu()(ops.MatMul()(x, w))
    return Graph(name, (x,), (ops.Softmax(axis=-1)(y),), ("y",))


def lowered(monkeypatch) -> list[str]:
    """The labels of the kernels that are lowered from now on."""
    seen: list[str] = []
    real = compile_kernels.lower_kernel
    monkeypatch.setattr(compile_kernels, "lower_kernel", lambda k, *a, **o: (seen.append(k.label), real(k, *a, **o))[1])
    return seen


# ---- models -----------------------------------------------------------------------------------------------------


def test_a_second_compilation_lowers_nothing_and_gives_the_same(cache, monkeypatch) -> None:
    first = minicc.compile(network())
    seen = lowered(monkeypatch)
    second = minicc.compile(network())
    assert not seen
    np.testing.assert_array_equal(first(X)[0], second(X)[0])
    assert first.image.sections == second.image.sections and first.arena_bytes == second.arena_bytes
    assert [(k.label, k.flops, k.bytes, k.symbol, k.effective) for k in first.kernels] == [
        (k.label, k.flops, k.bytes, k.symbol, k.effective) for k in second.kernels
    ]
    assert dict(second.stages) == dict(first.stages) and seen  # texts are made when somebody reads them
    assert [dict(k.stages) for k in second.kernels] == [dict(k.stages) for k in first.kernels]


def test_names_do_not_matter_but_what_decides_the_code_does(cache, monkeypatch) -> None:
    minicc.compile(network(), threads=1)
    seen = lowered(monkeypatch)
    minicc.compile(network("other", label="another"), threads=1)
    assert not seen
    for change in ({"threads": 2}, {"target": "x86-64-v2"}):
        minicc.compile(network(), **{"threads": 1, **change})
        assert seen
        seen.clear()
    minicc.compile(network(width=9), threads=1)
    assert seen


def test_whoever_observes_sees_all(cache, monkeypatch) -> None:
    minicc.compile(network())
    seen = []
    minicc.compile(network(), observe=lambda event: seen.append(event.stage))
    assert {"lower", "schedule", "place init", "emit"} <= set(seen)
    seen.clear()
    minicc.compile(network(), observe=lambda event: seen.append(event.stage), cache=True)
    assert "lower" not in seen and "kernels" in seen


def test_foreign_recipes_schedules_and_operators_have_no_key(cache) -> None:
    kernel = next(n.op for n in minicc.compile.__globals__["optimize"](network()).nodes if n.op.name == "Kernel")
    target = Target.native()
    assert key.kernel_key(kernel, target) and key.kernel_key(kernel, target, {"rows": 4})
    assert key.kernel_key(kernel, target) != key.kernel_key(kernel, target, {"rows": 4})
    made = compile_kernels.lower_kernel(kernel, target)
    assert key.kernel_key(kernel, target, made.scheduled.schedule.trace) is None
    registry.register(Recipe("foreign", lambda program, target: None, lambda s, target: None))
    try:
        assert key.kernel_key(kernel, target) is None
    finally:
        registry.unregister("foreign")
    assert jit.VERSION in key.kernel_key(kernel, target) and sources() in key.kernel_key(kernel, target)


def test_many_kernels_are_compiled_by_several_processes(cache, monkeypatch) -> None:
    def wide(widths) -> Graph:
        x = input("x", TensorType(float32, (6, 8)))
        w = [constant(np.linspace(-1, 1, 8 * width, dtype=np.float32).reshape(8, width)) for width in widths]
        return Graph("wide", (x,), tuple(ops.MatMul()(x, each) for each in w), tuple(f"y{n}" for n in widths))

    monkeypatch.setattr(compile_kernels, "MANY", 2)
    monkeypatch.setenv("MINICC_JOBS", "1")
    alone = minicc.compile(wide(range(1, 8)), cache=False)
    monkeypatch.setenv("MINICC_JOBS", "3")
    together = minicc.compile(wide(range(1, 8)))
    assert alone.image.sections == together.image.sections


# ---- files ------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_found_by_its_whole_key(tmp_path) -> None:
    cache = KernelCache(tmp_path)
    cache.keep("key", CODE)
    assert cache.find("key") == CODE and cache.find("other") is None
    cache._path("key").rename(cache._path("other"))  # two keys of one hash
    assert cache.find("other") is None
    cache.keep("other", CODE)
    assert cache.find("other") == CODE


@given(data=st.data())
def test_a_damaged_file_is_a_miss_and_is_replaced(tmp_path_factory, data) -> None:
    cache = KernelCache(tmp_path_factory.mktemp("cache"))
    cache.keep("key", CODE)
    path = cache._path("key")
    whole = path.read_bytes()
    if data.draw(st.booleans(), "cut"):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        at = data.draw(st.integers(0, len(whole) - 1), "byte")
        path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    assert cache.find("key") is None
    cache.keep("key", CODE)
    assert cache.find("key") == CODE


def test_many_writers_and_readers_at_once(tmp_path) -> None:
    cache, wrong = KernelCache(tmp_path), []

    def work(seed: int) -> None:
        for n in range(60):
            cache.keep(f"key {n % 5}", replace(CODE, flops=n % 5))
            found = cache.find(f"key {n % 5}")
            if found is None or found.flops != n % 5:
                wrong.append((seed, n))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong and len(cache.files()) == 5


def test_a_writer_that_is_killed_leaves_no_half_file(tmp_path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from minicc.runtime import kernel_cache as k\n"
        "real = Path.replace\n"
        "Path.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"k.KernelCache(Path({str(tmp_path)!r})).keep('key', k.KernelCode(b'x' * 1000, 0, (), 0))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    cache = KernelCache(tmp_path)
    (unfinished,) = cache.files()
    assert cache.find("key") is None
    os.utime(unfinished[2], (1, 1))
    cache.trim()
    assert not cache.files()


def test_what_was_not_used_for_longest_goes(tmp_path) -> None:
    cache = KernelCache(tmp_path, limit=10_000)
    for n in range(10):
        cache.keep(f"key {n}", replace(CODE, object=bytes(1000)))
        os.utime(cache._path(f"key {n}"), (n, n))
    cache.find("key 0")
    cache.trim()
    kept = [n for n in range(10) if cache.find(f"key {n}")]
    assert 0 in kept and 1 not in kept and kept[-1] == 9
    assert sum(size for _, size, _ in cache.files()) <= 7500
    assert cache.clear() == len(kept) and not cache.files()


def test_one_in_many_kernels_makes_room(tmp_path) -> None:
    cache = KernelCache(tmp_path, limit=0)
    names = {name: cache._path(name).name[:2] for name in map(str, range(2000))}
    assert 2 <= list(names.values()).count("00") <= 20
    cache.keep(next(name for name in names if names[name] != "00"), CODE)
    assert len(cache.files()) == 1
    cache.keep(next(name for name in names if names[name] == "00"), CODE)
    assert not cache.files()


def test_a_folder_that_others_may_write_is_not_used(cache) -> None:
    assert kernel_cache().folder == cache.folder
    cache.folder.mkdir()
    assert kernel_cache() is not None
    cache.folder.chmod(0o777)
    assert kernel_cache() is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, cache) -> None:
    (tmp_path / "kernels").write_text("a file where the folder should be")
    cache.keep("key", CODE)
    assert cache.find("key") is None and not cache.files() and cache.clear() == 0
    minicc.compile(network())


def test_it_is_turned_off(cache, monkeypatch) -> None:
    monkeypatch.setenv("MINICC_CACHE", "off")
    minicc.compile(network())
    assert kernel_cache() is None and not Path(cache.folder).exists()
    monkeypatch.setenv("MINICC_CACHE", "perhaps")
    with pytest.raises(minicc.errors.ConfigError, match="expected on or off"):
        kernel_cache()


def test_a_name_in_an_object() -> None:
    code = b"..\0" + jit.PLACEHOLDER.encode() + b"\0i." + jit.PLACEHOLDER.encode() + b"\0"
    made = jit.renamed(code, "conv")
    assert len(made) == len(code) and [n for n in made.split(b"\0") if n] == [b"..", b"conv", b"i.conv"]
    with pytest.raises(minicc.errors.CodegenError, match="at most"):
        jit.renamed(code, "c" * 300)
