"""Lines of code below each other, coloured by what they are for, with a remark beside some.

In: rows, each a line with a kind. Out: a `Picture`: machine code, LLVM, or any text whose lines are to be told apart.

>>> rows = [CodeRow("vmovups (%rdi), %ymm0", "c1", "<eight> floats"), CodeRow("jne .LBB0_1")]
>>> print(listing("The loop", rows, [("c1", "a load")]).words)
The loop. 2 lines: vmovups (%rdi), %ymm0 (a load: <eight> floats); jne .LBB0_1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minicc.explain.code import INDENT, MARGIN, PAD, ROW, code, indent, reach, wrapped
from minicc.explain.picture import Picture, count, legend, rect, text, wide


class CodeRow(NamedTuple):
    """A line of code, the class of its colour, and a remark."""

    code: str
    kind: str = ""
    note: str = ""


def listing(title: str, rows: Sequence[CodeRow], kinds: Sequence[tuple[str, str]] = ()) -> Picture:
    """The rows in order; `kinds` are the legend, (class, words). A long line is wrapped."""
    meaning = dict(kinds)
    reached = max((indent(r.code) * INDENT + reach(r.code) for r in rows), default=0) + 2 * PAD
    notes = max((wide(r.note) for r in rows), default=0)
    width = 2 * MARGIN + max(reached + notes + 2 * PAD, wide(title))
    shapes, told, y = list[str](), list[str](), float(MARGIN)
    for row in rows:
        parts = wrapped(row.code)
        height = ROW * len(parts)
        if row.kind:
            shapes.append(rect(MARGIN, y, reached, height, row.kind, meaning.get(row.kind, ""), stroke_width=0))
        shapes.append(code(MARGIN + PAD + indent(row.code) * INDENT, y, parts, whole=row.code))
        if row.note:
            shapes.append(text(MARGIN + reached + 2 * PAD, y + ROW - 5, row.note, "muted"))
        about = ": ".join(filter(None, (meaning.get(row.kind, ""), row.note)))
        told.append(f"{row.code.strip()} ({about})" if about else row.code.strip())
        y += height
    keys, y = legend(MARGIN, y + 10, kinds, width - 2 * MARGIN) if kinds else ([], y)
    return Picture(
        title, f"{title}. {count(len(rows), 'line')}: {'; '.join(told)}.", width, y + MARGIN, [*shapes, *keys]
    )
