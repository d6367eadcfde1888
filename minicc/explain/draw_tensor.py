"""The picture of a tensor expression: what is computed from what, and which elements one element of the result reads.

In: a tensor. Out: a `Picture` with a box for each tensor that it needs: name, type, formula, and a grid of elements. One element
of the result is marked, and in every other tensor those that it reads, through all tensors between. Symbolic sizes are small
numbers; of a large tensor only the part around what is read is drawn. Both are said.

>>> from minicc import te
>>> A, B = te.placeholder((8, 8), name="A"), te.placeholder((8, 8), name="B")
>>> k = te.reduce_axis((0, 8), name="k")
>>> C = te.compute((8, 8), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
>>> print(C.picture(at=(1, 2)).words)
C[i in range(8), j in range(8)] = sum(A[i, k]*B[k, j] for k in range(8))
The element C[1, 2] reads:
8 elements of A: A[1, 0], A[1, 1], A[1, 2], A[1, 3], A[1, 4], A[1, 5], A[1, 6], A[1, 7].
8 elements of B: B[0, 2], B[1, 2], B[2, 2], B[3, 2], B[4, 2], B[5, 2], B[6, 2], B[7, 2].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicc.errors import TeError
from minicc.explain.code import MARGIN, PAD, ROW, code, reach, wrapped
from minicc.explain.flow import Box, flow, moved
from minicc.explain.grids import ROOM, Grid, move_to
from minicc.explain.picture import Picture, circle, count, group, legend, rect, text, used, wide
from minicc.tensor.evaluate import evaluate_expr
from minicc.tensor.expr import Expr, Load, Select, Unary, Var, children, free_vars, loads
from minicc.tensor.tensor import Compute, Scan, Scatter, Tensor, inputs_of, tensors_of

MARKS = {"c2": "the element that is computed (a square)", "c3": "elements that it reads (dots)"}
SMALL = 6  # a symbolic size, where none is given
SHOWN, SLICES = 8, 3  # elements of a row or column that are drawn, and of another dimension
MOST_TENSORS, MOST_POINTS = 12, 1 << 16
CELL, COLUMNS = 16, 44  # pixels of an element; letters of a formula

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Reads:
    """The elements of a tensor that are needed, each a row of indices; `known` unless data or another's function decide."""

    shape: tuple[int, ...]
    elements: Array
    known: bool = True
    whole: bool = True  # whether these are all, and not the first of too many


@dataclass
class Panel:
    """A tensor in the picture."""

    tensor: Tensor
    formulas: list[str]
    reads: Reads
    grid: Grid | None = field(init=False)
    cells: list[tuple[int, list[int]]] = field(
        init=False
    )  # of what is read, that which is drawn: its cell, and its index

    def __post_init__(self) -> None:
        self.grid, self.cells = window(self.tensor.name, self.reads), []
        if self.grid:
            at = self.reads.elements - np.array(self.grid.start, np.int64)
            inside = ((at >= 0) & (at < np.array(self.grid.shape))).all(axis=1)
            cells = (
                np.ravel_multi_index(tuple(at[inside].T), self.grid.shape)
                if self.grid.shape
                else np.zeros(inside.sum(), int)
            )
            self.cells = list(zip(cells.tolist(), self.reads.elements[inside].tolist(), strict=True))

    @property
    def head(self) -> str:
        return f"{self.tensor.name}: {self.tensor.dtype}{list(self.tensor.shape)}"

    @property
    def note(self) -> str:
        """How many elements are read, and whether some of them are not drawn."""
        if not self.reads.known:
            return "which elements are read, data decide"
        many = len(self.reads.elements)
        about = "" if self.reads.whole else "more than "
        return f"{about}{many:,} of {math.prod(self.reads.shape):,}" + (
            f", {len(self.cells)} of them drawn" if len(self.cells) < many else ""
        )


def window(name: str, reads: Reads) -> Grid | None:
    """The cells that are drawn of a tensor: as many as fit, around those that are read."""
    if not math.prod(reads.shape):
        return None
    start, counts = list[int](), list[int]()
    for n, extent in enumerate(reads.shape):
        low, high = (int(f(reads.elements[:, n])) for f in (np.min, np.max)) if len(reads.elements) else (0, 0)
        most = min(extent, SHOWN) if n >= len(reads.shape) - 2 else min(high - low + 1, SLICES)
        first = low - max(most - (high - low + 1), 0) // 2
        start.append(min(max(first, 0), extent - most))
        counts.append(most)
    label = f"{name}[{', '.join(f'{s}:{s + c}' for s, c in zip(start, counts, strict=True))}]"
    return Grid(label, tuple(counts), CELL, tuple(start))


def draw_tensor(tensor: Tensor, at: Sequence[int] | None = None, sizes: Mapping[Any, int] | None = None) -> Picture:
    """The picture of what `tensor` is computed from; `at` is the index of the element that is marked, one in the middle unless given.

    `sizes` are numbers for symbolic extents, by variable or name. Raises TeError when there is no such element.
    """
    needed = tensors_of(tensor)
    named = {str(getattr(key, "name", key)): n for key, n in (sizes or {}).items()}
    variables = sorted(
        {v for t in needed for e in t.shape if isinstance(e, Expr) for v in free_vars(e)}, key=lambda v: v.name
    )
    env = {v: np.int64(named.get(v.name, SMALL)) for v in variables}
    shape = extents(tensor, env)
    element = tuple(n // 2 for n in shape) if at is None else tuple(at)
    if len(element) != len(shape) or (
        at is not None and not all(0 <= i < n for i, n in zip(element, shape, strict=True))
    ):
        problem = f"expected an index of an element of {list(shape)}, got {list(element)}"
        raise TeError(
            f"{tensor.name}.picture(at={element})", problem, repr(tensor), "at=(0, 0) is the first of a matrix"
        )
    found = footprint(tensor, element, env)
    panels = {t: Panel(t, formulas(t), found[t]) for t in needed[-MOST_TENSORS:]}
    words = [f for panel in panels.values() for f in panel.formulas]
    words += [f"With {', '.join(f'{v.name} = {n}' for v, n in env.items())}."] * bool(env)
    read = [_told(panel) for t, panel in panels.items() if t is not tensor]
    if not math.prod(shape):
        words.append(f"{tensor.name} has no elements.")
    else:
        words += [f"The element {tensor.name}{list(element)} reads{':' if read else ' nothing: it is given.'}", *read]
    return _drawn(tensor, panels, env, len(needed) - len(panels), "\n".join(words))


def _told(panel: Panel) -> str:
    if not panel.reads.known:
        return f"elements of {panel.tensor.name} that data decide."
    some = [f"{panel.tensor.name}{e}" for e in panel.reads.elements[:SHOWN].tolist()]
    more = ", ..." * (len(panel.reads.elements) > SHOWN)
    return f"{count(len(panel.reads.elements), 'element')} of {panel.tensor.name}{': ' * bool(some)}{', '.join(some)}{more}."


def extents(tensor: Tensor, env: Mapping[Var, Any]) -> tuple[int, ...]:
    """The shape in numbers."""
    return tuple(int(evaluate_expr(n, env)) if isinstance(n, Expr) else n for n in tensor.shape)


def formulas(tensor: Tensor) -> list[str]:
    """What defines a tensor, in lines."""
    match tensor.op:
        case Scan(name, init, update, _):
            return [f"{name} begins with {init.op!r}", f"and goes on with {update.op!r}"]
        case Scatter(name, data, axes, indices, value, combiner, _):
            place_of, each = ", ".join(map(str, indices)), ", ".join(f"{a.var.name} in range({a.extent})" for a in axes)
            did = f"{combiner.name} of it and {value}" if combiner else str(value)
            return [f"{name} begins with {data.name}", f"and for {each}: {name}[{place_of}] = {did}"]
    return [repr(tensor.op)] if inputs_of(tensor) or isinstance(tensor.op, Compute) else []


# ---- what is read


def footprint(tensor: Tensor, element: Sequence[int], env: Mapping[Var, Any]) -> dict[Tensor, Reads]:
    """The elements of each tensor that an element of `tensor` needs."""
    needed = tensors_of(tensor)
    found = {t: Reads(shape, np.empty((0, len(shape)), np.int64)) for t in needed for shape in [extents(t, env)]}
    if all(found[tensor].shape):
        found[tensor].elements = np.array([element], np.int64).reshape(1, len(element))
    for t in reversed(needed):
        if not isinstance(t.op, Compute) or not found[t].known:
            for source in inputs_of(t):
                found[source].known = False
            continue
        for load, conds in guarded(t.op.body[t.index]):
            _add(found[load.source], load, conds, t.op, found[t], env)
    return found


def guarded(e: Expr) -> Iterator[tuple[Load, tuple[Expr, ...]]]:
    """Every load in an expression, with the conditions under which it is read."""
    stack, seen = list[tuple[Expr, tuple[Expr, ...]]]([(e, ())]), set[Any]()
    while stack:
        item = stack.pop()
        if item in seen:
            continue
        seen.add(item)
        e, conds = item
        if isinstance(e, Load):
            yield e, conds
        if isinstance(e, Select):
            stack += [(e.other, (*conds, Unary("not", e.cond))), (e.then, (*conds, e.cond)), (e.cond, conds)]
        else:
            stack += [(part, conds) for part in reversed(children(e))]


def _add(into: Reads, load: Load, conds: Sequence[Expr], op: Compute, of: Reads, env: Mapping[Var, Any]) -> None:
    """Add what a load reads of a tensor where the elements `of` another are computed."""
    if loads(*load.indices):
        into.known = False
        return
    inner = [int(evaluate_expr(a.extent, env)) if isinstance(a.extent, Expr) else a.extent for a in op.reduce_axis]
    points = math.prod(inner) * len(of.elements)
    numbers = np.arange(min(points, MOST_POINTS))
    into.whole &= of.whole and points <= MOST_POINTS
    which, *steps = (
        np.unravel_index(numbers, (max(len(of.elements), 1), *inner)) if points else [numbers] * (1 + len(inner))
    )
    at: dict[Var, Any] = {**env, **{a.var: step for a, step in zip(op.reduce_axis, steps, strict=True)}}
    at |= {a.var: of.elements[which, n] for n, a in enumerate(op.axes)}
    good = np.ones(len(numbers), bool)
    for cond in conds:
        if not loads(cond):  # else it may be read
            good &= evaluate_expr(cond, at)
    read = [np.broadcast_to(evaluate_expr(i, at), good.shape)[good] for i in load.indices]
    rows = np.stack(read, axis=1) if read else np.empty((min(int(good.sum()), 1), 0), np.int64)
    into.elements = np.unique(np.concatenate([into.elements, rows.astype(np.int64)]), axis=0) if rows.shape[1] else rows


# ---- the picture


def _drawn(
    tensor: Tensor, panels: Mapping[Tensor, Panel], env: Mapping[Var, Any], left_out: int, words: str
) -> Picture:
    edges = [(i, t) for t in panels for i in inputs_of(t) if i in panels]
    made = flow({t: _box(panel, t is tensor) for t, panel in panels.items()}, edges, ROOM)
    title, top = f"What an element of {tensor.name} reads", MARGIN + 24.0
    shapes = [text(MARGIN, MARGIN + 12, title, "head")]
    if said := [f"{v.name} = {n}" for v, n in env.items()] + [f"{left_out} tensors before these are left out"] * bool(
        left_out
    ):
        shapes.append(text(MARGIN, top + 4, "; ".join(said), "small"))
        top += 14
    width = max(made.width, wide(title, 14), 360) + 2 * MARGIN
    entries, bottom = legend(MARGIN, top + made.height + 14, used(made.shapes, MARKS), width - 2 * MARGIN)
    return Picture(title, words, width, bottom + MARGIN, [*shapes, moved(made, MARGIN, top), *entries])


def _box(panel: Panel, last: bool) -> Box:
    """A tensor with its formulas and its grid."""
    shapes, y = [code(2 * PAD, PAD, [panel.head], "code bold")], float(PAD + ROW)
    for formula in panel.formulas:
        shapes.append(code(2 * PAD, y, wrapped(formula, COLUMNS), "code", formula))
        y += ROW * len(wrapped(formula, COLUMNS))
    if panel.grid:
        shapes.append(group(_cells(panel, panel.grid, last), transform=move_to(2 * PAD, y + PAD)))
        y += panel.grid.height
    note = "the element" if last else panel.note
    shapes.append(text(2 * PAD, y + PAD + 14, note, "small"))
    inner = max(
        reach(panel.head),
        wide(note, 10),
        *[reach(f, COLUMNS) for f in panel.formulas],
        panel.grid.width if panel.grid else 0,
    )
    width, height = inner + 4 * PAD, y + 16 + 2 * PAD
    return Box(width, height, [rect(0, 0, width, height, "soft", rx=5), *shapes])


def _cells(panel: Panel, grid: Grid, last: bool) -> Iterator[str]:
    yield from grid.heads()
    yield from grid.lines()
    for n, element in panel.cells:
        (x, y), half, hover = grid.at(n), grid.cell / 2, f"{panel.tensor.name}{element}"
        yield grid.mark(n, "c2", hover) if last else circle(x + half, y + half, half * 0.72, "c3", hover)
