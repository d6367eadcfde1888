"""An ONNX file without its large weights, and where these are: they are read once, to where they stay.

In: an open file. Out: the bytes of its ModelProto without the `raw_data` of large initializers, and for each of these, by
name, its place in the file. A parser copies what it reads, more than once; weights are nearly all of a file, so we
walk over the fields ourselves (Protocol Buffers Documentation, Encoding) and hand it the rest. Whatever is unusual (a
graph in two parts, a tensor with two values, a length that leads out of the file, very many fields) gives None: then the
parser gets it all.

    without_weights(file)      # (b"...", {"conv1.weight": (1234, 37632)})
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

GRAPH, INITIALIZER, NAME, RAW_DATA = 7, 5, 8, 9  # fields of ModelProto, GraphProto and TensorProto
BYTES = 2  # a kind of field: a length, then as many bytes; the others are numbers
LARGE = 1 << 16  # bytes of a tensor that the parser does not get
MOST = 1 << 18  # fields: where there are more, they are nodes, and too many of them
ALL = range(1, 1 << 29)

Field = tuple[int, int, int, int]  # number, where the field begins, where its content begins and ends
Source = bytes | mmap
Held = dict[str, tuple[int, int]]  # offset and size by name


def without_weights(file: BinaryIO) -> tuple[bytes, Held] | None:
    """The rest of the model, and the places of its large weights."""
    held: Held = {}
    try:
        with mmap(file.fileno(), 0, access=ACCESS_READ) as source:
            found = list(_fields(source, 0, len(source), (GRAPH,)))
            if sum(number == GRAPH for number, *_ in found) != 1:
                return None
            rest = b"".join([_part(source, field, GRAPH, lambda s, f: _graph(s, f, held)) for field in found])
    except (ValueError, IndexError, OSError):
        return None
    return (rest, held) if held else None


def _graph(source: Source, field: Field, held: Held) -> bytes:
    parts = _fields(source, *field[2:], (INITIALIZER,))
    return b"".join([_part(source, f, INITIALIZER, lambda s, t: _tensor(s, t, held)) for f in parts])


def _tensor(source: Source, field: Field, held: Held) -> bytes:
    """A tensor, without its `raw_data` if that is large."""
    _, _, begin, end = field
    if end - begin < LARGE:
        return source[begin:end]
    parts = list(_fields(source, begin, end, ALL))
    raw = [f for f in parts if f[0] == RAW_DATA]
    names = [source[f[2] : f[3]].decode() for f in parts if f[0] == NAME]
    if len(raw) != 1 or len(names) != 1 or names[0] in held or raw[0][3] - raw[0][2] < LARGE:
        raise ValueError("unusual")
    held[names[0]] = raw[0][2], raw[0][3] - raw[0][2]
    return b"".join([source[f[1] : f[3]] for f in parts if f[0] != RAW_DATA])


def _part(source: Source, field: Field, number: int, inner: Callable[[Source, Field], bytes]) -> bytes:
    """A field as it is, or one of this number with other content."""
    if field[0] != number:
        return source[field[1] : field[3]]
    content = inner(source, field)
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _number(source: Source, at: int) -> tuple[int, int]:
    """A varint, and where what follows it begins."""
    found = 0
    for k in range(10):
        byte = source[at + k]
        found |= (byte & 127) << 7 * k
        if byte < 128:
            return found, at + k + 1
    raise ValueError("too long a number")


def _fields(source: Source, at: int, end: int, wanted: Collection[int]) -> Iterator[Field]:
    """The fields of the `wanted` numbers between two places, and what is between those in one piece, of number 0.

    Raises ValueError or IndexError where they are not well-formed. Nothing is called for a short one: nodes are many.
    """
    rest = at
    for _ in range(MOST):
        if at >= end:
            break
        start, tag, begin = at, source[at], at + 2
        if tag & 0x87 == BYTES and source[at + 1] < 128:
            number, at = tag >> 3, begin + source[at + 1]
        else:
            number, begin, at = _field(source, at)
        if at > end:
            raise ValueError("beyond the end")
        if number in wanted:
            if rest < start:
                yield 0, rest, rest, start
            yield number, start, begin, at
            rest = at
    if at < end:
        raise ValueError("too many fields")
    if rest < end:
        yield 0, rest, rest, end


def _field(source: Source, at: int) -> tuple[int, int, int]:
    """The number of a field, and where its content begins and ends."""
    tag, begin = _number(source, at)
    match tag & 7:
        case 2:
            size, begin = _number(source, begin)
            return tag >> 3, begin, begin + size
        case 0:
            return tag >> 3, begin, _number(source, begin)[1]
        case 1 | 5 as kind:  # numbers of eight and of four bytes
            return tag >> 3, begin, begin + (8 if kind == 1 else 4)
    raise ValueError("an unknown kind of field")
