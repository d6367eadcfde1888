"""Models and programs as images for CUDA devices, by TVM's GPU schedules and its CUDA generator.

In: a graph with known shapes; or a loop program whose loops are bound to thread axes. Out: an
Image: CUDA source, machine code from nvcc, the launches, the constants. A graph takes
TVM's way (Relax, legalized, fused by FuseOps, scheduled by the default rules for GPUs, which are
named dlight); a program keeps the schedule that it was given here.

    image = image_of_graph(graph, ["sm_80", "sm_90"])
    write(image, Path("model.tar"))

Give the graph after binding, constant folding and simplification, and before fusion and packing of
weights: TVM groups operators itself. An operator that TVM computes by a call of its runtime library
(sort, topk, cumsum) has no kernel, and is an error that names the node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicc.bridge import _tvm
from minicc.bridge.device_code import DeviceCode, cuda_target, device_code
from minicc.bridge.relax import NODE_OF, TVM_FAILURES, to_relax, tvm_fails
from minicc.bridge.room import described
from minicc.bridge.tir import cuda_source
from minicc.device.architectures import ARCHITECTURES, capability_of
from minicc.device.launches import MOST_BYTES, Launches, Size, Storage, known
from minicc.device.nvcc import cubin, encoded, ptx
from minicc.errors import BridgeError
from minicc.graph.ir import Graph
from minicc.loop.arguments import check_sizes
from minicc.loop.program import Program
from minicc.loop.ranges import size_vars
from minicc.runtime.image import Image
from minicc.target import Target
from minicc.types import DType, TensorType

SHORT, MANY = 64, 4096  # terms of a sum, and results
ON_CPU = "run this model on the CPU: minicc run MODEL"
Progress = Callable[[str, int, int], None]  # what is being done, how many of how many


# ---- graphs -----------------------------------------------------------------------------------------------------


def image_of_graph(
    graph: Graph, architectures: Sequence[str] = ARCHITECTURES, binaries: bool = True, progress: Progress | None = None
) -> Image:
    """The graph as an image for these architectures; without `binaries` it holds source only, and nvcc is not needed.

    Raises BridgeError when TVM or nvcc is absent, an operator has no kernel, or a shape is not known.
    """
    _tvm.load()
    call = f"image_of_graph({graph.name})"
    for n in graph.nodes:
        if n.inferred is None or not n.inferred.is_bound:
            problem = f"expected known shapes, got {n.inferred or '?'} of {n.op}"
            raise BridgeError(call, problem, graph.where(n), "bind the graph first: --input-shapes or --dim")
    target = cuda_target(oldest(architectures))
    module = fused(to_relax(graph), target)
    code = device_code(scheduled(module, target), target)
    made = _MainReader(graph, module, code).read_main()
    image = made.image(graph.name, _target(architectures, binaries), encoded(call, code.source))
    return with_binaries(image, architectures, binaries, progress)


def _target(architectures: Sequence[str], binaries: bool) -> Target:
    return Target.of(f"cuda -arch={','.join(architectures)}" + ("" if binaries else " -code=source"))


def oldest(architectures: Sequence[str]) -> str:
    """The one whose features all the others have: the source is made for it. Raises BridgeError when there is none."""
    if not architectures:
        problem = "expected one or more architectures, got none"
        raise BridgeError("image", problem, hint=f"for example {', '.join(ARCHITECTURES)}")
    if isinstance(architectures, str) or not all(isinstance(arch, str) for arch in architectures):
        problem = f"expected a list of names of architectures, got {architectures!r}"
        raise BridgeError("image", problem, hint=f"for example {list(ARCHITECTURES)}")
    return min(architectures, key=lambda arch: (capability_of(arch), arch.endswith("a")))


def with_binaries(
    image: Image, architectures: Sequence[str], binaries: bool = True, progress: Progress | None = None
) -> Image:
    """The image with a cubin for each architecture and PTX of the oldest, from nvcc. Raises BridgeError without nvcc."""
    if not binaries or not image.launches:
        return image
    first, sections = oldest(architectures).rstrip("a"), dict(image.sections)  # PTX of sm_90a runs nowhere else
    for k, arch in enumerate(dict.fromkeys(architectures)):
        if progress:
            progress(f"nvcc {arch}", k, len(architectures) + 1)
        sections[f"kernels.{arch}.cubin"] = cubin(image.source, arch)
    if progress:
        progress("nvcc ptx", len(architectures), len(architectures) + 1)
    sections[f"kernels.{first.replace('sm_', 'compute_')}.ptx"] = ptx(image.source, first).encode()
    return replace(image, sections=sections)


def fused(module: Any, target: Any) -> Any:
    """A Relax module whose operators are TIR functions, one per group that TVM fuses; reshapes are views."""
    tvm = _tvm.load()
    passes = tvm.relax.transform
    sequence = [passes.LegalizeOps(), passes.AnnotateTIROpPattern(), passes.FoldConstant(), passes.FuseOps(), passes.FuseTIR(),
                passes.RewriteDataflowReshape(), passes.CanonicalizeBindings(), passes.DeadCodeElimination()]  # fmt: skip
    try:
        with target:
            return with_distinct_names(tvm.transform.Sequential(sequence)(module))
    except TVM_FAILURES as error:
        raise tvm_fails("fused", error, hint=ON_CPU) from error


def with_distinct_names(module: Any) -> Any:
    """The module with parameters of distinct names in each TIR function: launches refer to them by name.

    `matmul(x, x)` gives a function of two parameters `x`, and the next call of an equal function shares it.
    The printer tells them apart, so a function is printed and parsed.
    """
    tvm = _tvm.load()
    for variable, function in list(module.functions_items()):
        names = [p.name for p in function.params] if isinstance(function, tvm.tirx.PrimFunc) else []
        if len(set(names)) == len(names):
            continue
        single = tvm.IRModule({"f": function.with_attr("global_symbol", "f")})
        parsed = tvm.script.from_source(single.script(show_meta=True))["f"].without_attr("global_symbol")
        tvm.ir.assert_structural_equal(parsed, function)
        module.update_func(variable, parsed)
    return module


def scheduled(module: Any, target: Any) -> Any:
    """The TIR functions of a module with TVM's default schedules for GPUs; a new module."""
    tvm = _tvm.load()
    gpu = tvm.s_tir.dlight.gpu
    contractions = (gpu.Matmul(), gpu.GEMV())
    reductions = (gpu.Reduction(), gpu.GeneralReduction())
    made: dict[Any, Any] = {}
    try:
        functions = {gv: f for gv, f in module.functions_items() if isinstance(f, tvm.tirx.PrimFunc)}
        with target:
            for gv, f in functions.items():
                rules = (*contractions, *(() if is_many_short_sums(f) else reductions), gpu.Fallback())
                made[gv] = tvm.s_tir.dlight.ApplyDefaultSchedule(*rules)(tvm.IRModule({gv: f}))[gv]
    except TVM_FAILURES as error:
        raise tvm_fails("scheduled", error, hint=ON_CPU) from error
    return tvm.IRModule(made)


def is_many_short_sums(function: Any) -> bool:
    """Whether one thread per result is the better schedule of a reduction.

    TVM's rules for reductions give each result a block of 256 threads, the nine terms of a depthwise
    3x3 convolution too: of its 100 million threads, 247 of 256 add zeros.
    """
    tvm = _tvm.load()
    blocks = tvm.s_tir.dlight.analysis.normalize_prim_func(tvm.s_tir.Schedule(function)) or []
    sums = [b for b in blocks if b.is_reduction()]
    if len(sums) != 1 or not all(isinstance(d, int) for d in sums[0].dom()):
        return False
    terms, results = (math.prod(i.dom for i in sums[0].iters if (i.kind == "R") == summed) for summed in (True, False))
    return bool(terms < SHORT and results >= MANY)


class _MainReader:
    """Walks the bindings of a fused Relax function: calls of TIR functions, views, tuples, constants."""

    def __init__(self, graph: Graph, module: Any, code: DeviceCode) -> None:
        self.graph, self.module, self.code = graph, module, code
        self.made = Launches()
        self.values: dict[Any, Any] = {}  # by Relax variable: a Storage, or a list of them for a tuple
        self.relax = _tvm.load().relax

    def read_main(self) -> Launches:
        main = self.module["main"]
        for name, parameter in zip(self.graph.input_names, main.params, strict=True):
            self.values[parameter] = value = Storage(type_of(parameter.ty))
            self.made.inputs.append((name, value))
        for block in main.body.blocks:
            for binding in block.bindings:
                self.values[binding.var] = self.bound(binding.var, binding.value)
        self.made.outputs += zip(self.graph.output_names, self.read(main.body.body), strict=True)
        return self.made

    def bound(self, var: Any, made: Any) -> Any:
        if not isinstance(made, self.relax.Call):
            return self.read(made)
        name = getattr(made.op, "name", "")
        if name == "relax.call_tir":
            return self.call(made.args[0], [self.read(a) for a in made.args[1].fields], var.ty)
        if name == "relax.reshape":
            return Storage(type_of(var.ty), self.read(made.args[0]))
        raise self.refuse(var, name)

    def read(self, e: Any) -> Any:
        if isinstance(e, self.relax.Var):
            return self.values[e]
        if isinstance(e, self.relax.Tuple):
            return [self.read(f) for f in e.fields]
        if isinstance(e, self.relax.TupleGetItem):
            return self.read(e.tuple_value)[e.index]
        return self.made.constant(np.asarray(e.value.numpy()))

    def call(self, variable: Any, arguments: list[Storage], ty: Any) -> Any:
        several = isinstance(ty, self.relax.TupleType)
        outputs = [Storage(type_of(f)) for f in (ty.fields if several else [ty])]
        name = variable.name_hint
        names = [p.name for p in self.module[variable].params]
        buffers = dict(zip(names, [*arguments, *outputs], strict=True))
        workspaces = {w.name: Storage(TensorType(w.dtype, w.shape)) for w in self.code.workspaces.get(name, [])}
        self.made.call(name, self.code.launches[name], workspaces | buffers)
        return outputs if several else outputs[0]

    def refuse(self, var: Any, name: str) -> BridgeError:
        """The error about an operator that is no TIR function: TVM's runtime library computes it."""
        found = NODE_OF.fullmatch(var.name)
        where = described(self.graph, int(found[1])) if found else f"variable {var.name}"
        got = f"{name}, which TVM leaves to a function of its runtime library"
        problem = f"expected operators that become kernels, got {got}"
        return BridgeError(f"image_of_graph({self.graph.name})", problem, where, ON_CPU)


def type_of(ty: Any) -> TensorType:
    """A Relax tensor type of known shape as ours."""
    return TensorType(DType.of(str(ty.dtype)), tuple(int(d) for d in ty.shape.values))


# ---- programs ---------------------------------------------------------------------------------------------------


def image_of_program(program: Program, architectures: Sequence[str] = ARCHITECTURES, binaries: bool = True,
                      sizes: Mapping[str, int] | None = None, progress: Progress | None = None) -> Image:  # fmt: skip
    """A loop program whose loops are bound to thread axes, as it is scheduled, as an image of one kernel.

    `sizes` gives numbers for symbolic sizes. Raises BridgeError when one is missing or is none, when
    the program has no form on a GPU or is larger than one at these sizes, or TVM or nvcc is absent.
    """
    numbers = checked_sizes(program, sizes or {})
    check_sizes(program, {v: numbers[v.name] for v in size_vars(program) if v.name in numbers})
    code = cuda_source(program, oldest(architectures))

    def storage(dtype: DType, shape: Sequence[Size]) -> Storage:
        return Storage(TensorType(dtype, tuple(known(d, numbers) for d in shape)))

    arrays = program.params, program.outputs
    inputs, outputs = ([(b.name, storage(b.dtype, b.shape)) for b in part] for part in arrays)
    made = Launches(inputs, outputs, numbers)
    workspaces = {w.name: storage(w.dtype, w.shape) for w in code.workspaces}
    made.call(program.name, code.launches, workspaces | dict([*inputs, *outputs]))
    source = encoded(f"image_of_program({program.name})", code.source)
    image = made.image(program.name, _target(architectures, binaries), source)
    return with_binaries(image, architectures, binaries, progress)


def checked_sizes(program: Program, sizes: Mapping[str, Any]) -> dict[str, int]:
    """The symbolic sizes as Python's numbers. Raises BridgeError when one is no number of elements."""
    for name, value in sizes.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not 0 <= value <= MOST_BYTES:
            problem = f"expected an integer from 0 to {MOST_BYTES} for {name}, got {value!r}"
            where = ", ".join(map(repr, (*program.params, *program.outputs)))
            hint = f"give the extent of an array, as {name}=1000"
            raise BridgeError(f"image_of_program({program.name})", problem, where, hint)
    return {name: int(value) for name, value in sizes.items()}
