"""Relay programs, built and run by the old TVM.

In: the source that `minicc.bridge.relay.relay_program` writes, that is Python statements that leave a function in `main`, with
the names `tvm`, `relay`, `np` and those of its constants, which are arrays beside it. Out: Relay's text, or outputs by name.

    n0_ = relay.nn.conv2d(p0, c0, channels=8, kernel_size=(3, 3))  # the call has the span "n0_", which TVM's passes keep
    main = relay.Function([p0], relay.Tuple([n0_]))

A batch is built as one function, with the inputs and outputs of all jobs, as that takes a quarter of the time; the graph that
TVM's executor reads is then cut into one for each job, so that each runs by itself.
"""

from __future__ import annotations

import itertools
import json
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from minicc.bridge.frames import DTYPES, Arrays, Message
from minicc.bridge.inside.jobs import Jobs, Run

TRIPLE = "x86_64-linux-gnu"  # this TVM's own default is another machine
PLAIN = "x86-64"  # the processor without fused multiply-adds, to which TVM lets LLVM contract what is written apart

# ---- programs -----------------------------------------------------------------------------------


class _Names(dict[str, Any]):
    """The variables of a program: a call that is assigned has the name of its variable as its span."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, _spanned(value, name))


def _spanned(value: Any, name: str) -> Any:
    if isinstance(value, relay.expr.TupleWrapper):
        return relay.expr.TupleWrapper(_spanned(value.astuple(), name), value.size)
    if not isinstance(value, relay.Call):
        return value
    span = relay.Span(relay.SourceName(name), 0, 0, 0, 0)
    return relay.Call(value.op, value.args, value.attrs, value.type_args, span)


def function(source: str, constants: dict[str, Any]) -> Any:
    """The function that a source leaves in `main`."""
    names = _Names()
    exec(source, {"tvm": tvm, "relay": relay, "np": np, **constants}, names)
    return names["main"]


def typed(function: Any) -> Any:
    """A module with the function as `main`, its types inferred. Raises what TVM raises where operands do not fit."""
    return relay.transform.InferType()(tvm.IRModule.from_expr(function))


def module(source: str, constants: Arrays) -> Any:
    """The typed module of a program, with its constants in it."""
    return typed(function(source, {name: relay.Constant(tensor(array)) for name, array in constants.items()}))


def tensor(array: Any) -> Any:
    """An array as TVM holds it."""
    return tvm.nd.empty(array.shape, array.dtype.name).copyfrom(array)


def text(message: dict[str, Any], arrays: Arrays) -> Message:
    """The text of a program; its constants are parameters of the function, after the inputs, by their names."""
    variables = {name: relay.var(name, shape=a.shape, dtype=a.dtype.name) for name, a in arrays.items()}
    made = function(message["source"], variables)
    return typed(relay.Function([*made.params, *variables.values()], made.body)).astext(), {}


# ---- building and running -----------------------------------------------------------------------


@dataclass(frozen=True)
class RelayFunction:
    """A function of Relay with the names of its inputs and outputs."""

    function: Any
    inputs: Sequence[str]
    outputs: Sequence[str]


def lower(message: dict[str, Any], constants: Arrays) -> RelayFunction:
    """The program of a message `{"source": ..., "inputs": names, "outputs": names}`."""
    return RelayFunction(module(message["source"], constants)["main"], message["inputs"], message["outputs"])


def machine(cpu: str) -> Any:
    """TVM's target for a processor; for one that this LLVM does not know, the one that it takes this machine for."""
    target = f"llvm -mtriple={TRIPLE}"
    known = [str(name) for name in tvm.target.codegen.llvm_get_cpu_archlist(tvm.target.Target(target))]
    return tvm.target.Target(f"{target} -mcpu={cpu if cpu in known else tvm.target.codegen.llvm_get_system_cpu()}")


def build(programs: list[RelayFunction], opt_level: int = 0, cpu: str = PLAIN) -> list[Run]:
    """What runs each of the programs."""
    params = [p for program in programs for p in program.function.params]
    outputs = [o for program in programs for o in program.function.body.fields]
    module = tvm.IRModule.from_expr(relay.Function(params, relay.Tuple(outputs)))
    with tvm.transform.PassContext(opt_level=opt_level):
        built = relay.build(module, machine(cpu))
    graph, first, head = json.loads(built.graph_json), 0, 0
    runs: list[Run] = []
    for program in programs:
        inputs = range(first, first := first + len(program.inputs))
        heads = graph["heads"][head : (head := head + len(program.outputs))]
        cut, held = part(graph, inputs, heads)
        executor = graph_executor.create(json.dumps(cut), built.lib, tvm.cpu())
        for number, name in held.items():
            executor.set_input(number, built.params[name])
        runs.append(Executor(program, executor))
    return runs


def part(graph: dict[str, Any], inputs: Sequence[int], heads: list[list[int]]) -> tuple[dict[str, Any], dict[int, str]]:
    """The part of an executor's graph that computes `heads`, with its inputs first, and its constants: argument number to name.

    The format: nodes in topological order; an entry is `[node, which of its results, version]`; the lists of `attrs` have an
    element for each result, those of node k from `node_row_ptr[k]` on.
    """
    nodes, rows = graph["nodes"], graph["node_row_ptr"]
    needed = {*inputs, *(entry[0] for entry in heads)}
    for k in reversed(range(len(nodes))):
        if k in needed:
            needed.update(entry[0] for entry in nodes[k]["inputs"])
    kept = sorted(needed)
    place = {k: new for new, k in enumerate(kept)}

    def moved(entries: list[list[int]]) -> list[list[int]]:
        return [[place[node], *rest] for node, *rest in entries]

    results = [r for k in kept for r in range(rows[k], rows[k + 1])]
    attributes = {name: [kind, [values[r] for r in results]] for name, (kind, values) in graph["attrs"].items()}
    storage = attributes["storage_id"]
    dense = {old: new for new, old in enumerate(dict.fromkeys(storage[1]))}  # the executor takes no gaps
    storage[1] = [dense[old] for old in storage[1]]
    arguments = [k for k in kept if nodes[k]["op"] == "null"]
    made = {"nodes": [{**nodes[k], "name": f"a{place[k]}", "inputs": moved(nodes[k]["inputs"])} for k in kept],
            "arg_nodes": [place[k] for k in arguments], "heads": moved(heads), "attrs": attributes,
            "node_row_ptr": [0, *itertools.accumulate(rows[k + 1] - rows[k] for k in kept)]}  # fmt: skip
    return made, {number: nodes[k]["name"] for number, k in enumerate(arguments) if k not in inputs}


@dataclass(frozen=True)
class Executor:
    """A program that is built: called with arrays by name, it gives its outputs by name."""

    program: RelayFunction
    module: Any

    def __call__(self, arrays: Arrays) -> Arrays:
        self.set(arrays)
        self.module.run()
        results = {name: self.module.get_output(k) for k, name in enumerate(self.program.outputs)}
        return {name: result.numpy().view(DTYPES[result.dtype]) for name, result in results.items()}

    def set(self, arrays: Arrays) -> None:
        """Copy the inputs to where the program reads them. Raises ValueError where they are others than declared."""
        for k, (name, param) in enumerate(zip(self.program.inputs, self.program.function.params, strict=True)):
            declared, array = param.checked_type, arrays[name]
            if (tuple(map(int, declared.shape)), declared.dtype) != (array.shape, array.dtype.name):
                raise ValueError(f"input {name}: expected {declared}, got {array.dtype}{list(array.shape)}")
            self.module.set_input(k, tensor(array))


def run(message: dict[str, Any], arrays: Arrays) -> Message:
    """The outputs of one program; its constants and the inputs are the arrays, by their names in the source."""
    constants = {name: array for name, array in arrays.items() if name not in message["inputs"]}
    return None, dict(build([lower(message, constants)])[0](arrays))


jobs = Jobs(lower, build)


def time(message: dict[str, int], arrays: Arrays) -> Message:
    """The seconds of each of `calls` calls of job number `job`, on `threads` threads, without the copying of inputs and outputs."""
    executor: Any = jobs.runs[message["job"]]
    tvm.get_global_func("runtime.config_threadpool")(1, message["threads"])
    executor.set(arrays)
    seconds = []
    for _ in range(message["calls"]):
        start = clock.perf_counter()
        executor.module.run()
        seconds.append(clock.perf_counter() - start)
    return seconds, {}
