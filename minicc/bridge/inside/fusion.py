"""How Relay fuses a program: the groups of its FuseOps, run by the old TVM.

In: the source of a Relay program and its constants. Out: each fused function with its operators, in order: of each the name of the
variable that it computes or is a part of, its pattern, and the variables whose values it reads.

    {"name": "fused_nn_conv2d_nn_relu", "steps": [{"of": "n2_", "name": "nn.conv2d", "pattern": 4, "reads": []}, ...]}

Of the passes that `relay.build` runs before FuseOps, those are run that FuseOps needs: SimplifyInference writes a normalization as the
operators that it consists of, since none of its own has a kernel, and FoldConstant computes what of these depends on constants alone.
Those that write other operators for a target (other layouts, merged convolutions, faster approximations) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tvm
from tvm import relay

from minicc.bridge.frames import Arrays, Message
from minicc.bridge.inside.graphs import module


def groups(source: str, arrays: Arrays) -> Message:
    """The groups of a program. Raises what TVM raises."""
    folded = _run(_split(module(source, arrays)["main"]), "InferType", "FoldConstant")
    return list(_listed(_run(folded, "InferType", "FuseOps").body)), {}


def _run(function: Any, *passes: str) -> Any:
    """A function after passes of Relay, by name."""
    made = tvm.transform.Sequential([getattr(relay.transform, name)() for name in passes])
    return made(tvm.IRModule.from_expr(function))["main"]


def _all(e: Any) -> list[Any]:
    """The expressions that one consists of, operands first; operators themselves are none."""
    found: list[Any] = []
    relay.analysis.post_order_visit(e, found.append)
    return [part for part in found if not isinstance(part, tvm.ir.Op)]


def _operands(e: Any) -> list[Any]:
    match e:
        case relay.Call():
            return list(e.args)
        case relay.Tuple():
            return list(e.fields)
        case relay.TupleGetItem():
            return [e.tuple_value]
    return []


# ---- before fusion ------------------------------------------------------------------------------


def _split(main: Any) -> Any:
    """The function after SimplifyInference, run on one call at a time: the parts of a call get its span, which the pass drops."""
    made: dict[Any, Any] = {}
    spans = _spans(main.body)
    for e in _all(main.body):
        call = e.tuple_value if isinstance(e, relay.TupleGetItem) else e
        made[e] = _simplified(e, call, made, spans[call]) if isinstance(call, relay.Call) else _on(e, made)
    return relay.Function(main.params, made[main.body])


def _spans(body: Any) -> dict[Any, Any]:
    """The span of each expression; of one without, that of what reads it, as both were written in one line."""
    found: dict[Any, Any] = {}
    for e in reversed(_all(body)):
        found[e] = e.span or found.get(e)
        for operand in _operands(e):
            found.setdefault(operand, found[e])
    return found


def _simplified(e: Any, call: Any, made: dict[Any, Any], span: Any) -> Any:
    """A call, or one of its results, as SimplifyInference writes it on the operands in `made`."""
    params = [relay.Var(f"a{k}", a.checked_type) for k, a in enumerate(call.args)]
    single = relay.Call(call.op, params, call.attrs, call.type_args)
    whole = single if e is call else relay.TupleGetItem(single, e.index)
    simple = _run(relay.Function(params, whole), "InferType", "SimplifyInference")
    if isinstance(simple.body, relay.TupleGetItem):  # as it was: all results are of one call
        return relay.TupleGetItem(made[call], e.index)
    parts = dict(zip(simple.params, [made[a] for a in call.args], strict=True))
    for part in _all(simple.body):
        if part not in parts:
            parts[part] = _on(part, parts, span)
    return parts[simple.body]


def _on(e: Any, made: dict[Any, Any], span: Any = None) -> Any:
    """An expression on other operands."""
    operands = [made[part] for part in _operands(e)]
    match e:
        case relay.Call():
            return relay.Call(e.op, operands, e.attrs, e.type_args, span)
        case relay.Tuple():
            return relay.Tuple(operands)
        case relay.TupleGetItem():
            return relay.TupleGetItem(*operands, e.index)
    return e


# ---- after fusion -------------------------------------------------------------------------------


def _listed(body: Any) -> Iterator[dict[str, Any]]:
    """The calls of fused functions in `body`, in order."""
    calls = [e for e in _all(body) if isinstance(e, relay.Call) and isinstance(e.op, relay.Function)]
    bound = {p: a for call in calls for p, a in zip(call.op.params, call.args, strict=True)}
    for call in calls:
        steps = [e for e in _all(call.op.body) if isinstance(e, relay.Call)]
        name = "_".join(["fused", *(step.op.name.replace(".", "_") for step in steps)])  # as its code will be called
        yield {"name": name, "steps": [{
            "of": step.span.source_name.name, "name": step.op.name, "pattern": step.op.get_attr("TOpPattern"),
            "reads": [source for operand in step.args for source in _sources(operand, bound)],
        } for step in steps]}  # fmt: skip


def _sources(e: Any, bound: dict[Any, Any]) -> list[str]:
    """The variables of the program whose values an operand is made of."""
    if isinstance(e, relay.Call) and isinstance(e.op, relay.Function):
        return _sources(e.op.body, bound)
    if isinstance(e, relay.Call):
        return [e.span.source_name.name]
    if e in bound:
        return _sources(bound[e], bound)
    return [source for operand in _operands(e) for source in _sources(operand, bound)]
