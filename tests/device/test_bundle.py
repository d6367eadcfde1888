"""Bundles: what is written comes back; files that are broken or hostile are refused in four parts."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from gpu_cases import ADD, IMPOSSIBLE, add_bundle, members_of, tar_of, with_plan
from hypothesis import given
from hypothesis import strategies as st

from minicc.device.bundle import Buffer, Bundle, KernelLaunch, Number, Port, Step, capability_of, load, npy, read_npy
from minicc.device.bundle import share
from minicc.errors import BridgeError
from minicc.types import DType, TensorType, float32

float32_100 = TensorType(float32, (100,))


@pytest.fixture(scope="module")
def content():
    return add_bundle(
        cubins={"sm_90": b"\x7fELF90", "sm_75": b"\x7fELF75"}, ptx=".version 8\n", ptx_arch="sm_75"
    ).save()


@pytest.fixture
def refused(tmp_path):
    """The error that loading some bytes raises."""

    def load_it(content):
        path = tmp_path / "broken.tar"
        path.write_bytes(content)
        with pytest.raises(BridgeError) as info:
            load(path)
        assert info.value.hint
        return str(info.value)

    return load_it


# ---- there and back ---------------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(content, tmp_path):
    path = tmp_path / "add.tar"
    path.write_bytes(content)
    bundle = load(path)
    assert bundle.save() == content
    assert (
        bundle.steps == add_bundle().steps
        and bundle.inputs == add_bundle().inputs
        and bundle.buffers == add_bundle().buffers
    )
    assert bundle.source == ADD and bundle.cubins["sm_75"] == b"\x7fELF75" and bundle.ptx == ".version 8\n"
    np.testing.assert_array_equal(bundle.constants[0], np.arange(100, dtype=np.float32))
    assert bundle.kernels == ["add_kernel"] and bundle.memory_bytes == 1200


def test_members_have_no_times_and_no_owners(content, tmp_path):
    path = tmp_path / "add.tar"
    path.write_bytes(content)
    with tarfile.open(path) as tar:
        assert [m.name for m in tar] == ["plan.json", "kernels.cu", "kernels.ptx", "kernels.sm_75.cubin", "kernels.sm_90.cubin",
                                         "constants/0.npy"]  # fmt: skip
        assert all((m.mtime, m.uid, m.gid, m.uname) == (0, 0, 0, "") for m in tar)


def test_numbers_among_the_arguments(tmp_path):
    launch = KernelLaunch(
        "k", (1, 1, 1), (1, 1, 1), 16, (0, Number(-5, DType.of("int64")), Number(7, DType.of("uint8")))
    )
    bundle = Bundle("n", (), (), (Buffer(4),), (Step("k", (launch,)),), "")
    path = tmp_path / "n.tar"
    path.write_bytes(bundle.save())
    assert load(path).launches == [launch]


@given(st.sampled_from(list(DType.table.values())), st.lists(st.integers(0, 4), max_size=3))
def test_constants_of_every_dtype(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2 if dtype.kind == "bool" else 100, shape).astype(dtype.numpy)
    back = read_npy("load", "a.npy", npy(array), TensorType.of(array))
    assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes()


def test_bfloat16_is_stored_as_its_bits():
    assert b"'<u2'" in npy(np.ones(3, ml_dtypes.bfloat16))


def test_a_bundle_is_read_without_tvm_and_without_cuda():
    """The modules that run a bundle import neither."""
    code = ("import sys; import minicc.device.session, minicc.device.cuda_device, minicc.device.bundle;"
            "print([m for m in ('tvm', 'cuda', 'cupy') if m in sys.modules])")  # fmt: skip
    assert (
        subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )


# ---- broken files -----------------------------------------------------------------------------------------------


def test_no_file(tmp_path):
    with pytest.raises(BridgeError, match=r"nothing called 'none.tar'[\s\S]*make it again"):
        load(tmp_path / "none.tar")


def test_every_truncation_is_refused(content, refused):
    for length in [*range(0, len(content), 512), 3, 1000, 5000]:
        members = len(content.rstrip(b"\0"))  # the blocks of zeros at the end may be missing
        if length < members:
            assert "BridgeError: load(" in refused(content[:length])


@pytest.mark.parametrize(
    "name",
    ["../plan.json", "/etc/passwd", "constants/../../x.npy", "kernels.sm_90.cubin/x", "notes.txt", "constants/x.npy"],
)
def test_members_of_other_names_are_refused(content, refused, name):
    assert name in refused(tar_of([*members_of(content).items(), (name, b"x")]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(content, refused, kind):
    info = tarfile.TarInfo("constants/1.npy")
    info.type, info.linkname = kind, "/etc/passwd"
    assert "constants/1.npy" in refused(tar_of([*members_of(content).items(), ("", info)]))


def test_a_member_twice_is_refused(content, refused):
    assert "each once" in refused(tar_of([*members_of(content).items(), ("kernels.cu", b"other")]))


def test_other_files_are_refused(refused, content):
    assert "is none or is cut short" in refused(b"\x1f\x8b garbage")
    assert "without plan.json" in refused(tar_of([("kernels.cu", b"")]))
    assert "without plan.json: empty" in refused(tar_of([]))


@pytest.mark.parametrize("plan", [b"{", b"[" * 100_000, b'{"version": ' + b"9" * 5000 + b"}", b"\xff\xfe", b""])
def test_a_plan_that_is_no_json(content, refused, plan):
    assert "expected JSON" in refused(tar_of([*(members_of(content) | {"plan.json": plan}).items()]))


@pytest.mark.parametrize("plan", [b"[]", b"null", b"3", b'{"format": "zip"}', b'{"format": 3}', b"{}"])
def test_a_plan_of_another_format(content, refused, plan):
    assert "plan.json" in refused(tar_of([*(members_of(content) | {"plan.json": plan}).items()]))


def test_another_version(content, refused):
    assert "expected a bundle of version 1, got version 2" in refused(with_plan(content, lambda p: p.update(version=2)))


@pytest.mark.parametrize("name", ["kernels.cu", "kernels.ptx", "kernels.sm_75.cubin", "constants/0.npy"])
def test_a_missing_or_changed_member(content, refused, name):
    members = members_of(content)
    rest = {k: v for k, v in members.items() if k != name}
    assert name in refused(tar_of([*rest.items()]))
    assert f"expected {name} as it was written" in refused(
        tar_of([*(members | {name: members[name][:-1] + b"?"}).items()])
    )
    assert f"got {name} too" in refused(with_plan(content, lambda p: p["members"].pop(name)))


def test_a_member_that_the_plan_needs_and_does_not_list(content, refused):
    members = members_of(content)
    plan = json.loads(members["plan.json"])
    del plan["members"]["constants/0.npy"], members["constants/0.npy"]
    assert "expected the member constants/0.npy" in refused(
        tar_of([*(members | {"plan.json": json.dumps(plan).encode()}).items()])
    )


CHANGES = {
    "grid of nothing": (lambda p: p["steps"][0]["launches"][0].update(grid=[0, 1, 1]), "steps[0].launches[0].grid"),
    "grid too large": (lambda p: p["steps"][0]["launches"][0].update(grid=[1, 1 << 17, 1]), "grid"),
    "grid of two": (lambda p: p["steps"][0]["launches"][0].update(grid=[1, 1]), "three positive integers"),
    "grid of text": (lambda p: p["steps"][0]["launches"][0].update(grid=["1", 1, 1]), "integers"),
    "grid of true": (lambda p: p["steps"][0]["launches"][0].update(grid=[True, 1, 1]), "integers"),
    "grid is a number": (lambda p: p["steps"][0]["launches"][0].update(grid=4), "a list of integers"),
    "too many threads": (lambda p: p["steps"][0]["launches"][0].update(block=[1024, 2, 1]), "at most 1024 threads, got 2048"),
    "a name with code": (lambda p: p["steps"][0]["launches"][0].update(kernel="k(); system"), "steps[0].launches[0].kernel"),
    "too much shared memory": (lambda p: p["steps"][0]["launches"][0].update(shared_bytes=1 << 20), "shared_bytes"),
    "no such buffer": (lambda p: p["steps"][0]["launches"][0]["arguments"].append({"buffer": 3}), "arguments[3].buffer"),
    "a float number": (lambda p: p["steps"][0]["launches"][0]["arguments"].append({"number": 1, "dtype": "float32"}), "an integer type"),
    "no such dtype": (lambda p: p["steps"][0]["launches"][0]["arguments"].append({"number": 1, "dtype": "int3"}), "arguments[3].dtype"),
    "a number out of range": (lambda p: p["steps"][0]["launches"][0]["arguments"].append({"number": 300, "dtype": "uint8"}), "from 0 to 255"),
    "an argument of nothing": (lambda p: p["steps"][0]["launches"][0]["arguments"].append({}), "arguments[3].dtype"),
    "a negative size": (lambda p: p["buffers"][2].update(bytes=-1), "buffers[2].bytes"),
    "an enormous size": (lambda p: p["buffers"][2].update(bytes=1 << 50), "buffers[2].bytes"),
    "a constant in a small buffer": (lambda p: p["buffers"][1].update(bytes=4), "at least the 400 of its constant"),
    "no such constant": (lambda p: p["buffers"][1].update(constant=1), "buffers[1].constant"),
    "an input in a small buffer": (lambda p: p["inputs"][0].update(shape=[1 << 30]), "inputs[0].buffer"),
    "an output of no buffer": (lambda p: p["outputs"][0].update(buffer=7), "outputs[0].buffer"),
    "a negative dimension": (lambda p: p["outputs"][0].update(shape=[-1]), "outputs[0].shape"),
    "a long shape": (lambda p: p["outputs"][0].update(shape=[1] * 65), "at most 64 integers"),
    "a constant of another type": (lambda p: p["constants"][0].update(dtype="int32"), "constants/0.npy"),
    "a constant of another shape": (lambda p: p["constants"][0].update(shape=[99]), "constants/0.npy"),
    "an architecture of no name": (lambda p: p.update(architectures=["../x"]), "architectures[0]"),
    "steps are text": (lambda p: p.update(steps="none"), "steps"),
    "a step is a list": (lambda p: p.update(steps=[[]]), "steps[0]"),
    "a long name": (lambda p: p.update(name="n" * 5000), "name"),
    "an empty output too large for any address": (lambda p: p["outputs"][0].update(shape=[1 << 40] * 3 + [0]), "outputs[0].shape"),
    "a constant too large for any address": (lambda p: p["constants"][0].update(shape=[1 << 40, 1 << 40, 0]), "constants[0].shape"),
    "a name that colours the terminal": (lambda p: p.update(name="\x1b[31mred"), "expected printable text, got '\\x1b[31mred'"),
    "a name of two lines": (lambda p: p["steps"][0].update(name="a\nb"), "steps[0].name"),
    "a name that is no text": (lambda p: p.update(name="\ud800"), "expected printable text, got '\\ud800'"),
    "an input that is no text": (lambda p: p["inputs"][0].update(name="\udfff"), "inputs[0].name"),
    "an output that turns the text": (lambda p: p["outputs"][0].update(name="\u202ex"), "outputs[0].name"),
    "a member that colours the terminal": (lambda p: p["members"].update({"\x1b[31m": {}}), "printable"),
    "two inputs of one name": (lambda p: p.update(inputs=p["inputs"] + [p["inputs"][0] | {"buffer": 2}]), "inputs[1].name"),
    "two outputs of one name": (lambda p: p["outputs"].append(p["outputs"][0]), "outputs[1].name"),
    "an input over a constant": (lambda p: p["inputs"][0].update(buffer=1), "expected a buffer without a constant, got one that holds constant 0"),
    "two inputs in one buffer": (lambda p: p["inputs"].append(p["inputs"][0] | {"name": "z"}), "inputs[1].buffer"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_plan_with_a_wrong_field(content, refused, name):
    change, said = CHANGES[name]
    message = refused(with_plan(content, change))
    assert said in message and "expected" in message and "got" in message


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_launch_that_no_device_does_is_not_loaded(refused, name):
    change, place, said = IMPOSSIBLE[name]
    assert re.search(
        rf"expected {said}[\s\S]*plan.json: steps\[0\].launches\[0\].{place}", refused(add_bundle(**change).save())
    )


@pytest.mark.parametrize("bad", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x05\x00{}   ", npy(np.ones(3, np.float32))[:-1],
                                 npy(np.ones(4, np.float32)), npy(np.ones(3, np.int32)), npy(np.ones((3, 1), np.float32))])  # fmt: skip
def test_a_constant_that_is_broken(bad):
    with pytest.raises(BridgeError, match="expected float32"):
        read_npy("load", "constants/0.npy", bad, TensorType(float32, (3,)))


def test_a_constant_is_never_unpickled():
    held = io.BytesIO()
    np.save(held, np.array([{}], object), allow_pickle=True)
    with pytest.raises(BridgeError, match=r"expected float32\[1\]"):
        read_npy("load", "constants/0.npy", held.getvalue(), TensorType(float32, (1,)))


def test_names_that_would_not_load_are_not_saved():
    bundle = add_bundle()
    wrong = [replace(bundle, name="a\nb"), replace(bundle, steps=(Step("\x1b[31m", ()),)), replace(bundle, inputs=(Port("\ud800", float32_100, 0),)),
             replace(bundle, outputs=(Port("y\u202e", float32_100, 2),))]  # fmt: skip
    for made in wrong:
        with pytest.raises(BridgeError, match=r"save\(.*expected printable names, got '[ -~]*'\nhint: rename"):
            made.save()


def test_text_that_is_none(refused):
    assert "expected text" in refused(tar_of([*bytes_for_source(b"\xff\xff").items()]))


def bytes_for_source(source):
    members = members_of(add_bundle().save())
    plan = json.loads(members["plan.json"])
    plan["members"]["kernels.cu"] = {"bytes": len(source), "sha256": hashlib.sha256(source).hexdigest()}
    return members | {"kernels.cu": source, "plan.json": json.dumps(plan).encode()}


@given(st.data())
def test_any_damage_is_a_bridge_error_or_none(tmp_path_factory, data):
    content = bytearray(add_bundle().save())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "x.tar"
    path.write_bytes(content)
    try:
        load(path)
    except BridgeError as error:
        assert error.hint


# ---- architectures, memory --------------------------------------------------------------------------------------


def test_the_code_for_a_device():
    codes = {"sm_80": b"80", "sm_86": b"86", "sm_90a": b"90a", "sm_90": b"90"}
    bundle = add_bundle(cubins=codes, ptx="ptx", ptx_arch="sm_80")
    assert bundle.code_for((8, 0)) == ("sm_80", b"80")
    assert bundle.code_for((8, 9)) == ("sm_86", b"86")
    assert bundle.code_for((9, 0)) == ("sm_90a", b"90a")
    assert bundle.code_for((10, 0)) == ("sm_80", b"ptx\0")
    with pytest.raises(
        BridgeError,
        match=r"expected a bundle for sm_75, got one for another architecture: sm_80, sm_86, .*PTX of sm_80[\s\S]*--arch sm_75",
    ):
        bundle.code_for((7, 5))
    with pytest.raises(BridgeError, match="source only"):
        add_bundle().code_for((9, 0))


def test_names_of_architectures():
    assert capability_of("sm_100a") == (10, 0) and capability_of("sm_75") == (7, 5)
    with pytest.raises(BridgeError, match="expected a name such as sm_90, got 'hopper'"):
        capability_of("hopper")


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 12), st.integers(0, 5)), max_size=12))
def test_values_that_live_together_do_not_share(values):
    sizes, lives = [v[0] for v in values], [(v[1], v[1] + v[2]) for v in values]
    chosen, buffers = share(sizes, lives)
    assert all(buffers[c] >= s for c, s in zip(chosen, sizes, strict=True)) and set(chosen) == set(range(len(buffers)))
    for a in range(len(values)):
        for b in range(a):
            meet = lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]
            assert not (meet and chosen[a] == chosen[b])


def test_a_chain_needs_two_buffers():
    assert share([16] * 10, [(k, k + 1) for k in range(10)])[1] == [16, 16]


@given(
    st.lists(
        st.tuples(st.sampled_from(list(DType.table.values())), st.lists(st.integers(0, 3), max_size=3)), max_size=4
    )
)
def test_ports_come_back_in_order_with_their_names_types_and_buffers(tmp_path_factory, types):
    ports = tuple(
        Port(f"x {k}", TensorType(dtype, tuple(shape)), len(types) - 1 - k) for k, (dtype, shape) in enumerate(types)
    )
    buffers = tuple(Buffer(p.type.bytes) for p in reversed(ports))
    path = tmp_path_factory.mktemp("ports") / "p.tar"
    path.write_bytes(Bundle("p", ports, ports[::-1], buffers, (), "").save())
    back = load(path)
    assert (back.inputs, back.outputs) == (ports, ports[::-1])
