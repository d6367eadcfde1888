"""The accesses of a program are those of a plain interpreter, one by one."""

import numpy as np
import pytest
from loop_cases import CASES, draw
from plain_counts import Interpreter

from minicc.errors import LoopError
from minicc.loop.accesses import Accesses, accesses
from minicc.loop.program import Program

NAMES = ("load", "store", "hint")


def check(program: Program, arrays: list[np.ndarray], **sizes: int) -> Accesses:
    """The trace of a program, which is that of the interpreter, flops and trips included."""
    found = accesses(program, sizes, arrays)
    plain = Interpreter(found.program, sizes, arrays)
    trace = [
        (NAMES[kind], found.buffers[number].name, int(element))
        for kind, number, element in zip(found.kind, found.buffer, found.element, strict=True)
    ]
    assert trace == plain.trace
    assert (found.flops, found.trips) == (plain.flops, plain.trips)
    return found


@pytest.mark.parametrize("name", CASES)
def test_naive_programs(name: str) -> None:
    program = CASES[name].program
    sizes = {"n": 5} if "scan" in name else {}
    check(program, draw(program, **sizes)[: len(program.params)], **sizes)


def test_too_many_are_refused_at_once() -> None:
    with pytest.raises(LoopError, match=r"at most 10 accesses and iterations, got at least 4[\d]+") as refused:
        accesses(CASES["matmul"].program, limit=10)
    assert "smaller sizes" in str(refused.value)


def test_a_size_that_is_missing_is_named() -> None:
    with pytest.raises(LoopError, match="expected a number for each of n, got None for n"):
        accesses(CASES["scan"].program)
