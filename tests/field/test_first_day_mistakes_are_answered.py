"""Fifteen mistakes of a first day: each answer says what, where and what to do."""

import bz2
import gzip
import lzma
import os
import pickle
import re
import sqlite3
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from minicc import cli
from minicc.errors import ConfigError, LoadError
from minicc.frontend import load
from minicc.runtime.files import check_folder


def network():
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["y"])],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    onnx.save(network(), tmp_path / "resnet.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def minicc(monkeypatch, capsys):
    """`minicc(...)`: the exit code, and what is printed on both streams."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["minicc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def pickled():
    class Mine:
        def __reduce__(self):
            return os.system, ("touch run",)

    return pickle.dumps(Mine())


def of_torch(folder):
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("model/data.pkl", pickled())
    return (folder / "archive.zip").read_bytes()


CONTENTS = {  # name of the file: what stands in it, what the answer calls it and says to do
    "a.onnx": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG image", "--inputs"),
    "b.onnx": (b"\xff\xd8\xff\xe0" + bytes(99), "a JPEG image", "--inputs"),
    "c.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS", "git lfs pull"),
    "d.onnx": (b"\x1f\x8b\x08" + bytes(99), "gzip", "gunzip"),
    "e.onnx": (b"<!DOCTYPE html>\n<html></html>", "HTML page", "raw file"),
    "f.onnx": (b"PK\x03\x04" + bytes(99), "zip", "unzip"),
    "g.onnx": (b"", "an empty file", "again"),
    "h.onnx": (b"hello\nworld", "text that begins with 'hello'", ".onnx file"),
    "i.onnx": (b"\x89HDF\r\n\x1a\n" + bytes(99), "Keras", "tf2onnx"),
    "j.onnx": (b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite", "converter"),
    "k.onnx": ((16).to_bytes(8, "little") + b'{"w":{}}' + bytes(9), "safetensors", "torch.onnx.export"),
    "l.onnx": (b"\x93NUMPY\x01\0" + bytes(99), "arrays of NumPy", "--inputs"),
    "m.onnx": (pickled(), "PyTorch", "torch.onnx.export"),
    "n.onnx": (network().SerializeToString()[:-9], "do not parse", "cut off"),
    "o.onnx": (b"[net]\nbatch=1\n", "[net]", "Darknet"),
    "old.pth": (b"\xff\xfe\x00garbage" * 50, "PyTorch", "torch.onnx.export"),
    "x.weights": (b"\0\0\0\0\2\0\0\0" * 9, "Darknet", ".cfg"),
    "x.caffemodel": (b"\x0a\x03net", "Caffe", "convert"),
    "frozen.pb": (b"\x0a\x03net", "TensorFlow", "tf2onnx"),
    "x.h5": (b"\xff\xfe\x00garbage" * 50, "Keras", "tf2onnx"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_that_is_no_model_is_recognised(folder, name):
    content, what, todo = CONTENTS[name]
    (folder / name).write_bytes(content)
    with pytest.raises(LoadError) as caught:
        load(folder / name)
    assert what in caught.value.problem and todo in caught.value.hint and name in caught.value.where
    assert not (folder / "run").exists(), "nothing is unpickled"


@pytest.mark.parametrize("name", ["m.pt", "m.onnx"])
def test_pytorch_archives_are_recognised(folder, name):
    (folder / name).write_bytes(of_torch(folder))
    with pytest.raises(LoadError, match=r"got PyTorch weights[\s\S]*hint: .*torch.onnx.export"):
        load(folder / name)


def test_a_path_that_does_not_exist(minicc, folder):
    code, _, text = minicc("compile", "resent.onnx")
    assert code == 2 and f"nothing called 'resent.onnx' in {folder}" in text and "did you mean 'resnet.onnx'?" in text
    (folder / "models").mkdir()
    onnx.save(network(), folder / "models" / "a.onnx")
    assert "did you mean 'models/a.onnx'?" in minicc("compile", "modles/a.onnx")[2]
    assert "there is 'a.onnx'" in minicc("compile", "models/zzz")[2]
    assert "'resnet.onnx' that is meant" in minicc("compile", "resnet.onnx/a")[2]


def test_a_folder_as_model(minicc, folder):
    code, _, text = minicc("run", ".")
    assert code == 2 and "got a folder" in text and "there is 'resnet.onnx'" in text
    (folder / "empty").mkdir()
    assert "no .onnx file is in empty, which is empty" in minicc("run", "empty")[2]


@pytest.mark.parametrize(
    "command", [["run", "resnet.onnx", "--outputs", "out/a/y.npz"], ["compile", "resnet.onnx", "-o", "out/a/y.s"]]
)
def test_an_output_folder_that_does_not_exist(minicc, folder, command):
    code, _, text = minicc(*command)
    assert (
        code == 2
        and f"the folder out/a does not exist: nothing called 'out' in {folder}" in text
        and "hint: mkdir -p out/a" in text
    )
    (folder / "oat").mkdir()
    assert "did you mean 'oat/a/y." in minicc(*command)[2]


def test_a_read_only_folder(folder, monkeypatch):
    monkeypatch.setattr(
        "os.access", lambda path, mode: not mode & os.W_OK
    )  # whoever runs this may write everywhere, perhaps
    with pytest.raises(
        ConfigError, match=rf"the folder {folder} is read-only for you[\s\S]*hint: chmod u\+w \. if it is yours, or"
    ):
        check_folder(folder.relative_to(folder) / "y.npz")


def test_a_model_that_may_not_be_read(folder, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.R_OK)
    with pytest.raises(LoadError, match=r"that you may not read[\s\S]*hint: chmod u\+r"):
        load(folder / "resnet.onnx")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "resnet.onnx", "--repeats", "3"], "--repeat"),
        (["run", "resnet.onnx", "--input-shapes", "image:1,6"], 'hint: for example --input-shapes "x:[1,3,224,224]"'),
        (["run", "resnet.onnx"], "hint: --dim batch=1"),
        (["run", "resnet.onnx", "--dim", "bacth=1"], "did you mean batch?"),
        (["run", "resnet.onnx", "--dim", "batch=1", "--inputs", "wrong.npz"], "astype"),
        (["run", "resnet.onnx", "--dim", "batch=1", "--inputs", "misnamed.npz"], "did you mean 'image' by 'imagee'?"),
        (["run", "resnet.onnx", "--outputs", "y.txt"], "hint: --outputs y.npz"),
        (["run", "resnet.onnx", "--repeat", "0"], "hint: --repeat 100"),
        (["compile", "resnet.onnx", "--output", "y"], "hint: --output y.tar"),
        (["show", "resnet.onnx", "--stage", "lop"], "did you mean loop?"),
    ],
)
def test_a_slip_on_the_command_line(minicc, folder, arguments, words):
    np.savez(folder / "wrong.npz", image=np.zeros((1, 6)))
    np.savez(folder / "misnamed.npz", imagee=np.zeros((1, 6), np.float32))
    code, _, text = minicc(*arguments)
    assert code == 2 and words in re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_batch_that_fits_nowhere_is_refused_before_compiling(minicc, folder, monkeypatch):
    monkeypatch.setattr("minicc.runtime.memory.installed", lambda: 10**9)
    monkeypatch.setattr("minicc.runtime.memory.available", lambda: 10**9)
    code, _, text = minicc("run", "resnet.onnx", "--dim", "batch=100000000")
    assert code == 2 and "TooLargeError" in text and "1 GB" in text and "use smaller sizes (--dim" in text


def stop(*_, **__):
    raise KeyboardInterrupt


def test_ctrl_c_while_compiling_is_one_line(minicc, folder, monkeypatch):
    before = sorted(folder.iterdir())
    monkeypatch.setattr("minicc.cli.options.compile", stop)
    code, out, text = minicc("compile", "resnet.onnx", "-o", "y.s", "--dim", "batch=1")
    assert (code, out, text) == (130, "", "minicc compile: stopped by Ctrl-C; no file is left half-written\n")
    assert sorted(folder.iterdir()) == before


def test_ctrl_c_while_repeating_prints_the_timings_so_far(folder):
    program = (
        "import sys, threading, time, os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from minicc import cli\nfrom minicc.runtime.executable import Executable\nrun, calls = Executable.run, []\n"
        "def counted(self, given):\n    calls.append(1)\n    if len(calls) == 5:\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return run(self, given)\nExecutable.run = counted\ncli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "resnet.onnx", "--dim", "batch=1", "--repeat", "1000"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 130, done.stderr
    assert re.search(r"latency: median [\d.]+ ms, best [\d.]+ ms of the 3 runs of 1000 that ended\n", done.stdout), (
        done.stdout
    )
    assert "minicc run: stopped by Ctrl-C" in done.stderr and "Traceback" not in done.stderr


def _real_files(folder):
    """Files as the tools that make them write them, by what they are called in an error."""
    by_hand = {
        "PDF": b"%PDF-1.7\n1 0 obj\n",
        "zstd": b"\x28\xb5\x2f\xfd\x24\x00",
        "7z": b"7z\xbc\xaf\x27\x1c\x00\x04",
        "RAR": b"Rar!\x1a\x07\x00",
    }
    made = {name: content + bytes(600) for name, content in by_hand.items()}
    made |= {"gzip": gzip.compress(b"model"), "bzip2": bz2.compress(b"model"), "an xz": lzma.compress(b"model")}
    with tarfile.open(folder / "t.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("model.onnx"))
    made["tar archive"] = (folder / "t.tar").read_bytes()
    made["program or a library"] = b"\x7fELF\x02\x01\x01" + bytes(600)
    connection = sqlite3.connect(folder / "d.db")
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()
    made["database"] = (folder / "d.db").read_bytes()
    return made


def test_archives_and_documents_are_recognised_by_what_their_tools_write(tmp_path):
    for name, content in _real_files(tmp_path).items():
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(LoadError, match=name) as caught:
            load(tmp_path / "model.onnx")
        assert caught.value.hint
