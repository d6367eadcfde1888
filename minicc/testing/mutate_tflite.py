"""Damaged TensorFlow Lite files, for `mutate_files`: small sound ones, some of whose parts are changed with an eye for what they mean.

In: a source of random numbers. Out: a file. A change puts another number at a place that the reader looks at (a field, an
offset, a length, an index), turns one field into another, cuts the file off, or damages its weights. Which places the
reader looks at is found by reading the sound file through a `Watched` buffer: so every table and every vector of it has
its turn, whatever the schema is.

>>> import random
>>> list(draw(random.Random(0)))
['model.tflite']
"""

from __future__ import annotations

import functools
import random as random_module
import struct
from typing import Any
from unittest import mock

import numpy as np
from flatbuffers import encode

from minicc.frontend.tflite import load
from minicc.testing import tflite_networks as networks
from minicc.testing.tflite_models import TfliteModel

Random = random_module.Random
EDGES = (0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 2)
FLOATS = tuple(struct.unpack("<I", struct.pack("<f", v))[0] for v in (-1.0, 1e-45, 3e38, float("inf"), float("nan")))
MOST_CHANGES = 6


def draw(random: Random) -> dict[str, bytes]:
    """A damaged file."""
    content, places = random.choice(sound())
    made = bytearray(content)
    for _ in range(min(1 + int(random.expovariate(1.2)), MOST_CHANGES)):
        at, size = random.choice(places) if random.random() < 0.9 else (random.randrange(len(made) - 4), 4)
        others = [p for p in places if p[1] == size]
        made[at : at + size] = _other(made, at, size, random.choice(others) if others else (at, size), random)
    if random.random() < 0.1:
        made = made[: random.randint(0, len(made))]
    return {"model.tflite": bytes(made)}


def _other(made: bytearray, at: int, size: int, source: tuple[int, int], random: Random) -> bytes:
    """Other bytes for a place: an edge of its type, one more or less, what stands at another place, or any number."""
    value = int.from_bytes(made[at : at + size], "little")
    kind = random.randrange(5)
    if kind == 0:
        return bytes(made[source[0] : source[0] + size])
    numbers = (random.choice(EDGES), value + random.choice((-1, 1, 4, -4)), random.randrange(40), random.choice(FLOATS))
    return int(numbers[kind - 1] % 2 ** (8 * size)).to_bytes(size, "little")


@functools.cache
def sound() -> tuple[tuple[bytes, tuple[tuple[int, int], ...]], ...]:
    """Files without a fault, and the places that are looked at when they are read: each with its number of bytes."""
    random = np.random.default_rng(0)
    files = [make(random, quantised, 8, 4) for make in (networks.mobilenet, networks.detector, networks.segmenter)
             for quantised in (False, True)]  # fmt: skip
    files += [networks.transformer(random, 3, 4), movement(random), sparse(random)]
    files.append(networks.mobilenet(random, size=8, width=4, dynamic=True))
    return tuple((content, looked_at(content)) for content in files)


def looked_at(content: bytes) -> tuple[tuple[int, int], ...]:
    """The places of a file that reading it looks at, but for its weights."""
    found: set[tuple[int, int]] = set()
    get, vector = encode.Get, encode.GetVectorAsNumpy

    def watched(kind: struct.Struct, buffer: Any, at: int) -> Any:
        found.add((int(at), kind.size))
        return get(kind, buffer, at)

    def seen(dtype: Any, buffer: Any, count: int, at: int) -> Any:
        size = np.dtype(dtype).itemsize
        found.update((int(at) + k * size, size) for k in range(min(count, 16)))
        return vector(dtype, buffer, count, at)

    with mock.patch.object(encode, "Get", watched), mock.patch.object(encode, "GetVectorAsNumpy", seen):
        load(content)
    return tuple(sorted(found))


def movement(random: np.random.Generator) -> bytes:
    """What moves elements: slices with masks, gathering, padding, blocks, parts."""
    net = TfliteModel()
    x = net.tensor((1, 4, 6, 4), name="x")

    def ints(*values: Any) -> int:
        return net.constant(values, "int32")

    y = net.op("STRIDED_SLICE", [x, ints(0, 1, -1), ints(1, 4, 0), ints(1, 1, -2)], "StridedSliceOptions", BeginMask=1,
               EllipsisMask=0, NewAxisMask=0, ShrinkAxisMask=0, EndMask=4)  # fmt: skip
    y = net.op("PAD", [y, ints((0, 0), (1, 0), (0, 1), (0, 0))])
    y = net.op("MIRROR_PAD", [y, ints((0, 0), (0, 2), (1, 1), (0, 0))], "MirrorPadOptions", Mode=1)
    y = net.op("SPACE_TO_BATCH_ND", [y, ints(2, 2), ints((0, 0), (0, 0))])
    y = net.op("BATCH_TO_SPACE_ND", [y, ints(2, 2), ints((0, 0), (0, 0))])
    y = net.op("SPACE_TO_DEPTH", [y], "SpaceToDepthOptions", BlockSize=2)
    y = net.op("GATHER", [y, ints(0, 2, 1, 5)], "GatherOptions", Axis=3)
    a, b = net.op(
        "SPLIT", [net.constant(3, "int32"), y], "SplitOptions", results=2, result={"dtype": "float32"}, NumSplits=2
    )
    y = net.op("PACK", [a, b], "PackOptions", Axis=1, ValuesCount=2)
    parts = net.op("UNPACK", [y], "UnpackOptions", results=2, Axis=1, Num=2)
    values, places = net.op("TOPK_V2", [parts[0], net.constant(2, "int32")], results=2)
    net.tensors[places].dtype = "int32"
    chosen = net.op("SELECT_V2", [net.op("GREATER", [parts[0], parts[1]], result={"dtype": "bool"}), *parts],
                    result={"dtype": "float32"})  # fmt: skip
    z = net.op("TRANSPOSE", [net.op("TILE", [chosen, ints(1, 1, 2, 1)]), ints(0, 3, 1, 2)])
    return net.write([x], [z, values, places])


def sparse(random: np.random.Generator) -> bytes:
    """Weights without their zeros, and halves."""
    net = TfliteModel()
    x = net.tensor((2, 8), name="x")
    levels = [4, ([0, 1, 1, 3, 4], [0, 1, 3, 2]), 2]
    w = net.tensor((4, 8), "float32", random.normal(size=8).astype(np.float32), sparsity=([0, 1, 2], [1], levels))
    w = net.op("DENSIFY", [w], result={"shape": (4, 8)})
    half = net.op("DEQUANTIZE", [net.constant(random.normal(size=4), "float16")], result={"dtype": "float32"})
    return net.write([x], [net.op("FULLY_CONNECTED", [x, w, half], "FullyConnectedOptions", FusedActivationFunction=1)])
