"""From a graph to TVM's graph IR: every operator by its `tvm`, in topological order.

In: graphs with bound operands. Out: an IRModule with one Relax function per graph, which takes the
graph's inputs in order and gives the tuple of its outputs; and functions on NumPy arrays, compiled
by TVM for the CPU. The variables that node k of a graph becomes are called `nk_`, `nk_1`, ...

    module = to_relax(graph)
    print(module.script())
    run_relax(graph, {"x": numpy.zeros((2, 3), "float32")})

Source of the interface: TVM's Relax, the successor of Relay (Lai et al., "Relax: Composable
Abstractions for End-to-End Dynamic Machine Learning", ASPLOS 2025).
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicc.bridge import _tvm
from minicc.bridge.room import Room, Value
from minicc.errors import BridgeError
from minicc.graph.interpret import checked_inputs
from minicc.graph.ir import Graph
from minicc.ops.base import Array, Operator
from minicc.types import DType, Symbol, TensorType

TVM_FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError, IndexError)  # what TVM raises
HINT = "minicc.compile needs no TVM; minicc reduce finds the operators that TVM fails on"
NODE_OF = re.compile(r"n(\d+)_\d*")  # of the name of a Relax variable


def last_line(error: BaseException) -> str:
    """The end of what TVM says, without its trace."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def tvm_fails(call: str, error: BaseException, where: str = "", hint: str = HINT, verb: str = "fails") -> BridgeError:
    """The error that TVM raises something."""
    return BridgeError(call, f"TVM {verb}: {type(error).__name__}: {str(error).strip()[-400:]}", where, hint)


class Dimensions:
    """The symbols of minicc for the TIR variables of shapes, and back; two variables of one name are two symbols.

    A dimension that is computed from variables is a symbol of its own, which says nothing of them.
    """

    def __init__(self) -> None:
        self.symbols: dict[Any, Any] = {}  # of TIR expressions, which are known by identity
        self.exprs: dict[str, Any] = {}  # of names

    def expr(self, dim: Any) -> Any:
        """A dimension as TVM takes it; a symbol that is new becomes a variable."""
        if not isinstance(dim, Symbol):
            return dim
        if dim.name not in self.exprs:
            self.exprs[dim.name] = _tvm.load().tirx.Var(dim.name, "int64")
            self.symbols[self.exprs[dim.name]] = dim
        return self.exprs[dim.name]

    def dim(self, expr: Any) -> Any:
        """A dimension as minicc writes it; an expression that is new becomes a symbol of a name that is free."""
        if hasattr(expr, "value"):
            return int(expr)
        if expr in self.symbols:
            return self.symbols[expr]
        known = None if is_variable(expr) else next((e for e in self.symbols if _are_equal(e, expr)), None)
        if known is not None:
            self.symbols[expr] = self.symbols[known]
        else:
            wanted = expr.name if is_variable(expr) else str(expr)
            names = itertools.chain([wanted], (f"{wanted}_{k}" for k in itertools.count(1)))
            name = next(n for n in names if n not in self.exprs)
            self.exprs[name], self.symbols[expr] = expr, Symbol(name)
        return self.symbols[expr]

    def type(self, ty: Any) -> TensorType:
        """A Relax tensor type of known rank as a TensorType. Raises TypeInferenceError for a dtype that minicc has not."""
        return TensorType(DType.of(str(ty.dtype)), tuple([self.dim(d) for d in ty.shape.values]))


def _are_equal(a: Any, b: Any) -> bool:
    """Whether two expressions of TVM are written alike, on the same variables."""
    try:
        _tvm.load().ir.assert_structural_equal(a, b)
    except ValueError:
        return False
    return True


def is_variable(dim: Any) -> bool:
    """Whether a dimension of TVM is a variable, neither a number nor computed."""
    return isinstance(dim, _tvm.load().tirx.Var)


class Relax(Room):
    """The room whose operators are bindings of a Relax function under construction; Relax's own names and signatures."""

    dialect = "relax"

    def __init__(self, builder: Any) -> None:
        super().__init__()
        self.builder = builder
        self.dimensions = Dimensions()

    def value(self, expr: Any) -> Value:
        """An expression of Relax as a value."""
        return Value(self, expr, self.dimensions.type(expr.ty))

    def constant(self, array: Any) -> Value:
        relax = _tvm.load().relax
        held = np.array(array, order="C", copy=None)
        return self.value(relax.const(held, DType.of(held.dtype).name))

    def call(self, name: str, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        tvm, call = _tvm.load(), f"relax.op.{name}"
        function = functools.reduce(lambda module, part: getattr(module, part, None), name.split("."), tvm.relax.op)
        if function is None:
            raise BridgeError(call, "TVM has no such operator", hint="see minicc ops --tvm")
        try:
            made = function(*map(self.plain, args), **{k: self.plain(v) for k, v in options.items()})
            var = self.builder.emit(made, name_hint=self.name)
        except TVM_FAILURES as error:
            hint = "minicc.compile needs no TVM; of some attributes TVM has no form: see minicc ops --tvm"
            raise BridgeError(call, f"TVM refuses: {last_line(error)}", hint=hint) from error
        self.emitted.append(name)
        if isinstance(var.ty, tvm.relax.TupleType):
            return tuple(
                [self.value(self.builder.emit(var[k], name_hint=self.name)) for k in range(len(var.ty.fields))]
            )
        return self.value(var)

    def plain(self, argument: Any) -> Any:
        """An argument as TVM takes it."""
        if isinstance(argument, Value):
            return argument.expr
        return self.dimensions.expr(argument) if isinstance(argument, Symbol) else super().plain(argument)


# ---- modules ------------------------------------------------------------------------------------


def to_relax(*graphs: Graph) -> Any:
    """An IRModule with a Relax function for each graph: `main`, or `main`, `main1`, ... of several.

    A symbol in an input's shape becomes a TIR variable. Raises BridgeError where an operator has no
    form in TVM, naming the node.
    """
    tvm = _tvm.load()
    builder = tvm.relax.BlockBuilder()
    for k, graph in enumerate(graphs):
        _function(builder, graph, function_name(k))
    return builder.finalize()


def merge(modules: Sequence[Any]) -> Any:
    """One module of many that `to_relax` made of a graph each, so that TVM compiles them all at once."""
    named = {function_name(k): m["main"] for k, m in enumerate(modules)}
    return _tvm.load().IRModule({name: f.with_attr("global_symbol", name) for name, f in named.items()})


def function_name(k: int) -> str:
    """The name of graph number k in its module."""
    return f"main{k or ''}"


def _function(builder: Any, graph: Graph, name: str) -> None:
    tvm = _tvm.load()
    room = Relax(builder)
    params = [tvm.relax.Var(f"p{k}", tvm.relax.TensorType([room.dimensions.expr(d) for d in n.type.shape], n.type.dtype.name))
              for k, n in enumerate(graph.inputs)]  # fmt: skip
    with builder.function(name, params):
        try:
            with builder.dataflow():
                outputs = room.inline(graph, list(map(room.value, params)), lambda k: f"n{k}_")
                result = builder.emit_output(tvm.relax.Tuple([v.expr for v in outputs]))
            builder.emit_func_output(result)
        except Exception:
            builder.emit_func_output(tvm.relax.Tuple([]))  # so that TVM does not complain of an open block
            raise


def relax_operators(op: Operator, types: Sequence[TensorType]) -> list[str]:
    """The Relax operators that an operator becomes on inputs of these types. Raises BridgeError."""
    tvm = _tvm.load()
    builder = tvm.relax.BlockBuilder()
    params = [tvm.relax.Var(f"p{k}", tvm.relax.TensorType(list(t.shape), t.dtype.name)) for k, t in enumerate(types)]
    with builder.function("main", params):
        room = Relax(builder)
        try:
            room.apply(op, list(map(room.value, params)))
        finally:
            builder.emit_func_output(tvm.relax.Tuple([]))
    return list(dict.fromkeys(room.emitted))


# ---- running on the CPU -------------------------------------------------------------------------


def build_relax(module: Any, fast: bool = False) -> Any:
    """The module compiled by TVM for this CPU, as a virtual machine whose functions take TVM tensors.

    TVM fuses, and gives CPU code no schedule: loops are naive. `fast` asks LLVM to optimise and use
    all of this machine's instructions; without it, compiling is quicker, and no multiplication and
    addition are contracted.
    """
    tvm = _tvm.load()
    machine = {"mcpu": tvm.target.codegen.llvm_get_system_cpu()} if fast else {"opt-level": 0}
    with tvm.transform.PassContext(config={} if fast else {"tirx.disable_assert": True}):
        code = tvm.compile(module, target=tvm.target.Target({"kind": "llvm", **machine}), relax_pipeline=cpu_pipeline())
    return tvm.relax.VirtualMachine(code, tvm.cpu())


def cpu_pipeline() -> Any:
    """The shortest sequence of TVM's passes from Relax, fused, to what its virtual machine takes.

    Constants are not folded: minicc has done it, and TVM cannot store one without elements.
    """
    tvm = _tvm.load()
    passes = tvm.relax.transform
    return tvm.transform.Sequential([
        tvm.relax.backend.DispatchSortScan(), passes.LegalizeOps(), passes.AnnotateTIROpPattern(), passes.FuseOps(), passes.FuseTIR(),
        passes.RewriteDataflowReshape(), passes.ToNonDataflow(), passes.RemovePurityChecking(), passes.CallTIRRewrite(),
        passes.LowerAllocTensor(), passes.LowerRuntimeBuiltin(), passes.ComputePrimValue(), passes.VMShapeLower(),
        passes.AttachGlobalSymbol()])  # fmt: skip


def call_relax(machine: Any, k: int, graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs by name of graph number k of a compiled module."""
    tensor = _tvm.load().runtime.tensor  # copies: TVM's code needs 64-byte alignment, which NumPy does not give
    arrays = checked_inputs(f"call_relax({graph.name})", graph, inputs)
    copies = [tensor(np.array(arrays[name], order="C", copy=None)) for name in graph.input_names]
    results = machine[function_name(k)](*copies)
    return {name: np.asarray(r.numpy()) for name, r in zip(graph.output_names, results, strict=True)}


def run_relax(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs by name, computed by TVM in this process.

    Raises BridgeError when TVM cannot compile or run the graph. A crash of TVM ends this process:
    `testing.worker` runs it in another.
    """
    try:
        return call_relax(build_relax(to_relax(graph)), 0, graph, inputs)
    except TVM_FAILURES as error:
        raise tvm_fails(f"run_relax({graph.name})", error, str(graph)) from error
