"""What a model launches on a device, while it is put together; then the memory that it needs, and its image.

In: launches over named buffers, maybe of symbolic sizes, and the values that these hold. Out: an `Image`, in which
every value has its place in one arena: that of dead values is used again, by the planner that the CPU has, too.

    made = Launches([("x", x)], [("y", y)])
    made.call("relu", [Launch("relu_kernel", ("x", "y"), (4, 1, 1), (256, 1, 1))], {"x": x, "y": y})
    made.image("model", target, source)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minicc.errors import BridgeError
from minicc.ir.arrays import Array
from minicc.runtime.image import SOURCE, DeviceBuffer, Image, KernelInfo, KernelLaunch, Number, Port, Stages
from minicc.runtime.plan import Lifetime, plan
from minicc.target import Target
from minicc.tensor.expr import Const, Expr, Var, const, substitute
from minicc.types import DType, TensorType

MOST_BYTES = 1 << 40  # of device memory
ALIGNMENT = 256  # of each buffer, as that of memory that a driver gives
Size = int | Expr  # a number, or an int64 expression of the symbolic sizes of a function
Sizes = tuple[Size, Size, Size]


def known(size: Size, sizes: Mapping[str, int]) -> int:
    """The number that `size` is for these symbolic sizes. Raises BridgeError when one is missing."""
    if isinstance(size, Expr):
        made = substitute(size, {Var(name): const(value) for name, value in sizes.items()})
        if not isinstance(made, Const):
            problem = f"expected a number for each symbolic size, got {dict(sizes)}"
            raise BridgeError(f"launch({size})", problem, hint="sizes come from the shapes of the arguments")
        return int(made.value)
    return size


@dataclass(frozen=True)
class Launch:
    """One call of a kernel. Its arguments are the pointers of `buffers`, then the numbers of `scalars`."""

    kernel: str
    buffers: tuple[str, ...]  # names of parameters or workspaces of a function
    grid: Sizes
    block: Sizes
    shared_bytes: Size = 0  # of dynamic shared memory; what is static is in the kernel
    scalars: tuple[tuple[DType, Size], ...] = ()

    def known(self, sizes: Mapping[str, int], buffers: Sequence[int] = ()) -> KernelLaunch:
        """This with numbers for the symbolic sizes, over buffers by number. Raises BridgeError when one is missing."""
        gx, gy, gz, bx, by, bz = (known(s, sizes) for s in (*self.grid, *self.block))
        arguments: tuple[int | Number, ...] = (*buffers, *[Number(known(s, sizes), dtype) for dtype, s in self.scalars])
        return KernelLaunch(self.kernel, (gx, gy, gz), (bx, by, bz), known(self.shared_bytes, sizes), arguments)


@dataclass(frozen=True)
class Workspace:
    """A buffer in the memory of the device that a function needs beside its parameters."""

    name: str
    dtype: DType
    shape: tuple[Size, ...]


@dataclass(frozen=True, eq=False)
class Storage:
    """Device memory to be, of a tensor, and of the views of it."""

    type: TensorType
    of: Storage | None = None

    @property
    def whole(self) -> Storage:
        """What it is a view of, or itself."""
        return self if self.of is None else self.of.whole


@dataclass
class Launches:
    """What to launch on which storage; inputs and constants are there before the first launch."""

    inputs: list[tuple[str, Storage]] = field(default_factory=list)
    outputs: list[tuple[str, Storage]] = field(default_factory=list)
    sizes: Mapping[str, int] = field(default_factory=dict)
    constants: dict[tuple[TensorType, bytes], tuple[Storage, Array]] = field(default_factory=dict)  # by content
    calls: list[tuple[str, list[tuple[Launch, list[Storage]]]]] = field(default_factory=list)  # by what they compute

    def constant(self, array: Array) -> Storage:
        """Storage that holds the array; equal arrays are one."""
        made = TensorType.of(array)
        key = made, hashlib.sha256(array.tobytes()).digest()
        return self.constants.setdefault(key, (Storage(made), array))[0]

    def call(self, name: str, launches: Sequence[Launch], buffers: Mapping[str, Storage]) -> None:
        """Launch on buffers by name. A launch without threads is none."""
        some = [k for k in launches if all(known(n, self.sizes) > 0 for n in (*k.grid, *k.block))]
        self.calls.append((name, [(k, [buffers[b].whole for b in k.buffers]) for k in some]))

    def image(self, name: str, target: Target, source: bytes) -> Image:
        """All of it, with a place in the arena for every storage.

        Raises BridgeError when a launch or the arena is larger than devices have.
        """
        number = {storage: k for k, (storage, _) in enumerate(self.constants.values())}
        lives = self._lives(list(dict.fromkeys([*(s.whole for _, s in self.inputs), *number])))
        names = {**self._names(), **{s.whole: port for port, s in (*self.inputs, *self.outputs)}}
        placed = plan([Lifetime(s.type.bytes, *life, names.get(s, "")) for s, life in lives.items()], ALIGNMENT)
        if placed.size > MOST_BYTES:
            problem = f"expected at most {MOST_BYTES} bytes of device memory, got {placed.size}"
            raise BridgeError(f"image({name})", problem, hint="use smaller sizes")
        buffers = [DeviceBuffer(at, s.type.bytes, number.get(s)) for s, at in zip(lives, placed.offsets, strict=True)]
        index = {s: k for k, s in enumerate(lives)}
        kernels = [KernelInfo(label, symbol=label, launches=tuple(self._launch(name, k, [index[s] for s in held]) for k, held in some))
                   for label, some in self.calls]  # fmt: skip
        inputs, outputs = (
            tuple(Port(n, s.type, index[s.whole]) for n, s in ports) for ports in (self.inputs, self.outputs)
        )
        constants = tuple(array for _, array in self.constants.values())
        stages = Stages({"cuda": source.decode})
        return Image(name, inputs, outputs, target, {SOURCE: source}, tuple(kernels), constants, placed.size, tuple(buffers),
                     stages=stages, memory=placed)  # fmt: skip

    def _launch(self, name: str, launch: Launch, buffers: Sequence[int]) -> KernelLaunch:
        """The launch. Raises BridgeError when CUDA does not take it, for the image called `name`."""
        made = launch.known(self.sizes, buffers)
        if problem := made.problem():
            part, wanted, got = problem
            where = f"{part} of {launch.kernel}, one number for each of x, y and z"
            hint = "split the loop by a number, bind the inner part to threadIdx.x and the outer one to blockIdx.x"
            raise BridgeError(f"image({name})", f"expected {wanted}, got {got}", where, hint)
        return made

    def _names(self) -> dict[Storage, str]:
        """For each storage what computes it, or uses it first; constants are called so."""
        first = {s: label for label, some in reversed(self.calls) for _, held in reversed(some) for s in held}
        return {**first, **{s: "constant" for s, _ in self.constants.values()}}

    def _lives(self, own: Sequence[Storage]) -> dict[Storage, tuple[int, int]]:
        """The first and last launch that uses each storage. What is in `own` lives on from run to run, outputs to the end."""
        uses = [held for _, launches in self.calls for _, held in launches]
        lives = dict.fromkeys(own, (0, len(uses)))
        for time, held in enumerate([*uses, [s.whole for _, s in self.outputs]]):
            for storage in held:
                if storage not in own:
                    lives[storage] = (lives.get(storage, (time, time))[0], time)
        return lives
