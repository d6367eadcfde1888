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

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minicc.bridge import _tvm
from minicc.bridge.relax import Dimensions, is_variable
from minicc.bridge.tvm_calls import COMPOSED, ELEMENTWISE, INDEXING, MOVEMENT, TvmCall, Unsupported, plainly
from minicc.bridge.tvm_layers import LAYERS
from minicc.errors import BridgeError, GraphError, TypeInferenceError
from minicc.graph.ir import Graph, Node, Span, constant, input, spanned
from minicc.ops.base import Array
from minicc.types import Symbol, TensorType, Unbound

TRANSLATIONS: dict[str, Callable[[TvmCall], Any]] = {
    **{name: plainly(op) for name, op in ELEMENTWISE.items()}, **COMPOSED, **MOVEMENT, **INDEXING, **LAYERS,
}  # fmt: skip
GIVE = "give its value in params, or the module its shapes"
DEEPEST = 16  # calls of functions within calls
MOST_NAMES = 3  # of variables that a report lists


def from_relax(module: Any, function: str = "main", params: Mapping[str, Array] | None = None) -> Graph:
    """The graph of a function of `module`; `params` are values of parameters by name, which become constants.

    Inputs are called as the parameters, outputs `out`, or `out0`, `out1`, ... of several. Raises BridgeError when there is no
    such function or parameter, or when operators are not supported: all of them at once.
    """
    tvm = _tvm.load()
    call = f'from_relax("{function}")'
    if not isinstance(params or {}, Mapping):
        problem = f"expected params as a mapping from names to arrays, got {type(params).__name__}"
        raise BridgeError(call, problem, hint='params={"name": array}')
    if isinstance(module, tvm.relax.Function):
        module = tvm.IRModule({function: module})
    if not isinstance(module, tvm.IRModule):
        hint = "tvm.relax.frontend.torch.from_exported_program makes one of a PyTorch program, to_relax of a graph"
        raise BridgeError(call, f"expected an IRModule or a relax.Function, got {type(module).__name__}", hint=hint)
    functions = {var.name_hint: f for var, f in module.functions_items() if isinstance(f, tvm.relax.Function)}
    if function not in functions:
        problem = f"expected one of the Relax functions {', '.join(functions) or '(none)'}, got {function!r}"
        raise BridgeError(call, problem, hint="TIR functions have no graph")
    reader = _Reader(functions, function)
    main = functions[function]
    inputs, arguments = _parameters(call, main, params or {}, reader)
    result = reader.run(main, arguments, 0)
    reader.report(call)
    outputs = _flat(result)
    if not outputs or any(not isinstance(n, Node) for n in outputs):
        problem = f"expected a result of tensors, got {len(outputs)} values, not all of them tensors"
        raise BridgeError(call, problem, hint="return tensors only, or tuples of them")
    names = ("out",) if len(outputs) == 1 else tuple(f"out{k}" for k in range(len(outputs)))
    return Graph(function, tuple(inputs), tuple(outputs), names).located(reader.spans)


def _parameters(call: str, function: Any, values: Mapping[str, Array], reader: _Reader) -> tuple[list[Node], ...]:
    """The inputs of the graph, and the value of every parameter."""
    known = [p.name for p in function.params]
    for name in values:
        if name not in known:
            some = f"one of the parameters {', '.join(known)}"
            problem = (
                f"expected {some if known else 'no values of parameters, as there are none'}, got a value for {name!r}"
            )
            raise BridgeError(call, problem, hint=f"leave {name!r} out of params")
    inputs, arguments = [], []
    for param in function.params:
        if not _has_shape(param.ty):
            problem = f"expected tensors of known rank as parameters, got {param.name}: {param.ty}"
            raise BridgeError(call, problem, hint=GIVE)
        try:
            wanted = reader.dimensions.type(param.ty)
        except TypeInferenceError as error:
            problem = f"expected parameters of the dtypes of minicc, got {param.name}: {param.ty}"
            raise BridgeError(call, problem, hint=error.hint or "convert it before, to float32 for example") from error
        if param.name not in values:
            if computed := [str(d) for d in param.ty.shape.values if not hasattr(d, "value") and not is_variable(d)]:
                got = f"{param.name} with {', '.join(computed)}"
                problem = f"expected parameters whose dimensions are numbers or variables, got {got}"
                raise BridgeError(call, problem, hint=GIVE)
            arguments.append(input(param.name, wanted))
            inputs.append(arguments[-1])
            continue
        given = np.asarray(values[param.name])
        if not _fits(TensorType.of(given), wanted):
            problem = f"expected {wanted} for the parameter {param.name}, got {TensorType.of(given)}"
            hint = "numpy.asarray(value, dtype).reshape(shape) makes one of the type that is expected"
            raise BridgeError(call, problem, hint=hint)
        with spanned(reader.spans, Span(call, param.name)):
            arguments.append(constant(given))
    return inputs, arguments


def _fits(given: TensorType, wanted: TensorType) -> bool:
    """Whether the types are one, as far as they are known."""
    if given.dtype is not wanted.dtype or given.rank != wanted.rank:
        return False
    pairs = zip(given.shape, wanted.shape, strict=True)
    return all(g == w or isinstance(g, Symbol) or isinstance(w, Symbol) for g, w in pairs)


def _flat(value: Any) -> list[Any]:
    """The fields of a tuple of tuples, in order."""
    return [leaf for field in value for leaf in _flat(field)] if isinstance(value, tuple) else [value]


UNKNOWN = object()  # the value of what is not supported; what reads it is passed over


def _is_unknown(value: Any) -> bool:
    return value is UNKNOWN or (isinstance(value, tuple) and any(map(_is_unknown, value)))


class _Reader:
    """Reads functions binding by binding, and collects what it cannot read."""

    def __init__(self, functions: Mapping[str, Any], name: str) -> None:
        self.functions, self.name = functions, name
        self.relax = _tvm.load().relax
        self.dimensions = Dimensions()
        self.spans: dict[Node, Span] = {}
        self.lacking: dict[str, list[str]] = {}  # what is not supported -> the variables that hold it

    def run(self, function: Any, arguments: Sequence[Any], depth: int) -> Any:
        """The value that `function` gives for `arguments`."""
        values: dict[Any, Any] = dict(zip(function.params, arguments, strict=True))
        self.meet(function.params, arguments)
        body = function.body
        for block in getattr(body, "blocks", ()):
            for k, binding in enumerate(block.bindings):
                values[binding.var] = self.read(binding.value, values, binding.var.name, depth, k)
        return self.read(getattr(body, "body", body) if hasattr(body, "blocks") else body, values, "result", depth, 0)

    def meet(self, params: Sequence[Any], arguments: Sequence[Any]) -> None:
        """The variables in the shapes of parameters are the dimensions of the arguments of this call."""
        for param, argument in zip(params, arguments, strict=True):
            if isinstance(argument, Node) and argument.inferred is not None and _has_shape(param.ty):
                dims = zip(param.ty.shape.values, argument.shape, strict=True)
                self.dimensions.symbols |= {d: known for d, known in dims if is_variable(d)}

    def read(self, expr: Any, values: dict[Any, Any], name: str, depth: int, position: int) -> Any:
        """The value of an expression that is called `name`; UNKNOWN if it is not supported, which is noted."""
        operator = getattr(getattr(expr, "op", None), "name", "")
        try:
            with spanned(self.spans, Span(self.name, name, operator, position)):
                return self.value(expr, values, name, depth)
        except Unsupported as reason:
            self.lack(operator or type(expr).__name__, name, str(reason))
        except TypeInferenceError as error:
            self.lack(operator, name, f"where {error.problem}")
        except (GraphError, Unbound):
            self.lack(operator, name, "on a tensor of a shape that is not known")
        return UNKNOWN

    def lack(self, what: str, name: str, reason: str = "") -> None:
        self.lacking.setdefault(f"{what} {reason}".strip(), []).append(name)

    def value(self, expr: Any, values: dict[Any, Any], name: str, depth: int) -> Any:
        """What an expression is: a node, a tuple, a shape as a tuple of numbers and symbols, a number."""
        relax = self.relax
        if isinstance(expr, relax.Var):
            return values[expr] if expr in values else self.dimensions.dim(expr)
        if isinstance(expr, relax.Call):
            return self.call(expr, values, name, depth)
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

    def call(self, expr: Any, values: dict[Any, Any], name: str, depth: int) -> Any:
        tvm = _tvm.load()
        arguments = [self.value(argument, values, name, depth) for argument in expr.args] if _reads(expr.op) else []
        if isinstance(expr.op, tvm.ir.GlobalVar):
            return self.enter(expr.op.name_hint, arguments, depth)
        full = getattr(expr.op, "name", type(expr.op).__name__)
        translation = TRANSLATIONS.get(full.removeprefix("relax."))
        if translation is None:
            called = expr.args[0].name_hint.rstrip("0123456789") if full.startswith("relax.call_tir") else ""
            raise Unsupported(f"of the TIR function {called}" if called else "")
        if any(map(_is_unknown, arguments)):
            return UNKNOWN
        expected = self.dimensions.type(expr.ty) if _has_shape(expr.ty) else None
        made = translation(TvmCall(full.removeprefix("relax."), arguments, expr.attrs, expected))
        if isinstance(made, Node) and expected and made.inferred and not _fits(made.inferred, expected):
            raise Unsupported(f"whose result is {expected} for TVM, {made.inferred} for minicc")
        return made

    def enter(self, name: str, arguments: Sequence[Any], depth: int) -> Any:
        """A call of another function of the module."""
        if name not in self.functions or depth >= DEEPEST:
            why = "which is no Relax function" if depth < DEEPEST else "too deep in other calls"
            raise Unsupported(f"of {name}, {why}")
        symbols = dict(self.dimensions.symbols)
        result = self.run(self.functions[name], arguments, depth + 1)
        self.dimensions.symbols = symbols
        return result

    def report(self, call: str) -> None:
        """Raise BridgeError if something was not supported."""
        if not self.lacking:
            return
        order = sorted(self.lacking.items(), key=lambda item: -len(item[1]))
        lines = [f"{what}: {len(names)} x ({', '.join(names[:MOST_NAMES])}{', ...' if len(names) > MOST_NAMES else ''})"
                 for what, names in order]  # fmt: skip
        count = sum(map(len, self.lacking.values()))
        problem = f"operators that are not supported: {len(lines)}, on {count} variables"
        supported = f"{len(TRANSLATIONS)} Relax operators are supported"
        hint = f"{supported}; legalize a module after it is brought over, not before"
        raise BridgeError(call, problem, "\n".join(lines), hint)


def _reads(op: Any) -> bool:
    """Whether the arguments of `op` are values; those of a call into TIR are functions."""
    return not getattr(op, "name", "").startswith("relax.call_")


def _has_shape(ty: Any) -> bool:
    """Whether it is the type of a tensor whose dimensions are named; a shape may also be another variable, or unknown."""
    return isinstance(getattr(ty, "shape", None), _tvm.load().relax.ShapeExpr)
