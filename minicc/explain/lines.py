"""Which lines of a kernel's loop program became which lines of LLVM and of assembly.

In: a finished program and a target. Out: a `LineMap`: the three texts, and for each line of LLVM and of assembly the line
of the loop program that it comes from, as LLVM's own debug locations say (`codegen.locate`). The texts are free of
those: they are the very texts that the program has without them.

>>> from minicc.kernels.lower import finish
>>> from minicc.schedule.examples import row_sums
>>> s = row_sums(64, 8)
>>> s.parallel("i")
>>> found = line_map(finish(s.program), Target.of("haswell"))
>>> found.loop[7], found.around[7]
('            B[i] = B[i] + A[i, k]', 7)
>>> [found.asm.lines[n - 1].split() for n in found.asm.of(8)]
[['vaddss', '(%rsi,%rcx,4),', '%xmm0,', '%xmm0'], ['vmovss', '%xmm0,', '(%rdi,%rax,4)']]
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from minicc.codegen.locate import emit_located
from minicc.loop.lines import places
from minicc.loop.program import Program
from minicc.runtime import jit
from minicc.target import Target

_DBG = re.compile(r",? !dbg !(\d+)(?=$| \{$|, !)")
_MAKES = re.compile(r'  (%(?:[\w.$-]+|"[^"]*")) = ')
_VALUE = re.compile(r'%(?:[\w.$-]+|"[^"]*")')
_OTHER = re.compile(r"(![a-z][\w.]* )(!\d+)\b")  # metadata of an instruction: how likely a branch is
_NAMED = re.compile(r"!(\d+) = (?:distinct )?!DI\w+\((.*)\)$")
_NOWHERE = re.compile(r"line: 0, scope: !\d+$")
_FOR_DEBUGGERS = re.compile(r"\t\.(cfi_|loc\t|file\t\d)|\.L(tmp|func_begin)\d+:$")
_LOC = re.compile(r"\t\.loc\t\d+ (\d+)")


@dataclass(frozen=True)
class Listing:
    """The lines of a text, and for each the line of the loop program that made it: 0 where no line, or no single one, did.

    `instructions` are the numbers of the lines that are one. All lines are counted from 1.
    """

    lines: tuple[str, ...]
    source: tuple[int, ...]
    instructions: tuple[int, ...]

    def of(self, line: int) -> list[int]:
        """The lines that come from a line of the loop program."""
        return [n for n, made_by in enumerate(self.source, 1) if made_by == line]

    @property
    def merged(self) -> list[int]:
        """The instructions of which LLVM tells no line: it made one of several, or moved it to where it serves many."""
        return [n for n in self.instructions if not self.source[n - 1]]

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True)
class LineMap:
    """The texts of a kernel: the lines of its loop program, for each the line of the loop around it, or 0, and what became of them."""

    loop: tuple[str, ...]
    around: tuple[int, ...]
    llvm: Listing
    asm: Listing


def line_map(program: Program, target: Target) -> LineMap:
    """The map of a program that all passes of `loop` have seen. Raises CodegenError for one that codegen refuses."""
    module = jit.new_module(program.name, target)
    emit_located(module, program, target)
    code = jit.Code(str(module), b"", target)
    optimized = served(code.optimized)
    loop = str(program).splitlines()
    around = [0] * len(loop)
    for place in places(program):
        around[place.line - 1 : place.line - 1 + place.lines] = [place.loop] * place.lines
    listings = llvm_listing(optimized), asm_listing(jit.assembly(optimized, target))
    return LineMap(tuple(loop), tuple(around), *listings)


def served(text: str) -> str:
    """LLVM IR in which an instruction of no line has that of the one line that needs its value, where it is one.

    LLVM takes the line from what it moves out of a loop, and gives none to what it makes: addresses, sums in registers.
    """
    nowhere = frozenset(
        found[1] for found in map(_NAMED.match, text.splitlines()) if found and _NOWHERE.match(found[2])
    )
    rows = [_without(row, nowhere) for row in text.splitlines()]
    begins = [n for n, row in enumerate(rows) if row.startswith("define")]
    for begin, end in itertools.pairwise([*begins, len(rows)]):
        for n, number in _needed(rows[begin:end]):
            rows[begin + n] += f", !dbg !{number}"
    return "\n".join(rows) + "\n"


def _without(row: str, nowhere: Collection[str]) -> str:
    """A row of LLVM IR without a location that tells no line; a call must have one."""
    found = _DBG.search(row)
    return _DBG.sub("", row) if found and found[1] in nowhere and " call " not in row else row


def _needed(rows: Sequence[str]) -> list[tuple[int, str]]:
    """The rows of a function that have no location, and are needed by one only, directly or not, with that."""
    located = {n: found[1] for n, row in enumerate(rows) if (found := _DBG.search(row))}
    made = {found[1]: n for n, row in enumerate(rows) if n not in located and (found := _MAKES.match(row))}
    needs = {n: [made[name] for name in _VALUE.findall(row) if name in made] for n, row in enumerate(rows)}
    serves: dict[int, set[str]] = {n: set() for n in made.values()}
    waiting = list(located.items())
    while waiting:
        n, number = waiting.pop()
        for maker in needs[n]:
            if number not in serves[maker]:
                serves[maker].add(number)
                waiting.append((maker, number))
    return [(n, next(iter(numbers))) for n, numbers in serves.items() if len(numbers) == 1]


def llvm_listing(text: str) -> Listing:
    """The listing of LLVM IR, without what is there for debuggers: metadata stand behind everything else."""
    rows = text.splitlines()
    facts = {found[1]: found[2] for row in rows if (found := _NAMED.match(row))}
    end = next((n for n, row in enumerate(rows) if row.startswith("!llvm.dbg.cu")), len(rows))
    while end and not rows[end - 1]:
        end -= 1
    lines = [_DBG.sub("", row) for row in rows[:end]]
    source = [_line_of(found[1], facts) if (found := _DBG.search(row)) else 0 for row in rows[:end]]
    lines = _with_other_metadata(lines, rows[end:])
    instructions = [n for n, row in enumerate(lines, 1) if row.startswith("  ")]
    return Listing(tuple(lines), (*source, *[0] * (len(lines) - len(source))), tuple(instructions))


def _with_other_metadata(lines: Sequence[str], rows: Sequence[str]) -> list[str]:
    """The lines and those rows of metadata that they name, which are numbered from 0, as if there were no others."""
    held = {row.split(" ", 1)[0]: row for row in rows if row.startswith("!") and row[1:2].isdigit()}
    named = list(dict.fromkeys(name for line in lines for _, name in _OTHER.findall(line)))
    for name in named:
        named += [inner for inner in re.findall(r"!\d+", held[name]) if inner not in named]
    number = {name: f"!{n}" for n, name in enumerate(sorted(named, key=lambda name: int(name[1:])))}
    behind = [re.sub(r"!\d+", lambda found: number[found[0]], held[name]) for name in number]
    renamed = [_OTHER.sub(lambda found: found[1] + number[found[2]], line) for line in lines] if number else lines
    return [*renamed, *[""] * bool(behind), *behind]


def _line_of(number: str, facts: Mapping[str, str]) -> int:
    """The line of a location; of one that has none, where code of another function was put in, that of the call of it."""
    held = facts[number]
    line = re.search(r"\bline: (\d+)", held)
    call = re.search(r"\binlinedAt: !(\d+)", held)
    if line and int(line[1]):
        return int(line[1])
    return _line_of(call[1], facts) if call else 0


def asm_listing(text: str) -> Listing:
    """The listing of assembly, without directives for debuggers. A location holds for what follows it."""
    lines, source, instructions, here = [], [], [], 0
    for row in text.splitlines():
        if found := _LOC.match(row):
            here = int(found[1])
        if _FOR_DEBUGGERS.match(row):
            continue
        lines.append(row)
        is_instruction = row.startswith("\t") and not row.startswith("\t.")
        source.append(here if is_instruction else 0)
        if is_instruction:
            instructions.append(len(lines))
    return Listing(tuple(lines), tuple(source), tuple(instructions))
