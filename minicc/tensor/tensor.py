"""Tensors defined by expressions: what the literature calls TE.

    tensor  ::= Placeholder(name, shape, dtype)
              | Compute(name, axes, body)               body over axes, or a Reduce of it
              | Scan(name, init, update, state)         a recurrence along the first axis
              | Scatter(name, data, axes, indices, value, combiner, where)
              | Extern(name, shape, dtype, function, inputs)    what a function from outside computes

A placeholder, a `te.var` and a reduce axis are new at each call, whatever their names; where two of one name meet in
a text, the second has a number.

`compute(shape, f)` is the tensor whose element at `(i, j, ...)` is `f(i, j, ...)`. A `Tensor` is
one output of such an operation. Tensors are immutable and interned, like everything else.

>>> A = placeholder((4, 8), name="A")
>>> k = reduce_axis((0, 8), name="k")
>>> B = compute((4,), lambda i: sum(A[i, k], axis=k), name="B")
>>> B.op
B[i in range(4)] = sum(A[i, k] for k in range(8))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, overload

from minicc.errors import TeError
from minicc.ir.drawn import Drawn
from minicc.ir.node import Interned, node, postorder
from minicc.tensor.arguments import applied, parameters_of
from minicc.tensor.expr import OF_TE, Axis, Combiner, Expr, Load, Mark, Printer, Reduce, Var, binary, cast, const
from minicc.tensor.expr import loads, substitute, walk, wrap
from minicc.tensor.extents import extent, extent_of, extents_of, index_of, same_shape
from minicc.tensor.foreign import ExternFunction, extern_function
from minicc.tensor.operators import Operators, refusal, shown
from minicc.types import DType, boolean, float32, int64


class Operation(Interned):
    """Base of what defines a tensor."""

    __slots__ = ()
    name: str

    def output(self, index: int = 0) -> Tensor:
        return Tensor(self, index)


@node
class Tensor(Interned, Operators, Drawn):
    """Output `index` of an operation. Index it for an element: `A[i, j]`."""

    op: Any  # an Operation
    index: int = 0

    @property
    def name(self) -> str:
        """The name of the operation; with a number, where it has several outputs."""
        several = isinstance(self.op, Compute) and len(self.op.body) > 1
        return f"{self.op.name}_v{self.index}" if several else str(self.op.name)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Extents: `int`, or an `Expr` where symbolic."""
        op = self.op
        return tuple(axis.extent for axis in op.axes) if isinstance(op, Compute) else tuple(op.shape)

    @property
    def dtype(self) -> DType:
        return DType.of(self.op.body[self.index].dtype if isinstance(self.op, Compute) else self.op.dtype)

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __getitem__(self, indices: Any) -> Expr:
        indices = indices if isinstance(indices, tuple) else (indices,)
        call = f"{self.name}[{', '.join(map(shown, indices))}]"
        if len(indices) != len(self.shape):
            problem = f"expected {len(self.shape)} indices for shape {self.shape}, got {len(indices)}"
            raise TeError(call, problem, repr(self), "give an index for each dimension, as in A[i, j]")
        return Load(self, tuple([index_of(call, i) for i in indices]))

    def __call__(self, *indices: Any) -> Expr:
        return self[indices]

    def scalar(self) -> Expr:
        """The element of a 0-d tensor. Raises TeError for any other."""
        if self.rank:
            problem = f"expected an element, got the whole tensor, of shape {self.shape}"
            each = f"te.compute({self.name}.shape, lambda *i: {self.name}[i] + 1) computes for each element"
            raise TeError(f"wrap({self.name})", problem, repr(self), f"{each}; `is` compares tensors")
        return self[()]

    def __len__(self) -> int:
        if not self.rank or isinstance(self.shape[0], Expr):
            problem = f"expected a tensor with a known number of rows, got shape {self.shape}"
            raise TeError(f"len({self.name})", problem, repr(self), f"{self.name}.shape holds its extents")
        return int(self.shape[0])

    def apply(self, op: Any, values: Sequence[Any]) -> Tensor:
        """An operator on tensors is its TE; scalar arrays among the values become constants."""
        made: Tensor = op.compute(*[v if isinstance(v, Tensor) else self.constant(v) for v in values])
        return made

    def constant(self, array: Any) -> Tensor:
        """A 0-d tensor of the scalar `array`."""
        return compute((), lambda: const(array.item(), DType.of(array.dtype)), name="constant")

    def __repr__(self) -> str:
        return f"Tensor({self.name}: {self.dtype}[{Printer().shape(self.shape)}])"


@node
class Placeholder(Operation):
    """An input. The `mark` makes each another, whatever its name."""

    name: str
    shape: tuple[Any, ...]
    dtype: DType
    mark: Mark | None = None

    def __repr__(self) -> str:
        return f"{self.name}: {self.dtype}[{Printer().shape(self.shape)}]"


@node
class Compute(Operation):
    """One expression per output over the points of `axes`; all reductions share their axes."""

    name: str
    axes: tuple[Axis, ...]
    body: tuple[Expr, ...]

    @property
    def axis(self) -> tuple[Axis, ...]:
        """The spatial axes, by the name TE gives them."""
        return self.axes

    @property
    def reduce_axis(self) -> tuple[Axis, ...]:
        """The axes that are reduced over; none when the body is no reduction."""
        first = self.body[0]
        return first.axes if isinstance(first, Reduce) else ()

    def __repr__(self) -> str:
        return self.text(Printer())

    def text(self, printer: Printer) -> str:
        """One line, in the names of `printer`."""
        axes, body = ", ".join(map(printer.axis, self.axes)), ", ".join(map(printer.expr, self.body))
        return f"{self.name}[{axes}] = {body}"


@node
class Scan(Operation):
    """`result[t] = init[t]` for the first `init.shape[0]` steps, then `update[t]`, in order of t.

    `update` reads earlier steps through the placeholder `state`, as `state[t - 1, ...]`.
    """

    name: str
    init: Tensor
    update: Tensor
    state: Tensor

    shape, dtype = property(lambda self: self.state.shape), property(lambda self: self.state.dtype)


@node
class Scatter(Operation):
    """A copy of `data`, then for each point of `axes` in order: `result[indices] = value`.

    With a combiner the old element is combined with `value`. Points where `where` is false, and
    points outside of the result, are passed over.
    """

    name: str
    data: Tensor
    axes: tuple[Axis, ...]
    indices: tuple[Expr, ...]
    value: Expr
    combiner: Combiner | None
    where: Expr

    shape, dtype = property(lambda self: self.data.shape), property(lambda self: self.data.dtype)


@node
class Extern(Operation):
    """What `function(*inputs, result)` writes, a function that is not ours."""

    name: str
    shape: tuple[Any, ...]
    dtype: DType
    function: ExternFunction
    inputs: tuple[Tensor, ...]

    def __repr__(self) -> str:
        return f"{self.name} = {self.function}({', '.join(t.name for t in self.inputs)})"


# ---- the surface --------------------------------------------------------------------------------


def var(name: str = "n", dtype: DType | str = int64) -> Var:
    """A new symbolic size, bound from the arrays when the built function is called."""
    return Var(name, DType.of(dtype), Mark())


def placeholder(shape: Any, dtype: DType | str = float32, name: str = "placeholder") -> Tensor:
    """A new input of the given extents."""
    return Tensor(Placeholder(name, extents_of(shape), DType.of(dtype), Mark()))


def reduce_axis(dom: tuple[Any, Any], name: str = "k") -> Axis:
    """A new axis to reduce over; `dom` is `(0, extent)`."""
    call = f"reduce_axis({shown(dom)})"
    if not isinstance(dom, (tuple, list)) or len(dom) != 2:
        raise refusal(call, f"expected (0, extent), got {shown(dom)}", "te.reduce_axis((0, 8))", dom)
    low, high = dom
    if extent(low) != 0:
        raise TeError(call, f"the domain must start at 0, got {low}", shown(dom), "shift the index instead")
    return Axis(Var(name, int64, Mark()), extent_of(call, high), True)


@overload
def compute(
    shape: Any, f: Callable[..., tuple[Any, ...] | list[Any]], name: str = ..., names: Sequence[str] | None = ...
) -> tuple[Tensor, ...]: ...
@overload
def compute(shape: Any, f: Callable[..., Any], name: str = ..., names: Sequence[str] | None = ...) -> Tensor: ...
def compute(shape: Any, f: Callable[..., Any], name: str = "compute", names: Sequence[str] | None = None) -> Any:
    """The tensor whose element at a point is `f(*point)`; a tuple of tensors if `f` gives a tuple.

    Axes are called after the parameters of `f` that have no default, or `names`. Raises TeError when `f` takes another
    number of indices than the shape has, or a reduction is not at the top of the body.
    """
    extents, call = extents_of(shape), f"compute({name!r})"
    if names is None:
        parameters = parameters_of(f)
        if parameters is None or (parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL):
            names = [f"i{d}" for d in range(len(extents))]
        else:
            names = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    if not isinstance(names, (tuple, list)) or not all(isinstance(n, str) for n in names):
        raise refusal(call, f"expected names of axes, got {shown(names)}", 'names=["i", "j"]', names)
    if len(names) != len(extents):
        problem = f"the body takes {len(names)} indices, the shape {extents} has {len(extents)}"
        hint = "give the function one parameter for each extent"
        raise TeError(call, problem, f"lambda {', '.join(names)}: ...", hint)
    axes = tuple(Axis(Var(n, int64, OF_TE), e) for n, e in zip(names, extents, strict=True))
    result = f(*[axis.var for axis in axes])
    several = isinstance(result, (tuple, list))
    body = tuple(wrap(r) for r in (result if several else [result]))
    for e in body:
        _check_body(call, axes, e)
    op = Compute(name, axes, body)
    return tuple(Tensor(op, n) for n in range(len(body))) if several else Tensor(op)


def _check_body(call: str, axes: tuple[Axis, ...], body: Expr) -> None:
    from_top = body.values if isinstance(body, Reduce) else (body,)
    if any(isinstance(e, Reduce) for e in walk(*from_top)):
        hint = "put the reduction in a te.compute of its own"
        raise TeError(call, "a reduction must be the whole body", str(body), hint)
    used = [a.var for a in (*axes, *(body.axes if isinstance(body, Reduce) else ()))]
    if len(set(used)) < len(used):
        hint = "a te.reduce_axis for each axis of a sum, and for each index a name of its own"
        raise TeError(call, f"axes must be distinct, got {', '.join(map(str, used))}", str(body), hint)


def reducer(name: str, dtype: DType) -> Combiner:
    """The combiner `sum`, `prod`, `max`, `min`, `all` or `any` for a dtype."""
    low, high = dtype.range
    known = {
        "sum": ("add", 0), "prod": ("mul", 1), "max": ("max", low), "min": ("min", high),
        "all": ("bitand", True), "any": ("bitor", False),
    }  # fmt: skip
    if name not in known:
        hint = "sum, prod, max, min, all, any or te.comm_reducer"
        raise TeError(f"reducer({name!r})", f"expected a reduction, got {name!r}", str(dtype), hint)
    op, identity = known[name]
    left, right = Var("left", dtype, OF_TE), Var("right", dtype, OF_TE)
    return Combiner(name, (left,), (right,), (binary(op, left, right),), (const(identity, dtype),))


def _reduce(name: str, value: Any, axis: Axis | Sequence[Axis]) -> Expr:
    axes, value = _axes(name, value, axis), wrap(value)
    if value.dtype is boolean and name in ("sum", "prod"):  # a count
        value = cast(value, int64)
    return Reduce(reducer(name, value.dtype), (value,), axes)


def _axes(name: str, value: Any, axis: Any) -> tuple[Axis, ...]:
    """The axes of a reduction. Raises TeError for what is none, such as the second value of a `max`."""
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    for one in axes:
        if not (isinstance(one, Axis) and one.reduce):
            words = {"max": "te.maximum(a, b) is the greater of two; ", "min": "te.minimum(a, b) is the less of two; "}
            hint = f"{words.get(name, '')}k = te.reduce_axis((0, n)); te.{name}(A[i, k], axis=k)"
            call, problem = f"{name}({shown(value)}, {shown(axis)})", "expected a te.reduce_axis to reduce over"
            raise TeError(call, f"{problem}, got {shown(one)}", f"{shown(one)}: {type(one).__name__}", hint)
    return axes


def sum(value: Any, axis: Axis | Sequence[Axis]) -> Expr:
    """The sum over reduction axes, in the dtype of the value (of booleans, how many hold); 0 over an empty one."""
    return _reduce("sum", value, axis)


def prod(value: Any, axis: Axis | Sequence[Axis]) -> Expr:
    """The product; 1 over an empty axis."""
    return _reduce("prod", value, axis)


def max(value: Any, axis: Axis | Sequence[Axis]) -> Expr:
    """The greatest, NaN if any is; the least value of the dtype over an empty axis."""
    return _reduce("max", value, axis)


def min(value: Any, axis: Axis | Sequence[Axis]) -> Expr:
    """The least, NaN if any is; the greatest value of the dtype over an empty axis."""
    return _reduce("min", value, axis)


def comm_reducer(
    combine: Callable[[Any, Any], Any], identity: Callable[..., Any], name: str = "reduce"
) -> Callable[..., Any]:
    """A reduction of your own, on scalars or on tuples.

    `combine(x, y)` and `identity(dtype, ...)` take and give a scalar, or tuples of equal length.
    """
    call = f"{name}(...)"

    def reduce(values: Any, axis: Axis | Sequence[Axis]) -> Any:
        several = isinstance(values, (tuple, list))
        exprs = tuple(wrap(v) for v in (values if several else [values]))
        axes = _axes(name, values, axis)
        left = tuple(Var(f"left{n}", e.dtype, OF_TE) for n, e in enumerate(exprs))
        right = tuple(Var(f"right{n}", e.dtype, OF_TE) for n, e in enumerate(exprs))
        result = applied(call, "combine", combine, *((left, right) if several else (left[0], right[0])))
        start = applied(call, "identity", identity, *[e.dtype for e in exprs])
        sides = [_alike(name, exprs, values if several else (values,)) for values in (result, start)]
        combiner = Combiner(name, left, right, *sides)
        made = tuple(Reduce(combiner, exprs, axes, n) for n in range(len(exprs)))
        return made if several else made[0]

    return reduce


def _alike(call: str, wanted: Sequence[Any], values: Any) -> tuple[Expr, ...]:
    """`values` as expressions of the dtypes of `wanted`, in the same order."""
    if not isinstance(values, (tuple, list)) or len(values) != len(wanted):
        hint = "combine and identity give as many values as are reduced together, in a tuple"
        raise refusal(call, f"expected {len(wanted)} values, got {shown(values)}", hint, values)
    made = tuple(wrap(v, w.dtype) for w, v in zip(wanted, values, strict=True))
    for value, w in zip(made, wanted, strict=True):
        if value.dtype is not w.dtype:
            problem = f"expected a value of {w.dtype}, got {value} of {value.dtype}"
            raise refusal(call, problem, f"convert it: x.astype({str(w.dtype)!r})", value)
    return made


def scan(init: Tensor, update: Tensor, state: Tensor, name: str = "scan") -> Tensor:
    """A recurrence along the first axis; see `Scan`."""
    call, steps = f"scan({name!r})", "te.compute((1, *state.shape[1:]), ...)"
    if not same_shape(init.shape[1:], state.shape[1:]) or not same_shape(update.shape, state.shape):
        wanted = f"update must have the shape of the state {state.shape} and init that of its first steps"
        hint = f"state = te.placeholder((steps, ...)), update = te.compute(state.shape, ...), init = {steps}"
        where = f"{init!r}\n{update!r}\n{state!r}"
        raise TeError(call, f"{wanted}, got {update.shape} and {init.shape}", where, hint)
    if state in set(tensors_of(init)):
        problem = f"the first steps must not read the state, which they begin, got {init} of {state}"
        hint = "compute them from other tensors, as in te.compute((1, n), lambda _, i: X[0, i])"
        raise TeError(call, problem, repr(init.op), hint)
    return Tensor(Scan(name, init, update, state))


def scatter(
    data: Tensor,
    axes: Sequence[Any],
    indices: Callable[..., Sequence[Any]],
    value: Callable[..., Any],
    combiner: str | None = None,
    where: Callable[..., Any] | None = None,
    name: str = "scatter",
) -> Tensor:
    """Write `value(*point)` to `indices(*point)` for each point of `range(axes[0]) x ...`; see `Scatter`."""
    points = tuple(Axis(Var(f"p{n}", int64, OF_TE), e) for n, e in enumerate(extents_of(axes)))
    variables = [p.var for p in points]
    combine = reducer(combiner, data.dtype) if combiner else None
    call = f"scatter({name!r})"
    cond = wrap(applied(call, "where", where, *variables)) if where else wrap(True)
    at = applied(call, "indices", indices, *variables)
    if not isinstance(at, (tuple, list)) or len(at) != data.rank:
        problem = f"expected {data.rank} indices, one for each dimension of {data.name}, got {shown(at)}"
        raise TeError(call, problem, repr(data), "indices gives a tuple, as in lambda p: (I[p],)")
    place = tuple(index_of(call, i) for i in at)
    (element,) = _alike(call, (data,), (applied(call, "value", value, *variables),))
    return Tensor(Scatter(name, data, points, place, element, combine, cond))


def extern(
    shape: Any, inputs: Tensor | Sequence[Tensor], function: Any, name: str = "extern", dtype: DType | str | None = None
) -> Tensor:
    """The tensor that `function(*inputs, result)` writes, called on whole arrays; see `te.foreign`.

    `function` is a Python callable, a ctypes function, or the name of one. `dtype` is that of the
    first input unless given. Raises TeError when there is no such function, or no dtype.
    """
    call = f"extern({name!r})"
    read = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    if foreign := [t for t in read if not isinstance(t, Tensor)]:
        problem = f"expected tensors as inputs, got {shown(foreign[0])}"
        raise TeError(
            call, problem, f"{shown(foreign[0])}: {type(foreign[0]).__name__}", "te.extern(A.shape, [A, B], f)"
        )
    if dtype is None and not read:
        problem = "expected a dtype or an input, got neither"
        raise TeError(call, problem, f"shape {shown(shape)}", 'dtype="float32"')
    kind = read[0].dtype if dtype is None else DType.of(dtype)
    return Tensor(Extern(name, extents_of(shape), kind, extern_function(function), read))


def inputs_of(tensor: Tensor) -> list[Tensor]:
    """The tensors that `tensor` reads directly, each once."""
    match tensor.op:
        case Compute(_, _, body):
            found = [load.source for load in loads(*body)]
        case Scan(_, init, update, state):
            found = [t for part in (init, update) for t in inputs_of(part) if t is not state]
        case Scatter(_, data, _, indices, value, _, where):
            found = [data, *[load.source for load in loads(*indices, value, where)]]
        case Extern():
            found = list(tensor.op.inputs)
        case _:
            found = []
    return list(dict.fromkeys(found))


def tensors_of(*outputs: Tensor) -> list[Tensor]:
    """Every tensor that `outputs` need, producers first."""
    return list(postorder(outputs, inputs_of))


def inline(tensor: Tensor, indices: Sequence[Expr]) -> Expr:
    """The element of a reduction-free tensor at `indices`, as an expression of its inputs."""
    op = tensor.op
    return substitute(op.body[tensor.index], {a.var: i for a, i in zip(op.axes, indices, strict=True)})
