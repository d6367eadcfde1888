"""An ONNX file without its large weights, and where these are: they are read once, to where they stay.

In: an open file. Out: the bytes of its ModelProto without the `raw_data` of large initializers, and for each of these, by
name, its place in the file. A parser copies what it reads, more than once; weights are nearly all of a file, so we
walk over the fields ourselves (Protocol Buffers Documentation, Encoding) and hand it the rest. Whatever is unusual (a
graph in two parts, a tensor with two values, a length that leads out of the file) gives None: then the parser gets it all.

    without_weights(file)      # (b"...", {"conv1.weight": (1234, 37632)})
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

GRAPH, INITIALIZER, NAME, RAW_DATA = 7, 5, 8, 9  # fields of ModelProto, GraphProto and TensorProto
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # kinds of fields
LARGE = 1 << 16  # bytes of a tensor that the parser does not get
CHUNK = 1 << 14

Field = tuple[int, int, int, int]  # number, where the field begins, where its content begins and ends
Held = dict[str, tuple[int, int]]  # offset and size by name


def without_weights(file: BinaryIO) -> tuple[bytes, Held] | None:
    """The rest of the model, and the places of its large weights."""
    source = _Source(file)
    held: Held = {}
    try:
        parts = [
            _part(source, field, GRAPH, lambda s, f: _graph(s, f, held)) for field in source.fields(0, source.size)
        ]
        graphs = sum(number == GRAPH for number, *_ in source.fields(0, source.size))
    except (ValueError, UnicodeDecodeError):
        return None
    return (b"".join(parts), held) if graphs == 1 and held else None


def _graph(source: _Source, field: Field, held: Held) -> bytes:
    _, _, begin, end = field
    return b"".join(
        [_part(source, f, INITIALIZER, lambda s, t: _tensor(s, t, held)) for f in source.fields(begin, end)]
    )


def _tensor(source: _Source, field: Field, held: Held) -> bytes:
    """A tensor, without its `raw_data` if that is large."""
    _, _, begin, end = field
    if end - begin < LARGE:
        return source.read(begin, end)
    parts = list(source.fields(begin, end))
    raw = [f for f in parts if f[0] == RAW_DATA]
    names = [source.read(f[2], f[3]).decode() for f in parts if f[0] == NAME]
    if len(raw) != 1 or len(names) != 1 or names[0] in held or raw[0][3] - raw[0][2] < LARGE:
        raise ValueError("unusual")
    held[names[0]] = raw[0][2], raw[0][3] - raw[0][2]
    return b"".join([source.read(f[1], f[3]) for f in parts if f[0] != RAW_DATA])


def _part(source: _Source, field: Field, number: int, inner: Callable[[_Source, Field], bytes]) -> bytes:
    """A field as it is, or one of this number with other content."""
    if field[0] != number:
        return source.read(field[1], field[3])
    content = inner(source, field)
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


class _Source:
    """A file of which parts are read, a chunk at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size = file, file.seek(0, 2)
        self.start, self.chunk = 0, b""

    def read(self, begin: int, end: int) -> bytes:
        self.file.seek(begin)
        return self.file.read(end - begin)

    def byte(self, at: int) -> int:
        if not self.start <= at < self.start + len(self.chunk):
            self.start, self.chunk = at, self.read(at, at + CHUNK)
        if at - self.start >= len(self.chunk):
            raise ValueError("beyond the end")
        return self.chunk[at - self.start]

    def varint(self, at: int) -> tuple[int, int]:
        """A number, and where what follows it begins."""
        found = 0
        for k in range(10):
            byte = self.byte(at + k)
            found |= (byte & 127) << 7 * k
            if byte < 128:
                return found, at + k + 1
        raise ValueError("too long a number")

    def fields(self, at: int, end: int) -> Iterator[Field]:
        """The fields between two places. Raises ValueError where they are not well-formed."""
        while at < end:
            tag, begin = self.varint(at)
            kind = tag & 7
            if kind == BYTES:
                size, begin = self.varint(begin)
                stop = begin + size
            elif kind == VARINT:
                stop = self.varint(begin)[1]
            elif kind in (FIXED32, FIXED64):
                stop = begin + (4 if kind == FIXED32 else 8)
            else:
                raise ValueError("an unknown kind of field")
            if stop > end:
                raise ValueError("beyond the end")
            yield tag >> 3, at, begin, stop
            at = stop
