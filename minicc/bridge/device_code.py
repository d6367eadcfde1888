"""From TIR functions, scheduled for a GPU, to CUDA C++ and the launches of its kernels.

In: an IRModule of TIR functions whose loops are bound to thread axes, and a CUDA target. Out: a
DeviceCode: the source of all kernels as TVM generates it, and for each function which kernels it
launches, in order: with which buffers, over which grid, with how much memory. No device and no
CUDA is needed: nvcc compiles the source elsewhere.

    code = device_code(module, cuda_target("sm_90"))
    code.source                         # extern "C" __global__ void __launch_bounds__(256) main_kernel(float* A, ...
    code.launches["main"]               # [Launch("main_kernel", ("A", "B", "C"), (4, 1, 1), (256, 1, 1))]

A function whose shapes hold variables has launches whose sizes are expressions of them: `known`
turns these into numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from minicc.bridge import _tvm
from minicc.bridge.relax import TVM_FAILURES, last_line
from minicc.device.architectures import capability_of
from minicc.device.launches import Launch, Size, Workspace
from minicc.errors import BridgeError
from minicc.tensor.expr import Const, Expr, Var, binary, const
from minicc.types import DType

OPERATORS = {  # TVM's classes of integer arithmetic
    "Add": "add", "Sub": "sub", "Mul": "mul", "FloorDiv": "floordiv", "FloorMod": "floormod",
    "Div": "truncdiv", "Mod": "truncmod", "Min": "min", "Max": "max",
}  # fmt: skip
BYTE_OFFSET = 8  # TVMStructFieldKind::kDLTensorByteOffset of tvm/tirx/builtin.h
DYNAMIC_SHARED = "tirx.use_dyn_shared_memory"


@dataclass(frozen=True)
class DeviceCode:
    """CUDA C++ of all kernels; by function name, what it launches in order and the workspaces in between."""

    source: str
    launches: dict[str, list[Launch]]
    workspaces: dict[str, list[Workspace]] = field(default_factory=dict)


def cuda_target(arch: str = "sm_90") -> Any:
    """TVM's target for CUDA of an architecture, `sm_75` to `sm_90a` and later. Raises BridgeError when it is none.

    The limits are those that every such device grants: 1,024 threads and 48 KiB of shared memory per block.
    """
    if not isinstance(arch, str):
        problem = f"expected a name such as sm_90, got {type(arch).__name__}"
        raise BridgeError(f"cuda_target({arch!r})", problem, hint='cuda_target("sm_90")')
    capability_of(arch)
    target = _tvm.load().target.Target
    limits = {"max_shared_memory_per_block": 49152, "max_threads_per_block": 1024, "thread_warp_size": 32}
    return target({"kind": "cuda", "arch": arch, **limits}, host="llvm")


def device_code(module: Any, target: Any) -> DeviceCode:
    """The CUDA C++ and the launches of an IRModule of scheduled TIR functions. The module stays as it is.

    Raises BridgeError when TVM refuses a function, or when what it launches depends on more than
    the shapes of its parameters.
    """
    tvm = _tvm.load()
    named = {gv.name_hint: f.with_attr("global_symbol", gv.name_hint) for gv, f in module.functions_items()
             if isinstance(f, tvm.tirx.PrimFunc)}  # fmt: skip
    if not named:
        return DeviceCode("", {})
    try:
        pipeline, _, finalize = tvm.tirx.get_default_tir_pipeline(target)
        lowered = pipeline(tvm.tirx.transform.BindTarget(target)(tvm.IRModule(named)))
        kernels = finalize()(tvm.tirx.transform.Filter(_on_device)(lowered))
        source = tvm.get_global_func("target.build.cuda")(kernels, target).inspect_source("cuda")
    except TVM_FAILURES as error:
        call = f"device_code({', '.join(named)})"
        hint = "change what it names, or run it on the CPU, which takes all"
        raise BridgeError(call, f"TVM refuses: {last_line(error)}", ", ".join(named), hint) from error
    found = {gv.name_hint: _Host(gv.name_hint, f) for gv, f in lowered.functions_items() if not _on_device(f)}
    launches = {name: found[name].launches if name in found else [] for name in named}
    return DeviceCode(source, launches, {name: h.workspaces for name, h in found.items() if h.workspaces})


def _on_device(function: Any) -> bool:
    return bool(function.attrs["target"].kind.name == "cuda")


class _Host:
    """What the host part of one function launches and allocates."""

    def __init__(self, name: str, function: Any) -> None:
        self.name = name
        self.launches: list[Launch] = []
        self.workspaces: list[Workspace] = []
        self.bound: dict[str, Any] = {}  # values of the names that passes have given to common expressions
        for s, certain in statements(function.body, True):
            self.visit(s, certain)

    def visit(self, s: Any, certain: bool) -> None:
        kind = type(s).__name__
        if kind == "Bind":
            self.bound[s.var.name] = s.value
        elif kind == "AllocBuffer":
            dtype, shape = DType.of(str(s.buffer.ty.dtype)), tuple(map(self.size, s.buffer.ty.shape))
            self.workspaces.append(Workspace(s.buffer.name, dtype, shape))
        elif kind == "Evaluate" and getattr(getattr(s.value, "op", None), "name", "") == "tirx.call_ffi_kernel":
            if not certain:
                got = f"{s.value.args[0]} in a loop or a condition of the host"
                problem = f"expected launches that always happen once, got {got}"
                hint = "bind the loops around it to blockIdx axes"
                raise BridgeError(f"device_code({self.name})", problem, hint=hint)
            self.launches.append(self.launch(s.value))

    def launch(self, call: Any) -> Launch:
        """From `call_ffi_kernel(name, pointers ..., scalars ..., extents ...)`; the tags name the extents."""
        tags = [str(t) for t in call.attrs["launch_params"]]
        arguments = list(call.args)
        split = len(arguments) - len(tags)
        extents = {tag: self.size(e) for tag, e in zip(tags, arguments[split:], strict=True)}
        values = arguments[1:split]
        buffers = [a.args[0].name for a in values if hasattr(a, "args")]
        scalars = [(DType.of(str(a.ty)), self.size(a)) for a in values[len(buffers) :]]
        indices = ("blockIdx", "threadIdx")
        grid, block = (tuple(extents.get(f"{index}.{axis}", 1) for axis in "xyz") for index in indices)
        return Launch(arguments[0].value, tuple(buffers), grid, block, extents.get(DYNAMIC_SHARED, 0), tuple(scalars))  # type: ignore[arg-type]  # grid and block are triples

    def size(self, e: Any) -> Size:
        """An integer expression of TVM as a number, or as one of ours."""
        made = self.expr(e)
        return int(made.value) if isinstance(made, Const) else made

    def expr(self, e: Any) -> Expr:
        kind = type(e).__name__
        if kind == "IntImm":
            return const(int(e.value))
        if kind == "Var":
            value = self.bound.get(e.name)
            is_plain = type(value).__name__ in (*OPERATORS, "Cast") or is_byte_offset(value)
            return self.expr(value) if is_plain else Var(e.name)
        if is_byte_offset(e):
            return const(0)  # every buffer starts where its memory does
        if kind == "Cast":
            return self.expr(e.value)
        if kind in OPERATORS:
            return binary(OPERATORS[kind], self.expr(e.a), self.expr(e.b))
        problem = f"expected launch sizes that are arithmetic on shapes, got {e}"
        hint = "give the loops numbers of trips that depend on shapes only"
        raise BridgeError(f"device_code({self.name})", problem, hint=hint)


def is_byte_offset(e: Any) -> bool:
    """Whether `e` reads, off an argument of the host, where in its memory the first element is."""
    return getattr(getattr(e, "op", None), "name", "") == "tirx.tvm_struct_get" and int(e.args[2]) == BYTE_OFFSET


def statements(s: Any, certain: bool) -> Iterator[tuple[Any, bool]]:
    """Every statement in `s` in order; whether it runs exactly once."""
    yield s, certain
    again = certain and type(s).__name__ not in ("For", "While", "IfThenElse")
    bodies = [getattr(s, name, None) for name in ("body", "then_case", "else_case")]
    for part in s.seq if hasattr(s, "seq") else bodies:
        if part is not None:
            yield from statements(part, again)
