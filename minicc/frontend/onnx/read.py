"""An ONNX file read and parsed; what lies in it is not looked at yet.

In: a path, or the bytes of a file. Out: a `ModelProto`, and where tensors outside of it may lie. What is no ONNX model is
known by how it begins before the rest is read.

    file, model = read(Path("model.onnx"))
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from minicc.errors import LoadError
from minicc.frontend.formats import HEAD, foreign, named
from minicc.frontend.onnx.tensors import ModelFile
from minicc.frontend.onnx.weights import without_weights
from minicc.paths import unreadable

LARGEST = 2**31 - 1  # bytes of a protobuf


def read(path: Path) -> tuple[ModelFile, ModelProto]:
    """The model at `path`. Data beside it may lie in the folder of its path, and of the path that this leads to."""
    call = f"load({str(path)!r})"
    if refused := unreadable(path, ".onnx"):
        raise LoadError(call, f"expected a file, got {refused[0]}", str(path), refused[1])
    file = ModelFile(path.name, (path.parent, path.resolve().parent))
    try:
        with path.open("rb") as stream:
            _check_format(file, stream.read(HEAD))  # before the rest is read: archives of weights are large
            if (size := stream.seek(0, os.SEEK_END)) > LARGEST:
                problem = f"expected at most {LARGEST:,} bytes, the most that a protobuf has, got {size:,}"
                hint = "keep the tensors beside the model: onnx.save(model, path, save_as_external_data=True)"
                raise LoadError(call, problem, str(path), hint)
            if found := without_weights(stream):
                content, file.held[path] = found
            else:
                stream.seek(0)
                content = stream.read()
    except OSError as error:
        problem = f"expected a file, got one that cannot be read: {error.strerror}"
        raise LoadError(call, problem, str(path), "copy the file to a disk of yours") from None
    return file, parse(file, content)


def _check_format(file: ModelFile, head: bytes) -> None:
    empty = "an empty file", "copy, download or export the model again"
    if found := foreign(head) if head else empty:
        raise file.error(f"expected an ONNX model, got {found[0]}", file.name, found[1])


def parse(file: ModelFile, content: bytes) -> ModelProto:
    """The model that `content` encodes. Raises LoadError, which says what it is that is none."""
    _check_format(file, content[:HEAD])
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        what = f"{len(content):,} bytes that do not parse ({error})"
        hint = "the file is no ONNX model, or is damaged"
        if content[:1] == b"\x08":  # the version that models begin with
            hint = "the file begins as a model does, and is cut off or damaged: copy, download or export it again"
        what, hint = named(content[:HEAD], file.name) or (what, hint)
        raise file.error(f"expected an ONNX protobuf, got {what}", file.name, hint) from None
    return model


def read_model(path: Path) -> ModelProto:
    """The model in a file, with the tensors put in that lie beside it, for other tools. `load` must have found it sound."""
    file, model = read(path)
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or file.place(tensor):
            content = file.stored(tensor).tobytes()
            del tensor.external_data[:]
            tensor.ClearField("data_location")
            tensor.raw_data = content
    return model


def no_text(message: Any) -> str:
    """What a name or text is, in `message` or below it, that is not UTF-8; empty where all are."""
    for field, value in message.ListFields():
        for element in value if field.is_repeated else (value,):
            if field.type == FieldDescriptor.TYPE_STRING and isinstance(element, bytes):
                return f"{field.full_name} = {element[:40]!r}, which is not UTF-8"
            if field.type == FieldDescriptor.TYPE_MESSAGE and (found := no_text(element)):
                return found
    return ""
