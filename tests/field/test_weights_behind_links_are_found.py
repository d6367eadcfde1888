"""External data behind symbolic links, as the cache of Hugging Face lays files out; and no other file is read through a link.

The right values are the weights that were written.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import minicc
from minicc import backend, package
from minicc.errors import ConfigError, LoadError, MiniccError, RunError
from minicc.frontend import load
from minicc.runtime.files import check_folder, read_arrays

WEIGHTS = np.float32([1, 2, 3])


def model(location: str) -> bytes:
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def linked(path: Path, target: str | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def good(path: Path) -> None:
    for source in (path, str(path), Path(os.path.relpath(path))):
        assert minicc.compile(source)(np.zeros(3, np.float32))[0].tolist() == [1, 2, 3]
    seen = onnx.numpy_helper.to_array(backend.read_model(path).graph.initializer[0])
    assert seen.tolist() == [1, 2, 3], "peers of minicc compare get the same weights"


def refused(path: Path) -> None:
    with pytest.raises(LoadError, match=r"must lie in the model's folder|is not there") as caught:
        load(path)
    assert caught.value.hint and "'w'" in caught.value.where


def cache(folder: Path, below: str = "") -> Path:
    """A model in the cache: `snapshots/REVISION/model.onnx` and its data are links to two blobs."""
    home = folder / "models--someone--something"
    written(home / "blobs" / "0a1b", model("model.onnx_data"))
    written(home / "blobs" / "2c3d", WEIGHTS.tobytes())
    snapshot = home / "snapshots" / "5e6f" / below
    up = "../" * (2 + bool(below))
    linked(snapshot / "model.onnx_data", f"{up}blobs/2c3d")
    return linked(snapshot / "model.onnx", f"{up}blobs/0a1b")


@pytest.mark.parametrize("below", ["", "onnx"])
def test_the_cache_of_hugging_face(below, tmp_path):
    good(cache(tmp_path, below))


def test_a_cache_that_is_itself_behind_a_link(tmp_path):
    path = cache(tmp_path / "disk")
    good(linked(tmp_path / "cache", tmp_path / "disk") / path.relative_to(tmp_path / "disk"))


def test_a_link_to_a_model_with_its_data_beside_it(tmp_path):
    written(tmp_path / "real" / "weights" / "w.bin", WEIGHTS.tobytes())
    real = written(tmp_path / "real" / "m.onnx", model("weights/w.bin"))
    good(linked(tmp_path / "link" / "m.onnx", real))
    linked(tmp_path / "link" / "weights", tmp_path / "real" / "weights")
    good(tmp_path / "link" / "m.onnx")


def test_a_link_inside_the_folder(tmp_path):
    written(tmp_path / "m" / "real.bin", WEIGHTS.tobytes())
    linked(tmp_path / "m" / "w.bin", "real.bin")
    good(written(tmp_path / "m" / "m.onnx", model("w.bin")))


def test_a_folder_behind_a_link(tmp_path):
    written(tmp_path / "real" / "w.bin", WEIGHTS.tobytes())
    written(tmp_path / "real" / "m.onnx", model("w.bin"))
    good(linked(tmp_path / "link", "real") / "m.onnx")


ATTACKS = {  # where the data of a model in home/m.onnx is said to be, and the link that stands there
    "up": ("../secret", None),
    "up and down": ("sub/../../secret", None),
    "absolute": ("{}/secret", None),
    "a link out": ("w.bin", "../secret"),
    "a link to an absolute path": ("w.bin", "{}/secret"),
    "a link to a folder outside": ("out/secret", ".."),
    "a link to a link": ("w.bin", "second"),
    "a device": ("/dev/zero", None),
    "a link to a device": ("w.bin", "/dev/zero"),
    "backslashes": ("..\\secret", None),
}


@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("case", ATTACKS)
def test_no_other_file_is_read(case, through_a_link, tmp_path):
    """Whether the model is a file in the folder, or a link to one in a folder `blobs` beside it."""
    location, link = (part and part.format(tmp_path) for part in ATTACKS[case])
    written(tmp_path / "secret", WEIGHTS.tobytes())
    home = tmp_path / "home"
    path = home / "m.onnx"
    if through_a_link:
        linked(path, written(tmp_path / "blobs" / "b1", model(location)))
    else:
        written(path, model(location))
    linked(home / "second", tmp_path / "secret")
    if link:
        linked(home / location.split("/")[0], link)
    refused(path)


def test_a_model_in_the_root_opens_no_other_folder(tmp_path):
    """The folder of the real path is meant, not all below it: a link there may not lead down."""
    written(tmp_path / "real" / "private" / "key", WEIGHTS.tobytes())
    linked(tmp_path / "home" / "m.onnx", written(tmp_path / "real" / "m.onnx", model("w.bin")))
    linked(tmp_path / "home" / "w.bin", tmp_path / "real" / "private" / "key")
    refused(tmp_path / "home" / "m.onnx")


def test_bytes_have_no_folder(tmp_path):
    path = cache(tmp_path)
    with pytest.raises(LoadError, match="the model has no folder"):
        load(path.read_bytes())


# ---- what is no file ----------------------------------------------------------------------------


def endless(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe")
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(folder)  # the name of a socket has at most 107 bytes
    try:
        server.bind("socket")
    finally:
        os.chdir(here)
        server.close()
    return {"a pipe": folder / "pipe", "a socket": folder / "socket", "a device": Path("/dev/zero")}


def test_a_pipe_a_socket_or_a_device_is_refused_at_once(tmp_path):
    for kind, path in endless(tmp_path).items():
        for call, error in (
            (load, LoadError),
            (minicc.compile, LoadError),
            (backend.read_model, LoadError),
            (read_arrays, RunError),
            (package.read, LoadError),
            (check_folder, ConfigError),
        ):
            with pytest.raises(error, match=f"{kind}") as caught:
                call(path)
            assert caught.value.hint
        with pytest.raises(LoadError, match=kind):
            load(linked(tmp_path / f"link to {kind}", path))


@pytest.mark.parametrize("path", ["absent.onnx", "no/such/folder/m.onnx", "x" * 5000, "a\0b", ""])
def test_nothing_there_is_an_error_of_four_parts(path):
    with pytest.raises(MiniccError, match="expected a file, got") as caught:
        load(path)
    assert caught.value.hint
