"""Packages: what is written comes back; files that are broken or hostile are refused in four parts."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import subprocess
import sys
import tarfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from gpu_cases import ADD, IMPOSSIBLE, add_image, buffers, device_image, members_of, saved, tar_of, with_manifest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc import ops
from minicc.errors import ConfigError, LoadError, RunError, TargetError
from minicc.graph.ir import Graph, constant, input
from minicc.package import load_package, read, write
from minicc.runtime.image import KernelLaunch, Number, Port
from minicc.target import Target
from minicc.types import DType, TensorType, float32

float32_100 = TensorType(float32, (100,))


@pytest.fixture(scope="module")
def content():
    return saved(add_image(sm_90=b"\x7fELF90", sm_75=b"\x7fELF75", compute_75=b".version 8\n"))


@pytest.fixture
def refused(tmp_path):
    """The error that reading some bytes raises."""

    def read_it(content):
        path = tmp_path / "broken.tar"
        path.write_bytes(content)
        with pytest.raises(LoadError) as info:
            read(path)
        assert info.value.hint
        return str(info.value)

    return read_it


def read_back(image, folder):
    """The image after a file."""
    write(image, folder / "image.tar")
    return read(folder / "image.tar")


@pytest.fixture(scope="module")
def network():
    """A small model with weights of two types, and inputs for it."""
    x, weight = input("x", TensorType(float32, (4, 8))), np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    y = ops.Softmax()(ops.Relu()(ops.MatMul()(x, constant(weight))))
    graph = Graph("net work", (x,), (y, ops.Add()(x, constant(np.float32(1)))), ("y", "z"))
    return minicc.compile(graph), np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)


# ---- there and back ---------------------------------------------------------------------------------------------


def test_what_is_written_is_read(content, tmp_path):
    path = tmp_path / "add.tar"
    path.write_bytes(content)
    image, add = read(path), add_image()
    assert saved(image) == content
    assert (image.kernels, image.inputs, image.buffers, image.target) == (
        add.kernels,
        add.inputs,
        add.buffers,
        add.target,
    )
    assert image.source == ADD and image.sections["kernels.sm_75.cubin"] == b"\x7fELF75"
    assert image.sections["kernels.compute_75.ptx"] == b".version 8\n" and image.arena == 1200
    np.testing.assert_array_equal(image.constants[0], np.arange(100, dtype=np.float32))
    assert image.symbols == ["add_kernel"] and image.stages["cuda"] == ADD


def test_members_have_no_times_and_no_owners(content, tmp_path):
    path = tmp_path / "add.tar"
    path.write_bytes(content)
    with tarfile.open(path) as tar:
        assert [m.name for m in tar] == ["manifest.json", "code/kernels.cu", "code/kernels.sm_90.cubin", "code/kernels.sm_75.cubin",
                                         "code/kernels.compute_75.ptx", "constants", "stages"]  # fmt: skip
        assert all((m.mtime, m.uid, m.gid, m.uname) == (0, 0, 0, "") for m in tar)


def test_numbers_among_the_arguments(tmp_path):
    numbers = Number(-5, DType.of("int64")), Number(7, DType.of("uint8"))
    launch = KernelLaunch("k", (1, 1, 1), (1, 1, 1), 16, (0, *numbers))
    assert read_back(device_image("n", (), (), buffers(4), [launch], ""), tmp_path).launches == [launch]


@given(
    st.lists(
        st.tuples(st.sampled_from(list(DType.table.values())), st.lists(st.integers(0, 4), max_size=3)), max_size=4
    )
)
def test_constants_of_every_dtype(tmp_path_factory, types):
    arrays = [np.random.default_rng(0).integers(0, 2 if dtype.kind == "bool" else 100, shape).astype(dtype.numpy)
              for dtype, shape in types]  # fmt: skip
    image = replace(device_image("c", (), (), (), [], ""), constants=tuple(arrays))
    for back, array in zip(read_back(image, tmp_path_factory.mktemp("c")).constants, arrays, strict=True):
        assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes()
        assert back.ctypes.data % 64 == 0 or not back.size  # and mapped, not copied
        assert not back.flags.writeable and not back.flags.owndata


@given(
    st.lists(
        st.tuples(st.sampled_from(list(DType.table.values())), st.lists(st.integers(0, 3), max_size=3)), max_size=4
    )
)
def test_ports_come_back_in_order_with_their_names_types_and_buffers(tmp_path_factory, types):
    ports = tuple(
        Port(f"x {k}", TensorType(dtype, tuple(shape)), len(types) - 1 - k) for k, (dtype, shape) in enumerate(types)
    )
    memory = buffers(*(p.type.bytes for p in reversed(ports)))
    back = read_back(device_image("p", ports, ports[::-1], memory, [], ""), tmp_path_factory.mktemp("ports"))
    assert (back.inputs, back.outputs, back.buffers) == (ports, ports[::-1], memory)


def test_a_package_is_read_and_run_without_tvm_and_without_cuda():
    code = ("import sys; import minicc.package, minicc.device;"
            "print([m for m in ('tvm', 'cuda', 'cupy') if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- compiled models --------------------------------------------------------------------------------------------


def test_a_compiled_model_gives_the_same_bits_in_another_process(network, tmp_path):
    exe, x = network
    path, given, got = (tmp_path / name for name in ("net.tar", "x.npy", "y.npz"))
    write(exe.image, path)
    np.save(given, x)
    code = ("import sys, numpy as np, minicc; exe = minicc.load_package(sys.argv[1]);"
            "np.savez(sys.argv[3], **exe.run({'x': np.load(sys.argv[2])}))")  # fmt: skip
    subprocess.run([sys.executable, "-P", "-c", code, path, given, got], check=True)
    with np.load(got) as results:
        for name, want in exe.run({"x": x}).items():
            assert results[name].tobytes() == want.tobytes()


def test_a_compiled_model_comes_back_whole(network, tmp_path):
    exe, x = network
    path = tmp_path / "net.tar"
    write(exe.image, path)
    back = load_package(str(path))
    assert saved(back.image) == path.read_bytes() == saved(exe.image)
    assert (back.name, back.inputs, back.outputs, back.threads) == (exe.name, exe.inputs, exe.outputs, exe.threads)
    assert (back.arena_bytes, back.constant_bytes) == (exe.arena_bytes, exe.constant_bytes)
    assert back.memory_plan == exe.memory_plan and back.memory_plan.size == back.arena_bytes > 0
    assert [(k.label, k.flops, k.bytes, k.symbol, k.effective) for k in back.kernels] == [
        (k.label, k.flops, k.bytes, k.symbol, k.effective) for k in exe.kernels
    ]
    assert {k: v for k, v in back.stages.items() if k != "asm"} == {k: v for k, v in exe.stages.items() if k != "asm"}
    assert back.kernels[0].stages["asm"] == exe.kernels[0].stages["asm"]  # made again from the text of LLVM
    assert exe.kernels[0].stages["asm"] in back.stages["asm"]
    assert len(back.profile(x)) == len(exe.kernels)
    with pytest.raises(RunError, match="input 'x' must have float32"):
        back(x.astype(np.float64))
    assert pickle.loads(pickle.dumps(back))(x)[0].tobytes() == exe(x)[0].tobytes()


def test_what_was_there_is_replaced_when_all_is_written(network, tmp_path):
    path = tmp_path / "net.tar"
    path.write_bytes(b"something else")
    mapped = network[0].image
    write(mapped, path)
    held = read(path)
    write(held, path)  # over the file that its constants are mapped from
    assert saved(read(path)) == saved(mapped) and [p.name for p in tmp_path.iterdir()] == ["net.tar"]
    with pytest.raises(ConfigError, match="expected the name of a new file"):
        write(mapped, tmp_path / "none" / "net.tar")


def test_an_image_for_another_processor(network, tmp_path):
    needs = replace(Target.native(), features="+avx2,+not-there,+avx512f", triple=Target.native().triple)
    elsewhere = replace(Target.of("haswell"), triple="aarch64-unknown-linux-gnu")
    for target, said in ((elsewhere, "expected a processor with aarch64"), (needs, None)):
        write(replace(network[0].image, target=target), path := tmp_path / "other.tar")
        lacking = target.lacking()
        assert read(path).target.features == target.features
        if lacking:
            with pytest.raises(TargetError, match=said or f"expected a processor with {lacking[0]}") as caught:
                load_package(path)
            assert caught.value.where and caught.value.hint


def test_a_processor_without_avx512(network, tmp_path, monkeypatch):
    write(replace(network[0].image, target=Target.of("skylake-avx512")), tmp_path / "wide.tar")
    monkeypatch.setattr(Target, "lacking", lambda self: ("avx512f",))
    with pytest.raises(
        TargetError,
        match=r"expected a processor with avx512f, got one without\n    net work is compiled for skylake-avx512",
    ):
        load_package(tmp_path / "wide.tar")


def test_values_that_decide_shapes_have_no_image(tmp_path):
    x, shape = input("x", TensorType(float32, (6,))), input("shape", TensorType(DType.of("int64"), (2,)))
    exe = minicc.compile(Graph("g", (x, shape), (ops.Reshape()(x, shape),), ("y",)))
    with pytest.raises(
        RunError, match="expected a model whose shapes are known, got one in which shape decide them"
    ) as caught:
        write(exe.image, tmp_path / "x.tar")
    assert caught.value.hint


# ---- broken files -----------------------------------------------------------------------------------------------


def test_no_file(tmp_path):
    with pytest.raises(LoadError, match=r"nothing called 'none.tar'[\s\S]*make it again"):
        load_package(tmp_path / "none.tar")


def test_every_truncation_is_refused(content, network, refused):
    for whole in (content, saved(network[0].image)):
        for length in [*range(0, len(whole), 512), 3, 1000, 5000, len(whole) - 1]:
            assert "LoadError: load_package(" in refused(whole[:length])


@given(st.data())
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path_factory, network, data):
    whole = saved(network[0].image)
    path = tmp_path_factory.mktemp("cut") / "x.tar"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(LoadError):
        read(path)


@pytest.mark.parametrize(
    "name",
    ["../manifest.json", "/etc/passwd", "constants/../../x", "code/kernels.sm_90.cubin/x", "notes.txt", "constants/x"],
)
def test_members_of_other_names_are_refused(content, refused, name):
    assert name in refused(tar_of([*members_of(content).items(), (name, b"x")]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(content, refused, kind):
    info = tarfile.TarInfo("code/other.o")
    info.type, info.linkname = kind, "/etc/passwd"
    assert "code/other.o" in refused(tar_of([*members_of(content).items(), ("", info)]))


def test_a_member_twice_is_refused(content, refused):
    assert "each once" in refused(tar_of([*members_of(content).items(), ("code/kernels.cu", b"other")]))


def test_other_files_are_refused(refused, content):
    assert "is none or is cut short" in refused(b"\x1f\x8b garbage")
    assert "without manifest.json" in refused(tar_of([("code/kernels.cu", b"")]))
    assert "without manifest.json: empty" in refused(tar_of([]))


@pytest.mark.parametrize("manifest", [b"{", b"[" * 100_000, b'{"version": ' + b"9" * 5000 + b"}", b"\xff\xfe", b""])
def test_a_manifest_that_is_no_json(content, refused, manifest):
    assert "expected JSON" in refused(tar_of([*(members_of(content) | {"manifest.json": manifest}).items()]))


@pytest.mark.parametrize("manifest", [b"[]", b"null", b"3", b'{"format": "zip"}', b'{"format": 3}', b"{}"])
def test_a_manifest_of_another_format(content, refused, manifest):
    assert "manifest.json" in refused(tar_of([*(members_of(content) | {"manifest.json": manifest}).items()]))


def test_another_version(content, refused):
    assert "expected a package of version 1, got version 2" in refused(
        with_manifest(content, lambda p: p.update(version=2))
    )


@pytest.mark.parametrize(
    "name", ["code/kernels.cu", "code/kernels.compute_75.ptx", "code/kernels.sm_75.cubin", "constants", "stages"]
)
def test_a_missing_or_changed_member(content, refused, name):
    members = members_of(content)
    rest = {k: v for k, v in members.items() if k != name}
    assert name in refused(tar_of([*rest.items()]))
    assert f"expected {name} as it was written" in refused(
        tar_of([*(members | {name: members[name][:-1] + b"?"}).items()])
    )
    assert f"got {name} too" in refused(with_manifest(content, lambda p: p["members"].pop(name)))


@pytest.mark.parametrize("name", ["constants", "stages", "code/kernels.cu"])
def test_a_member_that_is_needed_and_not_listed(content, refused, name):
    members = members_of(content)
    manifest = json.loads(members["manifest.json"])
    del manifest["members"][name], members[name]
    changed = members | {"manifest.json": json.dumps(manifest).encode()}
    assert f"expected the member {name}" in refused(tar_of([*changed.items()]))


TENSOR = {"offset": 100, "bytes": 8, "first": 0, "last": 0, "name": "x"}
CHANGES = {
    "grid of nothing": (lambda p: p["kernels"][0]["launches"][0].update(grid=[0, 1, 1]), "kernels[0].launches[0].grid"),
    "grid too large": (lambda p: p["kernels"][0]["launches"][0].update(grid=[1, 1 << 17, 1]), "grid"),
    "grid of two": (lambda p: p["kernels"][0]["launches"][0].update(grid=[1, 1]), "three positive integers"),
    "grid of text": (lambda p: p["kernels"][0]["launches"][0].update(grid=["1", 1, 1]), "integers"),
    "grid of true": (lambda p: p["kernels"][0]["launches"][0].update(grid=[True, 1, 1]), "integers"),
    "grid is a number": (lambda p: p["kernels"][0]["launches"][0].update(grid=4), "a list of integers"),
    "too many threads": (lambda p: p["kernels"][0]["launches"][0].update(block=[1024, 2, 1]), "at most 1024 threads, got 2048"),
    "a name with code": (lambda p: p["kernels"][0]["launches"][0].update(kernel="k(); system"), "kernels[0].launches[0].kernel"),
    "too much shared memory": (lambda p: p["kernels"][0]["launches"][0].update(shared_bytes=1 << 20), "shared_bytes"),
    "no such buffer": (lambda p: p["kernels"][0]["launches"][0]["arguments"].append({"buffer": 3}), "arguments[3].buffer"),
    "a float number": (lambda p: p["kernels"][0]["launches"][0]["arguments"].append({"number": 1, "dtype": "float32"}), "an integer type"),
    "no such dtype": (lambda p: p["kernels"][0]["launches"][0]["arguments"].append({"number": 1, "dtype": "int3"}), "arguments[3].dtype"),
    "a number out of range": (lambda p: p["kernels"][0]["launches"][0]["arguments"].append({"number": 300, "dtype": "uint8"}), "from 0 to 255"),
    "an argument of nothing": (lambda p: p["kernels"][0]["launches"][0]["arguments"].append({}), "arguments[3].dtype"),
    "a negative size": (lambda p: p["buffers"][2].update(bytes=-1), "buffers[2].bytes"),
    "an enormous size": (lambda p: p["buffers"][2].update(bytes=1 << 50), "buffers[2].bytes"),
    "a constant in a small buffer": (lambda p: p["buffers"][1].update(bytes=4), "at least the 400 of its constant"),
    "no such constant": (lambda p: p["buffers"][1].update(constant=1), "buffers[1].constant"),
    "an input in a small buffer": (lambda p: p["inputs"][0].update(shape=[1 << 30]), "inputs[0].buffer"),
    "an output of no buffer": (lambda p: p["outputs"][0].update(buffer=7), "outputs[0].buffer"),
    "a negative dimension": (lambda p: p["outputs"][0].update(shape=[-1]), "outputs[0].shape"),
    "a long shape": (lambda p: p["outputs"][0].update(shape=[1] * 65), "at most 64 integers"),
    "a constant of no type": (lambda p: p["constants"][0].update(dtype="object"), "constants[0].dtype"),
    "a constant of another shape": (lambda p: p["constants"][0].update(shape=[999]), "constants[0].offset"),
    "a constant beside its member": (lambda p: p["constants"][0].update(offset=64), "expected 400 bytes at a multiple of 64 in 448, got 64"),
    "a constant before its member": (lambda p: p["constants"][0].update(offset=-64), "constants[0].offset"),
    "a constant at no multiple": (lambda p: p["constants"][0].update(offset=4), "constants[0].offset"),
    "a buffer beside the arena": (lambda p: p["buffers"][2].update(offset=900), "expected 400 bytes in an arena of 1200, got 900"),
    "a negative offset": (lambda p: p["buffers"][2].update(offset=-1), "buffers[2].offset"),
    "an arena of a huge size": (lambda p: p.update(arena=1 << 60), "arena"),
    "a negative arena": (lambda p: p.update(arena=-1), "arena"),
    "no threads": (lambda p: p.update(threads=0), "threads"),
    "a target of another kind": (lambda p: p["target"].update(kind="tpu"), "expected one of cpu, cuda, emulated, got 'tpu'"),
    "a target of no kind": (lambda p: p["target"].pop("kind"), "target.kind"),
    "a target is text": (lambda p: p.update(target="cuda"), "expected an object"),
    "features that are none": (lambda p: p["target"].update(features=["+avx2;rm"]), "target.features[0]"),
    "vectors of no width": (lambda p: p["target"].update(vector_bits=0), "target.vector_bits"),
    "a number of a text": (lambda p: p["stages"].update(graph=-1), "stages.graph"),
    "kernels are text": (lambda p: p.update(kernels="none"), "kernels"),
    "a kernel is a list": (lambda p: p.update(kernels=[[]]), "kernels[0]"),
    "negative operations": (lambda p: p["kernels"][0].update(flops=-1), "kernels[0].flops"),
    "negative effective operations": (lambda p: p["kernels"][0].update(effective=-1), "kernels[0].effective"),
    "a long name": (lambda p: p.update(name="n" * 5000), "name"),
    "an empty output too large for any address": (lambda p: p["outputs"][0].update(shape=[1 << 40] * 3 + [0]), "outputs[0].shape"),
    "a constant too large for any address": (lambda p: p["constants"][0].update(shape=[1 << 40, 1 << 40, 0]), "constants[0].shape"),
    "a name that colours the terminal": (lambda p: p.update(name="\x1b[31mred"), "expected printable text, got '\\x1b[31mred'"),
    "a name of two lines": (lambda p: p["kernels"][0].update(label="a\nb"), "kernels[0].label"),
    "a name that is no text": (lambda p: p.update(name="\ud800"), "expected printable text, got '\\ud800'"),
    "an input that is no text": (lambda p: p["inputs"][0].update(name="\udfff"), "inputs[0].name"),
    "an output that turns the text": (lambda p: p["outputs"][0].update(name="\u202ex"), "outputs[0].name"),
    "a member that colours the terminal": (lambda p: p["members"].update({"\x1b[31m": {}}), "printable"),
    "two inputs of one name": (lambda p: p.update(inputs=p["inputs"] + [p["inputs"][0] | {"buffer": 2}]), "inputs[1].name"),
    "two outputs of one name": (lambda p: p["outputs"].append(p["outputs"][0]), "outputs[1].name"),
    "an input over a constant": (lambda p: p["inputs"][0].update(buffer=1), "expected a buffer of its own, got one that holds constant 0"),
    "an input over a part of a constant": (lambda p: p["buffers"][0].update(offset=200), "inputs[0].buffer"),
    "a tensor outside of the arena": (lambda p: p["memory"].update(tensors=[TENSOR | {"bytes": 1101}]), "memory.tensors[0].bytes"),
    "a tensor that lives too long": (lambda p: p["memory"].update(tensors=[TENSOR | {"last": 1 << 40}]), "memory.tensors[0].last"),
    "a tensor that dies before it lives": (lambda p: p["memory"].update(tensors=[TENSOR | {"first": 1, "last": 0}]), "tensors[0].last"),
    "a tensor whose name colours": (lambda p: p["memory"].update(tensors=[TENSOR | {"name": "\x1b[31m"}]), "memory.tensors[0].name"),
    "an alignment of nothing": (lambda p: p["memory"].update(alignment=0), "memory.alignment"),
    "two inputs in one buffer": (lambda p: p["inputs"].append(p["inputs"][0] | {"name": "z"}), "inputs[1].buffer"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_manifest_with_a_wrong_field(content, refused, name):
    change, said = CHANGES[name]
    message = refused(with_manifest(content, change))
    assert said in message and "expected" in message and "got" in message


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_launch_that_no_device_does_is_not_loaded(refused, name):
    change, place, said = IMPOSSIBLE[name]
    assert re.search(
        rf"expected {said}[\s\S]*manifest.json: kernels\[0\].launches\[0\].{place}", refused(saved(add_image(**change)))
    )


def test_code_of_other_names(content, refused):
    assert "expected code for devices, got other.o" in refused(with_members(content, {"code/other.o": b"x"}))


def with_members(content, more):
    """The package with other members, and a manifest that lists them."""
    members = members_of(content) | more
    manifest = json.loads(members.pop("manifest.json"))
    manifest["members"] = {n: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in members.items()}
    return tar_of([("manifest.json", json.dumps(manifest).encode()), *members.items()])


def test_text_that_is_none(content, refused):
    assert "expected text" in refused(with_members(content, {"code/kernels.cu": b"\xff\xff"}))


@pytest.mark.parametrize("stages", [b"", b"garbage", b"x\x9c", "{}", "[1]", "[]", "[" * 100_000, "0"])
def test_texts_that_are_none(content, stages, tmp_path):
    path = tmp_path / "x.tar"
    made = stages if isinstance(stages, bytes) else zlib.compress(stages.encode())
    changed = with_manifest(content, lambda p: p["stages"].update(graph=0))
    path.write_bytes(with_members(changed, {"stages": made}))
    image = read(path)  # they are unpacked when somebody asks for one
    with pytest.raises(LoadError, match="member stages") as caught:
        image.stages["graph"]
    assert caught.value.hint


def test_names_that_would_not_load_are_not_saved():
    image = add_image()
    wrong = [replace(image, name="a\nb"), replace(image, kernels=(replace(image.kernels[0], label="\x1b[31m"),)),
             replace(image, inputs=(Port("\ud800", float32_100, 0),)), replace(image, outputs=(Port("y\u202e", float32_100, 2),))]  # fmt: skip
    for made in wrong:
        with pytest.raises(ConfigError, match=r"write\(.*expected printable names, got '[ -~]*'\nhint: rename"):
            saved(made)


@given(st.data())
def test_any_damage_is_a_load_error_or_none(tmp_path_factory, network, data):
    content = bytearray(saved(data.draw(st.sampled_from([add_image(), network[0].image]))))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "x.tar"
    path.write_bytes(content)
    try:
        read(path)
    except LoadError as error:
        assert error.hint
