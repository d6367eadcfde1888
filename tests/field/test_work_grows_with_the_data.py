"""No operator does quadratic work: sixteen times the data is about sixteen times the work, counted in the loop program."""

import pytest

from minicc import ops
from minicc.compile import lower_kernel, optimize
from minicc.graph.ir import Graph, Kernel, input, make
from minicc.ops.base import REGISTRY, Kind, Operator
from minicc.recipes.structure import work
from minicc.target import Target
from minicc.types import DType, TensorType

TIMES = 16
NEAR = 1.6  # times that: n log n, and what is done once
LENGTHS = 500, 500 * TIMES
INT, BYTE = "int64", "uint8"

# operators that read one tensor, of n elements in a row
ROW = {
    **{name: REGISTRY[name]((-1,)) for name in REGISTRY if name.startswith("Reduce")},
    **{name: REGISTRY[name](-1) for name in ("Softmax", "LogSoftmax", "Hardmax", "ArgMax", "ArgMin", "CumSum", "CumProd", "LpNormalization")},
    "CumSum backwards": ops.CumSum(-1, True, True), "ArgMax, the last": ops.ArgMax(-1, True, True),
    "MeanVarianceNormalization": ops.MeanVarianceNormalization((0, 1)),
    "TopK": ops.TopK(3), "TopKIndices": ops.TopKIndices(300), "Trilu": ops.Trilu(0),
    "Pad": ops.Pad((0, 3, 0, 4)), "Transpose": ops.Transpose((1, 0)), "Slice": ops.Slice((0,), (400,), (1,)),
    "Split": ops.Split(1, parts=2), "Tile": ops.Tile((2, 3)), "Flatten": ops.Flatten(0), "Reshape": ops.Reshape((-1,)),
    "Squeeze": ops.Squeeze((0,)), "Unsqueeze": ops.Unsqueeze((0,)), "Expand": ops.Expand((3, 1)),
    "Einsum": ops.Einsum("ij->j"),
}  # fmt: skip


def attention(queries, keys):
    q, k = [(rows * 4, rows * 4, 4, 0) for rows in (queries, keys)]
    return ops.ScaledAttention(1, 1, queries, keys, 4, 0.5, q, k, k)


# operators of n by others: the types of their inputs
OTHERS = {
    "Range": lambda n: (ops.Range(0, n, 1), ()),
    "ConstantOfShape": lambda n: (ops.ConstantOfShape((n,)), ()),
    "Concat": lambda n: (ops.Concat(0), ((n,), (n,), (3,))),
    "Gather": lambda n: (ops.Gather(0), ((n, 2), (INT, n))),
    "GatherElements": lambda n: (ops.GatherElements(0), ((n, 2), (INT, n, 2))),
    "GatherND": lambda n: (ops.GatherND(), ((n, 2), (INT, n, 1))),
    "OneHot": lambda n: (ops.OneHot(-1, 5), ((INT, n), (2,))),
    "ScatterElements": lambda n: (ops.ScatterElements(0, "add"), ((n,), (INT, n), (n,))),
    "ScatterND": lambda n: (ops.ScatterND("max"), ((n, 2), (INT, n, 1), (n, 2))),
    "ReverseSequence": lambda n: (ops.ReverseSequence(), ((n, 3), (INT, 3))),
    "DepthToSpace": lambda n: (ops.DepthToSpace(2), ((1, 4, n, 2),)),
    "SpaceToDepth": lambda n: (ops.SpaceToDepth(2), ((1, 1, n, 2),)),
    "Resize": lambda n: (ops.Resize(scales=(1.0, 1.0, 2.0), mode="linear"), ((1, 1, n),)),
    "LRN": lambda n: (ops.LRN(3), ((1, n, 2, 2),)),
    "MaxPool": lambda n: (ops.MaxPool((3,)), ((1, 1, n),)),
    "MaxPoolIndices": lambda n: (ops.MaxPoolIndices((3,)), ((1, 1, n),)),
    "AveragePool": lambda n: (ops.AveragePool((3,)), ((1, 1, n),)),
    "LpPool": lambda n: (ops.LpPool((3,)), ((1, 1, n),)),
    "a window of all": lambda n: (ops.MaxPool((n,)), ((1, 1, n),)),
    "GlobalAveragePool": lambda n: (ops.GlobalAveragePool(), ((1, 1, n),)),
    "GlobalMaxPool": lambda n: (ops.GlobalMaxPool(), ((1, 1, n),)),
    "Conv": lambda n: (ops.Conv(), ((1, 2, n), (2, 2, 3))),
    "ConvTranspose": lambda n: (ops.ConvTranspose((2,)), ((1, 2, n), (2, 2, 3))),
    "MatMul": lambda n: (ops.MatMul(), ((n, 4), (4, 5))),
    "Gemm": lambda n: (ops.Gemm(), ((4, n), (n, 5))),
    "LayerNormalization": lambda n: (ops.LayerNormalization(), ((1, n), (n,), (n,))),
    "RMSNormalization": lambda n: (ops.RMSNormalization(), ((1, n), (n,))),
    "InstanceNormalization": lambda n: (ops.InstanceNormalization(), ((1, 2, n), (2,), (2,))),
    "GroupNormalization": lambda n: (ops.GroupNormalization(num_groups=2), ((1, 2, n), (2,), (2,))),
    "WinogradWeights": lambda n: (ops.WinogradWeights(4, 8), ((n, 2, 3, 3),)),
    "WinogradConv": lambda n: (ops.WinogradConv(8), ((1, n, 10, 2), (1, 6, 6, 2, 8))),
    "ScaledAttention": lambda n: (attention(n, 6), ((n * 4,), (24,), (24,))),
    "attention to many keys": lambda n: (attention(6, n), ((24,), (n * 4,), (n * 4,))),
    "ConvInteger": lambda n: (ops.ConvInteger(), ((BYTE, 1, 2, n), (BYTE, 2, 2, 3))),
    "MatMulInteger": lambda n: (ops.MatMulInteger(), ((BYTE, n, 4), (BYTE, 4, 5))),
    "AffineGrid": lambda n: (ops.AffineGrid(size=(1, 2, 4, n)), ((1, 2, 3),)),
    "CenterCropPad": lambda n: (ops.CenterCropPad(shape=(2 * n,)), ((n,),)),
    "Col2Im": lambda n: (ops.Col2Im(image_shape=(n,), block_shape=(3,)), ((1, 6, n - 2),)),
    "MaxUnpool": lambda n: (ops.MaxUnpool(kernel_shape=(2,), strides=(2,)), ((1, 1, n), (INT, 1, 1, n))),
    "GridSample": lambda n: (ops.GridSample(), ((1, 2, 4, n), (1, 4, n, 2))),
    "DeformConv": lambda n: (
        ops.DeformConv(("X", "W", "offset"), kernel_shape=(1, 3)),
        ((1, 2, 4, n), (2, 2, 1, 3), (1, 6, 4, n - 2)),
    ),
    "RoiAlign": lambda n: (ops.RoiAlign(sampling_ratio=2), ((1, 2, 8, 8), (n, 4), (INT, n))),
    "TensorScatter": lambda n: (ops.TensorScatter(("past_cache", "update")), ((2, n, 3), (2, n, 3))),
    "a sort": lambda n: (ops.TopK(n), ((n,),)),
    "a sort of columns": lambda n: (ops.TopKIndices(n, 0, False), ((n, 3),)),
    "a tenth": lambda n: (ops.TopKIndices(n // 10), ((n,),)),
}
BY_ELEMENT = {name for name, kind in REGISTRY.items() if kind.kind <= Kind.BROADCAST}
BY_TYPE = {"Shape", "Size"}
PACKED = {
    "DepthwiseConv",
    "MatMulTransposed",
    "PackedConv",
    "PackedMatMul",
    "DepthwiseConvInteger",
    "AsWords",
    "PadToWords",
    "PackedConvInteger",
    "PackedMatMulInteger",
}  # what Conv and MatMul, and those of integers, become
BY_OTHERS = {
    "Attention",
    "LSTM",
    "GRU",
    "RNN",
    "RotaryEmbedding",
}  # by products and what is done to each of their elements
SQUARE = {"DFT", "STFT", "Det"}  # products with a matrix of as many rows, or elimination


def test_every_operator_is_counted():
    assert set(REGISTRY) - BY_ELEMENT - BY_TYPE - PACKED - BY_OTHERS - SQUARE <= {*ROW, *OTHERS}


def work_of(op: Operator, shapes) -> int:
    """The work of all kernels of a graph of one operator."""
    types = [
        TensorType(DType.of(s[0]), s[1:]) if s and isinstance(s[0], str) else TensorType(DType.of("float32"), s)
        for s in shapes
    ]
    inputs = tuple(input(f"x{i}", t) for i, t in enumerate(types))
    fused = optimize(Graph("main", inputs, (make(op, inputs),), ("y",)))
    return sum(work(lower_kernel(n.op, Target.native()).program) for n in fused.nodes if isinstance(n.op, Kernel))


@pytest.mark.parametrize("name", [*ROW, *OTHERS])
def test_work_is_near_linear(name):
    cases = [OTHERS[name](n) if name in OTHERS else (ROW[name], ((1, n),)) for n in LENGTHS]
    short, long = [work_of(*case) for case in cases]
    assert long <= TIMES * NEAR * short, (short, long)
