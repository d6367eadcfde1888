"""The loop of a kernel where the time goes, found in its assembly, with what each of its instructions is for.

In: assembly of x86 (as AT&T writes it) or AArch64. Out: the lines of its innermost loop that has most multiply-adds, from the label to
the jump back; the kind of each; and a picture of them.

>>> lines = hot_loop(".LBB0_1:\\n\\tvmovups (%rdi,%rax), %ymm1\\n\\tvfmadd231ps 32(%rsp), %ymm1, %ymm0\\n\\tjne .LBB0_1\\n\\tretq")
>>> [kind_of(line) for line in lines]
['', 'load', 'multiply-add', 'loop']
>>> stack_places(lines), sums(lines)
(['32(%rsp)'], ['%ymm0'])
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from minicc.explain.draw_listing import CodeRow, listing
from minicc.explain.picture import Picture

_LABEL = re.compile(r"(\.?L[\w$]+):")
_JUMP = re.compile(r"\s+(?:j\w+|b\.\w+|cbn?z)\s+(?:\w+, *)?(\.?L[\w$]+)$")
_STACK = re.compile(r"-?\w*\(%rsp[^)]*\)|\[sp[^\]]*\]")
_MULTIPLY_ADD = re.compile(r"\tv?fn?m(?:add|la|sub|ls)")
KINDS = {
    "multiply-add": "c3", "load": "c1", "broadcast": "c2", "stack": "c6", "copy": "c5", "loop": "soft",
}  # fmt: skip
MEANING = {
    "multiply-add": "multiplies and adds", "load": "loads", "broadcast": "loads one number into all lanes",
    "stack": "to the stack, or from it", "copy": "from a register to another", "loop": "counts, and jumps back",
}  # fmt: skip


def hot_loop(assembly: str) -> list[str]:
    """The lines of the loop, without comments and directives; none where nothing jumps back."""
    rows = [re.split(r"\s(?:#|//)\s", row)[0].rstrip() for row in assembly.splitlines()]
    lines = [row for row in rows if row and (not row.lstrip().startswith(".") or row.endswith(":"))]
    found: list[list[str]] = []
    label, start = "", 0
    for n, row in enumerate(lines):
        if at := _LABEL.match(row):
            label, start = at[1], n
        elif (jump := _JUMP.match(row)) and jump[1] == label:
            found.append(lines[start : n + 1])
    return max(found, key=lambda loop: len(multiply_adds(loop)), default=[])


def multiply_adds(lines: Sequence[str]) -> list[str]:
    """Those lines that multiply and add."""
    return [row for row in lines if _MULTIPLY_ADD.match(row)]


def sums(lines: Sequence[str]) -> list[str]:
    """The registers that multiply-adds add to."""
    return sorted({re.split(r"[,\s]+", row.strip())[-1 if "%" in row else 1] for row in multiply_adds(lines)})


def stack_places(lines: Sequence[str]) -> list[str]:
    """The places of the stack that lines read and write."""
    return sorted({place for row in lines for place in _STACK.findall(row)})


def kind_of(row: str) -> str:
    """One of KINDS; "" for a label."""
    if not row.startswith("\t"):
        return ""
    name, *rest = row.split(maxsplit=1)
    given = " ".join(rest)
    if _MULTIPLY_ADD.match(row):
        return "multiply-add"
    if _STACK.search(given):
        return "stack"
    if "broadcast" in name or name == "ld1r":
        return "broadcast"
    if name.startswith(("vmov", "mov", "ld")):
        return "load" if re.match(r"[-\w]*\(|.*\[", given) else "copy"
    return "loop"


def draw_hot_loop(title: str, assembly: str) -> Picture:
    """The loop as a picture, with a colour for each kind of instruction."""
    lines = hot_loop(assembly)
    kinds = [kind_of(row) for row in lines]
    words = [row.split(maxsplit=1) for row in lines]
    shown = [f"{name:<13} {' '.join(given)}".rstrip() for name, *given in words]
    rows = [CodeRow(row, KINDS.get(kind, "")) for row, kind in zip(shown, kinds, strict=True)]
    return listing(title, rows, [(KINDS[kind], meaning) for kind, meaning in MEANING.items() if kind in kinds])
