"""What moves elements and computes nothing: shapes, slices, parts, gathering, padding."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from minicc import ops
from minicc.frontend.tflite.call import Meaning, Result, TfliteCall
from minicc.frontend.tflite.windows import activated
from minicc.graph.ir import Node
from minicc.types import DType, Symbol

FAR = 2**31 - 1  # a place after the end of every axis


def axis_of(call: TfliteCall, axis: int, rank: int) -> int:
    """An axis counted from the front; raises when there is none."""
    if not -rank <= axis < rank:
        raise call.error(f"expected an axis in [{-rank}, {rank - 1}], got {axis}")
    return axis % rank


def reshape(call: TfliteCall) -> Node:
    """The shape is an input, or an option. The files have no way to write that a size is kept: 0 is 0."""
    if not call.given(1):
        shape: Any = np.array(call.file.numbers(call.options, "NewShape"), object)
    elif (shape := call.dims(1)) is None:
        return call(ops.Reshape, call[0], shape=call.operand(1), allow_zero=True)
    wanted, keeps = _with_symbols(call, shape.reshape(-1).tolist())
    return call(ops.Reshape, call[0], shape=wanted, allow_zero=not keeps)


def _with_symbols(call: TfliteCall, wanted: list[Any]) -> tuple[tuple[int, ...], bool]:
    """A shape as `Reshape` has it, and whether 0 in it is a size that is kept: so what follows an open batch is known."""
    of = call.type_of(call.stored(0)).shape
    opens = [axis for axis, dim in enumerate(of) if isinstance(dim, Symbol)]
    if len(opens) == 1 and opens[0] < len(wanted) and 0 not in (*wanted, *of):
        (axis,) = opens
        others = [dim for a, dim in enumerate(wanted) if a != axis]
        known = wanted[axis] in (-1, of[axis]) and all(isinstance(dim, int) for dim in others)
        if known and (-1 in others or math.prod(others) == math.prod(d for a, d in enumerate(of) if a != axis)):
            return tuple(0 if a == axis else dim for a, dim in enumerate(wanted)), True
    return tuple(-1 if isinstance(dim, Symbol) else dim for dim in wanted), False


def squeeze(call: TfliteCall) -> Node:
    """Without the axes of extent 1 that are listed, or without all such."""
    axes = tuple(call.file.numbers(call.options, "SqueezeDims"))
    return call(ops.Squeeze, call[0], axes=axes or None)


def concatenation(call: TfliteCall) -> Node:
    """All inputs along an axis, and the activation."""
    parts = [call[k] for k in range(len(call.nodes))]
    return activated(call, call(ops.Concat, *parts, axis=call["Axis"]))


def split(call: TfliteCall) -> Result:
    """Into equal parts, or by an input of sizes."""
    data, axis, sizes = (1, 0, None) if call.kind == "SPLIT" else (0, 2, call.numbers(1, len(call.outputs)))
    parts, at = len(call.outputs), axis_of(call, call.numbers(axis, 1)[0], call.rank(data))
    extent = call.extent(call.stored(data), at)
    if sizes is None and extent % max(parts, 1):
        raise call.error(f"expected an axis that {parts} parts divide, got {extent}")
    if sizes and sum(size == -1 for size in sizes) == 1:  # one of them is the rest
        sizes = tuple(size if size != -1 else extent - sum(sizes) - 1 for size in sizes)
    return [call(ops.Split, call[data], axis=at, parts=parts, sizes=sizes, index=k) for k in range(parts)]


def slice_(call: TfliteCall) -> Node:
    """From a begin, so many elements; -1 of them are all."""
    begin, size = call.known(1), call.known(2)
    if size is not None and begin is not None:
        ends = [FAR if s == -1 else b + s for b, s in zip(call.numbers(1), call.numbers(2, begin.size), strict=True)]
        return call(ops.Slice, call[0], starts=call.numbers(1), ends=tuple(ends))
    if size is not None and (size < 0).any():
        raise call.error("expected sizes that are given where the begin is computed, got -1")
    starts, sizes = call.operand(1), call.operand(2)
    return call(ops.Slice, call[0], starts=starts, ends=call(ops.Add, starts, sizes))


def strided_slice(call: TfliteCall) -> Node:
    """The slices of NumPy, `x[1:3, ..., None, 2]`: each part has a bit in each mask."""
    begins = call.numbers(1)
    ends, steps = call.numbers(2, len(begins)), call.numbers(3, len(begins))
    masks = {n: call[f"{n}Mask"] for n in ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")}
    bits = [{n for n, mask in masks.items() if mask >> k & 1} for k in range(len(begins))]
    rank = call.rank(0)
    skipped = rank - sum(not b & {"Ellipsis", "NewAxis"} for b in bits)
    axis, kept, cuts, dropped, added = 0, 0, [], [], []
    for begin, end, step, bit in zip(begins, ends, steps, bits, strict=True):
        if "Ellipsis" in bit:
            axis, kept = axis + skipped, kept + skipped
        elif "NewAxis" in bit:
            added.append(kept)
            kept += 1
        else:
            end = begin + end if call["Offset"] else end
            cuts.append((axis, *_cut(begin, end, step, bit)))
            dropped += [axis] * ("ShrinkAxis" in bit)
            axis, kept = axis + 1, kept + ("ShrinkAxis" not in bit)
    if axis > rank or skipped < 0 or 0 in steps:
        raise call.error(f"expected at most {rank} parts with steps other than 0, got {begins}, {ends} by {steps}")
    x: Node = call[0]
    if cuts:
        axes, starts, stops, strides = zip(*cuts, strict=True)
        x = call(ops.Slice, x, axes=axes, starts=starts, ends=stops, steps=strides)
    x = call(ops.Squeeze, x, axes=tuple(dropped)) if dropped else x
    return call(ops.Unsqueeze, x, axes=tuple(added)) if added else x


def _cut(begin: int, end: int, step: int, bit: set[str]) -> tuple[int, int, int]:
    if "ShrinkAxis" in bit:
        return begin, FAR if begin == -1 else begin + 1, 1
    first, last = (0, FAR) if step > 0 else (FAR, -FAR)
    return first if "Begin" in bit else begin, last if "End" in bit else end, step


def gather(call: TfliteCall) -> Node:
    """With `BatchDims` axes in front that the indices have, too."""
    x, indices, batch = call[0], call.stored(1), call["BatchDims"]
    axis = axis_of(call, call["Axis"], call.rank(0))
    batch = batch + call.rank(1) if batch < 0 else batch
    if not batch:
        return call(ops.Gather, x, indices, axis=axis)
    if axis != batch:
        raise call.error(f"expected an axis right after the {batch} of the batch, got axis {axis}")
    return call(ops.GatherND, x, call(ops.Unsqueeze, indices, axes=(-1,)), batch_dims=batch)


def pack(call: TfliteCall) -> Node:
    """The inputs beside one another on a new axis."""
    axis = axis_of(call, call["Axis"], call.rank(0) + 1)
    parts = [call(ops.Unsqueeze, call[k], axes=(axis,)) for k in range(len(call.nodes))]
    return call(ops.Concat, *parts, axis=axis)


def unpack(call: TfliteCall) -> Result:
    """The contrary: each element of an axis is a result."""
    axis, parts = axis_of(call, call["Axis"], call.rank(0)), len(call.outputs)
    if call.extent(call.stored(0), axis) != parts:
        raise call.error(f"expected a result for each element of axis {axis}, got {parts} results")
    split: list[Node] = [call(ops.Split, call[0], axis=axis, parts=parts, index=k) for k in range(parts)]
    return [call(ops.Squeeze, part, axes=(axis,)) for part in split]


def pad(call: TfliteCall) -> Node:
    """A row of two numbers for each axis. What is put there is 0, which integers that are moved write as they do."""
    x = call[0]
    widths = np.array(call.numbers(1, 2 * call.rank(0)), np.int64).reshape(-1, 2)
    if call.given(2):
        value: Any = call.operand(2, 0) if call.as_stored else call(ops.Reshape, call[2], shape=())
    else:
        q = call.outputs[0].quantization if call.as_stored else None
        value = int(q.zeros[0]) if q is not None else 0
    return call(ops.Pad, x, pads=tuple(widths.T.reshape(-1).tolist()), value=value)


def mirror_pad(call: TfliteCall) -> Node:
    """REFLECT leaves the edge out, SYMMETRIC repeats it: there the elements of each axis are gathered."""
    x: Node = call[0]
    rank = call.rank(0)
    widths = np.array(call.numbers(1, 2 * rank), np.int64).reshape(-1, 2)
    edge = call["Mode"] == 1
    for axis, (before, after) in enumerate(widths.tolist()):
        most = call.extent(x, axis) - (not edge) if before or after else 0
        if min(before, after) < 0 or max(before, after) > most:
            raise call.error(f"expected 0 to {most} elements around axis {axis}, got {before} and {after}")
    if not edge:
        return call(ops.Pad, x, pads=tuple(widths.T.reshape(-1).tolist()), mode="reflect")
    for axis, (before, after) in enumerate(widths.tolist()):
        if before or after:
            places = np.pad(np.arange(call.extent(x, axis)), (before, after), mode="symmetric")
            x = call(ops.Gather, x, call.constant(places, "int64"), axis=axis)
    return x


def _block_shape(call: TfliteCall) -> tuple[list[int], list[tuple[int, int]]]:
    block = list(call.numbers(1))
    pairs = np.array(call.numbers(2, 2 * len(block)), np.int64).reshape(-1, 2).tolist()
    if not 0 < len(block) < call.rank(0) or min(block) < 1 or min(map(min, pairs)) < 0:
        raise call.error(
            f"expected sizes of blocks and pads for some of the axes after the batch, got {block}, {pairs}"
        )
    return block, [(before, after) for before, after in pairs]


def space_to_batch(call: TfliteCall) -> Node:
    """Each place in a block becomes an image of a batch."""
    (block, pads), n, rank = _block_shape(call), len(call.numbers(1)), call.rank(0)
    befores, afters = zip(*pads, strict=True)
    x = call(ops.Pad, call[0], pads=(*befores, *afters), axes=tuple(range(1, n + 1)), value=_zero(call))
    sizes = [call.extent(x, axis) for axis in range(1, rank)]
    if any(size % b for size, b in zip(sizes, block, strict=False)):
        raise call.error(f"expected padded axes that blocks of {block} divide, got {sizes}")
    apart = [d for size, b in zip(sizes, block, strict=False) for d in (size // b, b)]
    x = call(ops.Reshape, x, shape=(-1, *apart, *sizes[n:]))
    perm = (*range(2, 2 * n + 1, 2), 0, *range(1, 2 * n, 2), *range(2 * n + 1, rank + n))
    x = call(ops.Transpose, x, perm=perm)
    return call(ops.Reshape, x, shape=(-1, *[s // b for s, b in zip(sizes, block, strict=False)], *sizes[n:]))


def _zero(call: TfliteCall) -> int:
    q = call.outputs[0].quantization if call.as_stored else None
    return int(q.zeros[0]) if q is not None else 0


def batch_to_space(call: TfliteCall) -> Node:
    """The contrary, after which each image is cropped."""
    (block, crops), n, rank = _block_shape(call), len(call.numbers(1)), call.rank(0)
    x = call[0]
    sizes = [call.extent(x, axis) for axis in range(1, rank)]
    x = call(ops.Reshape, x, shape=(*block, -1, *sizes))
    perm = (n, *[k for axis in range(n) for k in (n + 1 + axis, axis)], *range(2 * n + 1, rank + n))
    x = call(ops.Transpose, x, perm=perm)
    whole = [size * b for size, b in zip(sizes, block, strict=False)]
    x = call(ops.Reshape, x, shape=(-1, *whole, *sizes[n:]))
    ends = tuple(size - after for size, (_, after) in zip(whole, crops, strict=True))
    return call(ops.Slice, x, axes=tuple(range(1, n + 1)), starts=tuple(b for b, _ in crops), ends=ends)


def reverse(call: TfliteCall) -> Node:
    """The elements of some axes in the contrary order."""
    axes = call.numbers(1)
    far = (FAR,) * len(axes)
    return call(ops.Slice, call[0], axes=axes, starts=far, ends=tuple(-f for f in far), steps=(-1,) * len(axes))


def reverse_sequence(call: TfliteCall) -> Node:
    """Of each row as many elements turned round as an input says."""
    lengths = call(ops.Cast, call.stored(1), dtype=DType.of("int64"))
    return call(ops.ReverseSequence, call[0], lengths, batch_axis=call["BatchDim"], time_axis=call["SeqDim"])


def shape(call: TfliteCall) -> Node:
    """The shape, of the dtype that the file says."""
    return call.cast(call(ops.Shape, call.stored(0)))


def zeros_like(call: TfliteCall) -> Node:
    """Zeros in the shape of the input."""
    dtype = call.outputs[0].type.dtype
    return call(ops.ConstantOfShape, shape=call(ops.Shape, call.stored(0)), value=0, dtype=dtype)


def range_(call: TfliteCall) -> Node:
    """Numbers from a start to a limit."""
    start, limit, delta = (call.stored(k) for k in range(3))
    return call(ops.Range, start=start, limit=limit, delta=delta, dtype=call.outputs[0].type.dtype)


def scatter_nd(call: TfliteCall) -> Node:
    """Into zeros; what falls on one place is added."""
    zeros = call(ops.ConstantOfShape, shape=call.operand(2), value=0, dtype=call.outputs[0].type.dtype)
    return call(ops.ScatterND, zeros, call.stored(0), call[1], reduction="add")


def one_hot(call: TfliteCall) -> Node:
    """An index that is negative is none; `OneHot` counts such from the end."""
    indices, depth = call.stored(0), call.operand(1, rank=0)
    absent = call(ops.Less, indices, call.like(0, indices))
    indices = call(ops.Where, absent, call(ops.Cast, depth, dtype=call.type_of(indices).dtype), indices)
    values = call(ops.Concat, *[call(ops.Reshape, call[k], shape=(1,)) for k in (3, 2)], axis=0)
    return call(ops.OneHot, indices, values, axis=call["Axis"], depth=depth)


def repeated(call: TfliteCall, field: str, operator: Any) -> Node:
    """An operator whose one operand, a list, is the second input."""
    return call(operator, call[0], **{field: call.operand(1)})


_moves = partial(Meaning, moves=True)
MOVEMENT: dict[str, Meaning] = {
    "BATCH_TO_SPACE_ND": _moves(batch_to_space),
    "BROADCAST_TO": _moves(partial(repeated, field="shape", operator=ops.Expand)),
    "CONCATENATION": _moves(concatenation, "ConcatenationOptions"),
    "EMBEDDING_LOOKUP": Meaning(lambda call: call(ops.Gather, call[1], call.stored(0))),
    "EXPAND_DIMS": _moves(lambda call: call(ops.Unsqueeze, call[0], axes=call.numbers(1, 1))),
    "FILL": _moves(lambda call: call(ops.Expand, call[1], shape=call.operand(0))),
    "GATHER": _moves(gather, "GatherOptions"),
    "GATHER_ND": _moves(lambda call: call(ops.GatherND, call[0], call.stored(1))),
    "MIRROR_PAD": _moves(mirror_pad, "MirrorPadOptions"),
    "ONE_HOT": Meaning(one_hot, "OneHotOptions"),
    "PACK": _moves(pack, "PackOptions"),
    "PAD": _moves(pad),
    "PADV2": _moves(pad),
    "RANGE": Meaning(range_),
    "RANK": Meaning(lambda call: call.constant(call.rank(0), "int32")),
    "RESHAPE": _moves(reshape, "ReshapeOptions"),
    "REVERSE_SEQUENCE": _moves(reverse_sequence, "ReverseSequenceOptions"),
    "REVERSE_V2": _moves(reverse),
    "SCATTER_ND": Meaning(scatter_nd),
    "SHAPE": Meaning(shape),
    "SLICE": _moves(slice_),
    "SPACE_TO_BATCH_ND": _moves(space_to_batch),
    "SPLIT": _moves(split),
    "SPLIT_V": _moves(split),
    "SQUEEZE": _moves(squeeze, "SqueezeOptions"),
    "STRIDED_SLICE": _moves(strided_slice, "StridedSliceOptions"),
    "TILE": _moves(partial(repeated, field="repeats", operator=ops.Tile)),
    "TRANSPOSE": _moves(lambda call: call(ops.Transpose, call[0], perm=call.numbers(1, call.rank(0)))),
    "UNPACK": _moves(unpack, "UnpackOptions"),
    "ZEROS_LIKE": Meaning(zeros_like),
}
