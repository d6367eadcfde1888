"""Written by tests/schedule/surface_stub.py: the methods that surface.py makes of the records of steps."""

from collections.abc import Sequence
from inspect import Parameter
from typing import Any

from minicc.loop.ir import Scope
from minicc.schedule.arguments import Face
from minicc.schedule.bind import ThreadAxis
from minicc.schedule.split import Tail
from minicc.schedule.step import Step
from minicc.schedule.te_schedule import Stage
from minicc.schedule.tensor_intrinsic import TensorIntrinsic

def parameters(kind: type[Step]) -> list[Parameter]: ...
def stage_parameters(kind: type[Step]) -> list[Parameter]: ...

class LoopSurface(Face):
    """A method for every primitive, on loops and buffers by name."""

    def bind(self, loop: str, axis: str) -> None:
        """Run a loop over a thread axis, such as `blockIdx.x`. On a CPU it is an ordinary loop."""
    def cache_read(self, buffer: str, scope: Scope = "local", readers: Sequence[str] = ()) -> str:
        """Let the nests of `readers`, or all, read a copy of a buffer. Returns the name of the copy."""
    def cache_write(self, buffer: str, scope: Scope = "local") -> str:
        """Fill a buffer of its own first, then copy. Returns the name of the new buffer."""
    def choose(self, key: str, options: Sequence[int], value: int) -> int:
        """A number that is recorded by its name: `value`, or what the schedule was given for it. Returns the number."""
    def compute_at(self, buffer: str, loop: str, scope: Scope | None = None) -> None:
        """Compute the part of a buffer that an iteration of `loop` needs, in it."""
    def compute_inline(self, buffer: str) -> None:
        """Compute a buffer where it is read."""
    def compute_root(self, buffer: str) -> None:
        """Compute a buffer before the loops that it is computed in."""
    def decompose_reduction(self, buffer: str, loop: str) -> tuple[str, ...]:
        """Initialise a reduction in a nest of its own, before a loop. Returns the names of the loops of that nest."""
    def double_buffer(self, buffer: str) -> None:
        """Let a buffer that is filled in a loop alternate between two copies."""
    def fuse(self, outer: str, inner: str) -> str:
        """Make one loop of two, of which `inner` is directly inside `outer`. Returns its name."""
    def pad_einsum(self, buffer: str, padding: Sequence[int]) -> None:
        """Lengthen the loops of a sum of products to multiples, with zeros in copies of the operands."""
    def parallel(self, loop: str) -> None:
        """Share out the iterations of a loop among threads."""
    def partition_loop(self, loop: str) -> None:
        """Cut a loop where its guards and selects begin or cease to hold: the loop in the middle loses them."""
    def pragma(self, loop: str, key: str, value: int | str = 1) -> None:
        """Note something on a loop, for what comes after scheduling."""
    def prefetch(self, buffer: str, loop: str, offset: int = 1, spread: str | None = None) -> None:
        """Ask in each iteration of a loop for what it reads of a buffer `offset` iterations later; all of it, over `spread`."""
    def reorder(self, *order: str) -> None:
        """Put loops of one nest into this order, outermost first."""
    def reverse_compute_at(self, buffer: str, loop: str) -> None:
        """Compute a buffer from what each iteration of `loop` produces, in it."""
    def rfactor(self, buffer: str, loop: str, factor_axis: int = 0) -> str:
        """Collect a partial result for each trip of a reducing loop. Returns the name of their buffer."""
    def set_scope(self, buffer: str, scope: Scope) -> None:
        """Move a buffer to another kind of memory."""
    def split(
        self, loop: str, factor: int | None = None, nparts: int | None = None, tail: Tail = "guard"
    ) -> tuple[str, str]:
        """Split a loop in two: `factor` trips inside, or `nparts` outside. Returns the outer and the inner name."""
    def storage_align(self, buffer: str, axis: int, factor: int, offset: int = 0) -> None:
        """Allocate a buffer wider, so that the stride of `axis` is `offset` modulo `factor`."""
    def tensorize(self, loop: str, intrinsic: str | TensorIntrinsic) -> None:
        """Do the nest of a loop as a declared intrinsic that means the same does it."""
    def transform_layout(self, buffer: str, *order: str) -> None:
        """Lay a buffer out by new axes, each given by the old ones: `"1//16", "0", "1%16"`."""
    def unroll(self, loop: str) -> None:
        """Repeat the body of a loop instead of looping."""
    def unswitch(self, loop: str) -> tuple[str, ...]:
        """Ask the conditions that a loop does not change once, before it. Returns the names of the loop and of its copy."""
    def vectorize(self, loop: str) -> None:
        """Run the iterations of a loop in vector lanes."""

class StageSurface(Face):
    """A method for every primitive, on the axes of a stage."""

    def bind(self, axis: Any, thread: ThreadAxis | str) -> None:
        """Run a loop over a thread axis, such as `blockIdx.x`. On a CPU it is an ordinary loop."""
    def cache_read(self, scope: Scope = "local", readers: Any = ()) -> Stage:
        """Let the nests of `readers`, or all, read a copy of a buffer. Returns the name of the copy."""
    def cache_write(self, scope: Scope = "local") -> Stage:
        """Fill a buffer of its own first, then copy. Returns the name of the new buffer."""
    def choose(self, key: str, options: Sequence[int], value: int) -> int:
        """A number that is recorded by its name: `value`, or what the schedule was given for it. Returns the number."""
    def compute_at(self, parent: Any, axis: Any, scope: Scope | None = None) -> None:
        """Compute the part of a buffer that an iteration of `loop` needs, in it."""
    def compute_inline(self) -> None:
        """Compute a buffer where it is read."""
    def compute_root(self) -> None:
        """Compute a buffer before the loops that it is computed in."""
    def decompose_reduction(self, axis: Any) -> tuple[str, ...]:
        """Initialise a reduction in a nest of its own, before a loop. Returns the names of the loops of that nest."""
    def double_buffer(self) -> None:
        """Let a buffer that is filled in a loop alternate between two copies."""
    def fuse(self, outer: Any, inner: Any) -> str:
        """Make one loop of two, of which `inner` is directly inside `outer`. Returns its name."""
    def pad_einsum(self, padding: Sequence[int]) -> None:
        """Lengthen the loops of a sum of products to multiples, with zeros in copies of the operands."""
    def parallel(self, axis: Any) -> None:
        """Share out the iterations of a loop among threads."""
    def partition_loop(self, axis: Any) -> None:
        """Cut a loop where its guards and selects begin or cease to hold: the loop in the middle loses them."""
    def pragma(self, axis: Any, key: str, value: int | str = 1) -> None:
        """Note something on a loop, for what comes after scheduling."""
    def prefetch(self, tensor: Any, axis: Any, offset: int = 1, spread: Any = None) -> None:
        """Ask in each iteration of a loop for what it reads of a buffer `offset` iterations later; all of it, over `spread`."""
    def reorder(self, *axes: Any) -> None:
        """Put loops of one nest into this order, outermost first."""
    def reverse_compute_at(self, parent: Any, axis: Any) -> None:
        """Compute a buffer from what each iteration of `loop` produces, in it."""
    def rfactor(self, axis: Any, factor_axis: int = 0) -> Stage:
        """Collect a partial result for each trip of a reducing loop. Returns the name of their buffer."""
    def set_scope(self, scope: Scope) -> None:
        """Move a buffer to another kind of memory."""
    def split(
        self, parent: Any, factor: int | None = None, nparts: int | None = None, tail: Tail = "guard"
    ) -> tuple[str, str]:
        """Split a loop in two: `factor` trips inside, or `nparts` outside. Returns the outer and the inner name."""
    def storage_align(self, axis: Any, factor: int, offset: int = 0) -> None:
        """Allocate a buffer wider, so that the stride of `axis` is `offset` modulo `factor`."""
    def tensorize(self, axis: Any, intrinsic: str | TensorIntrinsic) -> None:
        """Do the nest of a loop as a declared intrinsic that means the same does it."""
    def transform_layout(self, *order: str) -> None:
        """Lay a buffer out by new axes, each given by the old ones: `"1//16", "0", "1%16"`."""
    def unroll(self, axis: Any) -> None:
        """Repeat the body of a loop instead of looping."""
    def unswitch(self, axis: Any) -> tuple[str, ...]:
        """Ask the conditions that a loop does not change once, before it. Returns the names of the loop and of its copy."""
    def vectorize(self, axis: Any) -> None:
        """Run the iterations of a loop in vector lanes."""
