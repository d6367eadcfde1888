"""Source code that the old TVM generates for a Relay program: C, or the kernels of OpenCL.

In: the source of a program, its constants, and the language. Out: the text, as an array of bytes: with weights it is long.

    struct tvmgen_default_inputs { void* p0; };
    int32_t tvmgen_default_run(struct tvmgen_default_inputs* inputs, struct tvmgen_default_outputs* outputs)

The C is a whole program: kernels, weights, memory for what is between, and a function that runs it. It includes headers of
TVM, and needs nothing of its libraries. It is made by the executor that is ahead of time, for the runtime of microcontrollers:
functions for the other executor take their arguments in packed form, which is hard to read. The host program that calls
OpenCL's kernels is not shown.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import tvm
from tvm import relay, topi
from tvm.relay.backend import Executor, Runtime
from tvm.relay.op.strategy import generic

from minicc.bridge.frames import Arrays, Message
from minicc.bridge.inside.graphs import module

HEADER = "#include <tvmgen_default.h>\n"  # in which the structures are, otherwise
MAIN = re.compile(r"TVM_DLL int32_t tvmgen_default___tvm_main__\(void\*.*\);\n")  # its true declaration comes before
SPECIAL = re.compile(r"(?<![\w.])(inf|nan)f?\b(?!\()")  # as TVM writes these constants, which neither language knows
HALF = "typedef _Float16 half;\n"  # TVM writes the type as OpenCL does


def _injective(compute: Any, *_: Any) -> Any:
    """How a GPU computes an operator of UNSCHEDULED."""
    strategy = relay.op.OpStrategy()
    strategy.add_implementation(compute, generic.wrap_topi_schedule(topi.cuda.schedule_injective))
    return strategy


# operators to which this build of TVM gives schedules for its maker's processors, and none for GPUs
UNSCHEDULED = {
    name: generic.wrap_topi_compute(getattr(topi, name)) for name in ("add", "subtract", "multiply", "divide")
}
UNSCHEDULED["reshape"] = generic.wrap_compute_reshape(topi.reshape)
for _name, _compute in UNSCHEDULED.items():
    getattr(generic, f"{_name}_strategy").register("gpu")(functools.partial(_injective, _compute))


def c(source: str, arrays: Arrays) -> Message:
    """The program in C, one file."""
    options = {"executor": Executor("aot", {"unpacked-api": True, "interface-api": "c"}), "runtime": Runtime("crt")}
    built = _build(source, arrays, "c", **options)
    entry, kernels = built.get_source(), built.imported_modules[0].get_source()
    structures = _structure("inputs", entry) + _structure("outputs", entry)
    half = HALF if re.search(r"\bhalf\b", kernels) else ""
    return _sent(half + kernels + MAIN.sub("", entry.replace(HEADER, structures)))


def _structure(side: str, entry: str) -> str:
    """The structure of the inputs or outputs, with the fields that the entry function reads."""
    fields = "".join(f"  void* {name};\n" for name in re.findall(rf"{side}->(\w+)", entry))
    return f"struct tvmgen_default_{side} {{\n{fields}}};\n"


def opencl(source: str, arrays: Arrays) -> Message:
    """The kernels of the program in OpenCL."""
    return _sent("".join(part.get_source() for part in _build(source, arrays, "opencl").imported_modules))


def _sent(text: str) -> Message:
    text = SPECIAL.sub(lambda number: {"inf": "INFINITY", "nan": "NAN"}[number[1]], text)
    return None, {"text": np.frombuffer(text.encode(), np.uint8)}


def _build(source: str, arrays: Arrays, language: str, **options: Any) -> Any:
    """The module that Relay builds. Without vectors: the generator of C writes them in types that C does not have."""
    with tvm.transform.PassContext(opt_level=3, config={"tir.disable_vectorize": True}):
        return relay.build(module(source, arrays), tvm.target.Target(language, host="c"), **options).lib
