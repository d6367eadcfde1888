"""Lines of code in a picture: how many rows one takes, how wide it is, and its shapes.

In: a line of code. Out: rows of it, which are the line when they are joined, and markup. The indentation takes half of its
room, as what a picture draws around code shows what is inside of what.

>>> wrapped("    C[i] = A[i] + B[i]")
['C[i] = A[i] + B[i]']
"""

from __future__ import annotations

from collections.abc import Sequence

from minicc.explain.picture import CODE_LETTER, SIZE, clean, element, text, wide

CHAR, ROW, MARGIN, PAD = SIZE * CODE_LETTER, 18, 16, 4  # a letter, a row; around a picture, around words
INDENT = CHAR / 2
COLUMNS, MOST_ROWS = 76, 6  # letters of a row, and rows of a line at most
HANG = 4  # by how many letters the rows after the first are set in


def indent(code: str) -> int:
    """The letters before a line begins."""
    return len(code) - len(code.lstrip())


def wrapped(code: str, columns: int = COLUMNS) -> list[str]:
    """A line of code in rows, without its indentation: the pieces of it, cut after a space where there is one."""
    shift = indent(code)
    rest, rows, room = code[shift:], list[str](), max(columns - shift // 2, columns // 2)
    while len(rest) > room and len(rows) < MOST_ROWS - 1:
        at = rest.rfind(" ", room // 2, room) + 1 or room
        rows.append(rest[:at])
        rest, room = rest[at:], max(columns - shift // 2 - HANG, columns // 2)
    if len(rest) > room:
        rest = f"{rest[: room - 1]}…"
    return [*rows, rest]


def reach(code: str, columns: int = COLUMNS) -> float:
    """How wide the rows of a line are, the indentation left out."""
    rows = wrapped(code, columns)
    return max(wide(row, code=True) for row in rows) + HANG * CHAR * (len(rows) > 1)


def code(x: float, y: float, rows: Sequence[str], kind: str = "code", whole: str = "") -> str:
    """Rows of one line of code, below y; its hover text is the whole line, where there are several."""
    if len(rows) == 1:
        return text(x, y + ROW - 5, rows[0], kind)
    spans = [
        element("tspan", clean(row), x=x + HANG * CHAR * (n > 0), y=y + ROW * (n + 1) - 5.0)
        for n, row in enumerate(rows)
    ]
    return element("text", "".join(spans), whole.strip(), kind=kind)
