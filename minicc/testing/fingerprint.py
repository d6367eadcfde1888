"""One hash for each of many kernels, of the text that they become: LLVM as it is emitted, and CUDA C++.

    python -m minicc.testing.fingerprint                                         print the table
    python -m minicc.testing.fingerprint --check tests/testing/fingerprints.txt  what differs from that table
    python -m minicc.testing.fingerprint --write tests/testing/fingerprints.txt  record it

A change that is meant to leave the kernels alone leaves the table alone. Kernels come from every operator, from graphs and
loop programs of fixed sizes, from the recipe of matrix products, from whole models, and from the programs that are
scheduled for a GPU by hand. Targets are named, with their threads and caches, so the table is the same on every machine.

>>> sorted(key for key in fingerprints(["gemm"]) if "1x" in key)
['gemm/1x1000x512 @ haswell', 'gemm/1x1000x512 @ skylake-avx512']
>>> compare({"a": "1", "b": "2"}, {"b": "3", "c": "4"})
['missing  a', 'differs  b', 'new      c']
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Annotated, Any

import typer

from minicc import ops
from minicc.bridge import _tvm
from minicc.bridge.tir import cuda_source
from minicc.codegen.llvm import emit
from minicc.compile import lower_kernel, optimize
from minicc.errors import ConfigError
from minicc.frontend import load
from minicc.graph import ir
from minicc.graph.share_storage import homes, placed
from minicc.ir.node import replace
from minicc.kernels.lower import finish
from minicc.loop.program import Program
from minicc.loop.ranges import size_vars
from minicc.ops.base import REGISTRY, Operator
from minicc.paths import unreadable, unwritable
from minicc.recipes.gemm import gemm
from minicc.recipes.registry import DEFAULT
from minicc.runtime.files import write_file
from minicc.runtime.jit import new_module
from minicc.schedule import STEPS, Step
from minicc.schedule.tidy import tidy
from minicc.target import Target
from minicc.testing.draws import drawn, graph_of
from minicc.testing.gpu_kernels import KERNELS
from minicc.testing.progress import run
from minicc.testing.workloads import WORKLOADS
from minicc.types import DType, TensorType, float16

Table = dict[str, str]  # from "group/name @ target" to the hash
TARGETS = (Target.of("haswell"), Target.of("skylake-avx512").with_threads(4))  # programs are serial, and parallel
CASES = 3  # random instances of each operator
SIZES = ((1, 1000, 512), (3, 257, 96), (6, 16, 8), (64, 64, 64), (100, 77, 130), (1000, 777, 512), (512, 512, 4096))
MODELS: dict[str, dict[str, int]] = {"resnet18": {}, "mobilenet_v2": {}, "bert_base": {"layers": 1}, "yolov3_tiny": {}}
ON_GPU: dict[str, list[tuple[int | None, ...]]] = {  # extents; None is a size that is known at the call only
    "vector_add": [(None,), (1000,)], "tiled_matmul": [(128, 128, 64), (67, 3, 17)],
    "softmax": [(64, 1000), (5, 7)], "conv2d_relu": [(1, 16, 32, 32, 16), (2, 1, 5, 1, 3)],
}  # fmt: skip
CHAINS: dict[str, tuple[list[tuple[Any, ...]], list[Operator]]] = {  # inputs of the first operator; each other one takes the result
    "softmax": ([("float32", 12, 128, 128)], [ops.Softmax(axis=-1)]),
    "softmax of columns": ([("float32", 100, 48)], [ops.Softmax(axis=0)]),
    "layer norm": ([("float32", 128, 768), ("float32", 768), ("float32", 768)], [ops.LayerNormalization()]),
    "layer norm of halves": ([("float16", 128, 768), ("float16", 768)], [ops.LayerNormalization()]),
    "batch norm": ([("float32", 2, 8, 9, 9), *[("float32", 8)] * 4], [ops.BatchNormalization(), ops.Relu()]),
    "max pool": ([("float32", 1, 16, 57, 57)], [ops.MaxPool(kernel=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1))]),
    "average pool": ([("float32", 1, 16, 28, 28)], [ops.AveragePool(kernel=(3, 3)), ops.Sigmoid()]),
    "long sum": ([("float32", 100_000)], [ops.ReduceSum()]),
    "long sums of rows": ([("float32", 7, 60_000)], [ops.ReduceSum(axes=(1,)), ops.Sqrt()]),
    "long sums of columns": ([("float32", 60_000, 40)], [ops.Abs(), ops.ReduceSum(axes=(0,))]),
    "long sums of brain floats": ([("bfloat16", 64, 4096)], [ops.ReduceSum(axes=(1,))]),
    "argmax": ([("float32", 64, 1000)], [ops.ArgMax(axis=1)]),
    "cumulative sum": ([("float32", 30, 500)], [ops.CumSum(axis=1)]),
    "convolution of doubles": ([("float64", 1, 8, 20), ("float64", 8, 8, 5)], [ops.Conv(strides=(2,))]),
    "transposed convolution": ([("float32", 1, 16, 14, 14), ("float32", 16, 8, 4, 4)], [ops.ConvTranspose(strides=(2, 2))]),
    "product": ([("float32", 96, 200), ("float32", 200, 130)], [ops.MatMul(), ops.Gelu()]),
    "product of halves": ([("float16", 64, 96), ("float16", 96, 80)], [ops.MatMul(), ops.Relu()]),
    "product of brain floats": ([("bfloat16", 3, 64, 96), ("bfloat16", 3, 96, 80)], [ops.MatMul(), ops.Tanh()]),
    "gather": ([("float32", 1000, 64), ("int64", 9)], [ops.Gather(axis=0), ops.Neg()]),
    "functions": ([("float32", 1000)], [ops.Exp(), ops.Sin(), ops.Erf(), ops.Softplus(), ops.Atan(), ops.Log()]),
    "integers": ([("int8", 333), ("int8", 333)], [ops.Div(), ops.Cast(dtype=float16)]),
}  # fmt: skip


# ---- programs ----------------------------------------------------------------------------------------------


def of_graph(graph: ir.Graph, target: Target) -> Iterator[tuple[str, Program]]:
    """The label and the finished program of each distinct kernel of a bound graph, in order."""
    fused = optimize(graph, target)
    home = homes(fused)
    for kernel in dict.fromkeys(placed(n, home) for n in fused.nodes if isinstance(n.op, ir.Kernel)):
        yield kernel.label, lower_kernel(kernel, target).program


def of_operators(target: Target) -> Iterator[tuple[str, Program]]:
    """Random instances of each operator, the same in every run. Some have no kernel: those that only rename a shape."""
    for name in sorted(REGISTRY):
        for case in range(CASES):
            for number, (_, program) in enumerate(of_graph(graph_of(*drawn(name, case)).graph, target)):
                yield f"{name} {case}.{number}", program


def of_chains(target: Target) -> Iterator[tuple[str, Program]]:
    """Kernels of usual sizes, fused ones among them."""
    for name, (types, chain) in CHAINS.items():
        found = [TensorType(DType.of(dtype), tuple(shape)) for dtype, *shape in types]
        inputs = tuple(ir.input(f"x{k}", type) for k, type in enumerate(found))
        result = reduce(lambda node, op: ir.make(op, [node]), chain[1:], ir.make(chain[0], inputs))
        for number, (_, program) in enumerate(of_graph(ir.Graph("main", inputs, (result,), ("y",)), target)):
            yield f"{name} {number}", program


def of_workloads(target: Target) -> Iterator[tuple[str, Program]]:
    """Programs from tensor expressions as they are and scheduled; one is of a size that is known at the call only."""
    for name, workload in WORKLOADS.items():
        naive = workload.program(37, 50)
        yield name, finish(naive)
        if not size_vars(naive):
            yield f"{name} scheduled", finish(DEFAULT.apply(naive, target).program)


def of_steps(target: Target) -> Iterator[tuple[str, Program]]:
    """Small programs after one step of a schedule: of each kind the first and the last that is legal, by their texts."""
    for name, workload in WORKLOADS.items():
        program = workload.program(8, 12)
        for kind in STEPS.values():
            steps = sorted(kind.candidates(program), key=str)
            for step in dict.fromkeys(filter(None, (_legal(program, steps), _legal(program, steps[::-1])))):
                yield f"{name} {step}", finish(tidy(step.transform(program)))


def _legal(program: Program, steps: Sequence[Step]) -> Step | None:
    """The first of `steps` that can be done."""
    return next((step for step in steps if step.is_legal(program)), None)


def of_gemm(target: Target) -> Iterator[tuple[str, Program]]:
    """Matrix products by their recipe."""
    for m, n, k in SIZES:
        yield f"{m}x{n}x{k}", finish(gemm(m, n, k, target).program)


def on_gpu() -> Iterator[tuple[str, Program]]:
    """Programs whose loops are bound to the threads of a GPU."""
    for name, cases in ON_GPU.items():
        for extents in cases:
            yield f"{name} {'x'.join('n' if n is None else str(n) for n in extents)}", KERNELS[name](*extents)


def of_model(name: str, target: Target) -> Iterator[tuple[str, Program]]:
    """The kernels of one of `benchmarks.models`. Raises ConfigError where that folder of the sources is not at hand."""
    try:
        models = importlib.import_module("benchmarks.models").MODELS  # of the sources only: no part of the package
    except ModuleNotFoundError as error:
        problem, hint = f"expected the folder benchmarks, got {error}", "run it in minicc's sources, by their .venv"
        raise ConfigError(f"fingerprints([{name!r}])", problem, where=str(Path.cwd()), hint=hint) from error
    graph = load(models[name](**MODELS[name]))
    for number, (label, program) in enumerate(of_graph(graph, target)):
        yield f"{number:02} {label}", program


GROUPS: dict[str, Callable[[Target], Iterator[tuple[str, Program]]]] = {
    "operators": of_operators, "chains": of_chains, "workloads": of_workloads, "steps": of_steps, "gemm": of_gemm,
    "gpu": lambda target: ((name, finish(program)) for name, program in on_gpu()),
    **{name: partial(of_model, name) for name in MODELS},
}  # fmt: skip
LINE = re.compile("[0-9a-f]{16} .+ @ .+")
CUDA = "cuda"  # the group that needs TVM


# ---- the table ---------------------------------------------------------------------------------------------


def fingerprints(groups: Sequence[str]) -> Table:
    """The hash of each kernel of `groups`, which are CUDA or among GROUPS."""
    table: Table = {}
    for group in groups:
        if group == CUDA:
            table |= {f"{group}/{name} @ sm_90": _hash(cuda_source(program).source) for name, program in on_gpu()}
            continue
        for target in TARGETS:
            for name, program in GROUPS[group](target):
                table[f"{group}/{name} @ {target.cpu}"] = _hash(_llvm(program, target))
    return table


def _llvm(program: Program, target: Target) -> str:
    """The module of a program, before LLVM's passes. Names aside, equal programs are one kernel."""
    module = new_module("kernel", target)
    emit(module, replace(program, name="kernel"), target)
    return str(module)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compare(recorded: Mapping[str, str], made: Mapping[str, str]) -> list[str]:
    """A line for each key whose hash differs, or that only one of the two tables has."""
    keys = sorted(recorded.keys() | made.keys())
    kinds = {key: "missing" if key not in made else "new" if key not in recorded else "differs" for key in keys}
    return [f"{kinds[key]:8} {key}" for key in keys if recorded.get(key) != made.get(key)]


def read(path: Path) -> Table:
    """A recorded table. Raises ConfigError where there is none."""
    call = f"read({str(path)!r})"
    if why := unreadable(path, ".txt"):
        raise ConfigError(call, f"expected a table, got {why[0]}", where=str(path.parent), hint=why[1])
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if odd := next((n for n, line in enumerate(lines, 1) if not LINE.fullmatch(line)), 0):
        problem, hint = f"expected a hash and a key, got {lines[odd - 1][:80]!r}", "--write FILE writes such a table"
        raise ConfigError(call, problem, where=f"{path}:{odd}", hint=hint)
    return {key: value for value, key in (line.split(" ", 1) for line in lines)}


def write(path: Path, table: Table) -> None:
    """Record a table; no one sees half of it. Raises ConfigError where no file can be made."""
    if why := unwritable(path):
        problem = f"expected a file that can be made, but {why[0]}"
        raise ConfigError(f"write({str(path)!r})", problem, where=str(path.parent), hint=why[1])
    write_file(path, "".join(f"{value} {key}\n" for key, value in table.items()).encode())


def main(
    check: Annotated[Path | None, typer.Option(help="Say what differs from this table.")] = None,
    output: Annotated[Path | None, typer.Option("--write", help="Write the table to this file.")] = None,
) -> None:
    """Print a hash of the text of each of many kernels."""
    recorded = read(check) if check else {}
    groups = [*GROUPS, CUDA]
    if _tvm.installed() != _tvm.PAIR:
        groups.remove(CUDA)
        recorded = {key: value for key, value in recorded.items() if not key.startswith(f"{CUDA}/")}
        print(f"left out: {CUDA}, which needs TVM: {_tvm.INSTALL}", file=sys.stderr)
    table = fingerprints(groups)
    if output:
        write(output, table)
    if check:
        found = compare(recorded, table)
        print("\n".join([*found, f"{len(table)} kernels, {len(found)} differences"]))
        sys.exit(1 if found else 0)
    if not output:
        print("\n".join(f"{value} {key}" for key, value in table.items()))


if __name__ == "__main__":
    run(main)
