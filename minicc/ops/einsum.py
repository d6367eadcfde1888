"""Einstein summation: products of elements, summed over the letters that the output lacks.

In: tensors of one numeric dtype, one for each term of the equation. Out: that dtype. A letter
repeated in a term is a diagonal, "..." stands for leading axes that broadcast, and without "->" the
output has the axes of "..." and then, in alphabetical order (A before a), the letters that occur once.

>>> import numpy as np
>>> Einsum("ij,ij->i")(np.ones((2, 3)), np.ones((2, 3)))
array([3., 3.])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.errors import TypeInferenceError
from minicc.ops.base import NUMERIC, Array, Draw, Example, Kind, like, operator, same_dim, type_of
from minicc.ops.elementwise import Widening, at
from minicc.ops.conv import rounded
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Transpose
from minicc.ops.scalar import widened
from minicc.ops.shape import Reshape
from minicc.tensor.expr import Expr
from minicc.types import TensorType, broadcast

Labels = tuple[str, ...]  # one for each axis: a letter, or "e0", "e1", ... for the axes of "..."


@operator
class Einsum(Widening):
    """The sum of products that `equation` describes."""

    kind = Kind.ANCHOR

    equation: str

    def _parse(self, *types: TensorType) -> tuple[list[Labels], Labels]:
        """The labels of each input's axes and of the output's."""
        left, arrow, right = self.equation.replace(" ", "").partition("->")
        terms = left.split(",")
        if len(terms) != len(types):
            hint = "write one term for each input, with commas between: ij,jk->ik"
            raise self.error(f"the equation has {len(terms)} terms for {len(types)} inputs", *types, hint=hint)
        for term in [*terms, right]:
            rest = term.replace("...", "", 1)
            if rest and not (rest.isascii() and rest.isalpha()):
                hint = "for example ij,jk->ik or ...ij,...jk->...ik"
                raise self.error(f'a term is letters and at most one "...", got {term!r}', *types, hint=hint)
        spare = [t.rank - len(term.replace("...", "")) for term, t in zip(terms, types, strict=True)]
        for term, t, count in zip(terms, types, spare, strict=True):
            if count < 0 or (count and "..." not in term):
                hint = "write one letter for each dimension, or ... for the leading ones"
                raise self.error(f"term {term!r} does not describe rank {t.rank}", *types, hint=hint)
        widest = max(spare, default=0)
        inputs = [self._labels(term, count, widest) for term, count in zip(terms, spare, strict=True)]
        if not arrow:
            once = sorted(letter for letter, n in Counter(left).items() if letter.isalpha() and n == 1)
            right = "".join(["..." if "..." in left else "", *once])
        output = self._labels(right, widest, widest)
        self._check_output(right, inputs, output, types)
        return inputs, output

    @staticmethod
    def _labels(term: str, count: int, widest: int) -> Labels:
        """The labels of a term whose "..." stands for the last `count` of `widest` axes."""
        before, dots, after = term.partition("...")
        return (*before, *([f"e{n}" for n in range(widest - count, widest)] if dots else []), *after)

    def _check_output(self, right: str, inputs: list[Labels], output: Labels, types: Sequence[TensorType]) -> None:
        known = {label for labels in inputs for label in labels}
        if unknown := [label for label in output if label not in known]:
            hint = "every letter of the output stands in an input"
            raise self.error(f"the output has {', '.join(unknown)}, which no input has", *types, hint=hint)
        if len(set(output)) < len(output):
            hint = "use each letter of the output once"
            raise self.error(f"the output repeats a letter: {right!r}", *types, hint=hint)
        dropped = {label for label in known - set(output) if label not in right and len(label) > 1}
        if dropped:
            raise self.error('the output drops the axes of "..."', *types, hint='write "..." after "->", too')

    def _extents(self, inputs: list[Labels], types: Sequence[TensorType]) -> dict[str, Any]:
        """The extent of each label: between terms 1 broadcasts, as NumPy, PyTorch and onnxruntime have it; in a diagonal it does not."""
        extents: dict[str, Any] = {}
        for labels, t in zip(inputs, types, strict=True):
            mine: dict[str, Any] = {}
            for label, dim in zip(labels, t.shape, strict=True):
                if not same_dim(mine.setdefault(label, dim), dim):
                    raise self._unequal(label, mine[label], dim, types)
            for label, dim in mine.items():
                known = extents.setdefault(label, dim)
                if len(label) == 1 and 1 not in (known, dim) and not same_dim(known, dim):
                    raise self._unequal(label, known, dim, types)
                extents[label] = broadcast(str(self), (known,), (dim,))[0]
        return extents

    def _unequal(self, label: str, one: Any, other: Any, types: Sequence[TensorType]) -> TypeInferenceError:
        hint = "use another letter, or make the extents equal"
        return self.error(f"axis {label} must have one extent, got {one} and {other}", *types, hint=hint)

    def infer(self, *types: TensorType) -> TensorType:
        if not types:
            raise self.error("expected at least one input", hint="give an input for each term")
        if len({t.dtype for t in types}) > 1 or types[0].dtype.kind not in NUMERIC:
            raise self.error("expected tensors of one numeric dtype", *types, hint="insert a Cast")
        inputs, output = self._parse(*types)
        extents = self._extents(inputs, types)
        return TensorType(types[0].dtype, tuple(extents[label] for label in output))

    def numpy(self, *arrays: Array) -> Array:
        self._parse(*map(type_of, arrays))
        with np.errstate(all="ignore"):
            result = np.einsum(self.equation, *map(widened, arrays), optimize=len(arrays) > 2)
        return np.array(result, arrays[0].dtype)

    def compute(self, *tensors: te.Tensor) -> te.Tensor:
        types = [type_of(t) for t in tensors]
        inputs, output = self._parse(*types)
        extents = self._extents(inputs, types)
        summed = {label: te.reduce_axis((0, n), name=label) for label, n in extents.items() if label not in output}

        def element(*indices: Expr) -> Expr:
            places = dict(zip(output, indices, strict=True)) | {label: axis.var for label, axis in summed.items()}
            factors = [
                widened(at(t, [places[label] for label in labels], [extents[label] for label in labels]))
                for t, labels in zip(tensors, inputs, strict=True)
            ]
            product = reduce(lambda left, right: left * right, factors)
            return te.sum(product, axis=tuple(summed.values())) if summed else product

        shape = tuple(extents[label] for label in output)
        return rounded(te.compute(shape, element, name="einsum", names=list(output)), tensors[0].dtype)

    def product(self, a: Any, b: Any) -> Any:
        """The same as one MatMul of views of both, on values of any room; None where it is none.

        The letters that both have are its batch or its depth; those of one are its rows or its columns.

        >>> Einsum("bqhd,bkhd->bhqk").product(np.ones((2, 5, 3, 7)), np.ones((2, 4, 3, 7))).shape
        (2, 3, 5, 4)
        """
        (left, right), output = self._parse(type_of(a), type_of(b))
        sizes, others = dict(zip(left, a.shape, strict=True)), dict(zip(right, b.shape, strict=True))
        both = [label for label in left if label in others]
        batch, depth = [x for x in output if x in both], [x for x in both if x not in output]
        rows, columns = ([x for x in output if x in mine and x not in both] for mine in (left, right))
        known = sorted([*batch, *rows, *depth]) == sorted(left) and sorted([*batch, *depth, *columns]) == sorted(right)
        if not (known and depth) or any(sizes[label] != others[label] for label in both):
            return None
        sizes |= others

        def matrix(x: Any, labels: Labels, *sides: list[str]) -> Any:
            order = [*batch, *sides[0], *sides[1]]
            moved = Transpose(tuple(labels.index(label) for label in order))(x)
            shape = (*[sizes[label] for label in batch], *[prod(sizes[label] for label in side) for side in sides])
            return Reshape(shape, 0 in shape)(moved)

        product = MatMul()(matrix(a, left, rows, depth), matrix(b, right, depth, columns))
        order = [*batch, *rows, *columns]
        shape = tuple(sizes[label] for label in order)
        return Transpose(tuple(order.index(label) for label in output))(Reshape(shape, 0 in shape)(product))

    def form(self, R: Any, *xs: Any) -> Any:
        """TVM's sum of nothing is not 0, but what the memory holds; and it broadcasts no letters."""
        types = [x.type for x in xs]
        if not all(t.size for t in types):
            return R.broadcast_to(like(xs[0], 0), self.infer(*types).shape)
        inputs, _ = self._parse(*types)
        extents = self._extents(inputs, types)
        stretched = []
        for labels, x in zip(inputs, xs, strict=True):
            dims = zip(labels, x.shape, strict=True)
            shape = tuple(extents[label] if len(label) == 1 else dim for label, dim in dims)
            stretched.append(x if shape == x.type.shape else R.broadcast_to(x, shape))
        return R.einsum(stretched, self.equation)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        dtype = draw.dtype(NUMERIC)
        equation = draw.choice(_EXAMPLES)
        extents = {letter: draw.integer(0, 5) for letter in "abcijkA"}
        more = draw.shape((0, 2))
        shapes = []
        for term in equation.replace(" ", "").partition("->")[0].split(","):
            stretched = {letter: 1 if draw.integer(0, 5) == 5 else extent for letter, extent in extents.items()}
            parts = term.replace("...", ".")
            shapes.append(tuple(dim for part in parts for dim in (more if part == "." else (stretched[part],))))
        return cls(equation), [TensorType(dtype, shape) for shape in shapes]


_EXAMPLES = (
    "ij->ji", "ii", "ii->i", "i,i", "i,j->ij", "ij,jk", "ij,jk->ik", "bij,bjk->bik", "...ij,...jk->...ik", "a...->...a",
    "i,ij,j", "ij,ij->i", "bi,bj,bk->ijk", "...,...", "ij->", "abi,abj->abij", "ik,k...->i...",
    "i,i->i", "Ai,ia", "i j , j -> i", ",i->i", "...i,...i->...", "iij->j",
)  # fmt: skip
