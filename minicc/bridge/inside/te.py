"""te programs in the old TVM: built under a schedule, step by step, and run. Runs inside of its process.

In: `{"programs": [{"inputs", "outputs", "steps": [(number, Python), ...]}], "lowered"}`: step 0 defines tensors by calls of `te`,
and a schedule called `s`; each tensor is known by its name, too. Each other step makes calls on it, and on what steps before it named. The arrays are
`"<program>.<input>"`. Out: for each program the steps that the old TVM refuses, each with its error, and its lowered loops where
they are asked for; or `error`, where it refuses step 0. The arrays are `"<program>.<output>"`.

A step that is refused, be it at its call or when the schedule is lowered and built, is left out, and so is what needs the
names that it would have made. Loops over thread axes run one iteration after the other, as a processor has no such threads.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import tvm
from tvm import te, tir

Steps = dict[int, str]
PRODUCT = te.comm_reducer(lambda x, y: x * y, lambda dtype: tir.const(1, dtype), name="prod")
TE = SimpleNamespace(**{**vars(te), "maximum": tir.Max, "minimum": tir.Min, "select": tir.Select, "prod": PRODUCT})
TARGET = f"llvm -mtriple=x86_64-linux-gnu -mcpu={tvm.target.codegen.llvm_get_system_cpu()}"  # its own triple is another machine's
PROGRAM = 0  # the number of the step that defines the tensors
UNWRITTEN = 77  # what outputs are full of before the call


class Refused(Exception):
    """The old TVM refuses a step."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)
        self.number, self.reason = number, reason


def run(message: dict[str, Any], arrays: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The outcome of each program, and its outputs."""
    outcomes, results = [], dict[str, Any]()
    for key, program in enumerate(message["programs"]):
        given = [arrays[f"{key}.{name}"] for name in program["inputs"]]
        outcome, made = _outcome(program, given, message["lowered"])
        outcomes.append(outcome)
        results |= {f"{key}.{name}": array for name, array in zip(program["outputs"], made, strict=False)}
    return outcomes, results


def _outcome(program: dict[str, Any], given: list[Any], lowered: bool) -> tuple[dict[str, Any], list[Any]]:
    """What came of a program, and its outputs; none where it is refused."""
    steps, refused = dict(program["steps"]), dict[int, str]()
    while True:
        try:
            module, outputs = _whole(program, steps, _lowered)
            function, _ = _whole(program, steps, _compiled)
            break
        except Refused as refusal:
            if refusal.number == PROGRAM:
                return {"error": refusal.reason, "refused": refused}, []
            del steps[refusal.number]
            refused[refusal.number] = refusal.reason
    made = [np.full([int(d) for d in t.shape], UNWRITTEN, t.dtype) for t in outputs]
    held = [tvm.nd.array(a) for a in (*given, *made)]
    function(*held)
    loops = module.script(show_meta=False) if lowered else ""
    return {"refused": refused, "loops": loops}, [a.numpy() for a in held[len(given) :]]


def _whole(program: dict[str, Any], steps: Steps, make: Callable[..., Any]) -> Any:
    """What is made after all steps. Raises Refused for one that ends a beginning which cannot be made, but can without it."""
    try:
        return make(program, steps)
    except Refused:
        raise
    except Exception as error:
        numbers, good, bad = list(steps), 0, len(steps)
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                make(program, {n: steps[n] for n in numbers[:middle]})
                good = middle
            except Exception:
                bad = middle
        raise Refused(numbers[bad - 1], _reason(error)) from error


def _lowered(program: dict[str, Any], steps: Steps) -> tuple[Any, list[Any]]:
    """The loops, and the outputs."""
    s, args, outputs = _scheduled(program, steps)
    return tvm.lower(s, args), outputs


def _compiled(program: dict[str, Any], steps: Steps) -> tuple[Any, list[Any]]:
    """The machine code, and the outputs."""
    module, outputs = _lowered(program, steps)
    return tvm.build(_in_turn(module), target=TARGET), outputs


def _scheduled(program: dict[str, Any], steps: Steps) -> tuple[Any, list[Any], list[Any]]:
    """The schedule after the steps, the arguments and the outputs among them. Raises Refused."""
    names: dict[str, Any] = {"te": TE}
    for number, lines in steps.items():
        try:
            exec(lines, names)
        except Exception as error:
            raise Refused(number, _reason(error)) from error
        if number == PROGRAM:
            names = {**{stage.op.name: stage.op.output(0) for stage in names["s"].stages}, **names}
    outputs = [names[name] for name in program["outputs"]]
    return names["s"], [*[names[name] for name in program["inputs"]], *outputs], outputs


def _in_turn(module: Any) -> Any:
    """The module with a serial loop for each thread axis."""

    def loop(s: Any) -> Any:
        return tir.For(s.node.var, 0, s.value, tir.ForKind.SERIAL, s.body) if s.attr_key == "thread_extent" else None

    def changed(f: Any) -> Any:
        return f.with_body(tir.stmt_functor.ir_transform(f.body, None, loop, ["tir.AttrStmt"]))

    return tvm.IRModule({name: changed(f) for name, f in module.functions.items()})


def _reason(error: Exception) -> str:
    """The line that says what is wrong."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    kind, last = type(error).__name__, lines[-1].strip() if lines else ""
    return last if last.startswith(kind) else f"{kind}: {last}"
