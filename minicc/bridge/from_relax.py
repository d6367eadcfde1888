"""From TVM's graph IR to a graph: bring a Relax module over.

In: an IRModule (or one of its functions), and perhaps the values of some parameters. Out: a `Graph` whose inputs are the
other parameters and whose outputs are the fields of what the function returns. Only Relax operators are read; none of the
module's TIR functions is run, and calls of them are not supported. All that is not supported is reported at once.

    module = tvm.relax.frontend.torch.from_exported_program(program)
    graph = from_relax(module)
    minicc.compile(graph)

Dataflow blocks, tuples, constants, symbolic shapes and calls between the functions of the module come over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicc.bridge import _tvm
from minicc.bridge.reader import UNKNOWN, Reader
from minicc.bridge.relax import Dimensions, is_variable
from minicc.bridge.tvm_calls import TvmCall, Unsupported
from minicc.bridge.tvm_layers import TRANSLATIONS
from minicc.errors import BridgeError, TypeInferenceError
from minicc.graph.ir import Graph, Node, constant
from minicc.ops.base import Array

GIVE = "give its value in params, or the module its shapes"
DEEPEST = 16  # calls of functions within calls


def from_relax(module: Any, function: str = "main", params: Mapping[str, Array] | None = None) -> Graph:
    """The graph of a function of `module`; `params` are values of parameters by name, which become constants.

    Inputs are called as the parameters, outputs `out`, or `out0`, `out1`, ... of several. Raises BridgeError when there is no
    such function or parameter, or when operators are not supported: all of them at once.
    """
    tvm = _tvm.load()
    call = f'from_relax("{function}")'
    if isinstance(module, tvm.relax.Function):
        module = tvm.IRModule({function: module})
    if not isinstance(module, tvm.IRModule):
        hint = "tvm.relax.frontend.torch.from_exported_program makes one of a PyTorch program, to_relax of a graph"
        raise BridgeError(call, f"expected an IRModule or a relax.Function, got {type(module).__name__}", hint=hint)
    functions = {var.name_hint: f for var, f in module.functions_items() if isinstance(f, tvm.relax.Function)}
    if function not in functions:
        problem = f"expected one of the Relax functions {', '.join(functions) or '(none)'}, got {function!r}"
        raise BridgeError(call, problem, hint="TIR functions have no graph")
    reader, main = _RelaxReader(call, functions, function), functions[function]
    params = {} if params is None else params
    reader.check_params(params, [p.name for p in main.params])
    return reader.graph(reader.run(main, [reader.argument(p, params) for p in main.params], 0))


class _RelaxReader(Reader):
    """Reads functions binding by binding."""

    def __init__(self, call: str, functions: Mapping[str, Any], name: str) -> None:
        super().__init__(call, name, TRANSLATIONS, "Relax", "legalize a module after it is brought over, not before")
        self.functions = functions
        self.relax = _tvm.load().relax
        self.dimensions = Dimensions()

    def argument(self, param: Any, params: Mapping[str, Array]) -> Node:
        """The value of a parameter."""
        if not _has_shape(param.ty):
            problem = f"expected tensors of known rank as parameters, got {param.name}: {param.ty}"
            raise BridgeError(self.call, problem, hint=GIVE)
        try:
            wanted = self.dimensions.type(param.ty)
        except TypeInferenceError as error:
            problem = f"expected parameters of the dtypes of minicc, got {param.name}: {param.ty}"
            hint = error.hint or "convert it before, to float32 for example"
            raise BridgeError(self.call, problem, hint=hint) from error
        computed = [str(d) for d in param.ty.shape.values if not hasattr(d, "value") and not is_variable(d)]
        if computed and param.name not in params:
            got = f"{param.name} with {', '.join(computed)}"
            problem = f"expected parameters whose dimensions are numbers or variables, got {got}"
            raise BridgeError(self.call, problem, hint=GIVE)
        return self.parameter(param.name, wanted, params)

    def run(self, function: Any, arguments: Sequence[Any], depth: int) -> Any:
        """The value that `function` gives for `arguments`."""
        values: dict[Any, Any] = dict(zip(function.params, arguments, strict=True))
        self.meet(function.params, arguments)
        body = function.body
        for block in getattr(body, "blocks", ()):
            for k, binding in enumerate(block.bindings):
                values[binding.var] = self.bound(binding.value, values, binding.var.name, depth, k)
        return self.bound(getattr(body, "body", body) if hasattr(body, "blocks") else body, values, "result", depth, 0)

    def bound(self, expr: Any, values: dict[Any, Any], name: str, depth: int, position: int) -> Any:
        """The value of an expression that is called `name`."""
        operator = getattr(getattr(expr, "op", None), "name", type(expr).__name__)
        return self.read(name, operator, position, lambda: self.value(expr, values, name, depth))

    def meet(self, params: Sequence[Any], arguments: Sequence[Any]) -> None:
        """The variables in the shapes of parameters are the dimensions of the arguments of this call."""
        for param, argument in zip(params, arguments, strict=True):
            if isinstance(argument, Node) and argument.inferred is not None and _has_shape(param.ty):
                dims = zip(param.ty.shape.values, argument.shape, strict=True)
                self.dimensions.symbols |= {d: known for d, known in dims if is_variable(d)}

    def value(self, expr: Any, values: dict[Any, Any], name: str, depth: int) -> Any:
        """What an expression is: a node, a tuple, a shape as a tuple of numbers and symbols, a number."""
        relax = self.relax
        if isinstance(expr, relax.Var):
            return values[expr] if expr in values else self.dimensions.dim(expr)
        if isinstance(expr, relax.Call):
            return self.apply(expr, values, name, depth)
        if isinstance(expr, relax.Tuple):
            return tuple(self.value(field, values, name, depth) for field in expr.fields)
        if isinstance(expr, relax.TupleGetItem):
            whole = self.value(expr.tuple_value, values, name, depth)
            return UNKNOWN if whole is UNKNOWN else whole[expr.index]
        return self.literal(expr)

    def literal(self, expr: Any) -> Any:
        """A constant, a shape or a number."""
        if isinstance(expr, self.relax.ShapeExpr):
            return tuple(map(self.dimensions.dim, expr.values))
        value: Any = getattr(expr, "value", None)
        if hasattr(value, "numpy"):
            return constant(np.asarray(value.numpy()))
        if isinstance(value, (int, float)):
            return value
        raise Unsupported(f"({type(expr).__name__})")

    def apply(self, expr: Any, values: dict[Any, Any], name: str, depth: int) -> Any:
        """A call of an operator, or of another function of the module."""
        full = getattr(expr.op, "name", type(expr.op).__name__)
        if full.startswith("relax.call_"):  # whose arguments are functions
            called = expr.args[0].name_hint.rstrip("0123456789") if full.startswith("relax.call_tir") else ""
            raise Unsupported(f"of the TIR function {called}" if called else "")
        arguments = [self.value(argument, values, name, depth) for argument in expr.args]
        if isinstance(expr.op, _tvm.load().ir.GlobalVar):
            return self.enter(expr.op.name_hint, arguments, depth)
        expected = self.dimensions.type(expr.ty) if _has_shape(expr.ty) else None
        return self.translate(TvmCall(full.removeprefix("relax."), arguments, expr.attrs, expected))

    def enter(self, name: str, arguments: Sequence[Any], depth: int) -> Any:
        """A call of another function of the module."""
        if name not in self.functions or depth >= DEEPEST:
            why = "which is no Relax function" if depth < DEEPEST else "too deep in other calls"
            raise Unsupported(f"of {name}, {why}")
        symbols = dict(self.dimensions.symbols)
        result = self.run(self.functions[name], arguments, depth + 1)
        self.dimensions.symbols = symbols
        return result


def _has_shape(ty: Any) -> bool:
    """Whether it is the type of a tensor whose dimensions are named; a shape may also be another variable, or unknown."""
    return isinstance(getattr(ty, "shape", None), _tvm.load().relax.ShapeExpr)
