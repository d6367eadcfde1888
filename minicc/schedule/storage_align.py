"""storage_align: the elements of a buffer lie wider apart along one of its axes.

Meaning: the axis after `axis` is allocated longer, by elements that nobody touches, so that the
stride of `axis` becomes `offset` modulo `factor`. A stride that is odd in vectors keeps columns
out of one cache set, or out of one bank of shared memory.

Legality: the buffer is inside of the program, `axis` is not its last, and the extents after
`axis` are constant. Do it after `compute_at` and its like, which look for loops over whole axes.

>>> from minicc.schedule.examples import transposed, show
>>> show(transposed(4, 16), StorageAlignStep("T", 0, 16, 1))
- T = empty((4, 16), float32)
+ T = empty((4, 17), float32)
  for i in range(4):
      for j in range(16):
          T[i, j] = A[i, j]
  for k in range(16):
      for l in range(4):
          B[k, l] = T[l, k]
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from minicc.loop.program import Program
from minicc.loop.queries import allocations
from minicc.schedule.nest import altered, get_alloc
from minicc.schedule.step import Illegal, Step


class StorageAlignStep(Step):
    """Allocate a buffer wider, so that the stride of `axis` is `offset` modulo `factor`."""

    buffer: str
    axis: int
    factor: int
    offset: int = 0

    @classmethod
    def at_stage(cls, stage: Any, axis: Any, factor: int, offset: int = 0) -> StorageAlignStep:
        """The axis is one of the stage, or the number of a dimension."""
        return cls(stage.name, stage.dimension(axis), factor, offset)

    def transform(self, program: Program) -> Program:
        alloc = get_alloc(program, self.buffer)
        shape = alloc.buffer.shape
        if not 0 <= self.axis < len(shape) - 1:
            problem = f"expected an axis before the last of {len(shape)}, got {self.axis}"
            raise Illegal(problem, self.buffer, "the last axis has stride 1")
        if self.factor < 1 or not 0 <= self.offset < self.factor:
            problem = f"expected 0 <= offset < factor, got offset {self.offset} and factor {self.factor}"
            raise Illegal(problem, self.buffer, "factor=32, offset=1 makes the stride 1 modulo 32")
        first, *inner = shape[self.axis + 1 :]
        if not all(isinstance(extent, int) for extent in (first, *inner)):
            problem = f"the extents after axis {self.axis} must be constant, got {shape[self.axis + 1 :]}"
            hint = f'first compute_at("{self.buffer}", loop), in a loop that needs a part of constant size'
            raise Illegal(problem, self.buffer, hint)
        step = math.prod(inner)
        common = math.gcd(step, self.factor)  # the strides that do are those of one class modulo factor // common
        if self.offset % common:
            problem = f"no stride that is a multiple of {step} is {self.offset} modulo {self.factor}"
            raise Illegal(problem, self.buffer, "align an axis further back")
        modulus = self.factor // common
        wide = first + (self.offset // common * pow(step // common, -1, modulus) - first) % modulus
        return altered(program, alloc, shape=(*shape[: self.axis + 1], wide, *inner))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[StorageAlignStep]:
        for name, alloc in allocations(program).items():
            for axis in range(len(alloc.buffer.shape) - 1):
                yield cls(name, axis, 16)
                yield cls(name, axis, 16, 1)
