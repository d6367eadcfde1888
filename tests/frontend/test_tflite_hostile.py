"""Broken files of TensorFlow Lite: each is refused with a LoadError of four parts, before memory is taken."""

import re
import tracemalloc

import numpy as np
import pytest
import tflite

from minicc.errors import LoadError, MiniccError, TypeInferenceError
from minicc.frontend import load
from minicc.testing.tflite_models import OperatorRow, TfliteModel


def conv(change=lambda net: None, **options):
    """A convolution and its weights; `change` breaks it."""
    net = TfliteModel()
    x = net.tensor((1, 4, 4, 2), name="x")
    w, b = net.constant(np.ones((3, 1, 1, 2)), name="w"), net.constant(np.ones(3), name="b")
    fields = {"StrideH": 1, "StrideW": 1, "Padding": 1, **options}
    y = net.op("CONV_2D", [x, w, b], "Conv2DOptions", result={"name": "y"}, **fields)
    change(net)
    return net.write([x], [y])


def one(kind, *shapes, constants=(), options="", dtype="float32", **fields):
    """An operator on inputs of these shapes, then on constants."""
    net = TfliteModel()
    inputs = [net.tensor(shape, dtype) for shape in shapes]
    return net.write(
        inputs, [net.op(kind, [*inputs, *(net.constant(c, "int32") for c in constants)], options, **fields)]
    )


def tensor(index, **fields):
    def change(net):
        for name, value in fields.items():
            setattr(net.tensors[index], name, value)

    return conv(change)


def ends(inputs, outputs):
    net = TfliteModel()
    x = net.tensor((2,), name="x")
    net.op("RELU", [x], result={"name": "y"})
    return net.write(inputs, outputs)


def operators(*rows, count=4):
    """Operators that read and make tensors of these numbers, the first being the input and the last the output."""
    net = TfliteModel()
    for k in range(count):
        net.tensor((2,), name=f"t{k}")
    net.operators = [OperatorRow(kind, inputs, outputs) for kind, inputs, outputs in rows]
    return net.write([0], [count - 1])


def patched(content, at, value, size=4):
    """The file with other bytes at a place."""
    return content[:at] + value.to_bytes(size, "little") + content[at + size :]


def place(content, vector, table=lambda model: model):
    """Where the length of a vector stands in a file."""
    model = tflite.Model.GetRootAs(content, 0)
    start = getattr(table(model), f"{vector}AsNumpy")()
    return start.__array_interface__["data"][0] - np.frombuffer(content, np.uint8).__array_interface__["data"][0] - 4


def weights(model):
    return model.Buffers(1)


GOOD = conv()
Q = {"scale": [0.5], "zero": [0]}
SPARSE = ([0, 1, 2, 3], [], [3, 1, 1, ([0, 1, 2, 3], [0, 1, 1])])

CASES = {  # what is broken: the file, what the error says
    "nothing": (b"", "an empty file"),
    "only the identifier": (b"\0\0\0\0TFL3", "stay in the file|version 3"),
    "a root beyond the end": (patched(GOOD, 0, 2**31), "expected offsets that stay in the file, got error"),
    "a root that is largest": (patched(GOOD, 0, 2**32 - 1), "expected offsets that stay in the file"),
    "cut in half": (GOOD[: len(GOOD) // 2], "expected offsets that stay in the file"),
    "cut behind the header": (GOOD[:40], "expected offsets that stay in the file"),
    "another version": (TfliteModel(Version=2).write([], []), "TensorFlow Lite model of version 3 with a subgraph, got version 2"),
    "a vector longer than the file": (patched(GOOD, place(GOOD, "Data", weights), 2**31 - 1), "Data must have at most the [0-9,]+ bytes of the file, got 2,147,483,647"),
    "fewer weights than their shape": (tensor(1, data=np.ones(5, np.float32)), r"shape \[3, 1, 1, 2\] must have 24 bytes of data, got 20"),
    "more weights than their shape": (tensor(1, data=np.ones(7, np.float32)), "must have 24 bytes of data, got 28"),
    "negative dimensions": (tensor(1, shape=(3, -1, 1, 2)), r"at most 2\*\*40 elements, got \[3, -1, 1, 2\]"),
    "huge dimensions": (tensor(0, shape=(2**30, 2**30, 4, 2)), r"at most 2\*\*40 elements"),
    "40 dimensions": (tensor(0, shape=(1,) * 40), "up to 32 dimensions"),
    "a signature of another shape": (tensor(0, signature=(-1, 5, 4, 2)), r"must have a signature of it, got \[-1, 5, 4, 2\]"),
    "a signature of another rank": (tensor(0, signature=(-1, 4, 4)), r"must have a signature of it"),
    "an element type of text": (tensor(1, dtype="string"), "element type string, which is not supported"),
    "an unknown element type": (tensor(1, fields={"Type": 77}), "element type 77"),
    "a buffer that is not there": (tensor(1, buffer=99), "one of 3 buffers, got 99"),
    "weights in no buffer": (tensor(1, buffer=0), "must be an input, a constant or made by an operator, got tensor 1 'w'"),
    "a state": (tensor(2, fields={"IsVariable": True}), "keep a state from call to call"),
    "a scale of zero": (tensor(0, dtype="int8", scale=[0.0], zero=[0]), "scales that are positive and finite, got 0.0"),
    "a scale that is no number": (tensor(0, dtype="int8", scale=[np.nan], zero=[0]), "positive and finite, got nan"),
    "a negative scale": (tensor(0, dtype="int8", scale=[-1.0], zero=[0]), "positive and finite, got -1.0"),
    "two scales on an axis of three": (tensor(1, scale=[0.5, 0.5], zero=[0, 0]), "one scale, or one for each part of an axis, got 2 on axis 0"),
    "scales on an axis that is not there": (tensor(1, scale=[0.5] * 3, zero=[0] * 3, axis=9), "got 3 on axis 9"),
    "more zero points than scales": (tensor(0, dtype="int8", scale=[0.5], zero=[0, 1]), "as many zero points as scales, got 2 and 1"),
    "a sparse tensor without levels": (tensor(1, sparsity=([0], [], [])), "how each of its axes and blocks is stored"),
    "sparse indices out of range": (tensor(1, data=np.ones(3, np.float32), sparsity=(*SPARSE[:2], [3, 1, 1, ([0, 1, 2, 3], [0, 1, 9])])), "a list of indices below 2"),
    "sparse ends that fall": (tensor(1, data=np.ones(3, np.float32), sparsity=(*SPARSE[:2], [3, 1, 1, ([0, 2, 1, 3], [0, 1, 1])])), "a list of indices below 2, got 4 ends"),
    "sparse axes of another size": (tensor(1, data=np.ones(3, np.float32), sparsity=(*SPARSE[:2], [2**30, 1, 1, SPARSE[2][3]])), "an axis of 3, got one of 1073741824"),
    "sparse values that lack": (tensor(1, data=np.ones(2, np.float32), sparsity=SPARSE), "a value for each place, got 2 for 3"),
    "blocks of no axis": (tensor(1, data=np.ones(3, np.float32), sparsity=([0, 1, 2, 3, 4], [7], [3, 1, 1, 2, 1])), r"got blocks of \(7,\)"),
    "blocks that do not divide": (tensor(1, data=np.ones(3, np.float32), sparsity=([0, 1, 2, 3, 4], [0], [1, 1, 1, 2, 2])), "blocks that divide it, got {0: 2}"),
    "no output": (ends([0], []), "at least one output, got none"),
    "an output that nothing makes": (ends([], [0]), "output 'x' must be an input, a constant or made"),
    "an input that is not there": (ends([77], [1]), "one of 2 tensors, got number 77"),
    "an input of number -1": (ends([-1], [1]), "one of 2 tensors, got number -1"),
    "an input listed twice": (ends([0, 0], [1]), "listed once, got tensor 0 'x' twice"),
    "a cycle": (operators(("ADD", [0, 2], [1]), ("RELU", [1], [2]), ("RELU", [2], [3])), "must read what was made before, got tensor 2 of operator 1"),
    "a tensor that is made twice": (operators(("RELU", [0], [3]), ("RELU", [0], [3])), "tensor 3 must be made once, got it of operator 1, too"),
    "an input that is made": (operators(("RELU", [0], [0]), ("RELU", [0], [3])), "tensor 0 must be made once"),
    "an operator that reads itself": (operators(("ADD", [0, 3], [3])), "operator 0 must read what was made before, got tensor 3 of operator 0"),
    "an operator that reads no tensor": (operators(("RELU", [55], [3])), "one of 4 tensors, got number 55"),
    "an operator without inputs": (operators(("RELU", [], [3])), "expected 1 inputs, got 0"),
    "too many results": (operators(("RELU", [0], [1, 3])), "expected 1 results, got 2"),
    "operators that minicc lacks": (operators(("LSTM", [0], [1]), (250, [1], [2]), ("custom:Mine", [2], [3])), r"not supported: 3, on 3 nodes\s+LSTM: 1 x\s+operator 250: 1 x\s+Mine: 1 x"),
    "a name that is too long": (tensor(1, name="w" * 70_000), "at most 65,536 bytes, got 70,000"),
    "a stride of zero": (conv(StrideH=0), r"expected 2 strides >= 1, got \(0, 1\)"),
    "a negative stride": (conv(StrideH=-2), r"expected 2 strides >= 1, got \(-2, 1\)"),
    "a padding of no kind": (conv(Padding=7), "expected a padding SAME or VALID, got number 7"),
    "an activation of no kind": (conv(FusedActivationFunction=9), "expected a fused activation .* got number 9"),
    "a kernel larger than its image": (tensor(1, shape=(3, 9, 9, 2), data=np.ones((3, 9, 9, 2), np.float32)), r"kernel \(9, 9\) is larger"),
    "channels that do not fit": (tensor(1, shape=(3, 1, 1, 5), data=np.ones((3, 1, 1, 5), np.float32)), "expected channels that the 5 of its weights divide, got 2"),
    "weights without channels": (tensor(1, shape=(3, 1, 1, 0), data=np.ones((3, 1, 1, 0), np.float32)), "the 0 of its weights"),
    "an image of two axes": (tensor(0, shape=(4, 8)), "input 0 must have 4 axes"),
    "options of another operator": (one("RESHAPE", (2, 2), options="Conv2DOptions", StrideH=1), "expected ReshapeOptions, got options of type 1"),
    "a reshape to another size": (one("RESHAPE", (2, 3), constants=[[4, 4]]), "expected a shape of 6 elements"),
    "a huge broadcast": (one("BROADCAST_TO", (1,), constants=[[2**30, 2**30]]), r"more than 2\*\*40 elements"),
    "a huge tile": (one("TILE", (2, 2), constants=[[2**30, 2**30]]), r"more than 2\*\*40 elements"),
    "a permutation that is none": (one("TRANSPOSE", (2, 3), constants=[[0, 0]]), "perm must be a permutation"),
    "an axis that is not there": (one("CONCATENATION", (2,), (2,), options="ConcatenationOptions", Axis=5), "axis must be in"),
    "a split that does not divide": (one("SPLIT_V", (7,), constants=[[3, 3], 0], results=2), r"expected 2 sizes >= 0 that add up to 7, got \(3, 3\)"),
    "a slice of another rank": (one("SLICE", (4, 4), constants=[[0], [1, 1]]), "input 2 must have 1 numbers, got 2"),
    "steps of zero": (one("STRIDED_SLICE", (4,), constants=[[0], [4], [0]], options="StridedSliceOptions"), "steps other than 0"),
    "pads of another rank": (one("PAD", (4, 4), constants=[[[1, 1]]]), "input 1 must have 4 numbers, got 2"),
    "mirrors larger than their image": (one("MIRROR_PAD", (2,), constants=[[[5, 0]]], options="MirrorPadOptions"), "expected 0 to 1 elements around axis 0, got 5 and 0"),
    "blocks of zero": (one("SPACE_TO_BATCH_ND", (1, 4, 4, 1), constants=[[0, 2], [[0, 0], [0, 0]]]), "expected sizes of blocks and pads for some of the axes after the batch"),
    "a result of another type": (one("ARG_MAX", (2, 3), constants=[1], options="ArgMaxOptions", dtype="bool"), "expected a numeric dtype, got bool"),
    "a result of integers": (operators(("EQUAL", [0, 0], [3])), "expected a result of bool, got tensor 3 't3' of float32"),
}  # fmt: skip


def test_the_good_file_loads():
    assert [n.op.name for n in load(GOOD).nodes][-1] == "Transpose"


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_is_refused(name):
    content, expected = CASES[name]
    with pytest.raises((LoadError, MiniccError, TypeInferenceError)) as caught:
        load(content)
    error = caught.value
    assert error.call and error.problem and error.where and error.hint
    assert re.search(expected, str(error)), str(error)


def test_no_memory_is_taken_for_what_is_refused():
    tracemalloc.start()
    for content, _ in CASES.values():
        with pytest.raises(MiniccError):
            load(content)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 30 << 20


def test_paths(tmp_path):
    for name, expected in ((tmp_path / "absent.tflite", "nothing called"), (tmp_path, "a folder")):
        with pytest.raises(LoadError, match=expected):
            load(name)
    (tmp_path / "m.tflite").write_bytes(b"nothing like it")
    with pytest.raises(LoadError, match="TFL3 at byte 4"):
        load(tmp_path / "m.tflite")
    (tmp_path / "m.onnx").write_bytes(GOOD)
    assert load(tmp_path / "m.onnx").input_names == ("x",), "how it begins counts"
