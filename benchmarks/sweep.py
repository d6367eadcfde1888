"""Generated layers beside the fastest peer, in one process and equal threads: is there a kernel that falls off a cliff?

    python -m benchmarks.sweep                               every family, one thread
    python -m benchmarks.sweep conv pool --vs onnxruntime    some families, against some peers
    python -m benchmarks.sweep --worst 40 --json sweep.json

Some 300 models of one layer each, of shapes that nobody listed: ragged channels, planes of 100 x 100, kernels of 3 x 5,
a batch of 3, groups, dilation, one and three dimensions, sequences of 1, 7, 77 and 130. A family is a function that yields
layers. For each: our milliseconds, those of the fastest peer, the ratio (above 1 we are ahead), GB/s of the arrays that it
touches, and whether the answers agree. At the end the geometric mean of each family, and the worst layers of all.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import minicc
from minicc.ops.base import Array

SECONDS, ROUNDS = 0.1, 7  # of a layer, for each engine: at least so many rounds, as many as fit
KINDS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
}
KINDS |= {
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "float64": TensorProto.DOUBLE,
}
Shape = Sequence[int]
Run = Callable[[], Sequence[Array]]


class Layer(NamedTuple):
    """A model of one layer, or of a few, and its inputs."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, Array]


class Result(NamedTuple):
    """Median milliseconds; `ratio` is the fastest peer's by ours."""

    family: str
    name: str
    ours: float
    peer: float
    fastest: str
    rate: float  # GB/s of inputs, weights and outputs
    agrees: bool

    @property
    def ratio(self) -> float:
        return self.peer / self.ours


# ---- layers -------------------------------------------------------------------------------------


def drawn(shape: Shape, dtype: str = "float32") -> Array:
    """Numbers of which sums and products stay small."""
    rng = np.random.default_rng(sum(shape) + len(dtype))
    whole = np.dtype(dtype).kind in "iu"
    made: Array = (
        rng.integers(0, 2 if dtype == "bool" else 9, shape) if whole or dtype == "bool" else rng.normal(size=shape)
    )
    return made.astype(dtype)


def layer(name: str, nodes: Sequence[Any], feeds: dict[str, Array], fixed: dict[str, Array] | None = None) -> Layer:
    """A model of these nodes, the last of which gives the outputs; `fixed` are its weights."""
    inputs = [helper.make_tensor_value_info(n, KINDS[str(a.dtype)], a.shape) for n, a in feeds.items()]
    outputs = [onnx.ValueInfoProto(name=n) for n in nodes[-1].output]
    weights = [numpy_helper.from_array(a, n) for n, a in (fixed or {}).items()]
    graph = helper.make_graph(list(nodes), "layer", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Layer(name, onnx.shape_inference.infer_shapes(model), feeds)


def one(
    op: str,
    *shapes: Shape,
    dtype: str = "float32",
    fixed: dict[int, Array] | None = None,
    outputs: int = 1,
    **attributes: Any,
) -> Layer:
    """One operator on inputs of these shapes; `fixed` gives operands that are constants, by position."""
    constants = {f"w{at}": value for at, value in (fixed or {}).items()}
    count, given = len(shapes) + len(constants), iter(range(len(shapes)))
    names = [f"w{at}" if f"w{at}" in constants else f"x{next(given)}" for at in range(count)]
    feeds = {f"x{n}": drawn(shape, dtype) for n, shape in enumerate(shapes)}
    node = helper.make_node(op, names, [f"y{n}" for n in range(outputs)], **attributes)
    told = ", ".join(f"{k}={v}" for k, v in attributes.items())
    sizes = " ".join("x".join(map(str, s)) for s in [*shapes, *[c.shape for c in constants.values()]])
    return layer(f"{op} {sizes}{' ' + dtype if dtype != 'float32' else ''} {told}".strip(), [node], feeds, constants)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def elementwise() -> Iterator[Layer]:
    for shape in ((1, 17, 100, 100), (3, 77, 130), (1, 56, 56, 24)):
        for op in ("Relu", "Sigmoid", "Tanh", "Exp", "Sqrt", "Erf", "HardSwish", "Abs", "Gelu"):
            if op != "Gelu":
                yield one(op, shape)
        yield one("Clip", shape, fixed={1: np.float32(0), 2: np.float32(6)})
        yield one("Cast", shape, to=TensorProto.INT32)
        yield one("Cast", shape, dtype="int8", to=TensorProto.FLOAT)
        yield one("Add", shape, shape)
    for op in ("Add", "Mul", "Div", "Max", "Greater"):
        yield one(op, (3, 24, 50, 50), (1, 24, 1, 1))
        yield one(op, (3, 77, 130), (130,))
        yield one(op, (130, 77), (130, 1))
        yield one(op, (1, 28, 28, 17), (17,))
    yield one("Add", (1000, 33), (1000, 33), dtype="int8")
    yield one("Mul", (1000, 33), (33,), dtype="int64")
    yield one("Where", (64, 100), (64, 100), dtype="float32", fixed={0: drawn((64, 1), "bool")})


def reductions() -> Iterator[Layer]:
    cases = (
        ((64, 28, 28), (1, 2)),
        ((3, 100, 100), (1, 2)),
        ((768, 1000), (0,)),
        ((130, 768), (1,)),
        ((1, 50, 50, 24), (1, 2)),
    )
    cases += (
        ((8, 7, 7, 512), (1, 2)),
        ((1000, 7), (1,)),
        ((3, 1000), (0,)),
        ((2, 17, 31, 33), (0, 2, 3)),
        ((100_000,), (0,)),
    )
    for shape, axes in cases:
        for kind in ("Max", "Sum", "Mean", "L2"):
            yield one(f"Reduce{kind}", shape, fixed={1: ints(*axes)})
    yield one("ReduceProd", (77, 130), fixed={1: ints(1)})
    yield one("ReduceLogSumExp", (77, 130), fixed={1: ints(1)})
    yield one("ReduceMax", (64, 784), dtype="int8", fixed={1: ints(1)})
    for shape, axis in (((64, 1000), 1), ((1000, 64), 0), ((8, 21, 50, 50), 1)):
        yield one("ArgMax", shape, axis=axis)
    yield one("CumSum", (77, 130), fixed={1: np.array(1)})
    yield one("CumSum", (130, 77), fixed={1: np.array(0)})
    yield one("TopK", (16, 1000), fixed={1: ints(5)}, outputs=2)


def movement() -> Iterator[Layer]:
    moves = (
        ((1, 3, 100, 100), (0, 2, 3, 1)),
        ((1, 24, 56, 56), (0, 2, 3, 1)),
        ((1, 56, 56, 24), (0, 3, 1, 2)),
        ((768, 768), (1, 0)),
    )
    moves += (
        ((130, 12, 64), (1, 0, 2)),
        ((1, 12, 77, 64), (0, 2, 1, 3)),
        ((1, 1000, 7, 7), (0, 2, 3, 1)),
        ((3, 17, 31, 5), (3, 1, 0, 2)),
    )
    for shape, order in (*moves, ((100, 33), (1, 0)), ((4, 64, 28, 28), (0, 2, 3, 1))):
        yield one("Transpose", shape, perm=order)
    yield one("Transpose", (256, 256), dtype="int8", perm=(1, 0))
    yield one("Transpose", (1, 64, 28, 28), dtype="float16", perm=(0, 2, 3, 1))
    for axis in (0, 1, 2, 3):
        yield one("Concat", (2, 24, 30, 17), (2, 24, 30, 17), axis=axis)
    yield one("Slice", (3, 64, 50, 50), fixed={1: ints(1, 3), 2: ints(49, 47), 3: ints(2, 3)})
    yield one("Slice", (3, 64, 50, 50), fixed={1: ints(0, 1), 2: ints(50, 50), 3: ints(2, 3), 4: ints(2, 2)})
    yield one("Split", (1, 24, 56, 56), axis=1, num_outputs=2, outputs=2)
    yield one("Split", (130, 768), axis=1, num_outputs=3, outputs=3)
    yield one("Pad", (1, 24, 50, 50), fixed={1: ints(0, 0, 1, 1, 0, 0, 1, 1)})
    yield one("Pad", (1, 50, 50, 24), fixed={1: ints(0, 1, 1, 0, 0, 1, 1, 0)}, mode="reflect")
    yield one("Expand", (1, 24, 1, 50), fixed={1: ints(3, 24, 50, 50)})
    yield one("Tile", (3, 24, 50), fixed={1: ints(1, 2, 3)})
    yield one("DepthToSpace", (1, 64, 28, 28), blocksize=2)
    yield one("SpaceToDepth", (1, 16, 56, 56), blocksize=2)
    rows = np.random.default_rng(0).integers(0, 1000, 77)
    yield one("Gather", (1000, 768), fixed={1: rows})
    yield one("Gather", (100, 1000), fixed={1: rows}, axis=1)
    yield one("GatherElements", (1000, 64), fixed={1: np.random.default_rng(0).integers(0, 1000, (130, 64))})
    yield one("ScatterND", (1000, 64), fixed={1: rows[:, None], 2: drawn((77, 64))})
    for mode in ("nearest", "linear", "cubic"):
        for shape, scale in (((1, 24, 25, 25), 2.0), ((1, 17, 50, 50), 1.5), ((3, 64, 28, 28), 2.0)):
            scales = np.array([1, 1, scale, scale], np.float32)
            yield one("Resize", shape, fixed={1: np.empty(0, np.float32), 2: scales}, mode=mode)


def conv(n: int, c: int, o: int, size: Shape, kernel: Shape, op: str = "Conv", **attributes: Any) -> Layer:
    groups = attributes.get("group", 1)
    weights = (o, c // groups, *kernel) if op == "Conv" else (c, o // groups, *kernel)
    return one(op, (n, c, *size), fixed={1: drawn(weights) / math.prod(weights[1:]), 2: drawn((o,))}, **attributes)


def convolutions() -> Iterator[Layer]:
    for n, c, o, side, k, stride in ((1, 3, 24, 100, 3, 2), (1, 24, 48, 50, 1, 1), (3, 17, 28, 28, 3, 1), (1, 64, 64, 56, 3, 1), (1, 128, 128, 28, 3, 2),
                                     (1, 256, 64, 14, 1, 1), (1, 3, 64, 224, 7, 2), (1, 31, 33, 13, 3, 1), (1, 512, 512, 7, 3, 1), (1, 96, 24, 56, 1, 1)):  # fmt: skip
        yield conv(n, c, o, (side, side), (k, k), pads=[k // 2] * 4, strides=[stride] * 2)
    yield conv(1, 24, 17, (100, 100), (3, 5), pads=[1, 2, 1, 2])
    yield conv(1, 32, 32, (50, 50), (3, 3), dilations=[2, 2], pads=[2] * 4)
    yield conv(1, 48, 64, (30, 30), (3, 3), group=2, pads=[1] * 4)
    yield conv(3, 128, 128, (28, 28), (3, 3), group=32, pads=[1] * 4)
    for c, length, k in ((80, 1000, 3), (17, 77, 5), (384, 1500, 3)):
        yield conv(1, c, c, (length,), (k,), pads=[k // 2] * 2)
    yield conv(1, 16, 24, (8, 28, 28), (3, 3, 3), pads=[1] * 6)
    yield conv(1, 3, 45, (8, 50, 50), (1, 7, 7), pads=[0, 3, 3] * 2, strides=[1, 2, 2])
    for c, o, side, k, stride in ((64, 32, 28, 2, 2), (24, 17, 25, 3, 2), (128, 64, 14, 4, 2), (16, 16, 50, 3, 1)):
        yield conv(1, c, o, (side, side), (k, k), "ConvTranspose", strides=[stride] * 2)


def depthwise() -> Iterator[Layer]:
    for n, c, side, k, stride in ((1, 32, 112, 3, 1), (1, 96, 112, 3, 2), (1, 17, 50, 3, 1), (3, 24, 56, 5, 1), (1, 144, 56, 3, 2), (1, 240, 28, 5, 2), (1, 768, 7, 7, 1), (1, 96, 56, 7, 1), (1, 960, 7, 3, 1)):  # fmt: skip
        yield conv(n, c, c, (side, side), (k, k), group=c, pads=[k // 2] * 4, strides=[stride] * 2)
    yield conv(1, 64, 64, (300,), (9,), group=64, pads=[4, 4])
    yield conv(1, 24, 24, (50, 50), (3, 3), group=24, dilations=[2, 2], pads=[2] * 4)


def pools() -> Iterator[Layer]:
    for op in ("MaxPool", "AveragePool"):
        for shape, k, stride in (
            ((1, 64, 112, 112), 3, 2),
            ((3, 17, 50, 50), 2, 2),
            ((1, 256, 13, 13), 5, 1),
            ((1, 24, 100, 100), 3, 1),
        ):
            yield one(op, shape, kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2 if k % 2 else 0] * 4)
    for shape in ((1, 512, 7, 7), (3, 24, 50, 50)):
        yield one("GlobalAveragePool", shape)
        yield one("GlobalMaxPool", shape)


def products() -> Iterator[Layer]:
    sizes = [(m, n, k) for m in (1, 7, 77, 130) for n, k in ((768, 768), (3072, 768), (1000, 333), (24, 512))]
    for m, n, k in (*sizes, (196, 31, 256), (196, 1, 256), (1000, 17, 100), (384, 384, 384)):
        yield one("MatMul", (m, k), fixed={1: drawn((k, n)) / k})
    for batch, m, n, k in ((12, 77, 77, 64), (12, 77, 64, 77), (3, 130, 33, 17), (12, 1, 77, 64)):
        yield one("MatMul", (batch, m, k), (batch, k, n))
    yield one("Gemm", (3, 512), fixed={1: drawn((1000, 512)) / 512, 2: drawn((1000,))}, transB=1)
    yield one("Einsum", (3, 77, 8, 32), (3, 130, 8, 32), equation="bqhd,bkhd->bhqk")
    yield one("Einsum", (3, 28, 28, 24), (24, 48), equation="bhwc,cd->bhwd")


def norms() -> Iterator[Layer]:
    for shape in ((1, 77, 768), (3, 130, 96), (1, 3136, 24)):
        c = shape[-1]
        yield one("LayerNormalization", shape, fixed={1: drawn((c,)), 2: drawn((c,))})
        yield one("Softmax", shape, axis=-1)
    for shape in ((1, 24, 56, 56), (3, 64, 28, 28)):
        c = shape[1]
        yield one("InstanceNormalization", shape, fixed={1: drawn((c,)), 2: drawn((c,))})
        yield one(
            "BatchNormalization",
            shape,
            fixed={1: drawn((c,)), 2: drawn((c,)), 3: drawn((c,)), 4: np.ones(c, np.float32)},
        )
        yield one("LRN", shape, size=5)
    for shape, axis in (
        ((12, 77, 77), -1),
        ((12, 130, 130), -1),
        ((64, 1000), -1),
        ((1, 21, 50, 50), 1),
        ((1000, 7), -1),
    ):
        yield one("Softmax", shape, axis=axis)
        yield one("LogSoftmax", shape, axis=axis)


def attention() -> Iterator[Layer]:
    """softmax(q k / sqrt(d)) v, as exporters write it."""
    for batch, heads, queries, keys, d in (
        (1, 12, 77, 77, 64),
        (1, 12, 130, 130, 64),
        (3, 8, 7, 7, 32),
        (1, 12, 1, 130, 64),
        (1, 3, 196, 49, 32),
        (1, 6, 1500, 1500, 64),
    ):
        feeds = {
            "q": drawn((batch, heads, queries, d)),
            "k": drawn((batch, heads, keys, d)),
            "v": drawn((batch, heads, keys, d)),
        }
        nodes = [
            helper.make_node("Transpose", ["k"], ["t"], perm=(0, 1, 3, 2)),
            helper.make_node("MatMul", ["q", "t"], ["s"]),
            helper.make_node("Mul", ["s", "c"], ["m"]),
            helper.make_node("Softmax", ["m"], ["p"], axis=-1),
            helper.make_node("MatMul", ["p", "v"], ["y"]),
        ]
        yield layer(f"attention {batch}x{heads} {queries} of {keys} x {d}", nodes, feeds, {"c": np.float32(d**-0.5)})


FAMILIES: dict[str, Callable[[], Iterator[Layer]]] = {
    "elementwise": elementwise, "reductions": reductions, "movement": movement, "conv": convolutions,
    "depthwise": depthwise, "pool": pools, "products": products, "norms": norms, "attention": attention,
}  # fmt: skip


# ---- engines ------------------------------------------------------------------------------------


def by_minicc(made: Layer, threads: int) -> Run:
    compiled, arrays = minicc.compile(made.model, threads=threads), list(made.feeds.values())
    return lambda: compiled(*arrays)


def by_onnxruntime(made: Layer, threads: int) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
    session = onnxruntime.InferenceSession(made.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, made.feeds)


def by_openvino(made: Layer, threads: int) -> Run:
    import io

    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(
        openvino.Core().read_model(io.BytesIO(made.model.SerializeToString())), "CPU", settings
    )
    arrays = list(made.feeds.values())
    return lambda: list(compiled(arrays).values())


PEERS = {"onnxruntime": by_onnxruntime, "openvino": by_openvino}


def seconds(calls: dict[str, Run]) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a slow moment hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + SECONDS * len(calls)
    while time.perf_counter() < end or min(map(len, taken.values())) < ROUNDS:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def agree(got: Sequence[Array], expected: Sequence[Array]) -> bool:
    """Whether all outputs are within what sums in another order may differ by."""

    def near(a: Array, b: Array) -> bool:
        wide = np.asarray(b, np.float64)
        room = 1e-4 * max(1.0, float(np.abs(wide).max(initial=0, where=np.isfinite(wide))))
        return bool(np.allclose(np.asarray(a, np.float64), wide, rtol=1e-3, atol=room, equal_nan=True))

    return all(near(a, b) for a, b in zip(got, expected, strict=True))


def measured(family: str, made: Layer, peers: Sequence[str], threads: int) -> Result | str:
    """The result of a layer, or why there is none."""
    calls: dict[str, Run] = {}
    for name in ("minicc", *peers):
        try:
            calls[name] = (by_minicc if name == "minicc" else PEERS[name])(made, threads)
            calls[name]()
        except Exception as error:  # an engine that cannot take the layer is left out
            calls.pop(name, None)
            if name == "minicc" or len(calls) + len(peers) < 2:
                return f"{name}: {str(error).splitlines()[0][:150]}"
    if len(calls) < 2:
        return "no peer takes it"
    ours = calls["minicc"]()
    first = next(name for name in calls if name != "minicc")
    times = seconds(calls)
    fastest = min((n for n in times if n != "minicc"), key=times.__getitem__)
    weights = [numpy_helper.to_array(w) for w in made.model.graph.initializer]
    touched = sum(a.nbytes for a in [*made.feeds.values(), *weights, *map(np.asarray, ours)])
    own = times["minicc"]
    return Result(
        family, made.name, own * 1e3, times[fastest] * 1e3, fastest, touched / own / 1e9, agree(ours, calls[first]())
    )


def line(r: Result) -> str:
    wrong = "" if r.agrees else "  WRONG"
    return f"{r.ratio:6.2f}  {r.ours:9.4f} ms  {r.peer:9.4f} ms {r.fastest:12s} {r.rate:7.1f} GB/s  {r.name}{wrong}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", help=f"of {', '.join(FAMILIES)}; all by default")
    parser.add_argument("--vs", default="onnxruntime", help=f"peers, of {', '.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--worst", type=int, default=20, help="how many of the worst layers to print at the end")
    parser.add_argument("--json", type=Path, help="a file for the results")
    given = parser.parse_args()
    found: list[Result] = []
    for family in given.families or FAMILIES:
        for made in FAMILIES[family]():
            result = measured(family, made, given.vs.split(","), given.threads)
            if isinstance(result, str):
                print(f"   left out: {made.name}: {result}", flush=True)
                continue
            found.append(result)
            print(line(result), flush=True)
    print(f"\ngeometric means of {len(found)} layers (above 1 we are ahead)")
    for family in dict.fromkeys(r.family for r in found):
        ratios = [r.ratio for r in found if r.family == family]
        low = sum(ratio < 1 / 1.5 for ratio in ratios)
        print(
            f"  {family:12s} {statistics.geometric_mean(ratios):6.2f}  {len(ratios):3d} layers, {low} more than 1.5 times slower than the fastest peer"
        )
    print(f"  {'all':12s} {statistics.geometric_mean(r.ratio for r in found):6.2f}\n\nthe worst {given.worst}")
    for r in sorted(found, key=lambda r: r.ratio)[: given.worst]:
        print(line(r))
    if given.json:
        given.json.write_text(json.dumps([{**r._asdict(), "ratio": r.ratio} for r in found], indent=1))


if __name__ == "__main__":
    main()
