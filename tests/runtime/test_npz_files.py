"""Files of arrays: every name and dtype that a model may have comes back, and nothing becomes a path."""

from __future__ import annotations

import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc.errors import ConfigError, RunError
from minicc.runtime.files import read_arrays, write_arrays
from minicc.types import DType, bfloat16, float32, uint16

NAMES = [
    "file",
    "allow_pickle",
    "self",
    "args",
    "",
    ".",
    "..",
    "../up",
    "/etc/x",
    "a/b",
    "a/",
    "x",
    "x.npy",
    "x.npy.npy",
    "a:b c",
    "größe",
    "C:\\x",
]


def test_every_name_comes_back(tmp_path):
    arrays = {name: np.arange(k, dtype=np.float32) for k, name in enumerate(NAMES)}
    path = tmp_path / "in" / "all.npz"
    path.parent.mkdir()
    write_arrays(path, arrays)
    back = read_arrays(path)
    assert list(back) == NAMES
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_numpy_reads_it(tmp_path):
    write_arrays(tmp_path / "a.npz", {"file": np.ones(3, np.int8), "y": np.float64(2)})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        assert set(held) == {"file", "y"} and held["y"].shape == () and held["file"].dtype == np.int8


def test_the_same_arrays_are_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_arrays(tmp_path / name, {"x": np.ones(3)})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@given(st.sampled_from(list(DType.table.values())), st.lists(st.integers(0, 3), max_size=3))
def test_every_dtype_comes_back(tmp_path_factory, dtype, shape):
    path = tmp_path_factory.mktemp("dtypes") / "a.npz"
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype.numpy)
    write_arrays(path, {"x": array, "turned": array.T})
    back = read_arrays(path, {"x": dtype, "turned": dtype})
    assert back["x"].dtype == array.dtype and back["x"].shape == array.shape and back["x"].tobytes() == array.tobytes()
    assert back["turned"].tobytes() == array.T.tobytes()


def test_bfloat16_is_restored_only_where_it_is_wanted(tmp_path):
    ones = np.ones(3, ml_dtypes.bfloat16)
    np.savez(tmp_path / "numpy.npz", x=ones)  # NumPy knows its two bytes only
    np.save(tmp_path / "x.npy", ones)
    write_arrays(tmp_path / "bits.npz", {"x": ones})
    for name in ("numpy.npz", "bits.npz", "x.npy"):
        back = read_arrays(tmp_path / name, {"x": bfloat16, "y": float32})["x"]
        assert back.dtype == ml_dtypes.bfloat16 and (back == 1).all()
        assert read_arrays(tmp_path / name, {"z": bfloat16, "y": float32})["x"].dtype != ml_dtypes.bfloat16
    assert read_arrays(tmp_path / "x.npy", {"only": bfloat16})["only"].dtype == ml_dtypes.bfloat16, (
        "an .npy has no name"
    )
    assert list(read_arrays(tmp_path / "bits.npz", {"only": bfloat16})) == ["x"], "an .npz has"
    assert read_arrays(tmp_path / "bits.npz", {"x": uint16})["x"].dtype == np.uint16
    write_arrays(tmp_path / "floats.npz", {"x": np.ones(3, np.float16)})
    assert read_arrays(tmp_path / "floats.npz", {"x": bfloat16})["x"].dtype == np.float16, (
        "another type is not reinterpreted"
    )


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "n" * 70_000])
def test_names_that_an_archive_cannot_hold(tmp_path, name):
    with pytest.raises(ConfigError, match=r"expected names that an archive can hold[\s\S]*hint: "):
        write_arrays(tmp_path / "a.npz", {name: np.ones(3)})
    assert not list(tmp_path.iterdir())


def test_objects_are_not_pickled(tmp_path):
    with pytest.raises(ConfigError, match=r"expected arrays of numbers, got .*pickle[\s\S]*hint: "):
        write_arrays(tmp_path / "a.npz", {"x": np.array([{}], object)})
    assert not list(tmp_path.iterdir())


def test_members_that_are_no_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("../notes.txt", "text")
    with pytest.raises(RunError, match=r"--inputs .*a.npz: expected arrays, got a file that cannot be read"):
        read_arrays(tmp_path / "a.npz")
    with pytest.raises(
        RunError, match=r"^RunError: load .*b.npz: expected a file of arrays, got nothing called 'b.npz'"
    ):
        read_arrays(tmp_path / "b.npz", option="load")


def test_a_file_that_cannot_be_written():
    with pytest.raises(ConfigError, match="the folder /nowhere does not exist"):
        write_arrays(Path("/nowhere/a.npz"), {"x": np.ones(3)})
