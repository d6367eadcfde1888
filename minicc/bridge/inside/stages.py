"""A Relay program on its way to machine code in the old TVM: each stage as text.

In: the source of a program, its constants, and a processor. Out: `passes`, the name of each pass of the graph after which other operators
are called than before, with their number, the first without a name for the program as it comes; `fused`, the Relay text after FuseOps; `tir`, by the name of each fused function the loops
that its operators' schedules make of it; `llvm` and `asm`, the module of all; `executor`, the calls that the executor makes, as JSON.

    {"source": "x = relay.var('x', shape=(4,)); main = relay.Function([x], relay.nn.relu(x))", "cpu": "haswell"}
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relay

from minicc.bridge.frames import Arrays, Message
from minicc.bridge.inside.graphs import machine, module


@tvm.instrument.pass_instrument
class _Diary:
    """Notes after each pass up to FuseOps which operators and functions are called, where they are others than before."""

    def __init__(self, module: Any) -> None:
        self.notes = [("", _called(module))]
        self.fused: Any = None

    def run_after_pass(self, module: Any, info: Any) -> None:
        if info.name == "InferType" or self.fused:  # passes infer types themselves, before they have ended
            return
        called = _called(module)
        if called != self.notes[-1][1]:
            self.notes.append((info.name, called))
        if info.name == "FuseOps":
            self.fused = module["main"]


def _called(module: Any) -> list[str]:
    """The names of the operators that the Relay functions of a module call, and `fn` for a function."""
    found: list[str] = []

    def note(e: Any) -> None:
        if isinstance(e, relay.Call):
            found.append(getattr(e.op, "name", "fn"))

    for function in module.functions.values():
        if isinstance(function, relay.Function):
            relay.analysis.post_order_visit(function, note)
    return found


def texts(message: dict[str, Any], arrays: Arrays) -> Message:
    """The stages of a program, built at opt_level 3. Raises what TVM raises."""
    made = module(message["source"], arrays)
    diary, loops = _Diary(made), {}

    def keep(function: Any, *_: Any) -> Any:
        loops[str(function.attrs["global_symbol"])] = function.script()
        return function

    first = tvm.tir.transform.prim_func_pass(keep, opt_level=0)  # of all that work on loops
    options = {"tir.add_lower_pass": [(0, first)]}
    with tvm.transform.PassContext(opt_level=3, config=options, instruments=[diary]):
        built = relay.build(made, machine(message["cpu"]))
    passes = [[name, len([op for op in called if op != "fn"])] for name, called in diary.notes]
    return {"passes": passes, "fused": _plain(diary.fused).astext(show_meta_data=False), "tir": loops,
            "llvm": built.lib.get_source("ll"), "asm": built.lib.get_source("asm"), "executor": built.graph_json}, {}  # fmt: skip


def _plain(function: Any) -> Any:
    """A function without notes of the device that it is for."""
    params = [relay.Var(p.name_hint, p.checked_type) for p in function.params]
    return relay.Function(params, relay.bind(function.body, dict(zip(function.params, params, strict=True))))
