"""What a file is that is no ONNX model, and how a model is made of it.

In: the first bytes of a file, or its name. Out: what it is, and a hint. Nothing is unpacked, unpickled or run:
formats are known by the bytes they begin with, and those that have none, such as protobufs, by the ends of names.

>>> foreign(b"\\x89PNG\\r\\n\\x1a\\n")
('a PNG image', 'give the model, an .onnx file; images go in as an array: --inputs FILE.npz')
"""

from __future__ import annotations

import re
from pathlib import Path

HEAD = 4096  # bytes that tell what a file is

_IMAGE = "give the model, an .onnx file; images go in as an array: --inputs FILE.npz"
_TORCH = (
    "PyTorch weights or a pickled module",
    "where its class is: minicc.from_torch(module, inputs), or torch.onnx.export(module, inputs, FILE)",
)
_KERAS = "a Keras model", "python -m tf2onnx.convert --keras FILE --output model.onnx"
_ARRAYS = "arrays of NumPy", "give the model first, an .onnx file, and the arrays by --inputs FILE"
_SAFE = "weights without a graph (safetensors)", "export from their library: torch.onnx.export, optimum-cli export onnx"
_TFLITE = (
    "a TensorFlow Lite model",
    "minicc.load takes it; for other tools: python -m tf2onnx.convert --tflite FILE --output model.onnx",
)
_ORT = "a model in the format of onnxruntime", "give the .onnx file that it was made of"
_GGUF = "a GGUF model", "give an .onnx file: export the original model, by optimum-cli export onnx for example"
_TENSORRT = "an engine of TensorRT", "give the .onnx file that it was made of"
_DARKNET = "weights of Darknet", "give the .cfg; the .weights beside it are found: minicc run MODEL.cfg"
_LFS = "a pointer of Git LFS, in place of the model", "git lfs install && git lfs pull, in the folder of the model"

_BEGINS: tuple[tuple[int, bytes, tuple[str, str]], ...] = (  # at this byte, what, meaning
    (0, b"\x89PNG", ("a PNG image", _IMAGE)),
    (0, b"\xff\xd8\xff", ("a JPEG image", _IMAGE)),
    (0, b"GIF8", ("a GIF image", _IMAGE)),
    (0, b"RIFF", ("a WebP image, a sound or a film", _IMAGE)),
    (0, b"\x93NUMPY", _ARRAYS),
    (0, b"\x89HDF", _KERAS),
    (0, b"GGUF", _GGUF),
    (0, b"ptrt", _TENSORRT),
    (0, b"ftrt", _TENSORRT),
    (2, b"\0\0TFL3", _TFLITE),
    (2, b"\0\0ORTM", _ORT),
    (0, b"version https://git-lfs", _LFS),
    (0, b"\x1f\x8b", ("a gzip archive", "unpack it: gunzip FILE, or tar -xzf FILE")),
    (0, b"BZh", ("a bzip2 archive", "unpack it: bunzip2 FILE, or tar -xjf FILE")),
    (0, b"\xfd7zXZ", ("an xz archive", "unpack it: unxz FILE, or tar -xJf FILE")),
    (0, b"\x28\xb5\x2f\xfd", ("a zstd archive", "unpack it: unzstd FILE")),
    (0, b"7z\xbc\xaf", ("a 7z archive", "unpack it: 7z x FILE")),
    (0, b"Rar!", ("a RAR archive", "unpack it: unrar x FILE")),
    (257, b"ustar", ("a tar archive", "unpack it: tar -xf FILE; a bundle of minicc runs by --device cuda or emulated")),
    (0, b"%PDF", ("a PDF document", "give the model, an .onnx file")),
    (0, b"\x7fELF", ("a program or a library", "give the model, an .onnx file")),
    (0, b"SQLite format", ("a database", "give the model, an .onnx file")),
)
_ZIPPED: tuple[tuple[str, tuple[str, str]], ...] = (  # a pattern of the names in an archive
    (r"data\.pkl|archive_format|\.data/serialization_id|archive/", _TORCH),
    (r"\.npy", _ARRAYS),
    (r"config\.json|metadata\.json|model\.weights\.h5", _KERAS),
)
_ENDS: dict[str, tuple[str, str]] = {
    **dict.fromkeys((".pt", ".pth", ".pt2", ".ckpt", ".pkl", ".pickle", ".bin"), _TORCH),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS),
    **dict.fromkeys((".npz", ".npy"), _ARRAYS),
    ".weights": _DARKNET,
    **dict.fromkeys((".engine", ".plan", ".trt"), _TENSORRT),
    **dict.fromkeys((".caffemodel", ".prototxt"), ("a network of Caffe", "convert it: pip install caffe2onnx, or load it in OpenCV or PyTorch and export from there")),
    **dict.fromkeys((".onnx_data", ".data"), ("the tensors of a model that lies beside them", "give the .onnx file beside it")),
    **dict.fromkeys((".pdmodel", ".pdiparams"), ("a PaddlePaddle model", "paddle2onnx --model_dir FOLDER --save_file model.onnx")),
    **dict.fromkeys((".mlmodel", ".mlpackage"), ("a Core ML model", "export the original model to ONNX; Core ML has no way back")),
    ".pb": ("a frozen TensorFlow graph, or a tensor of ONNX's test data", "python -m tf2onnx.convert --graphdef FILE --inputs x:0 --outputs y:0 --output model.onnx"),
    ".safetensors": _SAFE,
    ".ort": _ORT,
    ".gguf": _GGUF,
}  # fmt: skip


def foreign(head: bytes) -> tuple[str, str] | None:
    """What a file is that begins with `head`, and what to do; None when it may be a model."""
    for at, begin, meaning in _BEGINS:
        if head[at : at + len(begin)] == begin:
            return meaning
    if head[:4] == b"PK\x03\x04":
        other = "a zip archive", "unpack it, and give the .onnx file in it: unzip FILE"
        starts = [match.start() for match in re.finditer(rb"PK\x03\x04", head)]
        lengths = [int.from_bytes(head[at + 26 : at + 28], "little") for at in starts]
        names = b" ".join(head[at + 30 : at + 30 + n] for at, n in zip(starts, lengths, strict=True)).decode(
            errors="replace"
        )
        return next((meaning for pattern, meaning in _ZIPPED if re.search(pattern, names)), other)
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return _TORCH
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100 << 20:
        return _SAFE
    return None


def named(head: bytes, name: str) -> tuple[str, str] | None:
    """What a file is that does not parse, by its text or the end of its name, and what to do; None when nothing is known of it."""
    return _ENDS.get(Path(name).suffix.lower()) or _text(head)


def _text(head: bytes) -> tuple[str, str] | None:
    """What a text is; None when `head` is no text. A model is none: its numbers and lengths are control characters."""
    text = head.decode(errors="ignore").lstrip("\ufeff \r\n\t")
    if not text or re.search(r"[\x00-\x08\x0e-\x1f\x7f]", text) or len(text) < len(head) * 3 // 4:
        return None
    begin = text[:200].lower()
    if begin.startswith(("<!doctype html", "<html")):
        hint = "the download gave a page in place of the model: take the link of the raw file "
        return "an HTML page", hint + "(on GitHub or Hugging Face: /resolve/ or /raw/)"
    if re.match(r"graph \w+\(", text):
        return "the text of a graph", "minicc reduce reads it; in Python, minicc.graph.text.parse"
    if re.match(r"<\s*ir_version", text):
        hint = "onnx.save(onnx.parser.parse_model(text), 'model.onnx') makes a file of it"
        return "a model in the text form of ONNX", hint
    return f"text that begins with {text.splitlines()[0][:40]!r}", "give the model, an .onnx file"
