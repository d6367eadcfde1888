"""A bundle: everything a CUDA device needs to run a model, in one tar file. No TVM is needed to use one.

In: a plan, CUDA source, machine code, constants. Out: the bytes of a tar, the same for the same
bundle; and back, where the file is hostile until it is proven otherwise: nothing is extracted to
disk, nothing unpickled, and every size and digest is checked.

    plan.json               what is in the file, and what to do (below)
    kernels.cu              CUDA C++
    kernels.ptx             for devices that are newer than every cubin, if any
    kernels.sm_90.cubin     machine code, one member per architecture
    constants/0.npy         ...

The plan: `buffers` are pieces of device memory, each with a size and maybe a constant to fill it;
`inputs` and `outputs` say which buffer holds which tensor; `steps` are kernels to launch in order,
each with its grid, its block, its dynamic shared memory and its arguments: buffers or numbers.

    bundle = load(Path("resnet18.tar"))
    replay(bundle, device, {"x": image})    # of bridge.device
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minicc.device.plan_reader import MOST_BYTES, PlanReader, is_printable
from minicc.errors import BridgeError
from minicc.ops.base import Array
from minicc.paths import unreadable
from minicc.runtime.image import KernelLaunch, Number
from minicc.types import DType, TensorType

FORMAT, VERSION = "minicc-cuda-bundle", 1
ARCH = re.compile(r"sm_([0-9]{2,3})(a?)")
MEMBER = re.compile(r"plan\.json|kernels\.cu|kernels\.ptx|kernels\.sm_[0-9]{2,3}a?\.cubin|constants/[0-9]{1,6}\.npy")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
MOST_GRID, MOST_BLOCK, MOST_THREADS, MOST_SHARED = (2**31 - 1, 65535, 65535), (1024, 1024, 64), 1024, 227 << 10
REBUILD = "make it again: minicc compile MODEL --target cuda --output FILE.tar"


@dataclass(frozen=True)
class Port:
    """An input or output: its name and type, and the buffer that holds it."""

    name: str
    type: TensorType
    buffer: int


@dataclass(frozen=True)
class Buffer:
    """`size` bytes of device memory; with `constant`, filled with that constant before the first run."""

    size: int
    constant: int | None = None


Argument = int | Number  # the index of a buffer, or a number


@dataclass(frozen=True)
class Step:
    """The launches that compute one group of operators."""

    name: str
    launches: tuple[KernelLaunch, ...]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model for CUDA devices. `cubins` by architecture, as `sm_90`; `ptx` of architecture `ptx_arch`, or empty."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    source: str
    constants: tuple[Array, ...] = ()
    cubins: Mapping[str, bytes] = field(default_factory=dict)
    ptx: str = ""
    ptx_arch: str = ""

    @property
    def launches(self) -> list[KernelLaunch]:
        """All launches in order."""
        return [launch for step in self.steps for launch in step.launches]

    @property
    def kernels(self) -> list[str]:
        """The names of the kernels, each once, in order of first launch."""
        return list(dict.fromkeys(launch.kernel for launch in self.launches))

    @property
    def memory_bytes(self) -> int:
        """All device memory that a run takes."""
        return sum(b.size for b in self.buffers)

    def code_for(self, capability: tuple[int, int]) -> tuple[str, bytes]:
        """What a device of this compute capability can run: the architecture, and a cubin, or PTX that the driver compiles.

        A cubin runs on its own generation from its own minor version on, one of `sm_90a` only on that
        very device; PTX on all that are at least as new. (CUDA C++ Programming Guide, 3.1: compatibility.)
        """
        major, minor = capability
        able = [arch for arch in self.cubins if runs_on(arch, capability)]
        if able:
            best = max(able, key=lambda arch: (capability_of(arch), arch.endswith("a")))
            return best, self.cubins[best]
        if self.ptx and capability_of(self.ptx_arch) <= capability:
            return self.ptx_arch, self.ptx.encode() + b"\0"
        held = [*self.cubins, *([f"PTX of {self.ptx_arch}"] if self.ptx else [])]
        raise BridgeError(
            f"run({self.name})",
            f"expected a bundle for sm_{major}{minor}, got one for another architecture: "
            f"{', '.join(held) or 'source only'}",
            hint=f"compile with --arch sm_{major}{minor}",
        )

    def save(self) -> bytes:
        """The tar file: members in a fixed order, without times or owners. Raises BridgeError when a name in it cannot be printed."""
        names = [self.name, *(p.name for p in (*self.inputs, *self.outputs)), *(s.name for s in self.steps)]
        if wrong := [name for name in names if not is_printable(name)]:
            raise BridgeError(
                f"save({self.name!a:.60})",
                f"expected printable names, got {wrong[0]!a:.60}",
                hint="rename it in the model",
            )
        members = {"kernels.cu": encoded(f"save({self.name})", self.source)}
        if self.ptx:
            members["kernels.ptx"] = self.ptx.encode()
        members |= {f"kernels.{arch}.cubin": code for arch, code in sorted(self.cubins.items())}
        members |= {f"constants/{k}.npy": npy(array) for k, array in enumerate(self.constants)}
        plan = json.dumps(self._plan(members), indent=1, ensure_ascii=False).encode()
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in {"plan.json": plan, **members}.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))
        return held.getvalue()

    def _plan(self, members: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "format": FORMAT, "version": VERSION, "name": self.name,
            "architectures": sorted(self.cubins), "ptx": self.ptx_arch or None,
            "inputs": [_port(p) for p in self.inputs], "outputs": [_port(p) for p in self.outputs],
            "buffers": [{"bytes": b.size} | ({} if b.constant is None else {"constant": b.constant}) for b in self.buffers],
            "constants": [_type(TensorType.of(a)) for a in self.constants],
            "steps": [{"name": s.name, "launches": [_launch(k) for k in s.launches]} for s in self.steps],
            "members": {name: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for name, c in members.items()},
        }  # fmt: skip


def capability_of(arch: str) -> tuple[int, int]:
    """(9, 0) of `sm_90` and of `sm_90a`."""
    found = ARCH.fullmatch(arch)
    if found is None:
        raise BridgeError(
            f"architecture {arch!r}",
            f"expected a name such as sm_90, got {arch!r}",
            hint="give --arch sm_90, again for each architecture",
        )
    return int(found[1][:-1]), int(found[1][-1])


def runs_on(arch: str, capability: tuple[int, int]) -> bool:
    """Whether a cubin of `arch` runs on a device of this compute capability."""
    own = capability_of(arch)
    return own == capability if arch.endswith("a") else own[0] == capability[0] and own[1] <= capability[1]


def launch_problem(grid: Sequence[int], block: Sequence[int], shared_bytes: int) -> tuple[str, str, str] | None:
    """Which field of a launch CUDA does not take, what it takes, and what it got instead; None when all are well.

    Source: CUDA C++ Programming Guide, technical specifications per compute capability: what all from 5.0 on take, and
    the shared memory of the newest.
    """
    for name, numbers, most in (("grid", grid, MOST_GRID), ("block", block, MOST_BLOCK)):
        if len(numbers) != 3 or any(not 1 <= n <= m for n, m in zip(numbers, most, strict=True)):
            return name, f"three positive integers of at most {most}", str(tuple(numbers))
    if (threads := math.prod(block)) > MOST_THREADS:
        return "block", f"at most {MOST_THREADS} threads", str(threads)
    if not 0 <= shared_bytes <= MOST_SHARED:
        return "shared_bytes", f"at most {MOST_SHARED >> 10} KiB of shared memory", f"{shared_bytes} bytes"
    return None


def check_launch(kernel: str, grid: Sequence[int], block: Sequence[int], shared_bytes: int) -> str:
    """The launch as text, for errors about it. Raises BridgeError when CUDA does not take it."""
    call = f"launch({kernel}, grid={tuple(grid)}, block={tuple(block)})"
    if problem := launch_problem(grid, block, shared_bytes):
        name, wanted, got = problem
        raise BridgeError(call, f"expected {wanted}, got {got}", where=name, hint=REBUILD)
    return call


def share(sizes: Sequence[int], lives: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Which buffer each value uses, and the sizes of the buffers, when dead values' memory is used again.

    `lives[k]` is the step that makes value k and the last that reads it: values whose lives meet do
    not share. Greedy, in order of birth: the smallest free buffer that is large enough, else the
    largest one, enlarged.

    >>> share([8, 4, 8], [(0, 1), (1, 2), (2, 3)])
    ([0, 1, 0], [8, 4])
    """
    chosen, buffers, free_from = [0] * len(sizes), list[int](), list[int]()
    for value in sorted(range(len(sizes)), key=lambda k: lives[k][0]):
        born, dies = lives[value]
        free = [b for b, last in enumerate(free_from) if last < born]
        large = [b for b in free if buffers[b] >= sizes[value]]
        if large:
            pick = min(large, key=lambda b: buffers[b])
        elif free:
            pick = max(free, key=lambda b: buffers[b])
        else:
            pick = len(buffers)
            buffers.append(0)
            free_from.append(-1)
        buffers[pick] = max(buffers[pick], sizes[value])
        free_from[pick] = dies
        chosen[value] = pick
    return chosen, buffers


# ---- writing ----------------------------------------------------------------------------------------------------


def encoded(call: str, source: str) -> bytes:
    """Source as UTF-8. Raises BridgeError where it holds half of a surrogate pair."""
    try:
        return source.encode()
    except UnicodeEncodeError as error:
        raise BridgeError(
            call,
            f"expected source as text, got {source[error.start]!a} in it, which is no character",
            hint="was it read with errors='surrogateescape'?",
        ) from None


def npy(array: Array) -> bytes:
    """The array as a .npy file; a dtype that NumPy does not know (bfloat16) as its bits."""
    held = io.BytesIO()
    dtype = DType.of(array.dtype)
    known = np.dtype(array.dtype).isbuiltin == 1
    plain = np.array(array, order="C", copy=None)
    np.lib.format.write_array(held, plain if known else plain.view(f"uint{dtype.bits}"), (1, 0), allow_pickle=False)
    return held.getvalue()


def _type(t: TensorType) -> dict[str, Any]:
    return {"dtype": t.dtype.name, "shape": list(t.shape)}


def _port(p: Port) -> dict[str, Any]:
    return {"name": p.name, **_type(p.type), "buffer": p.buffer}


def _launch(k: KernelLaunch) -> dict[str, Any]:
    arguments = [
        {"number": a.value, "dtype": a.dtype.name} if isinstance(a, Number) else {"buffer": a} for a in k.arguments
    ]
    return {
        "kernel": k.kernel,
        "grid": list(k.grid),
        "block": list(k.block),
        "shared_bytes": k.shared_bytes,
        "arguments": arguments,
    }


# ---- reading ----------------------------------------------------------------------------------------------------


def load(path: Path) -> Bundle:
    """The bundle in a file. Raises BridgeError when it is absent, cut short, changed, or not one at all."""
    call = f"load({str(path)!r})"
    members = read_members(path, call)
    reader = PlanReader(call, REBUILD, members["plan.json"])
    plan = reader.top
    if plan.text("format") != FORMAT:
        raise reader.wrong("format", repr(FORMAT), repr(plan.text("format")))
    if (version := plan.integer("version", 0, 1 << 31)) != VERSION:
        raise BridgeError(
            call, f"expected a bundle of version {VERSION}, got version {version}", where="plan.json", hint=REBUILD
        )
    _check_members(call, plan, members)
    archs = [a.as_text(ARCH) for a in plan.items("architectures")]
    ptx_arch = plan.text("ptx", ARCH) if plan.has("ptx") else ""
    wanted = ["kernels.cu", *(["kernels.ptx"] if ptx_arch else []), *(f"kernels.{a}.cubin" for a in archs)]
    types = [c.tensor_type() for c in plan.items("constants")]
    wanted += [f"constants/{k}.npy" for k in range(len(types))]
    for name in wanted:
        if name not in members:
            raise BridgeError(
                call, f"expected the member {name}, got a file without it", where="plan.json", hint=REBUILD
            )
    constants = tuple(
        read_npy(call, f"constants/{k}.npy", members[f"constants/{k}.npy"], t) for k, t in enumerate(types)
    )
    buffers = tuple(_read_buffer(b, constants) for b in plan.items("buffers"))
    return Bundle(
        plan.text("name"), _read_inputs(plan.items("inputs"), buffers), _read_ports(plan.items("outputs"), buffers), buffers,
        tuple(_read_step(s, len(buffers)) for s in plan.items("steps")), _text(call, "kernels.cu", members["kernels.cu"]), constants,
        {a: members[f"kernels.{a}.cubin"] for a in archs}, _text(call, "kernels.ptx", members["kernels.ptx"]) if ptx_arch else "", ptx_arch)  # fmt: skip


def read_members(path: Path, call: str) -> dict[str, bytes]:
    """The content of each member of a tar, which must be plain files with the names of a bundle's. Raises BridgeError."""
    members: dict[str, bytes] = {}
    if refused := unreadable(path, ".tar"):
        raise BridgeError(call, f"expected a bundle, got {refused[0]}", hint=f"{refused[1]}; {REBUILD}")
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                if not MEMBER.fullmatch(info.name) or info.name in members or not info.isreg() or info.issparse():
                    raise BridgeError(
                        call,
                        f"expected the members of a bundle, each once, got {info.name!r}",
                        where="the tar file",
                        hint="use bundles that you trust, as minicc compile --target cuda writes them",
                    )
                file = tar.extractfile(info)
                content = file.read() if file else b""
                if len(content) != info.size:
                    raise EOFError(f"{info.name} is cut short")
                members[info.name] = content
    except (tarfile.TarError, OSError, EOFError, ValueError, MemoryError, OverflowError) as error:
        raise BridgeError(
            call, f"expected a bundle, got a file that is none or is cut short: {error}", hint=REBUILD
        ) from None
    if "plan.json" not in members:
        raise BridgeError(
            call, f"expected a bundle, got a tar without plan.json: {', '.join(members) or 'empty'}", hint=REBUILD
        )
    return members


def _check_members(call: str, plan: Any, members: Mapping[str, bytes]) -> None:
    for name, entry in plan.fields("members"):
        if name not in members:
            raise BridgeError(
                call,
                f"expected the member {name}, got a file without it: it is cut short",
                where="plan.json",
                hint=REBUILD,
            )
        size, digest = entry.integer("bytes", 0, MOST_BYTES), entry.text("sha256")
        if len(members[name]) != size or hashlib.sha256(members[name]).hexdigest() != digest:
            raise BridgeError(
                call,
                f"expected {name} as it was written, {size} bytes, got other content of {len(members[name])} bytes",
                where=f"member {name}",
                hint=REBUILD,
            )
    if extra := set(members) - {"plan.json", *(name for name, _ in plan.fields("members"))}:
        raise BridgeError(
            call,
            f"expected the members that the plan names, got {', '.join(sorted(extra))} too",
            where="plan.json",
            hint=REBUILD,
        )


def read_npy(call: str, name: str, content: bytes, wanted: TensorType) -> Array:
    """The array of a .npy file, which must be of this type. Raises BridgeError."""
    stored = wanted.dtype.numpy if np.dtype(wanted.dtype.numpy).isbuiltin == 1 else np.dtype(f"uint{wanted.dtype.bits}")
    file = io.BytesIO(content)
    try:
        np.lib.format.read_magic(file)
        shape, transposed, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=4096)
        rest = content[file.tell() :]
        if (shape, transposed, dtype) != (wanted.shape, False, stored) or len(rest) != wanted.bytes:
            raise ValueError(f"{dtype}{list(shape)} in {len(rest)} bytes")
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise BridgeError(call, f"expected {wanted}, got {error}", where=f"member {name}", hint=REBUILD) from None
    return np.frombuffer(rest, stored).reshape(shape).view(wanted.dtype.numpy)


def _text(call: str, name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BridgeError(call, f"expected text, got {error}", where=f"member {name}", hint=REBUILD) from None


def _read_buffer(entry: Any, constants: Sequence[Array]) -> Buffer:
    size = entry.integer("bytes", 0, MOST_BYTES)
    if not entry.has("constant"):
        return Buffer(size)
    constant = entry.integer("constant", 0, len(constants) - 1)
    if constants[constant].nbytes > size:
        raise entry.wrong("bytes", f"at least the {constants[constant].nbytes} of its constant", size)
    return Buffer(size, constant)


def _read_ports(entries: Sequence[Any], buffers: Sequence[Buffer]) -> tuple[Port, ...]:
    ports: list[Port] = []
    for entry in entries:
        port = Port(entry.text("name"), entry.tensor_type(), entry.integer("buffer", 0, len(buffers) - 1))
        if port.type.bytes > buffers[port.buffer].size:
            raise entry.wrong(
                "buffer", f"one of at least {port.type.bytes} bytes", f"one of {buffers[port.buffer].size}"
            )
        if port.name in {p.name for p in ports}:
            raise entry.wrong("name", "another name than those before it", port.name)
        ports.append(port)
    return tuple(ports)


def _read_inputs(entries: Sequence[Any], buffers: Sequence[Buffer]) -> tuple[Port, ...]:
    """Ports whose buffers a run may overwrite: neither one another's nor those that the first run finds filled."""
    ports = _read_ports(entries, buffers)
    taken: set[int] = set()
    for entry, port in zip(entries, ports, strict=True):
        if (constant := buffers[port.buffer].constant) is not None:
            raise entry.wrong("buffer", "a buffer without a constant", f"one that holds constant {constant}")
        if port.buffer in taken:
            raise entry.wrong("buffer", "a buffer of its own", f"that of another input, {port.buffer}")
        taken.add(port.buffer)
    return ports


def _read_step(entry: Any, buffers: int) -> Step:
    return Step(entry.text("name"), tuple(_read_launch(k, buffers) for k in entry.items("launches")))


def _read_launch(entry: Any, buffers: int) -> KernelLaunch:
    grid, block = (
        entry.integers("grid", -MOST_BYTES, MOST_BYTES, 3),
        entry.integers("block", -MOST_BYTES, MOST_BYTES, 3),
    )
    shared_bytes = entry.integer("shared_bytes", -MOST_BYTES, MOST_BYTES)
    if problem := launch_problem(grid, block, shared_bytes):
        raise entry.wrong(*problem)
    arguments = tuple(_read_argument(a, buffers) for a in entry.items("arguments"))
    return KernelLaunch(entry.text("kernel", NAME), grid, block, shared_bytes, arguments)


def _read_argument(entry: Any, buffers: int) -> Argument:
    if entry.has("buffer"):
        return int(entry.integer("buffer", 0, buffers - 1))
    dtype = entry.dtype("dtype")
    if dtype.kind not in ("int", "uint"):
        raise entry.wrong("dtype", "an integer type", dtype.name)
    low, high = np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max
    return Number(entry.integer("number", int(low), int(high)), dtype)


__all__ = ["MOST_BYTES", "Buffer", "Bundle", "KernelLaunch", "Number", "Port", "Step", "check_launch", "load", "share"]
