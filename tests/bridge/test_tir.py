"""Loop programs as TIR mean what they mean as Python; as kernels they follow the rules of a GPU or are refused."""

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.bridge._tvm import load as tvm
from minicc.bridge.device_code import cuda_target, device_code
from minicc.bridge.tir import build_tir, cuda_source, to_tir
from minicc.errors import BridgeError, RunError
from minicc.loop.ir import PARALLEL, SERIAL, UNROLL, VECTORIZE, Alloc, Buffer, For, If, Prefetch, Store, seq
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.tensor.expr import COMPARISONS, Var, binary, call, const
from minicc.tensor.intrinsics import INTRINSICS
from minicc.testing.gpu_kernels import KERNELS, tiled_matmul, vector_add
from minicc.testing.oracle import assert_close
from minicc.testing.schedules import campaign
from minicc.testing.strategies import expressions
from minicc.testing.workloads import WORKLOADS
from minicc.types import DType, bfloat16, boolean, float16, float32, float64, int8, int32, int64, uint8, uint64

i, j, k = Var("i"), Var("j"), Var("k")
ARITY = {"pow": 2, "fmod": 2, "copysign": 2, "fma": 3}
KINDS = [SERIAL, PARALLEL, VECTORIZE, UNROLL, "vthread", "blockIdx.x", "threadIdx.y"]
SMALL = {
    "vector_add": (100,),
    "tiled_matmul": (20, 30, 10, 8, 4, 4),
    "softmax": (3, 40, 16),
    "conv2d_relu": (1, 2, 9, 10, 3),
}
A, B, C = (Buffer(name, float32, (8,)) for name in "ABC")


def outputs_of(program, run, *arrays):
    """The outputs of `program` as `run` computes them, into arrays of ones."""
    made = [np.ones(b.shape, b.dtype.numpy) for b in program.outputs]
    run(*arrays, *made)
    return made


def assert_same(program, *arrays, terms=1):
    """TVM's machine code gives what Python gives: integers exactly, floats within the tolerance of `terms`."""
    wanted = outputs_of(program, lambda *all: run_python(program, *all), *arrays)
    for got, want, buffer in zip(
        outputs_of(program, build_tir(program, fast=False), *arrays), wanted, program.outputs, strict=True
    ):
        assert_close(got, want, buffer.dtype, terms, label=str(program))


def draw(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    if dtype is boolean:
        return rng.integers(0, 2, shape).astype(bool)
    return rng.integers(0 if dtype.kind == "uint" else -9, 9, shape).astype(dtype.numpy)


# ---- on this CPU ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS)
def test_random_schedules_mean_the_same_to_tvm(workload):
    found = [f for f in campaign(6, seed=500, workloads=[workload], llvm_every=0, tvm_every=1) if f]
    assert not found, "\n\n".join(map(str, found))


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_for_a_gpu_run_on_a_cpu(name):
    program = KERNELS[name](*SMALL[name])
    assert_same(
        program,
        *[np.random.default_rng(n).normal(size=b.shape).astype("f") for n, b in enumerate(program.params)],
        terms=64,
    )


@pytest.mark.slow
@given(st.data(), st.sampled_from([int8, int32, uint8, int64, uint64, float32, float64]), st.sampled_from(KINDS))
def test_random_expressions(data, dtype, kind):
    a, b, c, mask = (
        Buffer("A", dtype, (8,)),
        Buffer("B", dtype, (8,)),
        Buffer("C", dtype, (8,)),
        Buffer("M", boolean, (8,)),
    )
    leaves = [a[i], b[i], a[7 - i], a[const(2)], mask[i]]  # not i: TVM refuses to divide by it
    body = For(i, 8, Store(c, (i,), data.draw(expressions(dtype, leaves))), kind)
    seed = data.draw(st.integers(0, 99))
    try:
        assert_same(
            Program("random", (a, b, mask), (c,), body),
            *[draw(d, 8, seed + n) for n, d in enumerate((dtype, dtype, boolean))],
        )
    except BridgeError as error:  # of a divisor in which TVM finds a literal 0
        assume("Divide by zero" not in error.problem)
        raise


@pytest.mark.parametrize("op", [*sorted(COMPARISONS), "min", "max", "add", "sub", "mul"])
@pytest.mark.parametrize("dtype", [int8, int32, uint8, int64, uint64, float32, float64], ids=str)
def test_every_pair_of_small_numbers(op, dtype):
    a, b = (Buffer(name, dtype, (5,)) for name in "AB")
    value = binary(op, a[i], b[j])
    out = Buffer("C", value.dtype, (5, 5))
    values = np.array([0, 1, 2, 3, np.nan if dtype.is_float else 127]).astype(dtype.numpy)
    assert_same(Program("pairs", (a, b), (out,), For(i, 5, For(j, 5, Store(out, (i, j), value)))), values, values)


@pytest.mark.parametrize(
    "name", [name for name in INTRINSICS if name not in ("int_pow", "ldexp", "dot2", "dot4")]
)  # of integers
@pytest.mark.parametrize("dtype", [float32, float64, float16, bfloat16], ids=str)
def test_intrinsics(name, dtype):
    arity = ARITY.get(name, 1)
    args = [Buffer(f"X{n}", dtype, (8,)) for n in range(arity)]
    value = call(
        name,
        *[x[i] for x in args],
        dtype={"isnan": boolean, "isinf": boolean, "bitcast": DType.of(f"int{dtype.bits}")}.get(name),
    )
    out = Buffer("C", value.dtype, (8,))
    values = np.array([0.5, -0.25, 1.0, 0.125, -0.0, np.nan, np.inf, 0.75])
    assert_same(
        Program("apply", tuple(args), (out,), For(i, 8, Store(out, (i,), value))),
        *[np.roll(values, n).astype(dtype.numpy) for n in range(arity)],
        terms=64,
    )


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_every_kind_of_loop_inside_of_every_other(outer, inner):
    """With a guard, and a buffer that lives in the outer loop."""
    a, c, t = Buffer("A", float32, (6, 5)), Buffer("C", float32, (6, 5)), Buffer("T", float32, (5,))
    fill = For(j, 5, Store(t, (j,), a[i, j] * 2.0), inner)
    body = For(
        i,
        6,
        Alloc(t, seq(Prefetch(a, (i, const(0))), fill, For(k, 5, If(i + k < 8, Store(c, (i, k), t[4 - k])), inner))),
        outer,
    )
    assert_same(Program("nest", (a,), (c,), body), np.arange(30, dtype=np.float32).reshape(6, 5))


def test_symbolic_sizes_are_variables_of_the_shapes():
    n = te.var("n")
    x = te.placeholder((n, 3), name="x")
    r = te.reduce_axis((0, n), "r")
    total = te.compute((3,), lambda p: te.sum(x[r, p], axis=r), name="total")
    program = minicc.lower(te.create_schedule(total.op), [x, total])
    run = build_tir(program, fast=False)
    for size in (0, 1, 7):
        array = np.random.default_rng(size).normal(size=(size, 3)).astype("f")
        got = np.ones(3, np.float32)
        run(array, got)
        np.testing.assert_allclose(got, array.sum(0), rtol=1e-5, atol=1e-6)


def sums():
    """The program of the sums of the rows of a matrix of any size, summed in pieces of 4."""
    x = te.placeholder((te.var("n"), te.var("m")), name="x")
    axis = te.reduce_axis((0, x.shape[1]), "r")
    total = te.compute((x.shape[0],), lambda p: te.sum(x[p, axis], axis=axis), name="total")
    s = te.create_schedule(total.op)
    s[total].split(axis, factor=4)
    return minicc.lower(s, [x, total], name="sums")


@pytest.mark.parametrize("columns", [0, 1, 6])
def test_sums_of_no_term(columns):
    x, total = np.random.default_rng(0).normal(size=(3, columns)).astype("f"), np.ones(3, np.float32)
    build_tir(sums(), fast=False)(x, total)
    np.testing.assert_allclose(total, x.sum(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arrays, said", [
    ([np.ones((2, 3), "f")], "expected 2 arrays, got 1"),
    ([np.ones((2, 3), "f"), np.ones(2)], "total must be of float32, got float64"),
    ([np.ones(3, "f"), np.ones(3, "f")], "x must have 2 dimensions, got 1"),
    ([[[1.0, 2.0]], np.ones(1, "f")], "x must be a NumPy array, got list"),
    ([np.ones((2, 3), "f"), np.ones(3, "f")], "total.shape[0] must be n, got 3, but n is 2, by x.shape[0]"),
    ([np.ones((2, 3), "f"), np.broadcast_to(np.float32(1), 2)], "total is an output and must be writable"),
])  # fmt: skip
def test_unfit_arrays_are_refused_before_anything_runs(arrays, said):
    with pytest.raises(RunError) as caught:
        build_tir(sums(), fast=False)(*arrays)
    assert (
        said in caught.value.problem
        and "sums(x: float32[n,m], total: float32[n])" in caught.value.where
        and caught.value.hint
    )
    assert all((np.asarray(a) == 1).all() for a in arrays[1:])


@pytest.mark.parametrize("rows", [3, 0])
def test_functions_from_outside_are_called(rows):
    x = te.placeholder((rows, 4), name="x")
    y = te.extern((rows, 4), [x], lambda a, out: np.copyto(out, np.sort(a)), name="sorted")
    program = minicc.lower(te.create_schedule(y.op), [x, y])
    assert_same(program, np.random.default_rng(0).normal(size=(rows, 4)).astype("f"))


def test_loops_keep_their_kind():
    a, c = Buffer("A", float32, (4, 4, 8)), Buffer("C", float32, (4, 4, 8))
    body = For(i, 4, For(j, 4, For(k, 8, Store(c, (i, j, k), a[i, j, k] + 1.0), VECTORIZE), UNROLL), PARALLEL)
    text = to_tir(Program("kinds", (a,), (c,), body)).script()
    assert [word in text for word in ("T.parallel", "T.unroll", "T.vectorized")] == [True] * 3


@pytest.mark.parametrize("dtype", [int8, int32, uint8, uint64], ids=str)
def test_integers_wrap(dtype):
    a, c = Buffer("A", dtype, (8,)), Buffer("C", dtype, (3, 8))
    most = np.iinfo(dtype.numpy)
    values = np.array([most.min, most.max, most.max - 1, 0, 1, 2, most.max // 2, 3], dtype.numpy)
    body = For(
        i,
        8,
        seq(
            *[
                Store(c, (const(n), i), value)
                for n, value in enumerate((a[i] + a[7 - i], a[i] - a[const(1)], a[i] * a[i]))
            ]
        ),
    )
    assert_same(Program("wrap", (a,), (c,), body), values)


@pytest.mark.parametrize("op", ["floordiv", "floormod", "truncdiv", "truncmod"])
def test_integers_divide_by_everything(op):
    a, b, c = (Buffer(name, int32, (8,)) for name in "ABC")
    values = np.array([-(2**31), 2**31 - 1, -7, 7, -1, 0, 1, 5], np.int32)
    body = For(i, 8, Store(c, (i,), binary(op, a[i], b[i])))
    for shift in range(8):
        assert_same(Program("divide", (a, b), (c,), body), values, np.roll(values, shift))


# ---- on a GPU: the source ---------------------------------------------------------------------------------------


def test_the_source_of_a_tiled_product():
    made = cuda_source(tiled_matmul(128, 96, 64))
    source = made.source
    assert source.count("__shared__") == 2 and source.count("__syncthreads()") == 2
    assert all(f"{axis}.{d}" in source for axis in ("blockIdx", "threadIdx") for d in "xy")
    (launch,) = made.launches
    assert (launch.known({}).grid, launch.known({}).block) == ((2, 2, 1), (16, 16, 1))
    assert [b.name for b in made.parameters] == ["A", "B", "C"]


def test_the_grid_follows_a_symbolic_size():
    (launch,) = cuda_source(vector_add()).launches
    assert [launch.known({"n": n}).grid for n in (1, 256, 257)] == [(1, 1, 1), (1, 1, 1), (2, 1, 1)]


def test_kernels_of_one_program_run_in_order():
    x = te.placeholder((64,), name="x")
    y = te.compute((64,), lambda p: x[p] + 1.0, name="y")
    z = te.compute((64,), lambda p: y[63 - p] * 2.0, name="z")
    s = te.create_schedule(z.op)
    for stage, tensor in ((s[y], y), (s[z], z)):
        block, thread = stage.split(tensor.op.axis[0], factor=32)
        stage.bind(block, te.thread_axis("blockIdx.x"))
        stage.bind(thread, te.thread_axis("threadIdx.x"))
    made = cuda_source(minicc.lower(s, [x, z]))
    assert len(made.launches) == 2 and len(made.workspaces) == 1


# ---- what is refused --------------------------------------------------------------------------------------------


def bound(body, *allocated):
    """Programs of one kernel of 4 blocks of 8 threads around `body`, with buffers allocated inside."""
    for buffer in allocated:
        body = Alloc(buffer, body)
    return For(i, 4, For(j, 8, body, "threadIdx.x"), "blockIdx.x")


X, Y = Buffer("X", float32, (4, 8)), Buffer("Y", float32, (4, 8))
SHARED, LARGE, GLOBAL = (
    Buffer("S", float32, (8,), "shared"),
    Buffer("S", float32, (20_000,), "shared"),
    Buffer("S", float32, (8,)),
)
LOCAL = Buffer("T", float32, (1,), "local")
copy = Store(Y, (i, j), X[i, j])
REFUSED = {
    "a loop outside": (For(i, 4, For(j, 8, copy)), "bound to blockIdx or threadIdx around everything"),
    "a parallel loop inside": (For(i, 4, For(j, 8, copy, PARALLEL), "blockIdx.x"), "no parallel loop inside"),
    "global memory inside": (
        bound(seq(Store(GLOBAL, (j,), X[i, j]), Store(Y, (i, j), GLOBAL[j])), GLOBAL),
        "to be shared or local, got global",
    ),
    "shared memory that differs": (
        bound(seq(Store(SHARED, (const(0),), X[i, j]), Store(Y, (i, j), SHARED[const(0)])), SHARED),
        "to hold the same for every thread",
    ),
    "much shared memory": (
        bound(seq(Store(LARGE, (const(0),), X[i, const(0)]), Store(Y, (i, j), LARGE[const(0)])), LARGE),
        "at most 49152 bytes of shared memory",
    ),
    "blocks that fill one buffer": (
        bound(
            seq(For(k, 4, Store(SHARED, (k,), X[k, const(0)]), "blockIdx.x"), Store(Y, (i, j), SHARED[const(1)])),
            SHARED,
        ),
        "filled by",
    ),
    "a race": (bound(Store(Y, (i, const(0)), X[i, j])), "must be independent.*, by threads of a GPU$"),
    "an index out of bounds": (bound(Store(Y, (i, j), X[i, j + 1])), r"which may be in \[1, 8\], 8 where j = 7$"),
    "an element that is not written": (
        bound(Store(Y, (i, j), LOCAL[const(0)]), LOCAL),
        "is read before anything is written to T$",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_on_a_gpu(name):
    body, message = REFUSED[name]
    with pytest.raises(BridgeError) as caught:
        cuda_source(Program("f", (X,), (Y,), body))
    assert re.search(message, caught.value.problem)
    assert caught.value.call and caught.value.where and caught.value.hint


def test_blocks_of_too_many_threads():
    with pytest.raises(BridgeError, match=r"at most 1024 threads in a block, got 2048") as caught:
        cuda_source(vector_add(4096, threads=2048))
    assert "^ here" in caught.value.where


def test_scopes_of_a_whole_program_are_refused():
    x = te.placeholder((8,), name="x")
    y = te.compute((8,), lambda p: x[p] + 1.0, name="y")
    z = te.compute((8,), lambda p: y[p] + 1.0, name="z")
    s = te.create_schedule(z.op)
    s[y].set_scope("shared")
    for tensor in (y, z):
        s[tensor].bind(tensor.op.axis[0], te.thread_axis("threadIdx.x"))
    with pytest.raises(BridgeError, match="inside of the loops of one kernel"):
        cuda_source(minicc.lower(s, [x, z]))


def test_calls_of_python_have_no_form_on_a_gpu():
    x = te.placeholder((8,), name="x")
    y = te.extern((8,), [x], lambda ins, outs: None, name="outside")
    with pytest.raises(BridgeError, match="statements that a GPU can run"):
        cuda_source(minicc.lower(te.create_schedule(y.op), [x, y]))


@pytest.mark.parametrize("make", [build_tir, cuda_source])
def test_what_tvm_refuses(make):
    """It finds a divisor of 0 in the first copy of the unrolled loop."""
    a, c = Buffer("A", int64, (8, 8)), Buffer("C", int64, (8, 8))
    body = For(i, 8, For(j, 8, Store(c, (i, j), binary("floordiv", a[i, j], j)), UNROLL), "blockIdx.x")
    with pytest.raises(BridgeError, match=r"TVM refuses: .*Divide by zero") as caught:
        make(Program("divide", (a,), (c,), body))
    assert caught.value.where and caught.value.hint


def test_a_function_that_tvm_refuses():
    tir = tvm().tirx
    x = tir.decl_buffer([8], "float32", "x")
    store = tir.BufferStore(x, tir.const(1.0, "float32"), [tir.Var("unknown", "int64")])
    thread = tir.IterVar(None, tir.Var("threadIdx.x", "int64"), tir.IterVar.ThreadIndex, "threadIdx.x")
    loop = tir.For(
        tir.Var("v", "int64"), tir.const(0, "int64"), tir.const(8, "int64"), tir.ForKind.THREAD_BINDING, store, thread
    )
    function = tir.PrimFunc([x], loop).with_attrs({"global_symbol": "f", "s_tir": True})
    with pytest.raises(BridgeError, match=r"device_code\(f\): TVM refuses: [\s\S]*unknown[\s\S]*hint: "):
        device_code(tvm().IRModule({"f": function}), cuda_target())


@pytest.mark.parametrize("arch", ["sm_90z", "sm_9", "90", "", None, 90, ["sm_90"]])
def test_names_that_are_no_architecture(arch):
    with pytest.raises(BridgeError, match="expected a name such as sm_90, got ") as caught:
        cuda_source(vector_add(), arch)
    assert caught.value.hint
