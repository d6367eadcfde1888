"""Relay programs, built and run by the old TVM.

In: the source that `minicc.bridge.relay.relay_program` writes, that is Python statements that leave a function in `main`, with
the names `tvm`, `relay`, `np`, `inf`, `nan` and those of its constants, which are arrays beside it. Out: Relay's text, or
outputs by name.

    n0_ = relay.nn.conv2d(x0, c0, channels=8, kernel_size=(3, 3))  # the call has the span "n0_", which TVM's passes keep
    main = relay.Function([x0], relay.Tuple([n0_]))

Where nothing is said of optimisation, none is asked for: the least time to build, and no multiplication and addition contracted.
"""

from __future__ import annotations

import functools
import math
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from minicc.bridge.frames import DTYPES, Arrays, Message
from minicc.bridge.inside.jobs import Jobs, Run

LEVELS = {"x86-64-v4": "avx512vl", "x86-64-v3": "avx2", "x86-64-v2": "sse4_2"}  # and what says so
LLVM = "llvm -mtriple=x86_64-linux-gnu"  # this TVM's own default is another machine
PLAIN = "-mcpu=x86-64 -opt-level=0"  # no fused multiply-adds, to which TVM lets LLVM contract what is written apart
SLOW = ["SimplifyExpr", "SimplifyExprPostAlterOp"]  # passes that take a third of the time at level 0
# Of the rest, another third goes into asking at each operator how TVM was built, which is always the same.
tvm.relay.backend.te_compiler.libinfo = functools.cache(tvm.support.libinfo)

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
    exec(source, {"tvm": tvm, "relay": relay, "np": np, "inf": math.inf, "nan": math.nan, **constants}, names)
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


def build(message: dict[str, Any], constants: Arrays) -> Run:
    """What runs the program of a message `{"source": ..., "inputs": names, "outputs": names}`.

    It may have an `opt_level`, and then has a `cpu`, too: the processor that is compiled for, or the one that this LLVM takes the
    machine for where it does not know that name. Raises what TVM raises.
    """
    made, opt_level = module(message["source"], constants), message.get("opt_level", 0)
    with tvm.transform.PassContext(
        opt_level=opt_level, disabled_pass=[] if opt_level else SLOW, config={"tir.disable_assert": True}
    ):
        built = relay.build(made, machine(message["cpu"]) if opt_level else tvm.target.Target(f"{LLVM} {PLAIN}"))
    executor = graph_executor.GraphModule(built["default"](tvm.cpu()))
    return Executor(message["inputs"], message["outputs"], [p.checked_type for p in made["main"].params], executor)


def machine(cpu: str) -> Any:
    """TVM's target for a processor; for one that is newer than this LLVM, the highest level of x86-64 that this machine has."""
    known = map(str, tvm.target.codegen.llvm_get_cpu_archlist(tvm.target.Target(LLVM)))
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    level = next((level for level, flag in LEVELS.items() if flag in flags), "x86-64")
    return tvm.target.Target(f"{LLVM} -mcpu={cpu if cpu in known else level}")


@dataclass(frozen=True)
class Executor:
    """A program that is built, with the names of its inputs and outputs and the types of its inputs."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    types: Sequence[Any]
    module: Any

    def __call__(self, arrays: Arrays) -> Arrays:
        self.set(arrays)
        self.module.run()
        results = {name: self.module.get_output(k) for k, name in enumerate(self.outputs)}
        return {name: result.numpy().view(DTYPES[result.dtype]) for name, result in results.items()}

    def set(self, arrays: Arrays) -> None:
        """Copy the inputs to where the program reads them. Raises ValueError where they are others than declared."""
        for k, (name, declared) in enumerate(zip(self.inputs, self.types, strict=True)):
            array = arrays[name]
            if (tuple(map(int, declared.shape)), declared.dtype) != (array.shape, array.dtype.name):
                raise ValueError(f"input {name}: expected {declared}, got {array.dtype}{list(array.shape)}")
            self.module.set_input(k, tensor(array))


def run(message: dict[str, Any], arrays: Arrays) -> Message:
    """The outputs of one program; its constants and the inputs are the arrays, by their names in the source."""
    constants = {name: array for name, array in arrays.items() if name not in message["inputs"]}
    return None, dict(build(message, constants)(arrays))


jobs = Jobs(build, list)


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
